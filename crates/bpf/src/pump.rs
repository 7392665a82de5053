use std::cell::{Cell, RefCell};
use std::os::fd::{AsFd, OwnedFd};
use std::rc::Rc;
use std::time::Duration;

use libbpf_rs::{RingBuffer, RingBufferBuilder};
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
    unknown: Rc<Cell<u64>>,
}

impl Pump {
    pub(crate) fn new<H: FnMut(Record<'_>) + 'static>(common: &Common, handler: H) -> Result<Pump, Error> {
        let handler: Rc<RefCell<Handler>> = Rc::new(RefCell::new(handler));
        let unknown = Rc::new(Cell::new(0));
        // Edge-triggered on purpose: a ring that holds records is always readable, and the kernel half signals only
        // when a ring fills up; a level-triggered wait would turn the timer into a busy loop.
        let waiter = epoll::create(epoll::CreateFlags::CLOEXEC).context("epoll_create")?;
        let watch = |ring: &dyn AsFd| {
            epoll::add(
                &waiter,
                ring,
                epoll::EventData::new_u64(0),
                epoll::EventFlags::IN | epoll::EventFlags::ET,
            )
            .context("epoll_ctl")
        };
        let mut control = RingBufferBuilder::new();
        let (to, strange) = (handler.clone(), unknown.clone());
        control
            .add(&common.control, move |bytes: &[u8]| {
                hand(&to, &strange, bytes);
                0
            })
            .context("control ring")?;
        watch(&common.control)?;
        let control = control.build().context("control ring")?;
        let mut rings = Vec::new();
        for ring in &common.rings {
            rings.push(Ring::new(ring, common.ring_bytes)?);
            watch(ring)?;
        }
        let streams = Rings::new(rings);
        let size = streams.size();
        let streams = RefCell::new(streams);
        Ok(Pump { control, streams, handler, size, most: Cell::new(0), waiter, unknown })
    }

    /// Waits until a ring fills up, a process record arrives or `timeout` has passed; then reads what is older than a
    /// millisecond, in the order of its time, up to [`MOST`] stream records. Gives their number.
    pub fn turn(&self, timeout: Duration) -> Result<usize, Error> {
        let mut events =
            [epoll::Event { flags: epoll::EventFlags::empty(), data: epoll::EventData::new_u64(0) }; 32];
        let wait = rustix::event::Timespec {
            tv_sec: i64::try_from(timeout.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: i64::from(timeout.subsec_nanos()),
        };
        match epoll::wait(&self.waiter, events.as_mut_slice(), Some(&wait)) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(e) => return Err(e).context("epoll_wait"),
        }
        let now = Duration::try_from(clock_gettime(ClockId::Monotonic)).unwrap_or_default();
        let horizon = now.saturating_sub(SETTLE).as_nanos();
        self.read(u64::try_from(horizon).unwrap_or(u64::MAX), MOST)
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
