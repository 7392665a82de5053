use std::cmp::Ordering;

use crate::protocol::compare;

/// No counter value yet.
pub(crate) const NONE: u64 = u64::MAX;

/// What stays of a table between polls: names of rows, last values of counters. Packed: a device has many rows and a
/// collector many devices.
#[derive(Debug, Default)]
pub(crate) struct Kept {
    indexes: Vec<u8>,
    ends: Vec<u32>,
    labels: String,
    label_ends: Vec<u32>,
    label_count: usize,
    counter_count: usize,
    /// Row by row.
    pub(crate) counters: Vec<u64>,
    /// Begin of each row's counters where it is not the device's, else 0.
    pub(crate) starts: Vec<u64>,
}

/// A table without rows.
static EMPTY: Kept = Kept {
    indexes: Vec::new(),
    ends: Vec::new(),
    labels: String::new(),
    label_ends: Vec::new(),
    label_count: 0,
    counter_count: 0,
    counters: Vec::new(),
    starts: Vec::new(),
};

impl Kept {
    pub(crate) fn empty() -> &'static Kept {
        &EMPTY
    }

    pub(crate) fn new(label_count: usize, counter_count: usize) -> Kept {
        Kept { label_count, counter_count, ..Kept::default() }
    }

    pub(crate) fn rows(&self) -> usize {
        self.ends.len()
    }

    pub(crate) fn counter_count(&self) -> usize {
        self.counter_count
    }

    pub(crate) fn index(&self, row: usize) -> &[u8] {
        let from = if row == 0 { 0 } else { self.ends[row - 1] as usize };
        &self.indexes[from..self.ends[row] as usize]
    }

    pub(crate) fn label(&self, row: usize, label: usize) -> &str {
        let at = row * self.label_count + label;
        let from = if at == 0 { 0 } else { self.label_ends[at - 1] as usize };
        &self.labels[from..self.label_ends[at] as usize]
    }

    /// The last values of a row's counters.
    pub(crate) fn of_row(&mut self, row: usize) -> &mut [u64] {
        &mut self.counters[row * self.counter_count..(row + 1) * self.counter_count]
    }

    /// The row with this index at or behind `from`.
    pub(crate) fn find(&self, index: &[u8], from: &mut usize) -> Option<usize> {
        while *from < self.rows() {
            match compare(self.index(*from), index) {
                Ordering::Less => *from += 1,
                Ordering::Equal => return Some(*from),
                Ordering::Greater => return None,
            }
        }
        None
    }

    /// Adds a row; rows come in order.
    pub(crate) fn push<'a>(&mut self, index: &[u8], labels: impl Iterator<Item = &'a str>) {
        self.indexes.extend_from_slice(index);
        self.ends.push(self.indexes.len() as u32);
        for label in labels {
            self.labels.push_str(label);
            self.label_ends.push(self.labels.len() as u32);
        }
        self.counters.resize(self.counters.len() + self.counter_count, NONE);
        self.starts.push(0);
    }

    /// Gives back room that will not be used.
    pub(crate) fn shrink(&mut self) {
        self.indexes.shrink_to_fit();
        self.ends.shrink_to_fit();
        self.labels.shrink_to_fit();
        self.label_ends.shrink_to_fit();
        self.counters.shrink_to_fit();
        self.starts.shrink_to_fit();
    }
}
