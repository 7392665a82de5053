//! What a sender hears, in the words of its protocol.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::header::{ALLOW, CONTENT_TYPE, HeaderName, RETRY_AFTER};
use http::{HeaderMap, HeaderValue, Response, StatusCode};
use hyper::body::{Body, Frame, SizeHint};
use telegen_otlp::{Refusal, encode_status};

/// How a request is spoken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Speech {
    Grpc,
    Protobuf,
    Json,
}

/// What became of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Taken,
    /// Not now.
    Later {
        after: Duration,
        why: String,
    },
    /// Never: not understood.
    Bad(String),
    TooLarge(String),
    Unauthorized,
    /// No such path or method.
    Unknown(String),
    /// A type or packing that is not spoken here.
    Unsupported(String),
    /// HTTP: a method other than POST.
    NotPost,
}

impl Verdict {
    /// gRPC code, HTTP status, words.
    fn codes(&self) -> (i32, StatusCode, &str) {
        match self {
            Verdict::Taken => (0, StatusCode::OK, ""),
            // RESOURCE_EXHAUSTED comes with RetryInfo: without it the sender would drop what it has.
            Verdict::Later { why, .. } => (8, StatusCode::SERVICE_UNAVAILABLE, why),
            Verdict::Bad(why) => (3, StatusCode::BAD_REQUEST, why),
            Verdict::TooLarge(why) => (8, StatusCode::PAYLOAD_TOO_LARGE, why),
            Verdict::Unauthorized => (16, StatusCode::UNAUTHORIZED, "a bearer token is needed"),
            Verdict::Unknown(why) => (12, StatusCode::NOT_FOUND, why),
            Verdict::Unsupported(why) => (12, StatusCode::UNSUPPORTED_MEDIA_TYPE, why),
            Verdict::NotPost => (12, StatusCode::METHOD_NOT_ALLOWED, "only POST"),
        }
    }

    /// Word for the counter.
    pub(crate) fn word(&self) -> &'static str {
        match self {
            Verdict::Taken => "taken",
            Verdict::Later { .. } => "refused_for_load",
            Verdict::Bad(_) => "malformed",
            Verdict::TooLarge(_) => "too_large",
            Verdict::Unauthorized => "unauthorized",
            Verdict::Unknown(_) | Verdict::NotPost => "unknown",
            Verdict::Unsupported(_) => "unsupported",
        }
    }
}

pub(crate) fn answer(speech: Speech, verdict: &Verdict) -> Response<Frames> {
    let (code, status, why) = verdict.codes();
    let retry_after = match verdict {
        Verdict::Later { after, .. } => Some(*after),
        _ => None,
    };
    let refusal = Refusal { code, message: why.to_owned(), retry_after };
    if speech == Speech::Grpc {
        return grpc(&refusal);
    }
    let body = match (speech, code) {
        (Speech::Json, 0) => Bytes::from_static(b"{}"),
        (Speech::Json, _) => serde_json::json!({ "code": code, "message": why }).to_string().into(),
        (_, 0) => Bytes::new(),
        _ => encode_status(&refusal),
    };
    let mut response = Response::new(Frames::data(body));
    *response.status_mut() = status;
    let kind = if speech == Speech::Json { "application/json" } else { "application/x-protobuf" };
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    if let Some(after) = retry_after {
        headers.insert(
            RETRY_AFTER,
            HeaderValue::from((after.as_secs() + u64::from(after.subsec_nanos() > 0)).max(1)),
        );
    }
    if status == StatusCode::METHOD_NOT_ALLOWED {
        headers.insert(ALLOW, HeaderValue::from_static("POST"));
    }
    if status == StatusCode::UNAUTHORIZED {
        headers.insert(http::header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    response
}

fn grpc(refusal: &Refusal) -> Response<Frames> {
    let mut status = HeaderMap::new();
    status.insert(HeaderName::from_static("grpc-status"), HeaderValue::from(refusal.code));
    let mut response = if refusal.code == 0 {
        // A message of no bytes, then the status.
        let frames = [Frame::data(Bytes::from_static(&[0; 5])), Frame::trailers(status)];
        Response::new(Frames(frames.into()))
    } else {
        let text = |bytes: &str| HeaderValue::try_from(bytes).ok();
        if let Some(message) = text(&percent_encoded(&refusal.message)) {
            status.insert(HeaderName::from_static("grpc-message"), message);
        }
        if let Some(details) = text(&base64(&encode_status(refusal))) {
            status.insert(HeaderName::from_static("grpc-status-details-bin"), details);
        }
        let mut response = Response::new(Frames(VecDeque::new()));
        response.headers_mut().extend(status);
        response
    };
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    headers.insert(
        HeaderName::from_static("grpc-accept-encoding"),
        HeaderValue::from_static("identity,gzip,zstd"),
    );
    response
}

fn percent_encoded(s: &str) -> String {
    use std::fmt::Write;
    s.bytes().fold(String::with_capacity(s.len()), |mut out, b| {
        match b {
            b'%' => out.push_str("%25"),
            0x20..0x7f => out.push(char::from(b)),
            _ => {
                let _never_fails = write!(out, "%{b:02X}");
            }
        }
        out
    })
}

fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::with_capacity(bytes.len() * 4 / 3 + 3);
    for chunk in bytes.chunks(3) {
        let group = chunk.iter().fold(0usize, |n, b| n << 8 | usize::from(*b)) << (8 * (3 - chunk.len()));
        out.extend((0..=chunk.len()).map(|place| char::from(DIGITS[group >> (18 - 6 * place) & 63])));
    }
    out
}

/// A body of frames that are all here.
pub(crate) struct Frames(VecDeque<Frame<Bytes>>);

impl Frames {
    fn data(bytes: Bytes) -> Frames {
        Frames(if bytes.is_empty() { VecDeque::new() } else { [Frame::data(bytes)].into() })
    }
}

impl Body for Frames {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(self.0.pop_front().map(Ok))
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.0.iter().filter_map(Frame::data_ref).map(|d| d.len() as u64).sum())
    }
}
