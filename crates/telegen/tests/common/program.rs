//! The program as a child, and what it says.
#![allow(dead_code, reason = "each test uses a part of it")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// A port that is free now.
pub(crate) fn port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// The lines of a child, as they come.
pub(crate) struct Said {
    text: Arc<Mutex<String>>,
    reader: JoinHandle<()>,
}

impl Said {
    /// Reads until the other side ends.
    pub(crate) fn of(from: impl Read + Send + 'static) -> Said {
        let text: Arc<Mutex<String>> = Arc::default();
        let heard = text.clone();
        let reader = std::thread::spawn(move || {
            for line in BufReader::new(from).lines().map_while(Result::ok) {
                let mut heard = heard.lock().unwrap();
                heard.push_str(&line);
                heard.push('\n');
            }
        });
        Said { text, reader }
    }

    /// All that was said, once the other side has ended.
    pub(crate) fn into_text(self) -> String {
        self.reader.join().unwrap();
        self.text.lock().unwrap().clone()
    }

    pub(crate) fn text(&self) -> String {
        self.text.lock().unwrap().clone()
    }
}

pub(crate) struct Telegen {
    pub(crate) child: Child,
    said: Option<Said>,
}

impl Telegen {
    /// Starts a collector and waits until it is ready.
    pub(crate) fn start(config: &Path) -> Telegen {
        let mut command = Command::new(env!("CARGO_BIN_EXE_telegen"));
        command.args(["collector", "--config"]).arg(config);
        Telegen::spawn(&mut command)
    }

    /// The same of a command that starts it.
    pub(crate) fn spawn(command: &mut Command) -> Telegen {
        let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
        let said = Some(Said::of(child.stderr.take().unwrap()));
        let telegen = Telegen { child, said };
        telegen.wait_said(" ready ");
        telegen
    }

    pub(crate) fn said(&self) -> String {
        self.said.as_ref().map(Said::text).unwrap_or_default()
    }

    pub(crate) fn wait_said(&self, what: &str) {
        let end = Instant::now() + Duration::from_secs(60);
        while !self.said().contains(what) {
            assert!(Instant::now() < end, "`{what}` was never said:\n{}", self.said());
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    pub(crate) fn signal(&self, signal: rustix::process::Signal) {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, signal).unwrap();
    }

    /// SIGTERM; gives the exit code.
    pub(crate) fn stop(self) -> Option<i32> {
        self.stop_saying().0
    }

    /// The same with all that it said to the end.
    pub(crate) fn stop_saying(mut self) -> (Option<i32>, String) {
        self.signal(rustix::process::Signal::TERM);
        let code = self.child.wait().unwrap().code();
        let Said { text, reader } = self.said.take().unwrap();
        reader.join().unwrap();
        (code, text.lock().unwrap().clone())
    }
}

/// A test that fails leaves nothing behind.
impl Drop for Telegen {
    fn drop(&mut self) {
        let _ended = self.child.kill();
        let _reaped = self.child.wait();
    }
}

/// `GET` on the program's own server.
pub(crate) fn get(port: u16, path: &str) -> String {
    let mut tcp = TcpStream::connect(("127.0.0.1", port)).unwrap();
    write!(tcp, "GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n").unwrap();
    let mut text = String::new();
    tcp.read_to_string(&mut text).unwrap();
    text.split_once("\r\n\r\n").map(|(_, body)| body.to_owned()).unwrap_or_default()
}

pub(crate) fn wait(what: &str, done: impl Fn() -> bool) {
    let end = Instant::now() + Duration::from_secs(60);
    while !done() {
        assert!(Instant::now() < end, "{what}: never");
        std::thread::sleep(Duration::from_millis(20));
    }
}
