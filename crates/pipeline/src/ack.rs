use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// How far a record has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum AckLevel {
    /// It is in every exporter's queue.
    Memory,
    /// It was handed to the operating system.
    Written,
    /// It is on the disk.
    Fsynced,
    /// Every exporter's peer took it, or will never take it.
    Delivered,
}

/// What a source hears in the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Acked {
    /// The level that was asked for is reached.
    Reached(AckLevel),
    /// At least one exporter lost it before that; sending it again may help.
    Lost,
}

type Call = Box<dyn FnOnce(Acked) + Send>;

struct Part {
    wants: AckLevel,
    /// Whether a queue that is in memory alone need only have the records.
    memory_will_do: bool,
    /// Holders that have not answered: the batch itself until it is handed out, then one an exporter.
    open: AtomicUsize,
    lost: AtomicBool,
    call: Mutex<Option<Call>>,
}

impl Part {
    fn release(&self, ok: bool) {
        if !ok {
            self.lost.store(true, Ordering::SeqCst);
        }
        if self.open.fetch_sub(1, Ordering::SeqCst) != 1 {
            return;
        }
        let call = self.call.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(call) = call {
            call(if self.lost.load(Ordering::SeqCst) { Acked::Lost } else { Acked::Reached(self.wants) });
        }
    }
}

/// The wish of one or more sources to hear once how far their records came.
///
/// Fires exactly once for each source: when every exporter has reached the level, or when the last of them
/// has answered and one has lost the records. Dropping it unanswered counts as an answer, never as silence.
pub struct Ack(Vec<Arc<Part>>);

impl Ack {
    /// A wish for one level. `call` runs on whichever thread gives the last answer and must be quick.
    pub fn new(wants: AckLevel, call: impl FnOnce(Acked) + Send + 'static) -> Ack {
        Ack::of(wants, false, Box::new(call))
    }

    /// A wish for the records to be on the disk of every exporter that has a queue there. One whose queue is in memory
    /// need only have them, so that its peer holds nothing up.
    pub fn durable(call: impl FnOnce(Acked) + Send + 'static) -> Ack {
        Ack::of(AckLevel::Fsynced, true, Box::new(call))
    }

    fn of(wants: AckLevel, memory_will_do: bool, call: Call) -> Ack {
        Ack(vec![Arc::new(Part {
            wants,
            memory_will_do,
            open: AtomicUsize::new(1),
            lost: AtomicBool::new(false),
            call: Mutex::new(Some(call)),
        })])
    }

    /// Several wishes as one: records of several sources in one batch.
    pub fn join(acks: impl IntoIterator<Item = Ack>) -> Option<Ack> {
        let parts: Vec<Arc<Part>> = acks.into_iter().flat_map(|mut a| std::mem::take(&mut a.0)).collect();
        (!parts.is_empty()).then_some(Ack(parts))
    }

    /// The same wish once more, for records that go several ways; all of them must answer.
    #[must_use]
    pub fn share(&self) -> Ack {
        for part in &self.0 {
            part.open.fetch_add(1, Ordering::SeqCst);
        }
        Ack(self.0.clone())
    }

    /// Whether someone waits for more than the queues in memory.
    pub(crate) fn waits(&self) -> bool {
        self.0.iter().any(|part| part.wants > AckLevel::Memory)
    }

    /// One more holder that will have to answer.
    pub fn hold(&self) -> Hold {
        for part in &self.0 {
            part.open.fetch_add(1, Ordering::SeqCst);
        }
        Hold(self.0.clone())
    }
}

impl Drop for Ack {
    fn drop(&mut self) {
        self.0.iter().for_each(|p| p.release(true));
    }
}

impl fmt::Debug for Ack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Ack({} sources)", self.0.len())
    }
}

/// One exporter's duty to answer. Dropped without an answer it says "lost".
pub struct Hold(Vec<Arc<Part>>);

impl Hold {
    /// The records have come this far.
    pub fn reached(&mut self, level: AckLevel) {
        self.0.retain(|part| {
            let done = part.wants <= level;
            if done {
                part.release(true);
            }
            !done
        });
    }

    /// The records are in a queue that is in memory alone.
    pub(crate) fn queued_in_memory(&mut self) {
        self.reached(AckLevel::Memory);
        self.0.retain(|part| {
            if part.memory_will_do {
                part.release(true);
            }
            !part.memory_will_do
        });
    }

    /// Takes out what waits for this level or a lower one; the rest stays.
    pub(crate) fn take(&mut self, level: AckLevel) -> Hold {
        let (now, later) = std::mem::take(&mut self.0).into_iter().partition(|part| part.wants <= level);
        self.0 = later;
        Hold(now)
    }

    /// Whether nobody waits for an answer any more.
    pub(crate) fn is_done(&self) -> bool {
        self.0.is_empty()
    }

    /// The same duty twice: a batch that was split answers when both halves have.
    #[must_use]
    pub fn split(&self) -> Hold {
        for part in &self.0 {
            part.open.fetch_add(1, Ordering::SeqCst);
        }
        Hold(self.0.clone())
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.0.iter().for_each(|p| p.release(false));
    }
}

impl fmt::Debug for Hold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Hold({} sources)", self.0.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listening(wants: AckLevel) -> (Ack, Arc<Mutex<Vec<Acked>>>) {
        let heard = Arc::new(Mutex::new(Vec::new()));
        let to = heard.clone();
        (Ack::new(wants, move |a| to.lock().unwrap().push(a)), heard)
    }

    #[test]
    fn a_durable_wish_waits_for_disks_alone() {
        let heard = Arc::new(Mutex::new(Vec::new()));
        let to = heard.clone();
        let ack = Ack::durable(move |acked| to.lock().unwrap().push(acked));
        let (mut memory, mut disk) = (ack.hold(), ack.hold());
        drop(ack);
        memory.queued_in_memory();
        disk.reached(AckLevel::Written);
        assert!(heard.lock().unwrap().is_empty());
        disk.reached(AckLevel::Fsynced);
        assert_eq!(*heard.lock().unwrap(), [Acked::Reached(AckLevel::Fsynced)]);
    }

    #[test]
    fn it_fires_once_when_the_last_exporter_has_reached_the_level() {
        let (ack, heard) = listening(AckLevel::Fsynced);
        let (mut a, mut b) = (ack.hold(), ack.hold());
        drop(ack);
        a.reached(AckLevel::Delivered);
        a.reached(AckLevel::Delivered);
        b.reached(AckLevel::Memory);
        assert_eq!(*heard.lock().unwrap(), []);
        b.reached(AckLevel::Fsynced);
        drop((a, b));
        assert_eq!(*heard.lock().unwrap(), [Acked::Reached(AckLevel::Fsynced)]);
    }

    #[test]
    fn one_exporter_that_drops_it_makes_it_lost() {
        let (ack, heard) = listening(AckLevel::Delivered);
        let (mut a, b) = (ack.hold(), ack.hold());
        drop((ack, b));
        assert_eq!(*heard.lock().unwrap(), []);
        a.reached(AckLevel::Delivered);
        assert_eq!(*heard.lock().unwrap(), [Acked::Lost]);
    }

    #[test]
    fn sources_in_one_batch_hear_each_their_own_level() {
        let ((a, heard_a), (b, heard_b)) = (listening(AckLevel::Memory), listening(AckLevel::Delivered));
        let both = Ack::join([a, b]).unwrap();
        let mut hold = both.hold();
        drop(both);
        hold.reached(AckLevel::Memory);
        assert_eq!(*heard_a.lock().unwrap(), [Acked::Reached(AckLevel::Memory)]);
        let half = hold.split();
        hold.reached(AckLevel::Delivered);
        assert_eq!(*heard_b.lock().unwrap(), []);
        drop(half);
        assert_eq!(*heard_b.lock().unwrap(), [Acked::Lost]);
    }

    #[test]
    fn with_no_exporter_at_all_it_still_fires() {
        let (ack, heard) = listening(AckLevel::Delivered);
        drop(ack);
        assert_eq!(*heard.lock().unwrap(), [Acked::Reached(AckLevel::Delivered)]);
        assert!(Ack::join([]).is_none());
    }
}
