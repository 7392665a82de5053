//! `tokio_proxy PORT BACKEND`: passes each request on, `/up/TAG` as `/down/TAG`, on a runtime with several threads.
#![allow(clippy::unwrap_used, reason = "a program of the tests fails by panicking")]

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// Reads a head, and with it what follows in the same bytes; empty at the end of the stream.
async fn head(s: &mut TcpStream) -> Vec<u8> {
    let mut got = Vec::new();
    while !got.windows(4).any(|w| w == b"\r\n\r\n") {
        if s.read_buf(&mut got).await.unwrap_or(0) == 0 {
            return Vec::new();
        }
    }
    got
}

async fn serve(mut s: TcpStream, backend: u16) {
    loop {
        let request = head(&mut s).await;
        let Some(path) = request.split(|b| *b == b' ').nth(1) else { return };
        let path = String::from_utf8_lossy(path).replace("/up/", "/down/");
        let mut b = TcpStream::connect(("127.0.0.1", backend)).await.unwrap();
        b.write_all(format!("GET {path} HTTP/1.1\r\nHost: b\r\n\r\n").as_bytes()).await.unwrap();
        let answer = head(&mut b).await;
        let closes = request.windows(17).any(|w| w == b"Connection: close");
        if answer.is_empty() || s.write_all(&answer).await.is_err() || closes {
            return;
        }
    }
}

fn main() {
    let port = |i: usize| std::env::args().nth(i).and_then(|p| p.parse().ok()).unwrap();
    let (port, backend): (u16, u16) = (port(1), port(2));
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(4).enable_all().build().unwrap();
    runtime.block_on(async {
        let listener = TcpListener::bind(("127.0.0.1", port)).await.unwrap();
        while let Ok((s, _)) = listener.accept().await {
            tokio::spawn(serve(s, backend));
        }
    });
}
