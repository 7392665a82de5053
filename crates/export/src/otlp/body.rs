use bytes::buf::Chain;
use bytes::{Buf, BufMut, Bytes, BytesMut};
use http_body_util::{BodyExt, Full};
use hyper::body::{Body, Incoming};
use std::io::Write;

use super::MAX_ANSWER;
use crate::Compression;

/// Why an answer's body could not be read.
pub(crate) enum ReadError {
    TooLarge,
    Broken(String),
}

/// A request's body: what stands before the message and the message, which is not copied for it.
pub(crate) type Outgoing = Full<Chain<Bytes, Bytes>>;

pub(crate) fn outgoing(prefix: Bytes, message: Bytes) -> Outgoing {
    Full::new(prefix.chain(message))
}

/// Compresses a request at level 1; what does not compress for want of memory goes as it is.
pub(super) fn compressed(body: &Bytes, with: Compression) -> (Bytes, Option<&'static str>) {
    match with {
        Compression::None => (body.clone(), None),
        Compression::Gzip => match gzip(body) {
            Ok(out) => (out.into(), Some("gzip")),
            Err(_) => (body.clone(), None),
        },
        Compression::Zstd => match zstd::bulk::compress(body, 1) {
            Ok(out) => (out.into(), Some("zstd")),
            Err(_) => (body.clone(), None),
        },
    }
}

fn gzip(body: &[u8]) -> std::io::Result<Vec<u8>> {
    let out = Vec::with_capacity(body.len() / 4 + 64);
    let mut encoder = flate2::write::GzEncoder::new(out, flate2::Compression::new(1));
    encoder.write_all(body)?;
    encoder.finish()
}

/// Reads a body up to [`MAX_ANSWER`], with its trailers.
pub(crate) async fn read(mut body: Incoming) -> Result<(Bytes, Option<http::HeaderMap>), ReadError> {
    if body.size_hint().lower() > MAX_ANSWER as u64 {
        return Err(ReadError::TooLarge);
    }
    let (mut out, mut trailers) = (BytesMut::new(), None);
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|e| ReadError::Broken(chain(&e)))?;
        match frame.into_data() {
            Ok(data) if out.len() + data.len() > MAX_ANSWER => return Err(ReadError::TooLarge),
            Ok(data) => out.put(data),
            Err(frame) => trailers = frame.into_trailers().ok(),
        }
    }
    Ok((out.freeze(), trailers))
}

/// An error with its causes.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(c) = cause {
        let said = c.to_string();
        // Many errors repeat what their cause says.
        if !text.ends_with(&said) {
            text.push_str(": ");
            text.push_str(&said);
        }
        cause = c.source();
    }
    text
}
