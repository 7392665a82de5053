//! One socket asked for by its two ends (sock_diag(7)): `/proc/net/tcp` lists every socket, and the kernel walks its whole
//! table for that.

use std::io::{Error, ErrorKind, Result};
use std::net::SocketAddr;

use netlink_packet_core::{NLM_F_REQUEST, NetlinkHeader, NetlinkMessage, NetlinkPayload};
use netlink_packet_sock_diag::SockDiagMessage;
use netlink_packet_sock_diag::constants::{AF_INET, AF_INET6, IPPROTO_TCP};
use netlink_packet_sock_diag::inet::{ExtensionFlags, InetRequest, SocketId, StateFlags};
use netlink_sys::protocols::NETLINK_SOCK_DIAG;
use netlink_sys::{Socket, SocketAddr as Kernel};

/// Bytes of an answer at most: a socket without extensions takes under 200.
const ANSWER_MAX: usize = 4096;
/// Any socket with these ends will do (`INET_DIAG_NOCOOKIE`).
const ANY_COOKIE: [u8; 8] = [0xff; 8];

/// The inode of the TCP socket with these two ends in this network namespace; `None` when there is none, or one
/// that is bound to an interface. Both addresses in their plain form: IPv4 in IPv6 as IPv4.
///
/// An error says that the kernel does not answer such questions (no `inet_diag`, or not allowed).
pub(crate) fn tcp_inode(local: SocketAddr, remote: SocketAddr) -> Result<Option<u64>> {
    let mut socket = Socket::new(NETLINK_SOCK_DIAG)?;
    socket.bind_auto()?;
    socket.connect(&Kernel::new(0, 0))?;
    let mut header = NetlinkHeader::default();
    header.flags = NLM_F_REQUEST;
    let request = InetRequest {
        family: if local.is_ipv4() { AF_INET } else { AF_INET6 },
        protocol: IPPROTO_TCP,
        extensions: ExtensionFlags::empty(),
        states: StateFlags::all(),
        socket_id: SocketId {
            source_port: local.port(),
            destination_port: remote.port(),
            source_address: local.ip(),
            destination_address: remote.ip(),
            interface_id: 0,
            cookie: ANY_COOKIE,
        },
    };
    let mut message = NetlinkMessage::new(header, SockDiagMessage::InetRequest(request).into());
    message.finalize();
    let mut bytes = vec![0; message.buffer_len()];
    message.serialize(&mut bytes);
    socket.send(&bytes, 0)?;
    let mut answer = Vec::with_capacity(ANSWER_MAX);
    // The answer is there when the question was sent: whoever gave none is not waited for.
    socket.recv(&mut answer, libc::MSG_DONTWAIT)?;
    let answer: NetlinkMessage<SockDiagMessage> = NetlinkMessage::deserialize(&answer)
        .map_err(|e| Error::new(ErrorKind::InvalidData, e.to_string()))?;
    match answer.payload {
        // Where no connection fits, a listener on that port is told instead: it has no other end.
        NetlinkPayload::InnerMessage(SockDiagMessage::InetResponse(found)) => {
            let id = &found.header.socket_id;
            let fits = (id.source_port, id.destination_port) == (local.port(), remote.port());
            Ok((fits && found.header.inode != 0).then_some(u64::from(found.header.inode)))
        }
        NetlinkPayload::Error(refused) => {
            let error = refused.to_io();
            if error.kind() == ErrorKind::NotFound { Ok(None) } else { Err(error) }
        }
        _ => Err(ErrorKind::InvalidData.into()),
    }
}
