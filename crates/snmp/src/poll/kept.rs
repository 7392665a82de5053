use std::cmp::Ordering;
use std::sync::{Arc, LazyLock};

use crate::protocol::compare;

/// No counter value yet.
pub(crate) const NONE: u64 = u64::MAX;
/// What 48 bits hold at most: no value yet.
const MOST: u64 = (1 << 48) - 1;
/// Longest label that is kept, in bytes.
const LONGEST: usize = 255;

/// Indexes and names of a table's rows, packed: a device has many rows and a collector many devices.
#[derive(Clone, Debug, Default)]
pub(crate) struct Names {
    indexes: Vec<u8>,
    /// Of each row, where its index ends and where its labels begin.
    places: Vec<(u32, u32)>,
    labels: String,
    /// Row by row, the length of each label.
    lengths: Vec<u8>,
    label_count: usize,
}

impl Names {
    pub(crate) fn rows(&self) -> usize {
        self.places.len()
    }

    pub(crate) fn index(&self, row: usize) -> &[u8] {
        let from = if row == 0 { 0 } else { self.places[row - 1].0 as usize };
        &self.indexes[from..self.places[row].0 as usize]
    }

    pub(crate) fn label(&self, row: usize, label: usize) -> &str {
        let lengths = &self.lengths[row * self.label_count..(row + 1) * self.label_count];
        let before: usize = lengths[..label].iter().map(|l| usize::from(*l)).sum();
        let from = self.places[row].1 as usize + before;
        &self.labels[from..from + usize::from(lengths[label])]
    }

    /// The row with this index, wherever it is.
    pub(crate) fn row_of(&self, index: &[u8]) -> Option<usize> {
        let (mut low, mut high) = (0, self.rows());
        while low < high {
            let middle = low + (high - low) / 2;
            match compare(self.index(middle), index) {
                Ordering::Less => low = middle + 1,
                Ordering::Equal => return Some(middle),
                Ordering::Greater => high = middle,
            }
        }
        None
    }

    fn push<'a>(&mut self, index: &[u8], labels: impl Iterator<Item = &'a str>) {
        let from = self.labels.len() as u32;
        self.indexes.extend_from_slice(index);
        self.places.push((self.indexes.len() as u32, from));
        for label in labels {
            let mut end = label.len().min(LONGEST);
            while !label.is_char_boundary(end) {
                end -= 1;
            }
            self.labels.push_str(&label[..end]);
            self.lengths.push(end as u8);
        }
    }
}

/// What stays of a table between polls: names of rows, last values of counters.
#[derive(Debug, Default)]
pub(crate) struct Kept {
    names: Arc<Names>,
    /// Columns whose last values are kept, in this order.
    columns: Box<[u16]>,
    /// Row by row, in 48 bits each: a device has many of them.
    counters: Vec<[u8; 6]>,
    /// Begin of each row's counters where it is not the device's, else 0. Empty as long as no row has its own.
    starts: Vec<u64>,
}

/// A table without rows.
static EMPTY: LazyLock<Kept> = LazyLock::new(Kept::default);

impl Kept {
    pub(crate) fn empty() -> &'static Kept {
        &EMPTY
    }

    pub(crate) fn new(label_count: usize, columns: &[u16]) -> Kept {
        let names = Arc::new(Names { label_count, ..Names::default() });
        Kept { names, columns: columns.into(), ..Kept::default() }
    }

    /// Columns whose last values are kept, in this order.
    pub(crate) fn columns(&self) -> &[u16] {
        &self.columns
    }

    /// Its rows' names, to be shared; they never change, new ones take their place.
    pub(crate) fn names(&self) -> &Arc<Names> {
        &self.names
    }

    pub(crate) fn rows(&self) -> usize {
        self.names.rows()
    }

    pub(crate) fn index(&self, row: usize) -> &[u8] {
        self.names.index(row)
    }

    pub(crate) fn label(&self, row: usize, label: usize) -> &str {
        self.names.label(row, label)
    }

    /// The last value of a row's counter, as it was kept: less than 2^48, or [`NONE`].
    pub(crate) fn last(&self, row: usize, slot: usize) -> u64 {
        let [a, b, c, d, e, f] = self.counters[row * self.columns.len() + slot];
        match u64::from_le_bytes([a, b, c, d, e, f, 0, 0]) {
            MOST => NONE,
            value => value,
        }
    }

    /// Keeps the last value of a row's counter; what 48 bits do not hold is none.
    pub(crate) fn set_last(&mut self, row: usize, slot: usize, value: u64) {
        let [a, b, c, d, e, f, ..] = value.min(MOST).to_le_bytes();
        let width = self.columns.len();
        self.counters[row * width + slot] = [a, b, c, d, e, f];
    }

    /// Forgets the last values of a row's counters.
    pub(crate) fn forget_last(&mut self, row: usize) {
        let width = self.columns.len();
        self.counters[row * width..(row + 1) * width].fill([0xff; 6]);
    }

    /// Begin of a row's counters where it is not the device's, else 0.
    pub(crate) fn start(&self, row: usize) -> u64 {
        self.starts.get(row).copied().unwrap_or(0)
    }

    /// From now on a row's counters begin there.
    pub(crate) fn set_start(&mut self, row: usize, start: u64) {
        if start != self.start(row) {
            self.starts.resize(self.rows().max(row + 1), 0);
            self.starts[row] = start;
        }
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
        Arc::make_mut(&mut self.names).push(index, labels);
        self.counters.resize(self.counters.len() + self.columns.len(), [0xff; 6]);
    }

    /// Gives back room that will not be used.
    pub(crate) fn shrink(&mut self) {
        let names = Arc::make_mut(&mut self.names);
        names.indexes.shrink_to_fit();
        names.places.shrink_to_fit();
        names.labels.shrink_to_fit();
        names.lengths.shrink_to_fit();
        self.counters.shrink_to_fit();
        self.starts.shrink_to_fit();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_found_with_their_labels_and_starts() {
        let mut kept = Kept::new(2, &[4]);
        let long = "é".repeat(200);
        for (index, labels) in [(&[1][..], ["a", ""]), (&[3], ["", "bc"]), (&[0x81, 0], [&long, "d"])] {
            kept.push(index, labels.into_iter());
        }
        kept.shrink();
        assert_eq!((kept.label(0, 0), kept.label(1, 1), kept.label(2, 1)), ("a", "bc", "d"));
        assert_eq!(kept.label(2, 0).len(), 254);
        let names = kept.names().clone();
        assert_eq!(
            (names.row_of(&[3]), names.row_of(&[2]), names.row_of(&[0x81, 0])),
            (Some(1), None, Some(2))
        );
        kept.set_last(1, 0, 7);
        kept.set_last(0, 0, u64::MAX);
        kept.set_start(1, 9);
        assert_eq!((kept.start(0), kept.start(1), kept.start(2)), (0, 9, 0));
        assert_eq!((kept.last(0, 0), kept.last(1, 0), kept.last(2, 0)), (NONE, 7, NONE));
        let mut from = 0;
        assert_eq!((kept.find(&[3], &mut from), kept.find(&[2], &mut from), from), (Some(1), None, 1));
    }
}
