//! What the encoders write, read by an implementation that is not Telegen's, and by Telegen's own decoder.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test ends where something is wrong")]

mod convert;
mod generate;

use std::sync::Arc;

use bytes::Bytes;
use opentelemetry_proto::tonic::collector::{
    logs::v1::ExportLogsServiceRequest, metrics::v1::ExportMetricsServiceRequest,
    trace::v1::ExportTraceServiceRequest,
};
use proptest::prelude::*;
use prost::Message;
use telegen_model::{Records, ResourceGroup, Scope, Signal};
use telegen_otlp::{Limits, Size, count_items, decode_request, encode_request, json, measure, split};
use telegen_testkit::records;

/// Checks both forms of a request of groups that share no resource.
fn check(groups: &[ResourceGroup]) {
    let signal = groups[0].records.signal();
    let (bytes, text) = (encode_request(groups), json::encode_request(signal, groups));
    assert_eq!(text.iter().filter(|b| **b == b'\n').count(), 0);
    match signal {
        Signal::Traces => {
            let mut want = convert::traces(groups);
            assert_eq!(serde_json::from_slice::<ExportTraceServiceRequest>(&text).unwrap(), want);
            // In protobuf a status with nothing set is not there at all.
            let spans =
                want.resource_spans.iter_mut().flat_map(|r| &mut r.scope_spans).flat_map(|s| &mut s.spans);
            spans.for_each(|s| s.status = s.status.take().filter(|s| s.code != 0 || !s.message.is_empty()));
            assert_eq!(ExportTraceServiceRequest::decode(bytes.clone()).unwrap(), want);
        }
        Signal::Metrics => {
            let want = convert::metrics(groups);
            assert_eq!(ExportMetricsServiceRequest::decode(bytes.clone()).unwrap(), want);
            assert_eq!(serde_json::from_slice::<ExportMetricsServiceRequest>(&text).unwrap(), want);
        }
        Signal::Logs => {
            let want = convert::logs(groups);
            assert_eq!(ExportLogsServiceRequest::decode(bytes.clone()).unwrap(), want);
            assert_eq!(serde_json::from_slice::<ExportLogsServiceRequest>(&text).unwrap(), want);
        }
        Signal::Profiles => unreachable!(),
    }
    let decoded = decode_request(signal, bytes.clone()).unwrap();
    assert_eq!((decoded.groups.as_slice(), decoded.skipped), (groups, 0));
    let size = groups.iter().map(measure).fold(Size::default(), Size::plus);
    assert_eq!(bytes.len(), size.wire);
    assert_eq!(count_items(signal, &bytes), Some(size.items));
}

fn group(records: Records) -> ResourceGroup {
    records::group(&records::resource("shop"), records)
}

#[test]
fn every_field_of_every_record_arrives() {
    check(&[group(Records::Spans(vec![records::span(0), records::full_span(), records::http_span(1)]))]);
    check(&[group(Records::Metrics(records::metrics()))]);
    check(&[group(Records::Logs(vec![records::log(0), records::log(1)]))]);
}

#[test]
fn groups_of_one_resource_and_scope_are_brought_together_in_order() {
    let (a, b) = (records::resource("a"), records::resource("b"));
    let spans = |r: &Arc<_>, scope: &str, ns: &[u64]| ResourceGroup {
        scope: Scope { name: scope.into(), version: "1".into() },
        ..records::group(r, Records::Spans(ns.iter().map(|n| records::span(*n)).collect()))
    };
    let groups = [
        spans(&a, "x", &[1]),
        spans(&b, "x", &[2]),
        spans(&a, "y", &[3]),
        spans(&a, "x", &[4, 5]),
        spans(&b, "x", &[]),
        spans(&b, "x", &[6]),
    ];
    let want = [spans(&a, "x", &[1, 4, 5]), spans(&a, "y", &[3]), spans(&b, "x", &[2, 6])];
    assert_eq!(decode_request(Signal::Traces, encode_request(&groups)).unwrap().groups, want);
    let text = json::encode_request(Signal::Traces, &groups);
    let request: ExportTraceServiceRequest = serde_json::from_slice(&text).unwrap();
    assert_eq!(request.resource_spans.len(), 2);
    assert_eq!(decode_request(Signal::Traces, request.encode_to_vec().into()).unwrap().groups, want);
}

#[test]
fn the_json_form_is_the_one_that_collectors_write_to_files() {
    let mut s = records::span(0);
    s.attrs.truncate(1);
    let text = json::encode_request(Signal::Traces, &[group(Records::Spans(vec![s]))]);
    assert_eq!(
        String::from_utf8_lossy(&text),
        concat!(
            r#"{"resourceSpans":[{"resource":{"attributes":[{"key":"host.name","value":{"stringValue":"host-1"}},"#,
            r#"{"key":"service.instance.id","value":{"stringValue":"00000000-0000-5000-8000-000000000001"}},"#,
            r#"{"key":"service.name","value":{"stringValue":"shop"}}]},"#,
            r#""scopeSpans":[{"scope":{"name":"telegen/test","version":"1"},"#,
            r#""spans":[{"traceId":"00000000000000000000000000000001","spanId":"0000000000000001","parentSpanId":"","#,
            r#""flags":1,"name":"GET","kind":2,"startTimeUnixNano":"1700000000000000000","#,
            r#""endTimeUnixNano":"1700000000000500000","#,
            r#""attributes":[{"key":"http.request.method","value":{"stringValue":"GET"}}],"status":{}}]}]}]}"#,
        )
    );
    assert_eq!(&json::encode_request::<ResourceGroup>(Signal::Logs, &[])[..], br#"{"resourceLogs":[]}"#);
}

#[test]
fn an_empty_request_is_empty() {
    assert_eq!(encode_request::<ResourceGroup>(&[]), Bytes::new());
    assert_eq!(encode_request(&[group(Records::Spans(Vec::new()))]), Bytes::new());
    assert_eq!(count_items(Signal::Traces, &[]), Some(0));
}

#[test]
fn bytes_that_are_no_request_are_an_error_and_not_counted() {
    let whole = encode_request(&[group(Records::Metrics(records::metrics()))]);
    for cut in 1..whole.len() {
        assert!(decode_request(Signal::Metrics, whole.slice(..cut)).is_err(), "{cut}");
        assert_eq!(count_items(Signal::Metrics, &whole[..cut]), None, "{cut}");
    }
    assert!(decode_request(Signal::Profiles, Bytes::new()).is_err());
}

/// Items of requests, flattened to one each, in order.
fn items(requests: &[Vec<ResourceGroup>]) -> Vec<Vec<ResourceGroup>> {
    requests.iter().flat_map(|r| split(r.clone(), Limits { items: 1, wire: usize::MAX })).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_records_arrive(groups in generate::groups()) {
        check(&groups);
    }

    #[test]
    fn splitting_keeps_every_item_in_order_and_every_request_within_its_limits(
        groups in generate::groups(), most in 1usize..20, wire in 0usize..4000,
    ) {
        let before = items(std::slice::from_ref(&groups));
        let parts = split(groups, Limits { items: most, wire });
        prop_assert_eq!(items(&parts), before);
        for part in &parts {
            let size = part.iter().map(measure).fold(Size::default(), Size::plus);
            prop_assert!(size.items <= most);
            prop_assert!(size.wire <= wire || size.items <= 1, "{} of {}", size.wire, wire);
        }
    }

    #[test]
    fn no_bytes_make_the_readers_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        for signal in Signal::ALL {
            count_items(signal, &bytes);
            let _ = decode_request(signal, bytes.clone().into());
        }
        let _ = telegen_otlp::decode_response(bytes.clone().into());
        let _ = telegen_otlp::decode_status(bytes.into());
    }
}
