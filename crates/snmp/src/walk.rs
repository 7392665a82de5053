//! Walking several columns at once with GETBULK, without IO: what to ask next, and what an answer means.

use std::cmp::Ordering;

use crate::Fault;
use crate::protocol::{Oid, Pdu, Value, compare, tag};

/// Most columns in one request: a request must fit where its answer fits.
pub const MOST_COLUMNS: usize = 24;
/// Largest `max-repetitions`.
const MOST_REPETITIONS: u32 = 128;
/// Bytes of a message around its variables, with a version 3 header.
const AROUND: f32 = 140.0;
/// Bytes of a variable before any was seen.
const FIRST_GUESS: f32 = 30.0;

/// Bounds of a walk.
#[derive(Clone, Copy, Debug)]
pub struct WalkBounds {
    /// Largest answer to aim at, in bytes of UDP payload.
    pub answer: u16,
    /// Most rows of a column.
    pub rows: u32,
    /// Version 1: one row at a time with GETNEXT.
    pub v1: bool,
}

#[derive(Debug)]
struct Column {
    prefix: Oid,
    /// The last name that came.
    at: Vec<u8>,
    rows: u32,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum State {
    Open,
    Ended,
    Failed(Fault),
}

/// A walk over the subtrees of some columns.
#[derive(Debug)]
pub struct Walk {
    columns: Vec<Column>,
    /// Columns of the request under way.
    asked: Vec<usize>,
    repetitions: u32,
    /// Most columns in one request; less after `tooBig`.
    breadth: usize,
    /// Most rows in one answer; less after `tooBig`.
    most: u32,
    bytes_a_variable: f32,
    expected: Option<u32>,
    bounds: WalkBounds,
}

impl Walk {
    /// A walk over these subtrees. `expected` is the number of rows of the last time, so that the end is not overshot.
    pub fn new(columns: impl IntoIterator<Item = Oid>, expected: Option<u32>, bounds: WalkBounds) -> Walk {
        let columns: Vec<Column> = columns
            .into_iter()
            .map(|prefix| Column { at: prefix.to_vec(), prefix, rows: 0, state: State::Open })
            .collect();
        Walk {
            breadth: columns.len().clamp(1, MOST_COLUMNS),
            columns,
            asked: Vec::new(),
            repetitions: 0,
            most: MOST_REPETITIONS,
            bytes_a_variable: FIRST_GUESS,
            expected,
            bounds,
        }
    }

    /// Whether every column has ended.
    pub fn is_done(&self) -> bool {
        self.columns.iter().all(|c| c.state != State::Open)
    }

    /// The columns that failed, each with its cause.
    pub fn faults(&self) -> impl Iterator<Item = (usize, Fault)> + '_ {
        self.columns.iter().enumerate().filter_map(|(i, c)| match c.state {
            State::Failed(f) => Some((i, f)),
            _ => None,
        })
    }

    /// Rows that came so far, of the longest column.
    pub fn rows(&self) -> u32 {
        self.columns.iter().map(|c| c.rows).max().unwrap_or(0)
    }

    /// Columns that have not ended.
    pub fn open(&self) -> usize {
        self.columns.iter().filter(|c| c.state == State::Open).count()
    }

    /// Hands the last of the open columns, one part of so many, to a walk of its own, so that both can ask at once. Gives
    /// their places here and that walk. Only between an answer and the next question.
    pub fn split(&mut self, parts: usize) -> (Vec<usize>, Walk) {
        let open: Vec<usize> =
            (0..self.columns.len()).filter(|i| self.columns[*i].state == State::Open).collect();
        let places = open[open.len() - open.len() / parts.max(1)..].to_vec();
        let mut moved = Vec::with_capacity(places.len());
        for at in &places {
            let column = &mut self.columns[*at];
            let (prefix, rows) = (column.prefix.clone(), column.rows);
            moved.push(Column { prefix, at: std::mem::take(&mut column.at), rows, state: State::Open });
            column.state = State::Ended;
        }
        let breadth = moved.len().clamp(1, self.breadth);
        self.breadth = self.breadth.min(self.open().max(1));
        (places, Walk { columns: moved, asked: Vec::new(), repetitions: 0, breadth, ..*self })
    }

    /// Gives up: what is open has this cause.
    pub fn fail(&mut self, fault: Fault) {
        for column in self.columns.iter_mut().filter(|c| c.state == State::Open) {
            column.state = State::Failed(fault);
        }
    }

    /// The next question: its kind, its repetitions, and the names to ask from.
    pub fn question<'a>(&'a mut self, oids: &mut Vec<&'a [u8]>) -> (u8, u32) {
        self.asked.clear();
        // The columns that are furthest back first, so that rows become whole together.
        self.asked.extend((0..self.columns.len()).filter(|i| self.columns[*i].state == State::Open));
        if self.asked.len() > self.breadth {
            self.asked.sort_by_key(|i| self.columns[*i].rows);
            self.asked.truncate(self.breadth);
            self.asked.sort_unstable();
        }
        let room = (f32::from(self.bounds.answer) - AROUND).max(self.bytes_a_variable);
        let fit = (room / (self.bytes_a_variable * self.asked.len().max(1) as f32)) as u32;
        let came = self.asked.iter().map(|i| self.columns[*i].rows).min().unwrap_or(0);
        // One beyond the last row shows that it was the last.
        let left = self.expected.filter(|e| *e >= came).map_or(u32::MAX, |e| e - came + 1);
        self.repetitions = fit.min(left).clamp(1, self.most);
        oids.clear();
        oids.extend(self.asked.iter().map(|i| &self.columns[*i].at[..]));
        match self.bounds.v1 {
            true => (tag::GET_NEXT, 0),
            false => (tag::GET_BULK, self.repetitions),
        }
    }

    /// Takes an answer in; `each` gets the column, the rest of the name under it, and the value.
    pub fn answer(&mut self, pdu: &Pdu<'_>, mut each: impl FnMut(usize, &[u8], Value<'_>)) {
        if pdu.error_status != 0 {
            self.refused(pdu);
            return;
        }
        let (mut count, mut bytes) = (0u32, 0usize);
        let wide = self.asked.len().max(1);
        let most = if self.bounds.v1 { wide } else { wide * self.repetitions as usize };
        for (n, variable) in pdu.varbinds.enumerate().take(most) {
            let (oid, value) = match variable {
                Ok(v) => v,
                Err(e) => return self.fail_asked(Fault::Malformed(e)),
            };
            let Some(column) = self.asked.get(n % wide).and_then(|i| self.columns.get_mut(*i)) else {
                return;
            };
            count += 1;
            bytes = pdu.varbinds.bytes().len();
            if column.state == State::Open {
                let at = self.asked[n % wide];
                column.take(oid, value, self.bounds.rows, |rest, value| each(at, rest, value));
            }
        }
        if count == 0 {
            // An empty answer leads nowhere.
            self.fail_asked(Fault::Malformed(crate::protocol::DecodeError::BadField("variables")));
            return;
        }
        let now = bytes as f32 / count as f32;
        // Quick to grow, slow to shrink: an answer too large is worse than one more answer.
        self.bytes_a_variable =
            if now > self.bytes_a_variable { now } else { self.bytes_a_variable * 0.75 + now * 0.25 };
    }

    fn refused(&mut self, pdu: &Pdu<'_>) {
        let blamed = usize::try_from(pdu.error_index - 1).ok().and_then(|i| self.asked.get(i)).copied();
        match pdu.error_status {
            // net-snmp says genErr where an encrypted answer grows too large.
            1 | 5 if self.repetitions > 1 && !self.bounds.v1 => self.most = self.repetitions / 2,
            1 | 5 if self.asked.len() > 1 && (!self.bounds.v1 || blamed.is_none()) => {
                self.breadth = self.asked.len() / 2;
            }
            // Version 1 says so at the end of everything.
            2 => match blamed {
                Some(i) => self.columns[i].state = State::Ended,
                None => self.asked.clone().into_iter().for_each(|i| self.columns[i].state = State::Ended),
            },
            6 | 16 => self.blame(blamed, Fault::Authorization),
            status => self.blame(blamed, Fault::Status(status)),
        }
    }

    fn blame(&mut self, column: Option<usize>, fault: Fault) {
        match column {
            Some(i) => self.columns[i].state = State::Failed(fault),
            None => self.fail_asked(fault),
        }
    }

    fn fail_asked(&mut self, fault: Fault) {
        for i in &self.asked {
            if self.columns[*i].state == State::Open {
                self.columns[*i].state = State::Failed(fault);
            }
        }
    }
}

impl Column {
    fn take(&mut self, oid: &[u8], value: Value<'_>, most_rows: u32, each: impl FnOnce(&[u8], Value<'_>)) {
        let inside = oid.strip_prefix(&self.prefix[..]);
        // NoSuchObject and its like are no answers to a GETNEXT; agents that give them have nothing there.
        if value.is_exception() {
            self.state = State::Ended;
            return;
        }
        let Some(rest) = inside else {
            let back = compare(oid, &self.at) != Ordering::Greater;
            self.state = if back { State::Failed(Fault::NotIncreasing) } else { State::Ended };
            return;
        };
        if compare(oid, &self.at) != Ordering::Greater {
            self.state = State::Failed(Fault::NotIncreasing);
            return;
        }
        if self.rows >= most_rows {
            self.state = State::Failed(Fault::TooManyRows);
            return;
        }
        self.rows += 1;
        self.at.clear();
        self.at.extend_from_slice(oid);
        each(rest, value);
    }
}
