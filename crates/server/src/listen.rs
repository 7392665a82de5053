//! Sockets to listen on, TCP and unix under one roof.

use std::io;
use std::net::IpAddr;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::task::{Context, Poll};

use telegen_config::Listen;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};

use crate::ServerError;

/// Access to a unix socket: owner and group.
const UNIX_MODE: u32 = 0o660;

/// Something to accept connections from.
#[derive(Debug)]
pub(crate) enum Listener {
    Tcp(TcpListener),
    Unix(UnixListener, SocketFile),
}

/// Takes the socket's file away at the end.
#[derive(Debug)]
pub(crate) struct SocketFile(PathBuf);

impl Drop for SocketFile {
    fn drop(&mut self) {
        // Gone already is as good.
        let _ = std::fs::remove_file(&self.0);
    }
}

impl Listener {
    /// Listens, or says why not; `None` when the server is switched off.
    pub(crate) async fn bind(listen: &Listen) -> Result<Option<Listener>, ServerError> {
        let wrong = |source| ServerError::Listen { listen: listen.to_string(), source };
        match listen {
            Listen::Off => Ok(None),
            Listen::Tcp(address) => {
                let listener =
                    TcpListener::bind((address.host.as_str(), address.port)).await.map_err(wrong)?;
                Ok(Some(Listener::Tcp(listener)))
            }
            Listen::Unix(path) => unix(path).await.map(Some),
        }
    }

    /// What is listened on: `ADDRESS:PORT` with the port that was chosen, or `unix:PATH`.
    pub(crate) fn address(&self) -> String {
        match self {
            Listener::Tcp(listener) => {
                listener.local_addr().map_or_else(|_| String::new(), |a| a.to_string())
            }
            Listener::Unix(_, file) => format!("unix:{}", file.0.display()),
        }
    }

    pub(crate) fn port(&self) -> Option<u16> {
        match self {
            Listener::Tcp(listener) => listener.local_addr().ok().map(|a| a.port()),
            Listener::Unix(..) => None,
        }
    }

    pub(crate) async fn accept(&self) -> io::Result<(Stream, Option<IpAddr>)> {
        match self {
            Listener::Tcp(listener) => {
                let (stream, _) = listener.accept().await?;
                // Small answers wait for nothing.
                stream.set_nodelay(true)?;
                let local = stream.local_addr().ok().map(|a| a.ip());
                Ok((Stream::Tcp(stream), local))
            }
            Listener::Unix(listener, _) => Ok((Stream::Unix(listener.accept().await?.0), None)),
        }
    }
}

/// Binds beside the path, sets the mode, then moves into place: at no time anyone else may connect.
async fn unix(path: &Path) -> Result<Listener, ServerError> {
    let occupied = |reason| ServerError::Occupied { path: path.to_owned(), reason };
    let wrong = |source| ServerError::Listen { listen: format!("unix:{}", path.display()), source };
    match std::fs::symlink_metadata(path) {
        Ok(there) if !there.file_type().is_socket() => {
            return Err(occupied("something that is no socket is there"));
        }
        Ok(_) if UnixStream::connect(path).await.is_ok() => {
            return Err(occupied("another process listens there"));
        }
        _ => {}
    }
    let mut beside = path.as_os_str().to_owned();
    beside.push(format!(".{}", std::process::id()));
    let beside = SocketFile(PathBuf::from(beside));
    let listener = UnixListener::bind(&beside.0).map_err(wrong)?;
    std::fs::set_permissions(&beside.0, std::fs::Permissions::from_mode(UNIX_MODE)).map_err(wrong)?;
    std::fs::rename(&beside.0, path).map_err(wrong)?;
    Ok(Listener::Unix(listener, SocketFile(path.to_owned())))
}

/// A connection of either kind.
#[derive(Debug)]
pub(crate) enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
}

macro_rules! forward {
    ($self:ident, $stream:ident => $call:expr) => {
        match $self.get_mut() {
            Stream::Tcp($stream) => $call,
            Stream::Unix($stream) => $call,
        }
    };
}

impl AsyncRead for Stream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        forward!(self, s => Pin::new(s).poll_read(cx, buf))
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        forward!(self, s => Pin::new(s).poll_write(cx, buf))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        forward!(self, s => Pin::new(s).poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        forward!(self, s => Pin::new(s).poll_shutdown(cx))
    }
}
