use std::time::SystemTime;

use bytes::Bytes;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request};
use telegen_otlp::{Answer, decode_response, decode_status};
use telegen_pipeline::Batch;

use super::body::{ReadError, chain, compressed, outgoing, read};
use super::target::Target;
use super::verdict::{self, Verdict};
use crate::Protocol;

/// Name of the batch, the same whenever it is sent again.
pub(super) const BATCH_ID: HeaderName = HeaderName::from_static("telegen-batch-id");

/// One try over HTTP: OTLP specification, "OTLP/HTTP".
pub(super) async fn send(target: &Target, batch: &Batch) -> Verdict {
    let (body, kind) = match target.protocol {
        Protocol::HttpJson => (batch.encoded_json(), "application/json"),
        _ => (batch.encoded(), "application/x-protobuf"),
    };
    let (body, encoding) = compressed(body, target.compression);
    let mut request = Request::new(outgoing(Bytes::new(), body));
    *request.method_mut() = Method::POST;
    *request.uri_mut() = target.uri(batch.signal);
    let headers = request.headers_mut();
    headers.extend(target.headers.clone());
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    if let Some(encoding) = encoding {
        headers.insert(CONTENT_ENCODING, HeaderValue::from_static(encoding));
    }
    if let Ok(id) = HeaderValue::from_str(batch.id()) {
        headers.insert(BATCH_ID, id);
    }
    let response = match target.client.request(request).await {
        Ok(response) => response,
        Err(e) => return Verdict::retry(chain(&e)),
    };
    let (head, body) = response.into_parts();
    let body = match read(body).await {
        Ok((body, _)) => body,
        Err(ReadError::TooLarge) => return Verdict::response_too_large(),
        // The peer may have taken it; sending it again is what at-least-once means.
        Err(ReadError::Broken(why)) if head.status.is_success() => return Verdict::retry(why),
        Err(ReadError::Broken(_)) => Bytes::new(),
    };
    if head.status.is_success() {
        return Verdict::taken(answer(&head.headers, body));
    }
    let after = head.headers.get(RETRY_AFTER).and_then(|v| v.to_str().ok());
    let after = after.and_then(|v| verdict::retry_after(v, SystemTime::now()));
    verdict::http(head.status.as_u16(), after, &said(&head.headers, body))
}

/// What a peer that took the request says. A body that is none of OTLP's is no reason to doubt the status.
fn answer(headers: &HeaderMap, body: Bytes) -> Answer {
    match kind(headers) {
        "application/json" => json_answer(&body),
        _ => decode_response(body).unwrap_or_default(),
    }
}

fn json_answer(body: &[u8]) -> Answer {
    let Ok(json) = serde_json::from_slice::<serde_json::Value>(body) else { return Answer::default() };
    let partial = &json["partialSuccess"];
    let rejected = ["rejectedSpans", "rejectedDataPoints", "rejectedLogRecords", "rejectedProfiles"]
        .iter()
        .find_map(|key| partial.get(key))
        // A 64-bit integer is a string in proto3 JSON; numbers are accepted on reading.
        .and_then(|n| n.as_u64().or_else(|| n.as_str()?.parse().ok()))
        .unwrap_or(0);
    Answer { rejected, message: short(partial["errorMessage"].as_str().unwrap_or_default()) }
}

/// The reason that an error's body gives, cut short.
fn said(headers: &HeaderMap, body: Bytes) -> String {
    match kind(headers) {
        "application/x-protobuf" => decode_status(body).map(|s| s.message).unwrap_or_default(),
        "application/json" => {
            let json = serde_json::from_slice::<serde_json::Value>(&body).unwrap_or_default();
            short(json["message"].as_str().unwrap_or_default())
        }
        "text/plain" => short(String::from_utf8_lossy(&body).trim()),
        _ => String::new(),
    }
}

fn kind(headers: &HeaderMap) -> &str {
    let kind = headers.get(CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or_default();
    kind.split(';').next().unwrap_or_default().trim()
}

fn short(s: &str) -> String {
    s[..s.floor_char_boundary(512)].to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_json_answer_is_read_with_the_count_as_text_or_number() {
        let answer = |json: &str| json_answer(json.as_bytes());
        let want = |rejected, message: &str| Answer { rejected, message: message.to_string() };
        assert_eq!(answer(r#"{"partialSuccess":{"rejectedSpans":"3","errorMessage":"m"}}"#), want(3, "m"));
        assert_eq!(answer(r#"{"partialSuccess":{"rejectedLogRecords":2}}"#), want(2, ""));
        assert_eq!(answer(r#"{"partialSuccess":{"errorMessage":"w"}}"#), want(0, "w"));
        for odd in ["{}", "", "[]", "null", r#"{"partialSuccess":{"rejectedSpans":-1}}"#, "<html>"] {
            assert_eq!(answer(odd), want(0, ""), "{odd}");
        }
    }

    #[test]
    fn what_an_error_says_is_read_by_its_content_type_and_cut() {
        let said = |kind: &'static str, body: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
            said(&headers, Bytes::copy_from_slice(body.as_bytes()))
        };
        assert_eq!(said("application/json; charset=utf-8", r#"{"code":3,"message":"bad"}"#), "bad");
        assert_eq!(said("text/plain", " over quota\n"), "over quota");
        assert_eq!(said("text/html", "<h1>no</h1>"), "");
        assert_eq!(said("text/plain", &"é".repeat(400)).len(), 512);
        assert_eq!(said("application/x-protobuf", "\u{8}\u{3}\u{12}\u{3}bad"), "bad");
    }
}
