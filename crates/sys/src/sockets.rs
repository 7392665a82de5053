use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::ffi::CStr;
use std::fs;
use std::io::{BufRead, BufReader};
use std::mem::MaybeUninit;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rustix::fs::{Mode, OFlags, RawDir, SeekFrom};

/// Lines of a socket table that are read at most.
const LINES_MAX: usize = 200_000;

/// Network namespaces that are looked into at most.
const SPACES_MAX: usize = 4096;

/// Processes at most that are asked first whose a socket is: those that were found last.
const RECENT_MAX: usize = 8;
/// Descriptors at most of each of these that are looked at before all are: a new connection has one of the highest.
const NEWEST_MAX: u32 = 64;
/// Sockets at most whose owners are remembered; then all are forgotten.
const KNOWN_MAX: usize = 65_536;
/// How long the sockets of a process are remembered: a program's connections come together.
const KNOWN: Duration = Duration::from_secs(1);

/// Finds the processes that own sockets. Reading all processes' descriptors is dear, so those that were found last are
/// asked first, and of these first what they opened last.
#[derive(Debug, Default)]
pub struct SocketOwners(Mutex<Recent>);

#[derive(Debug, Default)]
struct Recent {
    /// The last found first.
    found: VecDeque<Place>,
    /// Owners by inode, as they were `at`.
    sockets: HashMap<u64, u32>,
    at: Option<Instant>,
}

/// Where a socket was found.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Place {
    pid: u32,
    fd: u32,
}

/// What the kernel tells of descriptors; the tests have another.
trait Descriptors {
    /// All processes.
    fn pids(&self) -> Vec<u32>;
    /// The numbers of a process's descriptors from this one on, in any order.
    fn numbers(&self, pid: u32, from: u32) -> Vec<u32>;
    /// The inode of a socket; `None` for all else.
    fn socket(&self, at: Place) -> Option<u64>;
    fn now(&self) -> Instant;
}

impl SocketOwners {
    /// The process that owns the TCP socket with these two ends, in this network namespace; `None` when the socket is
    /// not here. Of several processes that share it one that owned another lately, else the one with the lowest number.
    pub fn find(&self, local: SocketAddr, remote: SocketAddr) -> Option<u32> {
        let (local, remote) = (plain(local), plain(remote));
        let asked = super::diag::tcp_inode(local, remote).ok().flatten();
        // The list has those as well that are bound to an interface.
        let inode = asked.or_else(|| inode("/proc/net", local, remote))?;
        self.owner(inode, &Procfs)
    }

    fn owner(&self, inode: u64, descriptors: &impl Descriptors) -> Option<u32> {
        let likely: Vec<Place> = {
            let mut recent = self.recent();
            if recent.at.is_none_or(|at| descriptors.now().duration_since(at) > KNOWN) {
                recent.sockets.clear();
            }
            if let Some(pid) = recent.sockets.get(&inode) {
                return Some(*pid);
            }
            recent.found.iter().copied().collect()
        };
        let (place, sockets) =
            likely.iter().find_map(|last| among_newest(descriptors, *last, inode)).or_else(|| {
                let all = std::iter::once_with(|| {
                    let mut pids = descriptors.pids();
                    pids.sort_unstable();
                    pids
                });
                let pids = likely.iter().map(|last| last.pid).chain(all.flatten());
                pids.into_iter().find_map(|pid| among_all(descriptors, pid, inode))
            })?;
        let mut recent = self.recent();
        recent.found.retain(|p| p.pid != place.pid);
        recent.found.truncate(RECENT_MAX - 1);
        recent.found.push_front(place);
        if recent.sockets.len() + sockets.len() > KNOWN_MAX {
            recent.sockets.clear();
        }
        if recent.sockets.is_empty() {
            recent.at = Some(descriptors.now());
        }
        recent.sockets.extend(sockets.into_iter().take(KNOWN_MAX).map(|inode| (inode, place.pid)));
        Some(place.pid)
    }

    fn recent(&self) -> MutexGuard<'_, Recent> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A socket among those that a process opened since its `last` was found or shortly before, and the sockets seen until
/// then. Not more are listed, or each connection of a process would cost as much as it has descriptors.
fn among_newest(descriptors: &impl Descriptors, last: Place, inode: u64) -> Option<(Place, Vec<u64>)> {
    let mut numbers = descriptors.numbers(last.pid, last.fd.saturating_sub(NEWEST_MAX));
    numbers.sort_unstable_by_key(|fd| Reverse(*fd));
    let mut seen = Vec::new();
    numbers.into_iter().take(NEWEST_MAX as usize).find_map(|fd| {
        let place = Place { pid: last.pid, fd };
        let socket = descriptors.socket(place)?;
        seen.push(socket);
        (socket == inode).then(|| (place, std::mem::take(&mut seen)))
    })
}

/// A socket among all of a process, and these.
fn among_all(descriptors: &impl Descriptors, pid: u32, inode: u64) -> Option<(Place, Vec<u64>)> {
    let (mut place, mut sockets) = (None, Vec::new());
    for (at, socket) in sockets_of(descriptors, pid) {
        sockets.push(socket);
        if socket == inode {
            place = Some(at);
        }
    }
    Some((place?, sockets))
}

/// The sockets that a process has open.
fn sockets_of(descriptors: &impl Descriptors, pid: u32) -> impl Iterator<Item = (Place, u64)> {
    let places = descriptors.numbers(pid, 0).into_iter().map(move |fd| Place { pid, fd });
    places.filter_map(|place| Some((place, descriptors.socket(place)?)))
}

/// `/proc` of this machine.
struct Procfs;

impl Descriptors for Procfs {
    fn pids(&self) -> Vec<u32> {
        super::pids()
    }

    fn numbers(&self, pid: u32, from: u32) -> Vec<u32> {
        list(pid, from).unwrap_or_default()
    }

    fn socket(&self, at: Place) -> Option<u64> {
        let to = fs::read_link(format!("/proc/{}/fd/{}", at.pid, at.fd)).ok()?;
        to.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok()
    }

    fn now(&self) -> Instant {
        Instant::now()
    }
}

fn list(pid: u32, from: u32) -> rustix::io::Result<Vec<u32>> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let dir = rustix::fs::open(format!("/proc/{pid}/fd"), flags, Mode::empty())?;
    // A descriptor stands at its number behind `.` and `..` (fs/proc/fd.c, proc_readfd_common).
    rustix::fs::seek(&dir, SeekFrom::Start(u64::from(from) + 2))?;
    let (mut buffer, mut numbers) = ([MaybeUninit::uninit(); 8192], Vec::new());
    let mut entries = RawDir::new(&dir, &mut buffer);
    while let Some(entry) = entries.next() {
        let number = |name: &CStr| name.to_str().ok()?.parse::<u32>().ok();
        numbers.extend(number(entry?.file_name()));
    }
    Ok(numbers)
}

/// The owner of such a socket in the other network namespaces of this machine, those of containers: the first that has it.
pub fn socket_owner_elsewhere(local: SocketAddr, remote: SocketAddr) -> Option<u32> {
    let space = |pid: &str| fs::read_link(format!("/proc/{pid}/ns/net")).ok();
    let (local, remote) = (plain(local), plain(remote));
    let own = space("self");
    let mut pids = super::pids();
    pids.sort_unstable();
    let mut spaces: BTreeMap<PathBuf, Vec<u32>> = BTreeMap::new();
    for pid in pids {
        let Some(space) = space(&pid.to_string()).filter(|s| Some(s) != own.as_ref()) else { continue };
        if spaces.len() < SPACES_MAX || spaces.contains_key(&space) {
            spaces.entry(space).or_default().push(pid);
        }
    }
    spaces.into_values().find_map(|pids| {
        let inode = inode(&format!("/proc/{}/net", pids.first()?), local, remote)?;
        owner(pids, inode)
    })
}

fn inode(tables: &str, local: SocketAddr, remote: SocketAddr) -> Option<u64> {
    ["tcp", "tcp6"].iter().find_map(|table| find(&format!("{tables}/{table}"), local, remote))
}

fn owner(pids: Vec<u32>, inode: u64) -> Option<u32> {
    pids.into_iter().find(|pid| sockets_of(&Procfs, *pid).any(|(_, socket)| socket == inode))
}

/// An address in its plain form: IPv4 in IPv6 is IPv4.
fn plain(at: SocketAddr) -> SocketAddr {
    SocketAddr::new(at.ip().to_canonical(), at.port())
}

fn find(table: &str, local: SocketAddr, remote: SocketAddr) -> Option<u64> {
    let lines = BufReader::new(fs::File::open(table).ok()?).lines().skip(1).take(LINES_MAX);
    lines.map_while(Result::ok).find_map(|line| {
        let mut words = line.split_whitespace().skip(1);
        let (l, r) = (address(words.next()?)?, address(words.next()?)?);
        (l == local && r == remote).then(|| words.nth(6)?.parse().ok())?
    })
}

/// `0100007F:1F90`: words of four bytes in the machine's order, then the port.
fn address(text: &str) -> Option<SocketAddr> {
    let (ip, port) = text.split_once(':')?;
    let word = |at: usize| Some(u32::from_str_radix(ip.get(at * 8..at * 8 + 8)?, 16).ok()?.to_ne_bytes());
    let ip = match ip.len() {
        8 => IpAddr::V4(Ipv4Addr::from(word(0)?)),
        32 => {
            let mut bytes = [0; 16];
            for (at, four) in bytes.as_chunks_mut::<4>().0.iter_mut().enumerate() {
                *four = word(at)?;
            }
            IpAddr::V6(Ipv6Addr::from(bytes)).to_canonical()
        }
        _ => return None,
    };
    Some(SocketAddr::new(ip, u16::from_str_radix(port, 16).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::{Cell, RefCell};
    use std::net::{TcpListener, TcpStream};
    use std::os::fd::AsRawFd;

    /// Processes that are none; counts how often they are asked.
    struct Fake {
        /// What each has open: inodes of sockets, or something else.
        open: RefCell<BTreeMap<u32, BTreeMap<u32, Option<u64>>>>,
        now: Cell<Instant>,
        listed: Cell<usize>,
        read: Cell<usize>,
    }

    impl Fake {
        /// Processes that have three descriptors, and so many sockets behind them: at 100, of process 7, is 7_000_100.
        fn with(processes: &[(u32, u32)]) -> Fake {
            let fake = Fake {
                open: RefCell::default(),
                now: Cell::new(Instant::now()),
                listed: Cell::new(0),
                read: Cell::new(0),
            };
            for (pid, sockets) in processes {
                (0..3).for_each(|fd| fake.open(*pid, fd, None));
                (3..3 + sockets).for_each(|fd| fake.open(*pid, fd, Some(inode_at(*pid, fd))));
            }
            fake
        }

        fn open(&self, pid: u32, fd: u32, socket: Option<u64>) {
            self.open.borrow_mut().entry(pid).or_default().insert(fd, socket);
        }

        fn later(&self) {
            self.now.set(self.now.get() + 2 * KNOWN);
        }

        /// How many descriptors were listed, and how many of them read, since the last time.
        fn asked(&self) -> (usize, usize) {
            (self.listed.take(), self.read.take())
        }
    }

    fn inode_at(pid: u32, fd: u32) -> u64 {
        u64::from(pid * 1_000_000 + fd)
    }

    impl Descriptors for Fake {
        fn pids(&self) -> Vec<u32> {
            self.open.borrow().keys().rev().copied().collect()
        }

        fn numbers(&self, pid: u32, from: u32) -> Vec<u32> {
            let open = self.open.borrow();
            let numbers: Vec<u32> =
                open.get(&pid).into_iter().flat_map(|o| o.range(from..)).map(|(fd, _)| *fd).collect();
            self.listed.set(self.listed.get() + numbers.len());
            numbers
        }

        fn socket(&self, at: Place) -> Option<u64> {
            self.read.set(self.read.get() + 1);
            *self.open.borrow().get(&at.pid)?.get(&at.fd)?
        }

        fn now(&self) -> Instant {
            self.now.get()
        }
    }

    #[test]
    fn what_a_connection_costs_does_not_grow_with_those_of_its_process() {
        let (fake, owners) = (Fake::with(&[(7, 1)]), SocketOwners::default());
        assert_eq!(owners.owner(inode_at(7, 3), &fake), Some(7));
        assert_eq!(fake.asked(), (4, 4));
        // One that stays open far above them is in nobody's way.
        fake.open(7, 60_000, None);
        for fd in 4..5000 {
            fake.open(7, fd, Some(inode_at(7, fd)));
            assert_eq!(owners.owner(inode_at(7, fd), &fake), Some(7));
            let (listed, read) = fake.asked();
            assert!((listed, read) <= (67, 2) && read == 2, "{listed} {read}");
        }
        // Those that were passed on the way are known.
        (5000..5010).for_each(|fd| fake.open(7, fd, Some(inode_at(7, fd))));
        assert_eq!(owners.owner(inode_at(7, 5000), &fake), Some(7));
        assert_eq!(fake.asked(), (76, 11));
        assert_eq!(owners.owner(inode_at(7, 5009), &fake), Some(7));
        assert_eq!(fake.asked(), (0, 0));
        // But not for long.
        fake.later();
        assert_eq!(owners.owner(inode_at(7, 5009), &fake), Some(7));
        assert_eq!(fake.asked(), (75, 2));
    }

    #[test]
    fn a_descriptor_that_was_used_before_is_found_with_all_others_of_its_process() {
        let (fake, owners) = (Fake::with(&[(7, 1000)]), SocketOwners::default());
        assert_eq!(owners.owner(inode_at(7, 1002), &fake), Some(7));
        fake.later();
        fake.open(7, 5, Some(5));
        fake.asked();
        assert_eq!(owners.owner(5, &fake), Some(7));
        assert_eq!(fake.asked(), (65 + 1003, 64 + 1003));
        for fd in 6..1000 {
            assert_eq!(owners.owner(inode_at(7, fd), &fake), Some(7));
        }
        assert_eq!(fake.asked(), (0, 0));
        // What it was before is nobody's.
        assert_eq!(owners.owner(inode_at(7, 5), &fake), None);
    }

    /// Downwards each is behind all that were asked for before.
    #[test]
    fn connections_that_are_asked_for_from_the_last_to_the_first_soon_cost_a_look_at_all() {
        let (fake, owners) = (Fake::with(&[(7, 1000)]), SocketOwners::default());
        assert_eq!(owners.owner(inode_at(7, 1002), &fake), Some(7));
        fake.later();
        fake.asked();
        for fd in (3..1003).rev() {
            assert_eq!(owners.owner(inode_at(7, fd), &fake), Some(7));
        }
        assert_eq!(fake.asked().1, 64 * 65 / 2 + 64 + 1003);
    }

    #[test]
    fn processes_that_were_found_lately_are_not_in_each_others_way() {
        let (fake, owners) = (Fake::with(&[(7, 1000), (8, 1000), (9, 1)]), SocketOwners::default());
        for pid in [7, 8] {
            assert_eq!(owners.owner(inode_at(pid, 1002), &fake), Some(pid));
        }
        fake.asked();
        fake.open(7, 1003, Some(7));
        assert_eq!(owners.owner(7, &fake), Some(7));
        assert_eq!(fake.asked(), (65 + 66, 64 + 1));
        // One that was found lately has it before one with a lower number.
        fake.open(9, 4, Some(8));
        fake.open(8, 4, Some(8));
        assert_eq!(owners.owner(8, &fake), Some(8));
        fake.later();
        fake.open(7, 5, Some(9));
        fake.open(8, 5, Some(9));
        assert_eq!(owners.owner(9, &fake), Some(8));
        // Of strangers it is the lowest.
        assert_eq!(SocketOwners::default().owner(9, &fake), Some(7));
    }

    #[test]
    fn descriptors_are_listed_from_a_number_on() {
        let (low, high) =
            (TcpListener::bind("127.0.0.1:0").unwrap(), TcpListener::bind("127.0.0.1:0").unwrap());
        let (mut fds, pid) = ([&low, &high].map(|l| l.as_raw_fd().cast_unsigned()), std::process::id());
        fds.sort_unstable();
        let all = Procfs.numbers(pid, 0);
        assert!(all.contains(&0) && fds.iter().all(|fd| all.contains(fd)));
        let some = Procfs.numbers(pid, fds[1]);
        assert!(some.contains(&fds[1]) && some.iter().all(|fd| *fd >= fds[1]));
        assert_eq!(Procfs.numbers(pid, u32::MAX), []);
        assert_eq!(Procfs.numbers(u32::MAX, 0), []);
        assert!(Procfs.socket(Place { pid, fd: fds[0] }).is_some());
        assert_eq!(Procfs.socket(Place { pid, fd: u32::MAX }), None);
    }

    #[test]
    fn a_connection_of_this_process_is_found_by_either_end() {
        for bind in ["127.0.0.1:0", "[::1]:0"] {
            let Ok(listener) = TcpListener::bind(bind) else { continue };
            let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
            let (server, _) = listener.accept().unwrap();
            for end in [&client, &server] {
                let (local, remote) = (end.local_addr().unwrap(), end.peer_addr().unwrap());
                let here = Some(std::process::id());
                // Whoever is likely and does not have it is not believed; what is known is not looked for again.
                let owners = SocketOwners::default();
                owners.recent().found = [Place { pid: 1, fd: 0 }].into();
                assert_eq!(owners.find(local, remote), here, "{bind}");
                let found: Vec<u32> = owners.recent().found.iter().map(|place| place.pid).collect();
                assert_eq!(found, [std::process::id(), 1]);
                owners.recent().sockets.values_mut().for_each(|pid| *pid = 7);
                assert_eq!(owners.find(local, remote), Some(7));
                let old = Instant::now().checked_sub(2 * KNOWN).unwrap();
                owners.recent().at = Some(old);
                assert_eq!(owners.find(local, remote), here);
                let listed = inode("/proc/net", local, remote);
                assert!(listed.is_some());
                assert_eq!(crate::diag::tcp_inode(local, remote).unwrap(), listed, "{bind}");
            }
            // Nobody at the other end, though somebody listens at this one.
            let nobody = SocketAddr::new(client.local_addr().unwrap().ip(), 1);
            for local in [client.local_addr().unwrap(), listener.local_addr().unwrap()] {
                assert_eq!(SocketOwners::default().find(local, nobody), None);
                assert_eq!(crate::diag::tcp_inode(local, nobody).unwrap(), None);
            }
        }
    }

    /// A socket of IPv6 that speaks with an IPv4 address is found by that.
    #[test]
    fn a_mapped_connection_is_found() {
        let Ok(listener) = TcpListener::bind("[::]:0") else { return };
        let client = TcpStream::connect(("127.0.0.1", listener.local_addr().unwrap().port())).unwrap();
        let (server, _) = listener.accept().unwrap();
        let (local, remote) = (server.local_addr().unwrap(), server.peer_addr().unwrap());
        assert!(local.is_ipv6());
        assert_eq!(SocketOwners::default().find(local, remote), Some(std::process::id()));
        assert!(crate::diag::tcp_inode(plain(local), plain(remote)).unwrap().is_some());
        drop(client);
    }

    #[test]
    fn addresses_are_read_as_the_kernel_writes_them() {
        let v4 = address("0100007F:1F90").unwrap();
        assert_eq!(v4, "127.0.0.1:8080".parse().unwrap());
        let mapped = address("0000000000000000FFFF00000100007F:0050").unwrap();
        assert_eq!(mapped, "127.0.0.1:80".parse().unwrap());
        for wrong in ["", "x:1", "0100007F", "01:zz"] {
            assert_eq!(address(wrong), None);
        }
    }
}
