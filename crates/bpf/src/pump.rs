use std::cell::{Cell, RefCell};
use std::os::fd::{AsFd, OwnedFd};
use std::rc::Rc;
use std::time::Duration;

use libbpf_rs::{AsRawLibbpf, RingBuffer, RingBufferBuilder, libbpf_sys};
use rustix::event::epoll;

use crate::common::Common;
use crate::error::{Context, Error};
use crate::record::Record;

/// Reads all rings on one thread. Not `Send`: it is made on the thread that runs it.
pub struct Pump {
    control: Rc<RingBuffer<'static>>,
    streams: RingBuffer<'static>,
    /// Number of stream rings.
    rings: u32,
    /// Most bytes that waited in them when they were read.
    most: Cell<u64>,
    waiter: OwnedFd,
    unknown: Rc<RefCell<u64>>,
}

impl Pump {
    pub(crate) fn new<H: FnMut(Record<'_>) + 'static>(common: &Common, handler: H) -> Result<Pump, Error> {
        let handler = Rc::new(RefCell::new(handler));
        let unknown = Rc::new(RefCell::new(0));
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
        let callback = |handler: &Rc<RefCell<H>>, unknown: &Rc<RefCell<u64>>| {
            let (handler, unknown) = (handler.clone(), unknown.clone());
            move |bytes: &[u8]| {
                match Record::parse(bytes) {
                    Some(record) => (handler.borrow_mut())(record),
                    None => *unknown.borrow_mut() += 1,
                }
                0
            }
        };
        let mut control = RingBufferBuilder::new();
        control.add(&common.control, callback(&handler, &unknown)).context("control ring")?;
        watch(&common.control)?;
        let control = Rc::new(control.build().context("control ring")?);
        let mut streams = RingBufferBuilder::new();
        for ring in &common.rings {
            let (take, first) = (callback(&handler, &unknown), control.clone());
            let stream = move |bytes: &[u8]| {
                // Its owner may have been born since the control ring was read: a connection is told after its
                // process, so reading that ring again finds it.
                if bytes.first() == Some(&crate::abi::kind::CONN) && first.consume().is_err() {
                    tracing::debug!("the control ring could not be read");
                }
                take(bytes)
            };
            streams.add(ring, stream).context("stream ring")?;
            watch(ring)?;
        }
        let streams = streams.build().context("stream rings")?;
        let rings = u32::try_from(common.rings.len()).unwrap_or(u32::MAX);
        Ok(Pump { control, streams, rings, most: Cell::new(0), waiter, unknown })
    }

    /// Waits until a ring fills up, a process record arrives or `timeout` has passed; then reads everything. Gives the
    /// number of stream records.
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
        self.drain()
    }

    /// Reads everything without waiting. Process records come first: the streams' owners are among them.
    pub fn drain(&self) -> Result<usize, Error> {
        self.most.set(self.most.get().max(self.sum(|ring| {
            // SAFETY: `ring` is one of this pump's, see `sum`.
            unsafe { libbpf_sys::ring__avail_data_size(ring) }
        })));
        self.control.consume().context("reading the control ring")?;
        let read = self.streams.consume_raw();
        usize::try_from(read)
            .map_err(|_| libbpf_rs::Error::from_raw_os_error(-read))
            .context("reading the stream rings")
    }

    /// Bytes that the stream rings hold together.
    pub fn size(&self) -> u64 {
        // SAFETY: as in `drain`.
        self.sum(|ring| unsafe { libbpf_sys::ring__size(ring) })
    }

    /// Most bytes that waited in them when they were read, since this was last asked.
    pub fn take_most(&self) -> u64 {
        self.most.take()
    }

    fn sum(&self, of: impl Fn(*const libbpf_sys::ring) -> libbpf_sys::size_t) -> u64 {
        let all = self.streams.as_libbpf_object();
        (0..self.rings)
            .map(|i| {
                // SAFETY: the buffer lives as long as `self`, and gives null for a ring that it does not have.
                let ring = unsafe { libbpf_sys::ring_buffer__ring(all.as_ptr(), i) };
                if ring.is_null() { 0 } else { of(ring) as u64 }
            })
            .sum()
    }

    /// Records of no known type or cut short: always 0 unless the two halves do not fit together.
    pub fn unknown(&self) -> u64 {
        *self.unknown.borrow()
    }
}
