use bytes::{BufMut, Bytes, BytesMut};
use http::header::{CONTENT_TYPE, TE};
use http::{HeaderMap, HeaderValue, Method, Request};
use telegen_otlp::{Answer, Refusal, decode_response, decode_status};
use telegen_pipeline::Batch;

use super::body::{ReadError, chain, compressed, outgoing, read};
use super::http::BATCH_ID;
use super::target::Target;
use super::verdict::{self, Verdict};

/// Length of a gRPC message's prefix: a compression flag and four bytes of length.
const PREFIX: usize = 5;

/// One unary call: the gRPC protocol over HTTP/2 ("PROTOCOL-HTTP2.md" of the gRPC project), spoken directly
/// because the message is encoded already.
pub(super) async fn send(target: &Target, batch: &Batch) -> Verdict {
    let (message, encoding) = compressed(batch.encoded(), target.compression);
    let Ok(length) = u32::try_from(message.len()) else {
        return Verdict::TooLarge { why: "larger than a gRPC message can be".to_string() };
    };
    let mut prefix = BytesMut::with_capacity(PREFIX);
    prefix.put_u8(u8::from(encoding.is_some()));
    prefix.put_u32(length);
    let mut request = Request::new(outgoing(prefix.freeze(), message));
    *request.method_mut() = Method::POST;
    *request.uri_mut() = target.uri(batch.signal);
    let headers = request.headers_mut();
    headers.extend(target.headers.clone());
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    headers.insert(TE, HeaderValue::from_static("trailers"));
    if let Some(encoding) = encoding {
        headers.insert("grpc-encoding", HeaderValue::from_static(encoding));
    }
    // At most eight digits: beyond that the server has no use for it.
    if let Ok(timeout) = HeaderValue::try_from(format!("{}m", target.timeout.as_millis().min(99_999_999))) {
        headers.insert("grpc-timeout", timeout);
    }
    if let Ok(id) = HeaderValue::from_str(batch.id()) {
        headers.insert(BATCH_ID, id);
    }
    let response = match target.client.request(request).await {
        Ok(response) => response,
        Err(e) => return Verdict::retry(chain(&e)),
    };
    let (head, body) = response.into_parts();
    // A call that fails at once has its status in the head, without a body.
    if let Some(refusal) = status(&head.headers).filter(|r| r.code != 0) {
        return verdict::grpc(refusal);
    }
    let (body, trailers) = match read(body).await {
        Ok(read) => read,
        Err(ReadError::TooLarge) => return Verdict::response_too_large(),
        Err(ReadError::Broken(why)) => return Verdict::retry(why),
    };
    let end = trailers.as_ref().and_then(status).or_else(|| status(&head.headers));
    match end {
        Some(refusal) if refusal.code != 0 => verdict::grpc(refusal),
        Some(_) => Verdict::taken(answer(body)),
        None => {
            let http = head.status.as_u16();
            let message = format!("no gRPC status in an answer with HTTP status {http}");
            verdict::grpc(Refusal { code: verdict::grpc_code_of(http), message, retry_after: None })
        }
    }
}

/// The message of a call that succeeded. Compressed ones were not asked for; one that cannot be read is no
/// reason to doubt the status.
fn answer(body: Bytes) -> Answer {
    match body.first() {
        Some(0) if body.len() >= PREFIX => {
            let length = u32::from_be_bytes([body[1], body[2], body[3], body[4]]) as usize;
            let end = (PREFIX + length).min(body.len());
            decode_response(body.slice(PREFIX..end)).unwrap_or_default()
        }
        _ => Answer::default(),
    }
}

/// `grpc-status`, `grpc-message` and `grpc-status-details-bin` of a head or of trailers.
fn status(headers: &HeaderMap) -> Option<Refusal> {
    let text = |name: &str| headers.get(name).and_then(|v| v.to_str().ok());
    // A status that is no number is none of those that may be retried.
    let code = text("grpc-status")?.trim().parse().unwrap_or(2);
    let details = text("grpc-status-details-bin").and_then(base64).and_then(|b| decode_status(b.into()).ok());
    let message = percent_decoded(text("grpc-message").unwrap_or_default());
    Some(Refusal { code, message, retry_after: details.and_then(|d| d.retry_after) })
}

/// Percent-encoded UTF-8, as `grpc-message` is; a broken escape stays as it is, the rest is cut at 512 bytes.
fn percent_decoded(s: &str) -> String {
    let mut out = Vec::with_capacity(s.len());
    let mut rest = s.as_bytes();
    while let Some((&first, tail)) = rest.split_first() {
        let escaped = (first == b'%').then(|| tail.get(..2)).flatten();
        let byte = escaped
            .and_then(|hex| std::str::from_utf8(hex).ok())
            .and_then(|h| u8::from_str_radix(h, 16).ok());
        match byte {
            Some(byte) => {
                out.push(byte);
                rest = &tail[2..];
            }
            None => {
                out.push(first);
                rest = tail;
            }
        }
    }
    let text = String::from_utf8_lossy(&out);
    text[..text.floor_char_boundary(512)].to_string()
}

/// Base64 with or without padding (RFC 4648, section 4); `None` for anything else.
fn base64(s: &str) -> Option<Vec<u8>> {
    let digits = s.trim_end_matches('=').as_bytes();
    let mut out = Vec::with_capacity(digits.len() * 3 / 4);
    for chunk in digits.chunks(4) {
        let mut group = 0u32;
        for d in chunk {
            group = group << 6 | u32::from(digit(*d)?);
        }
        let bits = chunk.len() * 6;
        if bits < 8 {
            return None;
        }
        let bytes = (group << (32 - bits)).to_be_bytes();
        out.extend_from_slice(&bytes[..bits / 8]);
    }
    Some(out)
}

fn digit(c: u8) -> Option<u8> {
    match c {
        b'A'..=b'Z' => Some(c - b'A'),
        b'a'..=b'z' => Some(c - b'a' + 26),
        b'0'..=b'9' => Some(c - b'0' + 52),
        b'+' | b'-' => Some(62),
        b'/' | b'_' => Some(63),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;
    use telegen_otlp::encode_status;

    #[test]
    fn base64_is_read_with_and_without_padding() {
        let cases =
            [("", ""), ("Zg", "f"), ("Zg==", "f"), ("Zm8=", "fo"), ("Zm9v", "foo"), ("Zm9vYmFy", "foobar")];
        for (text, want) in cases {
            assert_eq!(base64(text).as_deref(), Some(want.as_bytes()), "{text}");
        }
        assert_eq!((base64("Z"), base64("Zm9v!")), (None, None));
        assert_eq!(base64("+/8"), base64("-_8"));
    }

    #[test]
    fn a_message_is_percent_decoded_and_always_text() {
        assert_eq!(percent_decoded("a%20b%C3%A9%zz%4"), "a bé%zz%4");
        assert_eq!(percent_decoded("%FF"), "\u{fffd}");
        assert_eq!(percent_decoded(&"é".repeat(600)).len(), 512);
    }

    #[test]
    fn a_status_is_read_with_its_details() {
        let refusal =
            Refusal { code: 8, message: "busy now".into(), retry_after: Some(Duration::from_millis(1500)) };
        let details = encode_status(&refusal);
        let mut headers = HeaderMap::new();
        assert_eq!(status(&headers), None);
        headers.insert("grpc-status", HeaderValue::from_static("8"));
        headers.insert("grpc-message", HeaderValue::from_static("busy%20now"));
        let mut text = String::new();
        const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
        for chunk in details.chunks(3) {
            let group = chunk.iter().fold(0u32, |n, b| n << 8 | u32::from(*b)) << (8 * (3 - chunk.len()));
            (0..=chunk.len())
                .for_each(|p| text.push(char::from(DIGITS[(group >> (18 - 6 * p) & 63) as usize])));
        }
        headers.insert("grpc-status-details-bin", HeaderValue::try_from(text).unwrap());
        assert_eq!(status(&headers), Some(refusal));
        headers.insert("grpc-status", HeaderValue::from_static("what"));
        assert_eq!(status(&headers).unwrap().code, 2);
    }

    #[test]
    fn an_answer_that_is_cut_or_compressed_is_taken_as_empty() {
        assert_eq!(answer(Bytes::new()), Answer::default());
        assert_eq!(answer(Bytes::from_static(&[0, 0, 0, 0])), Answer::default());
        assert_eq!(answer(Bytes::from_static(&[1, 0, 0, 0, 2, 9, 9])), Answer::default());
        let partial = [0, 0, 0, 0, 4, 0x0a, 0x02, 0x08, 0x07];
        assert_eq!(answer(Bytes::copy_from_slice(&partial)).rejected, 7);
    }
}
