use std::collections::HashMap;

use super::cell::{Cell, text_of};
use super::device::UPTIME;
use super::frame::Frame;
use crate::Fault;
use crate::protocol::{Oid, Pdu, Value, tag};
use crate::walk::Walk;

/// Most names in one GET.
const MOST_NAMES: usize = 20;

/// A conversation that is part of a poll: one question at a time.
#[derive(Debug)]
pub(crate) struct Task {
    pub(crate) work: Work,
    pub(crate) state: TaskState,
    /// Tries of the question under way.
    pub(crate) tries: u32,
    /// How often the agent said "again" to it.
    pub(crate) again: u32,
    pub(crate) fault: Option<Fault>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TaskState {
    Ready,
    Waiting,
    Done,
}

#[derive(Debug)]
pub(crate) enum Work {
    /// Single objects.
    Get(Get),
    /// Columns of a table of the plan; each with its place in the frame.
    Walk { table: usize, columns: Vec<usize>, walk: Walk },
    /// A column of another table, for labels.
    Lookup { table: usize, label: usize, walk: Walk, found: HashMap<Box<[u8]>, String> },
    /// sysUpTime alone, asked for by what stands before it: a poll asks for it by its name, once.
    Clock(Option<u32>),
    /// Class, model and serial number of physical entities.
    Chassis { walk: Walk, frame: Frame },
}

/// What single objects are for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum GetFor {
    Hello,
    Probe,
    Scalars,
    Identity,
}

/// Single objects, asked for in as many GETs as it takes.
#[derive(Debug)]
pub(crate) struct Get {
    pub(crate) what: GetFor,
    pub(crate) oids: Vec<Oid>,
    pub(crate) cells: Vec<Cell>,
    pub(crate) text: Vec<u8>,
    left: Vec<usize>,
    asked: usize,
    most: usize,
}

impl Get {
    pub(crate) fn new(what: GetFor, oids: Vec<Oid>) -> Get {
        let left = (0..oids.len()).collect();
        let cells = vec![Cell::None; oids.len()];
        Get { what, cells, oids, text: Vec::new(), left, asked: 0, most: MOST_NAMES }
    }

    fn answer(&mut self, pdu: &Pdu<'_>) -> Option<Fault> {
        let asked = self.asked.min(self.left.len());
        let blamed = usize::try_from(pdu.error_index - 1).ok().filter(|i| *i < asked);
        match (pdu.error_status, blamed) {
            (0, _) => {}
            (1, _) if asked > 1 => {
                self.most = asked / 2;
                return None;
            }
            // Version 1 refuses all for one; others that do so are treated alike.
            (status, Some(i)) => {
                self.left.remove(i);
                return match status {
                    2 => None,
                    6 | 16 => Some(Fault::Authorization),
                    other => Some(Fault::Status(other)),
                };
            }
            (status, None) => {
                self.left.drain(..asked);
                return match status {
                    2 => None,
                    6 | 16 => Some(Fault::Authorization),
                    other => Some(Fault::Status(other)),
                };
            }
        }
        for (n, variable) in pdu.varbinds.enumerate().take(asked) {
            match variable {
                Ok((oid, value)) => {
                    let place = self.left[n];
                    if *oid == *self.oids[place] {
                        self.cells[place] = Cell::keep(value, &mut self.text);
                    }
                }
                Err(e) => {
                    self.left.drain(..asked);
                    return Some(Fault::Malformed(e));
                }
            }
        }
        self.left.drain(..asked);
        None
    }
}

impl Task {
    pub(crate) fn new(work: Work) -> Task {
        Task { work, state: TaskState::Ready, tries: 0, again: 0, fault: None }
    }

    /// The next question: kind, repetitions, names.
    pub(crate) fn question<'a>(&'a mut self, oids: &mut Vec<&'a [u8]>) -> (u8, u32) {
        match &mut self.work {
            Work::Get(get) => {
                get.asked = get.left.len().min(get.most.max(1));
                oids.extend(get.left.iter().take(get.asked).map(|i| &get.oids[*i][..]));
                (tag::GET, 0)
            }
            Work::Clock(_) => {
                oids.push(&UPTIME[..UPTIME.len() - 1]);
                (tag::GET_NEXT, 0)
            }
            Work::Walk { walk, .. } | Work::Lookup { walk, .. } | Work::Chassis { walk, .. } => {
                walk.question(oids)
            }
        }
    }

    /// Takes an answer in; rows go to the frames of the poll's tables.
    pub(crate) fn answer(&mut self, pdu: &Pdu<'_>, frames: &mut [Frame]) {
        (self.tries, self.again) = (0, 0);
        let walk = match &mut self.work {
            Work::Get(get) => {
                let fault = get.answer(pdu);
                self.fault = self.fault.or(fault);
                self.state = if get.left.is_empty() { TaskState::Done } else { TaskState::Ready };
                return;
            }
            Work::Clock(uptime) => {
                *uptime = { pdu.varbinds }.flatten().find_map(|(oid, value)| match value {
                    Value::Ticks(t) if *oid == *UPTIME => Some(t),
                    _ => None,
                });
                self.state = TaskState::Done;
                return;
            }
            Work::Walk { table, columns, walk } => {
                if let Some(frame) = frames.get_mut(*table) {
                    walk.answer(pdu, |column, index, value| frame.put(columns[column], index, value));
                }
                walk
            }
            Work::Lookup { walk, found, .. } => {
                walk.answer(pdu, |_, index, value| {
                    if let Some(text) = text_of_value(value) {
                        found.insert(index.into(), text);
                    }
                });
                walk
            }
            Work::Chassis { walk, frame } => {
                walk.answer(pdu, |column, index, value| frame.put(column, index, value));
                walk
            }
        };
        self.state = if walk.is_done() { TaskState::Done } else { TaskState::Ready };
        if self.state == TaskState::Done {
            self.fault = self.fault.or(walk.faults().next().map(|f| f.1));
        }
    }

    /// sysUpTime, once it is there.
    pub(crate) fn uptime(&self) -> Option<u32> {
        match &self.work {
            Work::Get(get) if get.what == GetFor::Hello => {
                get.cells.first().and_then(|c| c.number(&get.text)).map(|u| u as u32)
            }
            Work::Clock(uptime) => *uptime,
            _ => None,
        }
    }

    /// Ends without the rest.
    pub(crate) fn fail(&mut self, fault: Fault) {
        self.fault = self.fault.or(Some(fault));
        self.state = TaskState::Done;
    }
}

/// A value as a label's text.
pub(crate) fn text_of_value(value: Value<'_>) -> Option<String> {
    Some(match value {
        Value::Octets(b) | Value::Opaque(b) => text_of(b),
        Value::Oid(o) => crate::protocol::display(o).to_string(),
        Value::Int(i) => i.to_string(),
        Value::Counter32(v) | Value::Gauge32(v) | Value::Ticks(v) => v.to_string(),
        Value::Counter64(v) => v.to_string(),
        Value::Ip(ip) => std::net::Ipv4Addr::from(ip).to_string(),
        _ => return None,
    })
}
