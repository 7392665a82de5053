use std::cell::RefCell;
use std::os::fd::{AsFd, OwnedFd};
use std::rc::Rc;
use std::time::Duration;

use libbpf_rs::{RingBuffer, RingBufferBuilder};
use rustix::event::epoll;

use crate::common::Common;
use crate::error::{Context, Error};
use crate::record::Record;

/// Reads all rings on one thread. Not `Send`: it is made on the thread that runs it.
pub struct Pump {
    control: Rc<RingBuffer<'static>>,
    streams: RingBuffer<'static>,
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
        Ok(Pump { control, streams: streams.build().context("stream rings")?, waiter, unknown })
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
        self.control.consume().context("reading the control ring")?;
        let read = self.streams.consume_raw();
        usize::try_from(read)
            .map_err(|_| libbpf_rs::Error::from_raw_os_error(-read))
            .context("reading the stream rings")
    }

    /// Records of no known type or cut short: always 0 unless the two halves do not fit together.
    pub fn unknown(&self) -> u64 {
        *self.unknown.borrow()
    }
}
