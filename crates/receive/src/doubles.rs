use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

use telegen_model::Signal;

/// Names of batches that are remembered at most.
const MAX: usize = 16_384;
/// Longest name.
const MAX_NAME: usize = 128;

type Name = (Signal, String);

/// Batches that another Telegen sent, by name: one that was taken is not taken twice.
#[derive(Debug, Default)]
pub(crate) struct Doubles(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// Whether each was taken, or is just being taken in.
    known: HashMap<Name, bool>,
    order: VecDeque<Name>,
}

/// What is known of a batch.
#[derive(Debug)]
pub(crate) enum Seen<'a> {
    /// Nothing: it is being taken in until this is dropped.
    New(Taking<'a>),
    /// Someone else is just taking it in.
    Busy,
    /// It was taken.
    Taken,
}

/// A batch on its way in.
#[derive(Debug)]
pub(crate) struct Taking<'a> {
    of: &'a Doubles,
    name: Option<Name>,
}

impl Doubles {
    pub(crate) fn begin(&self, signal: Signal, name: Option<&str>) -> Seen<'_> {
        let Some(name) = name.filter(|n| !n.is_empty() && n.len() <= MAX_NAME) else {
            return Seen::New(Taking { of: self, name: None });
        };
        let name = (signal, name.to_owned());
        let mut state = self.lock();
        match state.known.get(&name) {
            Some(true) => Seen::Taken,
            Some(false) => Seen::Busy,
            None => {
                state.known.insert(name.clone(), false);
                Seen::New(Taking { of: self, name: Some(name) })
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Taking<'_> {
    /// It was taken.
    pub(crate) fn taken(mut self) {
        let Some(name) = self.name.take() else { return };
        let mut state = self.of.lock();
        state.known.insert(name.clone(), true);
        state.order.push_back(name);
        if state.order.len() > MAX
            && let Some(oldest) = state.order.pop_front()
        {
            state.known.remove(&oldest);
        }
    }
}

impl Drop for Taking<'_> {
    fn drop(&mut self) {
        if let Some(name) = self.name.take() {
            self.of.lock().known.remove(&name);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_is_new_until_it_was_taken_and_memory_is_bounded() {
        let doubles = Doubles::default();
        let Seen::New(first) = doubles.begin(Signal::Logs, Some("a")) else { panic!("new") };
        assert!(matches!(doubles.begin(Signal::Logs, Some("a")), Seen::Busy));
        assert!(matches!(doubles.begin(Signal::Traces, Some("a")), Seen::New(_)));
        drop(first);
        let Seen::New(again) = doubles.begin(Signal::Logs, Some("a")) else { panic!("new again") };
        again.taken();
        assert!(matches!(doubles.begin(Signal::Logs, Some("a")), Seen::Taken));
        for n in 0..MAX + 10 {
            let name = n.to_string();
            if let Seen::New(taking) = doubles.begin(Signal::Metrics, Some(&name)) {
                taking.taken();
            }
        }
        let state = doubles.lock();
        assert_eq!((state.known.len(), state.order.len()), (MAX, MAX));
        drop(state);
        for unnamed in [None, Some(""), Some(&*"x".repeat(200))] {
            for _ in 0..2 {
                assert!(matches!(doubles.begin(Signal::Logs, unnamed), Seen::New(_)));
            }
        }
    }
}
