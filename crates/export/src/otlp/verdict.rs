use std::borrow::Cow;
use std::time::{Duration, SystemTime};

use telegen_otlp::{Answer, Refusal};
use telegen_pipeline::Outcome;

/// What an answer means, with what the log is to say about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Delivered { warning: String },
    Rejected { n: u64, why: String },
    Retry { after: Option<Duration>, why: String },
    TooLarge { why: String },
    Lost { reason: Cow<'static, str>, why: String },
}

impl Verdict {
    pub(super) fn retry(why: impl Into<String>) -> Verdict {
        Verdict::Retry { after: None, why: why.into() }
    }

    /// The answer is larger than Telegen reads; whether the peer took the request is not known.
    pub(super) fn response_too_large() -> Verdict {
        let why = format!("the answer is larger than {} bytes", super::MAX_ANSWER);
        Verdict::Lost { reason: "response_too_large".into(), why }
    }

    /// A request that the peer took, with what it says about it.
    pub(super) fn taken(answer: Answer) -> Verdict {
        match answer.rejected {
            0 => Verdict::Delivered { warning: answer.message },
            n => Verdict::Rejected { n, why: answer.message },
        }
    }

    /// For a batch of so many items.
    pub(super) fn outcome(self, items: u64) -> Outcome {
        match self {
            Verdict::Delivered { .. } => Outcome::Delivered,
            Verdict::Rejected { n, .. } => Outcome::Rejected { n: n.min(items) },
            Verdict::Retry { after, .. } => Outcome::Retry { after },
            Verdict::TooLarge { .. } => Outcome::TooLarge,
            Verdict::Lost { reason, .. } => Outcome::Lost { n: items, reason },
        }
    }
}

/// gRPC status codes by number.
mod code {
    pub(super) const CANCELLED: i32 = 1;
    pub(super) const DEADLINE_EXCEEDED: i32 = 4;
    pub(super) const RESOURCE_EXHAUSTED: i32 = 8;
    pub(super) const ABORTED: i32 = 10;
    pub(super) const OUT_OF_RANGE: i32 = 11;
    pub(super) const UNAVAILABLE: i32 = 14;
    pub(super) const DATA_LOSS: i32 = 15;
}

/// Reads a gRPC status other than OK: OTLP specification, "OTLP/gRPC Response", failures.
pub(super) fn grpc(refusal: Refusal) -> Verdict {
    use code::*;
    let Refusal { code, message, retry_after } = refusal;
    let why = format!("gRPC status {code}: {message}");
    match code {
        // Servers refuse a large message with one or the other; sending it again as it is would never end.
        RESOURCE_EXHAUSTED | OUT_OF_RANGE if says_too_large(&message) => Verdict::TooLarge { why },
        CANCELLED | DEADLINE_EXCEEDED | ABORTED | OUT_OF_RANGE | UNAVAILABLE | DATA_LOSS => {
            Verdict::Retry { after: retry_after, why }
        }
        // Without RetryInfo the specification has it that the server will not recover.
        RESOURCE_EXHAUSTED if retry_after.is_some() => Verdict::Retry { after: retry_after, why },
        _ => Verdict::Lost { reason: format!("grpc_{code}").into(), why },
    }
}

/// The words in which gRPC servers say that a message exceeds their limit (Go, Rust, Java, C++, .NET).
fn says_too_large(message: &str) -> bool {
    let message = message.to_ascii_lowercase();
    message.contains("message")
        && ["larger than", "too large", "exceeds", "size limit"].iter().any(|words| message.contains(words))
}

/// The gRPC status that an HTTP status stands for when there is no `grpc-status`: gRPC's
/// "HTTP to gRPC Status Code Mapping".
pub(super) fn grpc_code_of(http: u16) -> i32 {
    match http {
        400 => 13,
        401 => 16,
        403 => 7,
        404 => 12,
        429 | 502..=504 => code::UNAVAILABLE,
        _ => 2,
    }
}

/// Reads an HTTP status outside 200 to 299: OTLP specification, "OTLP/HTTP Response", failures.
pub(super) fn http(status: u16, retry_after: Option<Duration>, said: &str) -> Verdict {
    let why = match said {
        "" => format!("HTTP status {status}"),
        said => format!("HTTP status {status}: {said}"),
    };
    match status {
        429 | 502 | 503 | 504 => Verdict::Retry { after: retry_after, why },
        413 => Verdict::TooLarge { why },
        _ => Verdict::Lost { reason: format!("http_{status}").into(), why },
    }
}

/// Reads `Retry-After` (RFC 9110, section 10.2.3): seconds, or a date, which is compared with `now`.
pub(crate) fn retry_after(value: &str, now: SystemTime) -> Option<Duration> {
    let value = value.trim();
    if !value.is_empty() && value.bytes().all(|b| b.is_ascii_digit()) {
        // Too many digits are still a wish to wait very long.
        return Some(Duration::from_secs(value.parse().unwrap_or(u64::from(u32::MAX))));
    }
    let at = httpdate::parse_http_date(value).ok()?;
    Some(at.duration_since(now).unwrap_or(Duration::ZERO))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Option<Duration> = Some(Duration::from_secs(1));

    fn read_grpc(code: i32, message: &str, retry_after: Option<Duration>) -> Outcome {
        grpc(Refusal { code, message: message.to_string(), retry_after }).outcome(5)
    }

    fn lost(reason: &'static str) -> Outcome {
        Outcome::Lost { n: 5, reason: reason.into() }
    }

    #[test]
    fn every_grpc_status_is_retried_or_lost_as_the_specification_says() {
        let retried = [1, 4, 10, 11, 14, 15];
        let lost_for_good = [2, 3, 5, 6, 7, 8, 9, 12, 13, 16];
        assert_eq!(retried.len() + lost_for_good.len(), 16);
        for code in retried {
            assert_eq!(read_grpc(code, "m", None), Outcome::Retry { after: None }, "{code}");
            assert_eq!(read_grpc(code, "m", SECOND), Outcome::Retry { after: SECOND }, "{code}");
        }
        for code in lost_for_good {
            let want = Outcome::Lost { n: 5, reason: format!("grpc_{code}").into() };
            assert_eq!(read_grpc(code, "m", None), want, "{code}");
            let with_info = if code == 8 { Outcome::Retry { after: SECOND } } else { want };
            assert_eq!(read_grpc(code, "m", SECOND), with_info, "{code}");
        }
        assert_eq!(read_grpc(99, "", SECOND), lost("grpc_99"));
    }

    #[test]
    fn a_grpc_server_that_finds_the_message_too_large_gets_it_in_halves() {
        for (code, message) in [
            (8, "grpc: received message larger than max (5000000 vs. 4194304)"),
            (8, "Received message exceeds the maximum configured message size."),
            (8, "gRPC message exceeds maximum size 4194304: 5000000"),
            (8, "Error decompressing: size limit, of 4194304 bytes, exceeded while decompressing message"),
            (11, "Error, decoded message length too large: found 5000000 bytes, the limit is: 4194304 bytes"),
        ] {
            assert_eq!(read_grpc(code, message, None), Outcome::TooLarge, "{message}");
            assert_eq!(read_grpc(code, message, SECOND), Outcome::TooLarge, "{message}");
        }
        assert_eq!(read_grpc(3, "message too large", None), lost("grpc_3"));
        assert_eq!(read_grpc(8, "quota exceeded", None), lost("grpc_8"));
    }

    #[test]
    fn every_http_status_is_retried_split_or_lost_as_the_specification_says() {
        for status in (300..=599).chain([100, 999]) {
            let want = match status {
                429 | 502 | 503 | 504 => Outcome::Retry { after: SECOND },
                413 => Outcome::TooLarge,
                s => Outcome::Lost { n: 5, reason: format!("http_{s}").into() },
            };
            assert_eq!(http(status, SECOND, "").outcome(5), want, "{status}");
        }
        assert_eq!(http(503, None, "").outcome(5), Outcome::Retry { after: None });
    }

    #[test]
    fn an_http_status_without_a_grpc_status_is_translated() {
        let table = [(400, 13), (401, 16), (403, 7), (404, 12), (429, 14), (502, 14), (503, 14), (504, 14)];
        for (http, grpc) in table.into_iter().chain([(200, 2), (301, 2), (500, 2), (501, 2)]) {
            assert_eq!(grpc_code_of(http), grpc, "{http}");
        }
    }

    #[test]
    fn partial_success_is_rejected_and_a_message_alone_is_a_warning() {
        let answer = |rejected, message: &str| Answer { rejected, message: message.to_string() };
        assert_eq!(Verdict::taken(answer(0, "")).outcome(5), Outcome::Delivered);
        assert_eq!(Verdict::taken(answer(0, "m")), Verdict::Delivered { warning: "m".to_string() });
        assert_eq!(Verdict::taken(answer(3, "m")).outcome(5), Outcome::Rejected { n: 3 });
        assert_eq!(Verdict::taken(answer(9, "m")).outcome(5), Outcome::Rejected { n: 5 });
    }

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let now = httpdate::parse_http_date("Wed, 21 Oct 2015 07:28:00 GMT").unwrap();
        let read = |v| retry_after(v, now);
        assert_eq!(read("120"), Some(Duration::from_secs(120)));
        assert_eq!(read(" 0 "), Some(Duration::ZERO));
        assert_eq!(read("Wed, 21 Oct 2015 07:29:30 GMT"), Some(Duration::from_secs(90)));
        assert_eq!(read("Wed, 21 Oct 2015 07:27:00 GMT"), Some(Duration::ZERO));
        assert_eq!(read("99999999999999999999999"), Some(Duration::from_secs(u64::from(u32::MAX))));
        for nonsense in ["", "-1", "1.5", "soon"] {
            assert_eq!(read(nonsense), None, "{nonsense}");
        }
    }
}
