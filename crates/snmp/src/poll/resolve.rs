use std::net::{SocketAddr, TcpStream};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::target::Target;

/// Names that may wait to be asked for.
const MOST_WAITING: usize = 4096;
/// Threads that ask: a name server that is away holds up so many names at once, and no device that has its address.
const THREADS: usize = 4;

/// How long to wait for a connection.
const PATIENCE: Duration = Duration::from_secs(3);

/// What was found of a device.
#[derive(Debug)]
pub(crate) struct Found {
    /// Its place and generation.
    pub(crate) at: (usize, u64),
    /// Its address, where its name has one.
    pub(crate) address: Option<SocketAddr>,
    /// A connection to it, where it is polled over TCP and took one.
    pub(crate) stream: Option<TcpStream>,
}

/// A device's place and generation, and what it is.
type Asked = (usize, u64, Arc<Target>);

/// Asks for addresses of names and makes connections, off the poller's thread.
#[derive(Debug)]
pub(crate) struct Resolver {
    ask: SyncSender<Asked>,
    found: Arc<Mutex<Vec<Found>>>,
}

impl Resolver {
    pub(crate) fn start() -> std::io::Result<Resolver> {
        let (ask, asked) = sync_channel(MOST_WAITING);
        let asked: Arc<Mutex<Receiver<Asked>>> = Arc::new(Mutex::new(asked));
        let found: Arc<Mutex<Vec<Found>>> = Arc::default();
        for _ in 0..THREADS {
            let (asked, found) = (asked.clone(), found.clone());
            // The host's name service runs on this stack, with whatever modules it has.
            std::thread::Builder::new().name("telegen-dns".into()).stack_size(1 << 20).spawn(move || {
                loop {
                    let next = asked.lock().unwrap_or_else(PoisonError::into_inner).recv();
                    let Ok((at, generation, target)) = next else { return };
                    let address = target.resolve();
                    let stream = address.filter(|_| target.is_tcp()).and_then(|a| connect(a).ok());
                    let answer = Found { at: (at, generation), address, stream };
                    found.lock().unwrap_or_else(PoisonError::into_inner).push(answer);
                }
            })?;
        }
        Ok(Resolver { ask, found })
    }

    /// Asks for a target's address; false when too many wait.
    pub(crate) fn ask(&self, at: usize, generation: u64, target: &Arc<Target>) -> bool {
        self.ask.try_send((at, generation, target.clone())).is_ok()
    }

    /// What was found since the last time.
    pub(crate) fn take(&self) -> Vec<Found> {
        std::mem::take(&mut *self.found.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

fn connect(address: SocketAddr) -> std::io::Result<TcpStream> {
    let stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_nodelay(true)?;
    stream.set_nonblocking(true)?;
    Ok(stream)
}
