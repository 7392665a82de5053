//! Who meets the end of a connection, and when: what came before it is still read.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use crate::edges::{END, OK, SELF, both, line, serve, until};
use crate::harness::{Agent, same};
use crate::load::sum;

/// Long enough for whatever the other thread was told to do.
const A_WHILE: Duration = Duration::from_millis(60);

fn ask(path: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nHost: h\r\n\r\n").into_bytes()
}

/// A close with a zero linger is a reset.
fn reset(s: TcpStream) {
    rustix::net::sockopt::set_socket_linger(&s, Some(Duration::ZERO)).unwrap();
}

fn rest(s: &mut impl Read) -> Vec<u8> {
    let mut all = Vec::new();
    s.read_to_end(&mut all).unwrap();
    all
}

/// As [`serve`], over a unix socket.
fn serve_unix(n: usize, handle: impl Fn(UnixStream) + Send + 'static) -> (Socket, thread::JoinHandle<()>) {
    let dir = tempfile::tempdir().unwrap();
    let listener = UnixListener::bind(dir.path().join("s")).unwrap();
    let thread = thread::spawn(move || (0..n).for_each(|_| handle(listener.accept().unwrap().0)));
    (Socket(dir), thread)
}

/// Where a server listens, until it is dropped.
struct Socket(tempfile::TempDir);

impl Socket {
    fn connect(&self) -> UnixStream {
        UnixStream::connect(self.0.path().join("s")).unwrap()
    }
}

/// Connections that the agent still knows, as soon as there are no more than `most` or after five seconds.
fn known(agent: &Agent, most: u64) -> u64 {
    let mut now = 0;
    for _ in 0..50 {
        let metrics = agent.get("/metrics");
        let gauge = metrics.lines().find_map(|l| l.strip_prefix("telegen_trace_connections "));
        now = gauge.unwrap_or_else(|| panic!("no gauge in {metrics}")).trim().parse().unwrap();
        if now <= most {
            break;
        }
        thread::sleep(Duration::from_millis(100));
    }
    now
}

/// All spans by their lines, each of them with the port that was asked, 0 for a unix socket, and with its peer.
fn check(agent: Agent, port: u16, expect: Vec<String>) {
    thread::sleep(Duration::from_millis(1200));
    let lost = sum(&agent.ledger("traces")["lost"]);
    let told = agent.stop();
    same("spans", told.spans.iter().map(line), expect);
    for s in &told.spans {
        if port == 0 {
            assert_eq!(s.attr("network.transport"), "unix", "{}", line(s));
            continue;
        }
        assert_eq!(s.attr("server.port"), port.to_string(), "{}", line(s));
        assert_eq!(s.attr("network.peer.address"), "127.0.0.1", "{}", line(s));
    }
    assert_eq!(lost, 0, "requests lost");
}

#[test]
fn a_client_that_ends_its_stream_first_is_told_its_answer() {
    let Some(agent) = Agent::start("half-closed clients", SELF) else { return };
    let (port, server) = serve(60, |mut s| {
        let head = until(&mut s, END);
        if head.starts_with(b"GET /none") {
            // Until the client's end has come.
            thread::sleep(A_WHILE / 2);
        } else {
            s.write_all(OK).unwrap();
        }
    });
    for _ in 0..10 {
        // The answer and the end have come before anything is read: behind the client's own end, or before it.
        for early in [true, false] {
            let mut s = TcpStream::connect(("127.0.0.1", port)).unwrap();
            s.write_all(&ask("/half")).unwrap();
            if !early {
                thread::sleep(A_WHILE);
            }
            s.shutdown(Shutdown::Write).unwrap();
            thread::sleep(A_WHILE);
            assert_eq!(rest(&mut s), OK);
        }
        // It waits in its read.
        let mut s = TcpStream::connect(("127.0.0.1", port)).unwrap();
        s.write_all(&ask("/half")).unwrap();
        s.shutdown(Shutdown::Write).unwrap();
        assert_eq!(rest(&mut s), OK);
        // It goes away without reading.
        for path in ["/unread", "/none"] {
            let mut s = TcpStream::connect(("127.0.0.1", port)).unwrap();
            s.write_all(&ask(path)).unwrap();
            s.shutdown(Shutdown::Write).unwrap();
            thread::sleep(A_WHILE);
        }
        let mut s = TcpStream::connect(("127.0.0.1", port)).unwrap();
        s.write_all(&ask("/none")).unwrap();
        s.shutdown(Shutdown::Write).unwrap();
        assert_eq!(rest(&mut s), b"");
    }
    server.join().unwrap();
    assert!(known(&agent, 4) <= 4, "connections stay known: {}", known(&agent, 4));
    let mut expect = Vec::new();
    for _ in 0..10 {
        expect.extend(both(&["GET /half 200 2 -"; 3]));
        expect.extend(["S GET /unread 200 2 -", "C GET /unread - - cancelled"].map(str::to_owned));
        expect.extend(both(&["GET /none - - connection_closed"; 2]));
    }
    check(agent, port, expect);
}

#[test]
fn an_answer_before_a_reset_is_read_and_told() {
    let Some(agent) = Agent::start("answers before a reset", SELF) else { return };
    let large = b"HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\n\r\nno";
    let (port, server) = serve(20, move |mut s| {
        until(&mut s, END);
        s.write_all(large).unwrap();
        // What it did not read makes its close a reset.
        thread::sleep(A_WHILE);
    });
    for i in 0..20 {
        let mut s = TcpStream::connect(("127.0.0.1", port)).unwrap();
        s.write_all(b"POST /early HTTP/1.1\r\nHost: h\r\nContent-Length: 9000000\r\n\r\n").unwrap();
        // It meets the reset by writing, before it reads, or by its read.
        while s.write_all(&[b'x'; 30_000]).is_ok() && i % 2 == 0 {}
        thread::sleep(2 * A_WHILE);
        let mut got = vec![0; large.len()];
        s.read_exact(&mut got).unwrap();
        assert_eq!(got, large);
    }
    server.join().unwrap();
    assert!(known(&agent, 4) <= 4, "connections stay known: {}", known(&agent, 4));
    check(agent, port, both(&["POST /early 413 2 413"; 20]).into_iter().map(client_error).collect());
}

/// A server's 4xx is no error of its own.
fn client_error(line: String) -> String {
    if line.starts_with("S ") { line.replace(" 413 2 413", " 413 2 -") } else { line }
}

#[test]
fn an_answer_that_a_reset_cuts_keeps_its_status() {
    let Some(agent) = Agent::start("answers cut by a reset", SELF) else { return };
    let (port, server) = serve(30, |mut s| {
        let head = until(&mut s, END);
        s.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc").unwrap();
        thread::sleep(A_WHILE);
        if head.starts_with(b"GET /left") {
            s.write_all(b"d").unwrap_err();
        } else {
            reset(s);
        }
    });
    for i in 0..30 {
        let mut s = TcpStream::connect(("127.0.0.1", port)).unwrap();
        s.write_all(&ask(if i < 20 { "/cut" } else { "/left" })).unwrap();
        // What is there is read, and the reset met by another read; or by a write.
        assert!(s.read(&mut [0; 4096]).is_ok_and(|n| n > 3));
        if i >= 20 {
            reset(s);
            continue;
        }
        thread::sleep(2 * A_WHILE);
        if i % 2 == 0 {
            s.read(&mut [0; 4096]).unwrap_err();
        } else {
            s.write_all(b"?").unwrap_err();
        }
    }
    server.join().unwrap();
    let cut = ["S GET /cut 200 3 cancelled", "C GET /cut 200 3 connection_reset"];
    let left = ["S GET /left 200 3 connection_reset", "C GET /left 200 3 cancelled"];
    let expect = cut.iter().cycle().take(40).chain(left.iter().cycle().take(20));
    check(agent, port, expect.map(|l| (*l).to_owned()).collect());
}

#[test]
fn a_request_on_a_connection_that_the_server_has_closed_is_told() {
    let Some(agent) = Agent::start("stale connections", SELF) else { return };
    let (port, server) = serve(40, |mut s| {
        until(&mut s, END);
        s.write_all(OK).unwrap();
    });
    // The same head as before, and another.
    for again in ["/first", "/second"] {
        for _ in 0..20 {
            let mut s = TcpStream::connect(("127.0.0.1", port)).unwrap();
            s.write_all(&ask("/first")).unwrap();
            until(&mut s, b"ok");
            thread::sleep(A_WHILE);
            // The answer to this is a reset, which comes within the call.
            s.write_all(&ask(again)).unwrap();
            assert_eq!(rest(&mut s), b"");
        }
    }
    server.join().unwrap();
    assert!(known(&agent, 4) <= 4, "connections stay known: {}", known(&agent, 4));
    let mut expect = both(&["GET /first 200 2 -"; 40]);
    expect.extend(["C GET /first - - connection_closed"; 20].map(str::to_owned));
    expect.extend(["C GET /second - - connection_closed"; 20].map(str::to_owned));
    check(agent, port, expect);
}

#[test]
fn a_request_that_is_reset_before_it_is_read_is_told() {
    let Some(agent) = Agent::start("requests reset unread", SELF) else { return };
    let (go, may_go) = mpsc::sync_channel::<()>(1);
    let (port, server) = serve(40, move |mut s| {
        until(&mut s, END);
        s.write_all(OK).unwrap();
        may_go.recv().unwrap();
        until(&mut s, END);
        // The client is gone.
        s.write_all(OK).unwrap_err();
    });
    for again in ["/first", "/second"] {
        for _ in 0..20 {
            let mut s = TcpStream::connect(("127.0.0.1", port)).unwrap();
            s.write_all(&ask("/first")).unwrap();
            until(&mut s, b"ok");
            s.write_all(&ask(again)).unwrap();
            reset(s);
            thread::sleep(A_WHILE);
            go.send(()).unwrap();
        }
    }
    server.join().unwrap();
    assert!(known(&agent, 4) <= 4, "connections stay known: {}", known(&agent, 4));
    let mut expect = both(&["GET /first 200 2 -"; 40]);
    for path in ["/first", "/second"] {
        for _ in 0..20 {
            expect.extend([
                format!("S GET {path} - - connection_reset"),
                format!("C GET {path} - - cancelled"),
            ]);
        }
    }
    check(agent, port, expect);
}

#[test]
fn a_socket_that_is_connected_anew_is_another_connection() {
    let Some(agent) = Agent::start("sockets connected twice", SELF) else { return };
    let (port, server) = serve(20, |mut s| {
        until(&mut s, END);
        s.write_all(OK).unwrap();
        // Taking a socket off its connection resets it.
        let _ended = s.read(&mut [0; 100]);
    });
    let to: std::net::SocketAddr = ([127, 0, 0, 1], port).into();
    for _ in 0..10 {
        let s = rustix::net::socket(rustix::net::AddressFamily::INET, rustix::net::SocketType::STREAM, None)
            .unwrap();
        rustix::net::connect(&s, &to).unwrap();
        let mut s = TcpStream::from(s);
        s.write_all(&ask("/once")).unwrap();
        until(&mut s, b"ok");
        rustix::net::connect_unspec(&s).unwrap();
        rustix::net::connect(&s, &to).unwrap();
        s.write_all(&ask("/twice")).unwrap();
        until(&mut s, b"ok");
    }
    server.join().unwrap();
    assert!(known(&agent, 4) <= 4, "connections stay known: {}", known(&agent, 4));
    check(
        agent,
        port,
        both(&["GET /once 200 2 -", "GET /twice 200 2 -"]).iter().cycle().take(40).cloned().collect(),
    );
}

#[test]
fn a_unix_client_that_ends_its_stream_first_is_told_its_answer() {
    let Some(agent) = Agent::start("half-closed unix clients", SELF) else { return };
    let large = b"HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\n\r\nno";
    let (socket, server) = serve_unix(40, |mut s| {
        let head = until(&mut s, END);
        if head.starts_with(b"GET /eof") {
            assert_eq!(rest(&mut s), b"");
        }
        if head.starts_with(b"POST") {
            return s.write_all(large).unwrap();
        }
        s.write_all(OK).unwrap();
    });
    for _ in 0..10 {
        // The server meets its end before it answers, or never.
        for path in ["/eof", "/half"] {
            let mut s = socket.connect();
            s.write_all(&ask(path)).unwrap();
            s.shutdown(Shutdown::Write).unwrap();
            thread::sleep(A_WHILE / 2);
            assert_eq!(rest(&mut s), OK);
        }
        // As with a connection of its own for each request.
        let mut s = socket.connect();
        s.write_all(&ask("/once")).unwrap();
        until(&mut s, b"ok");
        drop(s);
        // It is answered before it has sent all, and meets that by writing.
        let mut s = socket.connect();
        s.write_all(b"POST /early HTTP/1.1\r\nHost: h\r\nContent-Length: 9000000\r\n\r\n").unwrap();
        while s.write_all(&[b'x'; 30_000]).is_ok() {}
        let mut got = vec![0; large.len()];
        s.read_exact(&mut got).unwrap();
        assert_eq!(got, large);
    }
    server.join().unwrap();
    assert!(known(&agent, 4) <= 4, "connections stay known: {}", known(&agent, 4));
    let mut expect: Vec<String> =
        ["/eof", "/half", "/once"].iter().flat_map(|p| both(&[&format!("GET {p} 200 2 -")])).collect();
    expect.extend(both(&["POST /early 413 2 413"]).into_iter().map(client_error));
    check(agent, 0, expect.iter().cycle().take(80).cloned().collect());
}

#[test]
fn a_unix_socket_that_is_closed_under_a_request_ends_it() {
    let Some(agent) = Agent::start("unix sockets closed early", SELF) else { return };
    let (go, may_go) = mpsc::sync_channel::<()>(1);
    let (socket, server) = serve_unix(60, move |mut s| {
        let head = until(&mut s, END);
        if head.starts_with(b"GET /part") {
            s.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nab").unwrap();
            may_go.recv().unwrap();
            if head.starts_with(b"GET /part/eof") {
                assert_eq!(rest(&mut s), b"");
            }
            return;
        }
        if head.starts_with(b"GET /cut") {
            return s.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc").unwrap();
        }
        if !head.starts_with(b"GET /closed") {
            may_go.recv().unwrap();
        }
        if head.starts_with(b"GET /given-up") {
            s.write_all(OK).unwrap_err();
        }
    });
    for _ in 0..10 {
        for path in ["/closed", "/cut"] {
            let mut s = socket.connect();
            s.write_all(&ask(path)).unwrap();
            drop(rest(&mut s));
        }
        // The server meets the end by reading, or not at all.
        for path in ["/part/eof", "/part"] {
            let mut s = socket.connect();
            s.write_all(&ask(path)).unwrap();
            until(&mut s, b"ab");
            drop(s);
            go.send(()).unwrap();
        }
        // The server meets that by writing, or not at all.
        for path in ["/given-up", "/left"] {
            let mut s = socket.connect();
            s.write_all(&ask(path)).unwrap();
            drop(s);
            go.send(()).unwrap();
        }
    }
    server.join().unwrap();
    assert!(known(&agent, 4) <= 4, "connections stay known: {}", known(&agent, 4));
    let expect = [
        "S GET /closed - - cancelled",
        "C GET /closed - - connection_closed",
        "S GET /cut 200 3 cancelled",
        "C GET /cut 200 3 connection_closed",
        "S GET /part/eof 200 2 connection_closed",
        "C GET /part/eof 200 2 cancelled",
        "S GET /part 200 2 cancelled",
        "C GET /part 200 2 cancelled",
        "S GET /given-up - - connection_closed",
        "C GET /given-up - - cancelled",
        "S GET /left - - cancelled",
        "C GET /left - - cancelled",
    ];
    check(agent, 0, expect.iter().cycle().take(120).map(|l| (*l).to_owned()).collect());
}

#[test]
fn a_socket_that_only_a_message_holds_is_not_closed() {
    use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags};
    use std::io::IoSlice;
    use std::os::fd::AsFd;
    let Some(agent) = Agent::start("unix sockets under way", SELF) else { return };
    let dir = tempfile::tempdir().unwrap();
    let listener = UnixListener::bind(dir.path().join("s")).unwrap();
    let mut client = UnixStream::connect(dir.path().join("s")).unwrap();
    client.write_all(&ask("/passed")).unwrap();
    let mut server = listener.accept().unwrap().0;
    until(&mut server, END);
    let (out, back) = UnixStream::pair().unwrap();
    let mut space = [std::mem::MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    let passed = [server.as_fd()];
    assert!(control.push(SendAncillaryMessage::ScmRights(&passed)));
    rustix::net::sendmsg(&out, &[IoSlice::new(b"x")], &mut control, SendFlags::empty()).unwrap();
    drop(server);
    // Longer than it takes to look twice.
    thread::sleep(Duration::from_millis(4500));
    let mut space = [std::mem::MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = rustix::net::RecvAncillaryBuffer::new(&mut space);
    let mut byte = [0];
    let mut into = [std::io::IoSliceMut::new(&mut byte)];
    rustix::net::recvmsg(&back, &mut into, &mut control, rustix::net::RecvFlags::empty()).unwrap();
    let mut got = control.drain().filter_map(|m| match m {
        rustix::net::RecvAncillaryMessage::ScmRights(mut fds) => fds.next(),
        _ => None,
    });
    let mut server = UnixStream::from(got.next().unwrap());
    server.write_all(OK).unwrap();
    until(&mut client, b"ok");
    check(agent, 0, both(&["GET /passed 200 2 -"]));
}

#[test]
fn what_a_client_does_to_its_own_end_is_its_own_doing() {
    let Some(agent) = Agent::start("own ends", SELF) else { return };
    let (go, may_go) = mpsc::sync_channel::<()>(1);
    let (port, server) = serve(20, move |mut s| {
        let head = until(&mut s, END);
        may_go.recv().unwrap();
        if head.starts_with(b"GET /left") {
            s.read(&mut [0; 100]).unwrap_err();
            return;
        }
        s.write_all(OK).unwrap();
        assert_eq!(rest(&mut s), b"");
    });
    for _ in 0..10 {
        // A read that its own end makes empty is no end of the server's.
        let mut s = TcpStream::connect(("127.0.0.1", port)).unwrap();
        s.write_all(&ask("/half")).unwrap();
        s.shutdown(Shutdown::Read).unwrap();
        assert_eq!(s.read(&mut [0; 100]).unwrap(), 0);
        go.send(()).unwrap();
        thread::sleep(A_WHILE);
        until(&mut s, b"ok");
        drop(s);
        // Taken off its connection, which the next read says is reset.
        let mut s = TcpStream::connect(("127.0.0.1", port)).unwrap();
        s.write_all(&ask("/left")).unwrap();
        rustix::net::connect_unspec(&s).unwrap();
        s.read(&mut [0; 100]).unwrap_err();
        go.send(()).unwrap();
    }
    server.join().unwrap();
    let mut expect = both(&["GET /half 200 2 -"; 10]);
    for _ in 0..10 {
        expect.extend(["S GET /left - - connection_reset", "C GET /left - - cancelled"].map(str::to_owned));
    }
    check(agent, port, expect);
}

#[test]
fn a_body_that_is_spliced_away_is_whole() {
    use rustix::pipe::{SpliceFlags, pipe, splice};
    let Some(agent) = Agent::start("spliced bodies", SELF) else { return };
    let (port, server) = serve(10, |mut s| {
        until(&mut s, END);
        s.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 3000\r\n\r\n").unwrap();
        thread::sleep(A_WHILE);
        s.write_all(&[b'x'; 3000]).unwrap();
        // It waits for the client's end.
        let _ended = s.read(&mut [0; 100]);
    });
    let (from, to) = pipe().unwrap();
    for i in 0..10 {
        let mut s = TcpStream::connect(("127.0.0.1", port)).unwrap();
        s.write_all(&ask("/spliced")).unwrap();
        until(&mut s, END);
        let mut left = 3000;
        while left > 0 {
            left -= splice(&s, None, &to, None, left, SpliceFlags::empty()).unwrap();
            rustix::io::read(&from, &mut [0; 4096]).unwrap();
        }
        if i % 2 == 0 {
            s.shutdown(Shutdown::Write).unwrap();
            assert_eq!(rest(&mut s), b"");
        }
    }
    server.join().unwrap();
    check(agent, port, both(&["GET /spliced 200 3000 -"; 10]));
}

#[test]
fn an_mptcp_client_that_ends_its_stream_first_is_told_its_answer() {
    use rustix::net::{AddressFamily, Protocol, SocketType};
    let Some(agent) = Agent::start("half-closed MPTCP clients", SELF) else { return };
    let mptcp = || {
        let protocol = Protocol::from_raw(std::num::NonZeroU32::new(262).unwrap());
        rustix::net::socket(AddressFamily::INET, SocketType::STREAM, Some(protocol)).unwrap()
    };
    let any = std::net::SocketAddrV4::new(std::net::Ipv4Addr::LOCALHOST, 0);
    let listener = mptcp();
    rustix::net::bind(&listener, &any).unwrap();
    rustix::net::listen(&listener, 16).unwrap();
    let listener = TcpListener::from(listener);
    let to = listener.local_addr().unwrap();
    let server = thread::spawn(move || {
        for _ in 0..10 {
            let mut s = listener.accept().unwrap().0;
            until(&mut s, END);
            s.write_all(OK).unwrap();
        }
    });
    for _ in 0..10 {
        let s = mptcp();
        rustix::net::connect(&s, &to).unwrap();
        let mut s = TcpStream::from(s);
        s.write_all(&ask("/half")).unwrap();
        s.shutdown(Shutdown::Write).unwrap();
        thread::sleep(2 * A_WHILE);
        assert_eq!(rest(&mut s), OK);
    }
    server.join().unwrap();
    assert!(known(&agent, 4) <= 4, "connections stay known: {}", known(&agent, 4));
    check(agent, to.port(), both(&["GET /half 200 2 -"; 10]));
}

#[test]
fn a_server_that_answers_when_its_client_has_gone_took_as_long_as_it_did() {
    let Some(agent) = Agent::start("clients that do not wait", SELF) else { return };
    let (port, server) = serve(3, |mut s| {
        until(&mut s, END);
        thread::sleep(6 * A_WHILE);
        s.write_all(OK).unwrap();
    });
    for _ in 0..3 {
        let mut s = TcpStream::connect(("127.0.0.1", port)).unwrap();
        s.write_all(&ask("/late")).unwrap();
        thread::sleep(A_WHILE);
    }
    server.join().unwrap();
    thread::sleep(Duration::from_millis(1200));
    let told = agent.stop();
    let expect = ["S GET /late 200 2 -", "C GET /late - - cancelled"].map(str::to_owned);
    same("spans", told.spans.iter().map(line), [expect.clone(), expect.clone(), expect].concat());
    for s in told.spans.iter().filter(|s| s.is_server()) {
        assert!(s.ms() >= 6.0 * A_WHILE.as_millis() as f64, "{}", s.ms());
    }
}
