use std::cell::{Cell, RefCell};
use std::os::fd::{AsFd, OwnedFd};
use std::rc::Rc;
use std::time::Duration;

use libbpf_rs::{MapCore, MapFlags, MapHandle, RingBuffer, RingBufferBuilder};
use rustix::event::epoll;
use rustix::time::{ClockId, clock_gettime};

use crate::abi::kind;
use crate::common::Common;
use crate::error::{Context, Error};
use crate::record::Record;
use crate::ring::{Ring, Rings};

/// How long a record may take from its time stamp until it is whole in its ring; what is younger is left to the next
/// turn, so that records of several processors come in the order of their time.
const SETTLE: Duration = Duration::from_millis(1);

/// Records that a turn reads at most, about: what they become is worked off before more comes.
pub const MOST: usize = 4096;

/// Waits from this long on end with the first stream record: a shorter one costs less than being woken.
const AWAY: Duration = Duration::from_millis(100);

/// What a descriptor in the waiter stands for.
const CONTROL: u64 = 0;
const STREAM: u64 = 1;
const OTHER: u64 = 2;

/// What a turn brought.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Brought {
    /// Stream records read.
    pub read: usize,
    /// The kernel half ended the wait, as a stream record came or a ring filled up.
    pub woken: bool,
    /// Process records came, or somebody else ended the wait.
    pub called: bool,
}

type Handler = dyn FnMut(Record<'_>);

/// Reads all rings on one thread. Not `Send`: it is made on the thread that runs it.
pub struct Pump {
    control: RingBuffer<'static>,
    streams: RefCell<Rings>,
    handler: Rc<RefCell<Handler>>,
    /// Bytes of the stream rings together.
    size: u64,
    /// Most bytes that waited in them when they were read.
    most: Cell<u64>,
    waiter: OwnedFd,
    /// Where the kernel half sees that it shall wake this reader.
    away: MapHandle,
    /// It was told so, and has not done it yet.
    armed: Cell<bool>,
    unknown: Rc<Cell<u64>>,
}

impl Pump {
    pub(crate) fn new<H: FnMut(Record<'_>) + 'static>(
        common: &Common,
        away: MapHandle,
        handler: H,
    ) -> Result<Pump, Error> {
        let handler: Rc<RefCell<Handler>> = Rc::new(RefCell::new(handler));
        let unknown = Rc::new(Cell::new(0));
        // Edge-triggered on purpose: a ring that holds records is always readable, and the kernel half signals only
        // when a ring fills up; a level-triggered wait would turn the timer into a busy loop.
        let waiter = epoll::create(epoll::CreateFlags::CLOEXEC).context("epoll_create")?;
        let mut control = RingBufferBuilder::new();
        let (to, strange) = (handler.clone(), unknown.clone());
        control
            .add(&common.control, move |bytes: &[u8]| {
                hand(&to, &strange, bytes);
                0
            })
            .context("control ring")?;
        watch(&waiter, &common.control, CONTROL)?;
        let control = control.build().context("control ring")?;
        let mut rings = Vec::new();
        for ring in &common.rings {
            rings.push(Ring::new(ring, common.ring_bytes)?);
            watch(&waiter, ring, STREAM)?;
        }
        let streams = Rings::new(rings);
        let size = streams.size();
        let streams = RefCell::new(streams);
        let (most, armed) = (Cell::new(0), Cell::new(false));
        Ok(Pump { control, streams, handler, size, most, waiter, away, armed, unknown })
    }

    /// `other` ends a wait too, once it becomes readable.
    pub fn listen(&self, other: &dyn AsFd) -> Result<(), Error> {
        watch(&self.waiter, other, OTHER)
    }

    /// Waits until a ring fills up, a process record arrives or `timeout` has passed, a long wait also until the first
    /// stream record; then reads what is older than a millisecond, in the order of its time, up to [`MOST`] stream
    /// records.
    pub fn turn(&self, timeout: Duration) -> Result<Brought, Error> {
        if timeout >= AWAY && !self.armed.get() {
            let (key, set) = (0u32.to_ne_bytes(), 1u32.to_ne_bytes());
            self.away.update(&key, &set, MapFlags::ANY).context("asking to be woken")?;
            self.armed.set(true);
        }
        let mut events =
            [epoll::Event { flags: epoll::EventFlags::empty(), data: epoll::EventData::new_u64(0) }; 32];
        let wait = rustix::event::Timespec {
            tv_sec: i64::try_from(timeout.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: i64::from(timeout.subsec_nanos()),
        };
        let happened = match epoll::wait(&self.waiter, events.as_mut_slice(), Some(&wait)) {
            Ok(n) => events.get(..n).unwrap_or_default(),
            Err(rustix::io::Errno::INTR) => &[],
            Err(e) => return Err(e).context("epoll_wait"),
        };
        let woken = happened.iter().any(|e| e.data.u64() == STREAM);
        let called = happened.iter().any(|e| e.data.u64() != STREAM);
        let now = Duration::try_from(clock_gettime(ClockId::Monotonic)).unwrap_or_default();
        let horizon = now.saturating_sub(SETTLE).as_nanos();
        let read = self.read(u64::try_from(horizon).unwrap_or(u64::MAX), MOST)?;
        if woken || read > 0 {
            self.armed.set(false);
        }
        Ok(Brought { read, woken, called })
    }

    /// Reads everything without waiting.
    pub fn drain(&self) -> Result<usize, Error> {
        self.read(u64::MAX, usize::MAX)
    }

    /// Process records come first: the streams' owners are among them.
    fn read(&self, horizon: u64, most: usize) -> Result<usize, Error> {
        self.control.consume().context("reading the control ring")?;
        let (count, waited) = self.streams.borrow_mut().read(horizon, most, stamp, |bytes| {
            // Its owner may have been born since the control ring was read: a connection is told after its process,
            // so reading that ring again finds it.
            if bytes.first() == Some(&kind::CONN) && self.control.consume().is_err() {
                tracing::debug!("the control ring could not be read");
            }
            hand(&self.handler, &self.unknown, bytes);
        });
        self.most.set(self.most.get().max(waited));
        Ok(count)
    }

    /// Bytes that the stream rings hold together.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Most bytes that waited in them when they were read, since this was last asked.
    pub fn take_most(&self) -> u64 {
        self.most.take()
    }

    /// Records of no known type or cut short: always 0 unless the two halves do not fit together.
    pub fn unknown(&self) -> u64 {
        self.unknown.get()
    }
}

/// Edge-triggered: see [`Pump::new`].
fn watch(waiter: &OwnedFd, what: &dyn AsFd, stands_for: u64) -> Result<(), Error> {
    let flags = epoll::EventFlags::IN | epoll::EventFlags::ET;
    epoll::add(waiter, what, epoll::EventData::new_u64(stands_for), flags).context("epoll_ctl")
}

fn hand(handler: &RefCell<Handler>, unknown: &Cell<u64>, bytes: &[u8]) {
    match Record::parse(bytes) {
        Some(record) => (handler.borrow_mut())(record),
        None => unknown.set(unknown.get() + 1),
    }
}

/// When a stream record was made, ns on the monotonic clock: `ts` of each of them.
fn stamp(bytes: &[u8]) -> u64 {
    let at = match bytes.first() {
        Some(&kind::CONN) => std::mem::offset_of!(crate::abi::ConnRecord, ts),
        _ => std::mem::offset_of!(crate::abi::DataRecord, ts),
    };
    bytes.get(at..at + 8).and_then(|b| b.try_into().ok()).map_or(0, u64::from_ne_bytes)
}
