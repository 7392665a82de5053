use std::collections::{BTreeMap, HashMap, VecDeque};
use std::fs;
use std::io::{BufRead, BufReader};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Lines of a socket table that are read at most.
const LINES_MAX: usize = 200_000;

/// Network namespaces that are looked into at most.
const SPACES_MAX: usize = 4096;

/// Processes at most that are asked first whose a socket is: those that were found last.
const RECENT_MAX: usize = 8;
/// Sockets at most whose owners are remembered; then all are forgotten.
const KNOWN_MAX: usize = 65_536;
/// How long the sockets of a process are remembered: a program's connections come together.
const KNOWN: Duration = Duration::from_secs(1);

/// Finds the processes that own sockets. Reading all processes' descriptors is dear, so those that were found last are
/// asked first.
#[derive(Debug, Default)]
pub struct SocketOwners(Mutex<Recent>);

#[derive(Debug, Default)]
struct Recent {
    /// The last found first.
    pids: VecDeque<u32>,
    /// Owners by inode, as they were `at`.
    sockets: HashMap<u64, u32>,
    at: Option<Instant>,
}

impl SocketOwners {
    /// The process that owns the TCP socket with these two ends, in this network namespace; `None` when the socket is
    /// not here. Of several processes that share it one that owned another lately, else the one with the lowest number.
    pub fn find(&self, local: SocketAddr, remote: SocketAddr) -> Option<u32> {
        let (local, remote) = (plain(local), plain(remote));
        let asked = super::diag::tcp_inode(local, remote).ok().flatten();
        // The list has those as well that are bound to an interface.
        let inode = asked.or_else(|| inode("/proc/net", local, remote))?;
        let likely: Vec<u32> = {
            let mut recent = self.recent();
            if recent.at.is_none_or(|at| at.elapsed() > KNOWN) {
                recent.sockets.clear();
            }
            if let Some(pid) = recent.sockets.get(&inode) {
                return Some(*pid);
            }
            recent.pids.iter().copied().collect()
        };
        let all = std::iter::once_with(|| {
            let mut pids = super::pids();
            pids.sort_unstable();
            pids
        });
        let (pid, sockets) = likely.into_iter().chain(all.flatten()).find_map(|pid| {
            let sockets: Vec<u64> = sockets_of(pid).collect();
            sockets.contains(&inode).then_some((pid, sockets))
        })?;
        let mut recent = self.recent();
        recent.pids.retain(|p| *p != pid);
        recent.pids.truncate(RECENT_MAX - 1);
        recent.pids.push_front(pid);
        if recent.sockets.len() + sockets.len() > KNOWN_MAX {
            recent.sockets.clear();
        }
        if recent.sockets.is_empty() {
            recent.at = Some(Instant::now());
        }
        recent.sockets.extend(sockets.into_iter().take(KNOWN_MAX).map(|inode| (inode, pid)));
        Some(pid)
    }

    fn recent(&self) -> MutexGuard<'_, Recent> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
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
    pids.into_iter().find(|pid| sockets_of(*pid).any(|socket| socket == inode))
}

/// Inodes of the sockets that a process has open.
fn sockets_of(pid: u32) -> impl Iterator<Item = u64> {
    let fds = fs::read_dir(format!("/proc/{pid}/fd")).ok();
    fds.into_iter().flatten().flatten().filter_map(|fd| {
        let to = fs::read_link(fd.path()).ok()?;
        to.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok()
    })
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
    use std::net::{TcpListener, TcpStream};

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
                owners.recent().pids = [1].into();
                assert_eq!(owners.find(local, remote), here, "{bind}");
                assert_eq!(owners.recent().pids, [std::process::id(), 1]);
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
