use std::time::Duration;

use bytes::Bytes;
use prost::Message;

use crate::DecodeError;
use crate::message::{ExportResponse, RetryInfo, Status};

/// Longest text of a peer that is kept, in bytes: it goes to the log.
const MAX_TEXT: usize = 512;

/// What a peer that took a request says about it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answer {
    /// Items it refused for good.
    pub rejected: u64,
    /// Why, or a warning when nothing was refused; cut to 512 bytes.
    pub message: String,
}

/// What a peer that did not take a request says about it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Refusal {
    /// gRPC status code, 0 when not given.
    pub code: i32,
    /// Why; cut to 512 bytes.
    pub message: String,
    /// The wait that it asks for; `Some` also when it names no time, then zero.
    pub retry_after: Option<Duration>,
}

/// Reads an `Export*ServiceResponse`. A negative number of rejected items counts as none.
pub fn decode_response(bytes: Bytes) -> Result<Answer, DecodeError> {
    let partial = ExportResponse::decode(bytes)?.partial_success.unwrap_or_default();
    let rejected = u64::try_from(partial.rejected).unwrap_or(0);
    Ok(Answer { rejected, message: cut(partial.error_message) })
}

/// Reads a `google.rpc.Status` with its `RetryInfo`, as gRPC trailers and HTTP error bodies carry it.
pub fn decode_status(bytes: Bytes) -> Result<Refusal, DecodeError> {
    let status = Status::decode(bytes)?;
    let retry_after = status
        .details
        .iter()
        .find(|any| any.type_url.rsplit('/').next() == Some("google.rpc.RetryInfo"))
        .and_then(|any| RetryInfo::decode(any.value.clone()).ok())
        .map(|info| info.retry_delay.map_or(Duration::ZERO, |d| wait(d.seconds, d.nanos)));
    Ok(Refusal { code: status.code, message: cut(status.message), retry_after })
}

/// Encodes a `google.rpc.Status`, with a `RetryInfo` when a wait is given: for servers.
pub fn encode_status(refusal: &Refusal) -> Bytes {
    let details = refusal.retry_after.map(|after| {
        let seconds = i64::try_from(after.as_secs()).unwrap_or(i64::MAX);
        let delay = crate::message::Duration { seconds, nanos: after.subsec_nanos().cast_signed() };
        crate::message::Any {
            type_url: "type.googleapis.com/google.rpc.RetryInfo".to_string(),
            value: RetryInfo { retry_delay: Some(delay) }.encode_to_vec().into(),
        }
    });
    let (code, message) = (refusal.code, refusal.message.clone());
    Status { code, message, details: details.into_iter().collect() }.encode_to_vec().into()
}

fn wait(seconds: i64, nanos: i32) -> Duration {
    let seconds = Duration::from_secs(u64::try_from(seconds).unwrap_or(0));
    seconds.saturating_add(Duration::from_nanos(u64::try_from(nanos).unwrap_or(0)))
}

fn cut(mut s: String) -> String {
    s.truncate(s.floor_char_boundary(MAX_TEXT));
    s
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_keeps_its_retry_info_among_other_details() {
        for after in [None, Some(Duration::ZERO), Some(Duration::from_millis(2500))] {
            let refusal = Refusal { code: 8, message: "busy".to_string(), retry_after: after };
            let mut status = Status::decode(encode_status(&refusal)).unwrap();
            let other =
                crate::message::Any { type_url: "x/google.rpc.DebugInfo".into(), value: Bytes::from("?") };
            status.details.insert(0, other);
            assert_eq!(decode_status(status.encode_to_vec().into()).unwrap(), refusal);
        }
    }

    #[test]
    fn numbers_no_peer_should_send_do_no_harm() {
        let partial = crate::message::PartialSuccess { rejected: -5, error_message: "é".repeat(300) };
        let answer =
            decode_response(ExportResponse { partial_success: Some(partial) }.encode_to_vec().into())
                .unwrap();
        assert_eq!((answer.rejected, answer.message.len()), (0, 512));
        assert_eq!(wait(-1, -1), Duration::ZERO);
        assert_eq!(wait(i64::MAX, i32::MAX).as_secs(), i64::MAX as u64 + 2);
        assert_eq!(decode_response(Bytes::new()).unwrap(), Answer::default());
        assert!(decode_response(Bytes::from_static(b"<html>")).is_err());
    }
}
