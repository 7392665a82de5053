//! Many datagrams with one system call, with the local address of each, and what the socket had to drop.

use std::io;
use std::mem::{MaybeUninit, size_of, zeroed};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6, UdpSocket};
use std::os::fd::{AsRawFd, BorrowedFd};
use std::time::Duration;

/// Most datagrams of one call.
pub const BATCH: usize = 64;
/// Room for the control message with the local address.
const CONTROL: usize = 64;

/// One datagram as it came.
#[derive(Clone, Copy, Debug)]
pub struct Datagram<'a> {
    /// What it holds, cut to the slot's size.
    pub bytes: &'a [u8],
    /// Who sent it.
    pub from: SocketAddr,
    /// The local IPv4 address that it was sent to, on sockets with [`Many::want_local_address`].
    pub to: Option<Ipv4Addr>,
    /// Whether it was longer than the slot.
    pub cut: bool,
}

/// One datagram to be sent.
#[derive(Clone, Copy, Debug)]
pub struct Outgoing<'a> {
    /// What it holds.
    pub bytes: &'a [u8],
    /// Who gets it; `None` on a connected socket.
    pub to: Option<SocketAddr>,
    /// The local IPv4 address it is to come from.
    pub from: Option<Ipv4Addr>,
}

/// Buffers for [`BATCH`] datagrams, made once.
pub struct Many {
    slot: usize,
    bytes: Vec<u8>,
    names: Vec<libc::sockaddr_storage>,
    controls: Vec<Control>,
}

#[repr(C, align(8))]
#[derive(Clone, Copy)]
struct Control([u8; CONTROL]);

impl Many {
    /// Buffers whose slots hold `slot` bytes.
    pub fn new(slot: usize) -> Many {
        // SAFETY: sockaddr_storage is plain old data; all zeroes is a valid one.
        let name: libc::sockaddr_storage = unsafe { zeroed() };
        Many {
            slot,
            bytes: vec![0; slot * BATCH],
            names: vec![name; BATCH],
            controls: vec![Control([0; CONTROL]); BATCH],
        }
    }

    /// Asks the kernel to tell the local address of each datagram (IP_PKTINFO).
    pub fn want_local_address(socket: &UdpSocket) -> io::Result<()> {
        set(socket, libc::IPPROTO_IP, libc::IP_PKTINFO, 1)
    }

    /// Takes what is there, up to [`BATCH`] datagrams; `each` gets them in order. Never waits: gives 0 when there is
    /// none.
    pub fn receive(&mut self, socket: &UdpSocket, mut each: impl FnMut(Datagram<'_>)) -> io::Result<usize> {
        let mut vectors = [const { MaybeUninit::<libc::iovec>::uninit() }; BATCH];
        // SAFETY: mmsghdr is plain old data; all zeroes is a valid one.
        let mut headers: [libc::mmsghdr; BATCH] = unsafe { zeroed() };
        for (i, header) in headers.iter_mut().enumerate() {
            let vector = vectors[i].write(libc::iovec {
                iov_base: self.bytes[i * self.slot..].as_mut_ptr().cast(),
                iov_len: self.slot,
            });
            header.msg_hdr.msg_iov = vector;
            header.msg_hdr.msg_iovlen = 1;
            header.msg_hdr.msg_name = (&raw mut self.names[i]).cast();
            header.msg_hdr.msg_namelen = size_of::<libc::sockaddr_storage>() as libc::socklen_t;
            header.msg_hdr.msg_control = self.controls[i].0.as_mut_ptr().cast();
            header.msg_hdr.msg_controllen = CONTROL as _;
        }
        // SAFETY: every header points at an iovec, a name and a control buffer that live until after the call, with
        // their true lengths; the kernel writes within them.
        let came = unsafe {
            libc::recvmmsg(
                socket.as_raw_fd(),
                headers.as_mut_ptr(),
                BATCH as libc::c_uint,
                libc::MSG_DONTWAIT,
                std::ptr::null_mut(),
            )
        };
        if came < 0 {
            let error = io::Error::last_os_error();
            return match error.kind() {
                io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted => Ok(0),
                _ => Err(error),
            };
        }
        for (i, header) in headers.iter().enumerate().take(came as usize) {
            let length = (header.msg_len as usize).min(self.slot);
            let Some(from) = read_address(&self.names[i]) else { continue };
            let known = header.msg_hdr.msg_controllen.min(CONTROL);
            each(Datagram {
                bytes: &self.bytes[i * self.slot..i * self.slot + length],
                from,
                to: local_address(&self.controls[i].0[..known]),
                cut: header.msg_hdr.msg_flags & libc::MSG_TRUNC != 0,
            });
        }
        Ok(came as usize)
    }
}

/// Sends datagrams, up to [`BATCH`] of them; gives how many the kernel took. 0 when it takes none now.
pub fn send_many(socket: &UdpSocket, all: &[Outgoing<'_>]) -> io::Result<usize> {
    let all = &all[..all.len().min(BATCH)];
    // SAFETY: an mmsghdr is plain old data; all zeroes is a valid one.
    let mut headers: [libc::mmsghdr; BATCH] = unsafe { zeroed() };
    // SAFETY: an iovec is plain old data; all zeroes is a valid one.
    let mut vectors: [libc::iovec; BATCH] = unsafe { zeroed() };
    // SAFETY: a sockaddr_storage is plain old data; all zeroes is a valid one.
    let mut names: [libc::sockaddr_storage; BATCH] = unsafe { zeroed() };
    let mut controls = [Control([0; CONTROL]); BATCH];
    for (i, out) in all.iter().enumerate() {
        vectors[i] = libc::iovec { iov_base: out.bytes.as_ptr().cast_mut().cast(), iov_len: out.bytes.len() };
        let header = &mut headers[i].msg_hdr;
        header.msg_iov = &raw mut vectors[i];
        header.msg_iovlen = 1;
        if let Some(to) = out.to {
            header.msg_namelen = write_address(&mut names[i], to);
            header.msg_name = (&raw mut names[i]).cast();
        }
        if let Some(from) = out.from {
            header.msg_controllen = write_local_address(&mut controls[i].0, from) as _;
            header.msg_control = controls[i].0.as_mut_ptr().cast();
        }
    }
    // SAFETY: the headers of `all.len()` datagrams point at iovecs, names and control buffers that live until after the
    // call; the kernel only reads them.
    let sent = unsafe {
        libc::sendmmsg(
            socket.as_raw_fd(),
            headers.as_mut_ptr(),
            all.len() as libc::c_uint,
            libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL,
        )
    };
    if sent < 0 {
        let error = io::Error::last_os_error();
        return match error.kind() {
            io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted => Ok(0),
            _ => Err(error),
        };
    }
    Ok(sent as usize)
}

/// Asks for a receive buffer of so many bytes, beyond the system's limit where the rights are there; gives what the
/// kernel granted (it counts its own overhead: half of that is for data).
pub fn receive_buffer(socket: &UdpSocket, bytes: usize) -> io::Result<usize> {
    let wanted = i32::try_from(bytes).unwrap_or(i32::MAX);
    if set(socket, libc::SOL_SOCKET, libc::SO_RCVBUFFORCE, wanted).is_err() {
        set(socket, libc::SOL_SOCKET, libc::SO_RCVBUF, wanted)?;
    }
    let mut got: libc::c_int = 0;
    get(socket, libc::SO_RCVBUF, &mut got)?;
    Ok(usize::try_from(got).unwrap_or(0))
}

/// Sends only through the loopback device and receives only from it.
pub fn bind_to_loopback(socket: &UdpSocket) -> io::Result<()> {
    // SAFETY: the name is a string of three bytes with its length.
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_BINDTODEVICE,
            c"lo".as_ptr().cast(),
            3,
        )
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Datagrams that found no room in the socket's buffer since it was made (SO_MEMINFO).
pub fn socket_drops(socket: &UdpSocket) -> io::Result<u32> {
    const SO_MEMINFO: libc::c_int = 55;
    /// SK_MEMINFO_DROPS, include/uapi/linux/sock_diag.h
    const DROPS: usize = 8;
    let mut info = [0u32; 9];
    get(socket, SO_MEMINFO, &mut info)?;
    Ok(info[DROPS])
}

/// Whether something can be read from one of the sockets, waiting up to `wait` for it. One bit a socket, from the lowest.
pub fn readable(sockets: &[&UdpSocket], wait: Duration) -> io::Result<u64> {
    let mut polls: Vec<libc::pollfd> = sockets
        .iter()
        .take(64)
        .map(|s| libc::pollfd { fd: s.as_raw_fd(), events: libc::POLLIN, revents: 0 })
        .collect();
    let ready = wait_for(&mut polls, wait);
    if ready < 0 {
        let error = io::Error::last_os_error();
        return if error.kind() == io::ErrorKind::Interrupted { Ok(0) } else { Err(error) };
    }
    Ok(polls.iter().enumerate().fold(0, |bits, (i, p)| bits | u64::from(p.revents != 0) << i))
}

/// Which of these can be read from, waiting up to `wait` for one: their places.
pub fn ready(all: &[BorrowedFd<'_>], wait: Duration) -> io::Result<Vec<usize>> {
    let mut polls: Vec<libc::pollfd> =
        all.iter().map(|s| libc::pollfd { fd: s.as_raw_fd(), events: libc::POLLIN, revents: 0 }).collect();
    let ready = wait_for(&mut polls, wait);
    if ready < 0 {
        let error = io::Error::last_os_error();
        return if error.kind() == io::ErrorKind::Interrupted { Ok(Vec::new()) } else { Err(error) };
    }
    Ok(polls.iter().enumerate().filter(|(_, p)| p.revents != 0).map(|(i, _)| i).collect())
}

/// As poll(2), with a wait that is not rounded up to a millisecond.
fn wait_for(polls: &mut [libc::pollfd], wait: Duration) -> libc::c_int {
    let wait = libc::timespec {
        tv_sec: libc::time_t::try_from(wait.as_secs()).unwrap_or(libc::time_t::MAX),
        tv_nsec: wait.subsec_nanos() as _,
    };
    // SAFETY: `polls` is an array of the length given, the wait is valid, and no signal mask is given.
    unsafe { libc::ppoll(polls.as_mut_ptr(), polls.len() as libc::nfds_t, &raw const wait, std::ptr::null()) }
}

fn set(socket: &UdpSocket, level: libc::c_int, option: libc::c_int, value: libc::c_int) -> io::Result<()> {
    // SAFETY: the value is an int with its length.
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            level,
            option,
            (&raw const value).cast(),
            size_of::<libc::c_int>() as libc::socklen_t,
        )
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

fn get<T: Copy>(socket: &UdpSocket, option: libc::c_int, value: &mut T) -> io::Result<()> {
    let mut length = size_of::<T>() as libc::socklen_t;
    // SAFETY: `value` is plain data of the length given; the kernel writes at most that much.
    let result = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            option,
            std::ptr::from_mut(value).cast(),
            &raw mut length,
        )
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

fn read_address(name: &libc::sockaddr_storage) -> Option<SocketAddr> {
    let at: *const libc::sockaddr_storage = name;
    match libc::c_int::from(name.ss_family) {
        libc::AF_INET => {
            // SAFETY: the family says that the storage, which is larger and aligned for it, holds a sockaddr_in.
            let v4 = unsafe { &*at.cast::<libc::sockaddr_in>() };
            let ip = Ipv4Addr::from(u32::from_be(v4.sin_addr.s_addr));
            Some(SocketAddrV4::new(ip, u16::from_be(v4.sin_port)).into())
        }
        libc::AF_INET6 => {
            // SAFETY: the family says that the storage, which is larger and aligned for it, holds a sockaddr_in6.
            let v6 = unsafe { &*at.cast::<libc::sockaddr_in6>() };
            let ip = Ipv6Addr::from(v6.sin6_addr.s6_addr);
            let port = u16::from_be(v6.sin6_port);
            Some(match ip.to_ipv4_mapped() {
                Some(ip) => SocketAddrV4::new(ip, port).into(),
                None => SocketAddrV6::new(ip, port, 0, v6.sin6_scope_id).into(),
            })
        }
        _ => None,
    }
}

fn write_address(name: &mut libc::sockaddr_storage, to: SocketAddr) -> libc::socklen_t {
    let at: *mut libc::sockaddr_storage = name;
    match to.ip() {
        IpAddr::V4(ip) => {
            // SAFETY: a sockaddr_storage is larger than a sockaddr_in and aligned for it.
            let v4 = unsafe { &mut *at.cast::<libc::sockaddr_in>() };
            v4.sin_family = libc::AF_INET as libc::sa_family_t;
            v4.sin_port = to.port().to_be();
            v4.sin_addr.s_addr = u32::from(ip).to_be();
            size_of::<libc::sockaddr_in>() as libc::socklen_t
        }
        IpAddr::V6(ip) => {
            // SAFETY: a sockaddr_storage is larger than a sockaddr_in6 and aligned for it.
            let v6 = unsafe { &mut *at.cast::<libc::sockaddr_in6>() };
            v6.sin6_family = libc::AF_INET6 as libc::sa_family_t;
            v6.sin6_port = to.port().to_be();
            v6.sin6_addr.s6_addr = ip.octets();
            if let SocketAddr::V6(v) = to {
                v6.sin6_scope_id = v.scope_id();
            }
            size_of::<libc::sockaddr_in6>() as libc::socklen_t
        }
    }
}

/// The destination in an IP_PKTINFO control message: header (length, level, type), then interface, specific, address.
fn local_address(control: &[u8]) -> Option<Ipv4Addr> {
    let head = size_of::<libc::cmsghdr>();
    let word = |at: usize| control.get(at..at + 4).and_then(|b| b.try_into().ok()).map(i32::from_ne_bytes);
    let (level, kind) = (word(head - 8)?, word(head - 4)?);
    if level != libc::IPPROTO_IP || kind != libc::IP_PKTINFO {
        return None;
    }
    let ip: [u8; 4] = control.get(head + 8..head + 12)?.try_into().ok()?;
    Some(Ipv4Addr::from(ip))
}

/// Writes an IP_PKTINFO control message with a source address; gives its length.
fn write_local_address(control: &mut [u8; CONTROL], from: Ipv4Addr) -> usize {
    let head = size_of::<libc::cmsghdr>();
    let length = head + size_of::<libc::in_pktinfo>();
    control[..head - 8].copy_from_slice(&length.to_ne_bytes()[..head - 8]);
    control[head - 8..head - 4].copy_from_slice(&libc::IPPROTO_IP.to_ne_bytes());
    control[head - 4..head].copy_from_slice(&libc::IP_PKTINFO.to_ne_bytes());
    control[head + 4..head + 8].copy_from_slice(&from.octets());
    // Rounded up as CMSG_SPACE does.
    length.next_multiple_of(size_of::<usize>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_come_with_one_call_and_tell_where_they_were_sent_to() {
        let server = UdpSocket::bind("0.0.0.0:0").unwrap();
        bind_to_loopback(&server).unwrap();
        Many::want_local_address(&server).unwrap();
        let port = server.local_addr().unwrap().port();
        let client = UdpSocket::bind("127.0.0.1:0").unwrap();
        let to = |last: u8| Some(SocketAddr::from(([127, 9, 8, last], port)));
        let out = [(1, &b"one"[..]), (2, b"twotwo")];
        let out = out.map(|(last, bytes)| Outgoing { bytes, to: to(last), from: None });
        assert_eq!(send_many(&client, &out).unwrap(), 2);
        let mut many = Many::new(4);
        let mut seen = Vec::new();
        let mut take = |d: Datagram<'_>| seen.push((d.bytes.to_vec(), d.from, d.to, d.cut));
        while many.receive(&server, &mut take).unwrap() > 0 {}
        let me = client.local_addr().unwrap();
        assert_eq!(
            seen,
            [
                (b"one".to_vec(), me, Some(Ipv4Addr::new(127, 9, 8, 1)), false),
                (b"twot".to_vec(), me, Some(Ipv4Addr::new(127, 9, 8, 2)), true)
            ]
        );
        let answer = Outgoing { bytes: b"back", to: Some(me), from: Some(Ipv4Addr::new(127, 9, 8, 2)) };
        assert_eq!(send_many(&server, &[answer]).unwrap(), 1);
        let mut buffer = [0; 9];
        let (n, from) = client.recv_from(&mut buffer).unwrap();
        assert_eq!((&buffer[..n], from), (&b"back"[..], SocketAddr::from(([127, 9, 8, 2], port))));
    }

    #[test]
    fn what_finds_no_room_is_counted_while_nobody_reads() {
        let server = UdpSocket::bind("127.0.0.1:0").unwrap();
        receive_buffer(&server, 4096).unwrap();
        let client = UdpSocket::bind("127.0.0.1:0").unwrap();
        assert_eq!(socket_drops(&server).unwrap(), 0);
        for _ in 0..100 {
            client.send_to(&[0; 1000], server.local_addr().unwrap()).unwrap();
        }
        let mut kept = 0;
        let mut many = Many::new(1500);
        while many.receive(&server, |_| kept += 1).unwrap() > 0 {}
        assert!(kept > 0 && kept < 100);
        assert_eq!(socket_drops(&server).unwrap(), 100 - kept);
    }
}
