use bytes::{BufMut, Bytes, BytesMut};
use http::{HeaderMap, HeaderValue, Response};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::Frame;
use prost::Message;
use telegen_model::Signal;
use telegen_otlp::message::{ExportResponse, PartialSuccess};
use telegen_otlp::{Refusal, encode_status};

use super::Reply;
use super::read::Head;

pub(super) type Body = BoxBody<Bytes, std::convert::Infallible>;

/// The answer to a request; [`Reply::Hang`], [`Reply::Reset`] and [`Reply::AtMost`] are dealt with before.
pub(super) fn answer(head: &Head, reply: &Reply) -> Response<Body> {
    match (head.protocol, reply) {
        ("grpc", Reply::Grpc { code, message, retry_info, at_once }) => {
            let refusal = Refusal { code: *code, message: message.clone(), retry_after: *retry_info };
            grpc(None, status(&refusal), *at_once)
        }
        ("grpc", Reply::Http { status, .. }) => plain(*status, None),
        ("grpc", reply) => grpc(Some(message(reply)), status(&Refusal::default()), false),
        (_, Reply::Http { status, retry_after }) => plain(*status, retry_after.as_deref()),
        (_, Reply::Grpc { code, .. }) => plain(500 + u16::try_from(*code).unwrap_or(0), None),
        ("http/json", reply) => respond(200, "application/json", json(head.signal, reply)),
        (_, reply) => respond(200, "application/x-protobuf", message(reply)),
    }
}

fn message(reply: &Reply) -> Bytes {
    let partial = match reply {
        Reply::Partial { rejected, message } => {
            Some(PartialSuccess { rejected: *rejected, error_message: message.clone() })
        }
        Reply::Oversized(n) => Some(PartialSuccess { rejected: 0, error_message: "x".repeat(*n) }),
        _ => None,
    };
    ExportResponse { partial_success: partial }.encode_to_vec().into()
}

fn json(signal: Signal, reply: &Reply) -> Bytes {
    let rejected_key = match signal {
        Signal::Traces => "rejectedSpans",
        Signal::Metrics => "rejectedDataPoints",
        Signal::Logs => "rejectedLogRecords",
        Signal::Profiles => "rejectedProfiles",
    };
    let json = match reply {
        Reply::Partial { rejected, message } => {
            serde_json::json!({"partialSuccess": {rejected_key: rejected.to_string(), "errorMessage": message}})
        }
        Reply::Oversized(n) => serde_json::json!({"partialSuccess": {"errorMessage": "x".repeat(*n)}}),
        _ => serde_json::json!({}),
    };
    json.to_string().into()
}

fn plain(status: u16, retry_after: Option<&str>) -> Response<Body> {
    let mut response = respond(status, "text/plain", Bytes::from_static(b"scripted"));
    if let Some(value) = retry_after.and_then(|v| HeaderValue::from_str(v).ok()) {
        response.headers_mut().insert("retry-after", value);
    }
    response
}

fn respond(status: u16, kind: &'static str, body: Bytes) -> Response<Body> {
    let mut response = Response::new(Full::new(body).boxed());
    *response.status_mut() = http::StatusCode::from_u16(status).unwrap_or_default();
    response.headers_mut().insert("content-type", HeaderValue::from_static(kind));
    response
}

/// A gRPC answer: message and trailers, or everything in the head.
fn grpc(message: Option<Bytes>, status: HeaderMap, at_once: bool) -> Response<Body> {
    let mut response = if at_once {
        let mut response = Response::new(Full::new(Bytes::new()).boxed());
        response.headers_mut().extend(status);
        response
    } else {
        let data = message.map(|m| {
            let mut framed = BytesMut::with_capacity(m.len() + 5);
            framed.put_u8(0);
            framed.put_u32(u32::try_from(m.len()).unwrap_or(u32::MAX));
            framed.put(m);
            Frame::data(framed.freeze())
        });
        Response::new(BoxBody::new(Frames(data.into_iter().chain([Frame::trailers(status)]).collect())))
    };
    response.headers_mut().insert("content-type", HeaderValue::from_static("application/grpc"));
    response
}

/// A body of frames that are all here.
struct Frames(std::collections::VecDeque<Frame<Bytes>>);

impl hyper::body::Body for Frames {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        std::task::Poll::Ready(self.0.pop_front().map(Ok))
    }
}

fn status(refusal: &Refusal) -> HeaderMap {
    let mut out = HeaderMap::new();
    out.insert("grpc-status", HeaderValue::from(refusal.code));
    if !refusal.message.is_empty()
        && let Ok(value) = HeaderValue::try_from(percent_encoded(&refusal.message))
    {
        out.insert("grpc-message", value);
    }
    if refusal.retry_after.is_some()
        && let Ok(value) = HeaderValue::try_from(base64(&encode_status(refusal)))
    {
        out.insert("grpc-status-details-bin", value);
    }
    out
}

fn percent_encoded(s: &str) -> String {
    s.bytes()
        .map(|b| {
            if (0x20..0x7f).contains(&b) && b != b'%' {
                char::from(b).to_string()
            } else {
                format!("%{b:02X}")
            }
        })
        .collect()
}

fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::new();
    for chunk in bytes.chunks(3) {
        let group = chunk.iter().fold(0usize, |n, b| n << 8 | usize::from(*b)) << (8 * (3 - chunk.len()));
        out.extend((0..=chunk.len()).map(|place| char::from(DIGITS[group >> (18 - 6 * place) & 63])));
    }
    out
}
