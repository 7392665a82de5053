use std::cmp::Ordering;

use super::cell::Cell;
use crate::protocol::{Value, compare};

/// The rows of one table as one poll brings them.
#[derive(Debug, Default)]
pub(crate) struct Frame {
    width: usize,
    indexes: Vec<u8>,
    /// Begin and end of each row's index.
    places: Vec<(u32, u32)>,
    cells: Vec<Cell>,
    pub(crate) text: Vec<u8>,
    /// Rows in the order of their indexes.
    order: Vec<u32>,
    /// Where each column is in that order.
    cursor: Vec<usize>,
    /// Values that came a second time for one row and column.
    pub(crate) duplicates: u32,
}

impl Frame {
    pub(crate) fn new(width: usize) -> Frame {
        Frame { width, cursor: vec![0; width], ..Frame::default() }
    }

    /// Room for so many rows at once.
    pub(crate) fn reserve(&mut self, rows: usize) {
        self.cells.reserve(rows * self.width);
        self.places.reserve(rows);
        self.order.reserve(rows);
    }

    pub(crate) fn rows(&self) -> usize {
        self.order.len()
    }

    /// The index of a row, by its place in the order.
    pub(crate) fn index(&self, at: usize) -> &[u8] {
        let (from, to) = self.places[self.order[at] as usize];
        &self.indexes[from as usize..to as usize]
    }

    /// The cells of a row, by its place in the order.
    pub(crate) fn row(&self, at: usize) -> &[Cell] {
        let row = self.order[at] as usize;
        &self.cells[row * self.width..(row + 1) * self.width]
    }

    /// Takes a value in. Columns come in order, so the row is nearly always the one behind the last.
    pub(crate) fn put(&mut self, column: usize, index: &[u8], value: Value<'_>) {
        let hint = self.cursor[column];
        let at = if hint < self.order.len() && self.index(hint) == index {
            hint
        } else if self.order.is_empty() || compare(self.index(self.order.len() - 1), index) == Ordering::Less
        {
            self.insert(self.order.len(), index)
        } else {
            let at = self.order.partition_point(|row| {
                let (from, to) = self.places[*row as usize];
                compare(&self.indexes[from as usize..to as usize], index) == Ordering::Less
            });
            if at < self.order.len() && self.index(at) == index { at } else { self.insert(at, index) }
        };
        self.cursor[column] = at + 1;
        let cell = Cell::keep(value, &mut self.text);
        let slot = &mut self.cells[self.order[at] as usize * self.width + column];
        if *slot == Cell::None {
            *slot = cell;
        } else {
            self.duplicates += 1;
        }
    }

    fn insert(&mut self, at: usize, index: &[u8]) -> usize {
        let from = self.indexes.len() as u32;
        self.indexes.extend_from_slice(index);
        let row = self.places.len() as u32;
        self.places.push((from, self.indexes.len() as u32));
        self.cells.resize(self.cells.len() + self.width, Cell::None);
        self.order.insert(at, row);
        at
    }
}
