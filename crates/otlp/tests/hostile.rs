//! Requests that are short and stand for much: what is made of them stays bounded, and no record is lost by it.
#![allow(clippy::unwrap_used, reason = "a test ends where something is wrong")]

use std::sync::Arc;

use bytes::Bytes;
use telegen_model::{MetricData, Records, ResourceGroup, Scope, Signal};
use telegen_otlp::{
    DecodeError, Limits, Malformed, RawGroup, by_trace, count_items, decode_request, encode_request, json,
    measure, raw_groups, raw_memory, split,
};
use telegen_testkit::records::{self, field};

fn group(signal: Signal, bytes: &Bytes) -> ResourceGroup {
    let RawGroup { resource, records } = raw_groups(signal, bytes).unwrap().remove(0);
    let scope = Scope { name: "".into(), version: "".into() };
    ResourceGroup { resource: Arc::new(resource), scope, records: Records::Raw(records) }
}

/// Spans of nothing in a scope of a long name.
fn long_scope(name: usize, spans: usize) -> Bytes {
    let scope = field(1, &field(1, &vec![b'n'; name]));
    let spans = [0x12, 0].repeat(spans);
    field(1, &field(2, &[scope, spans].concat())).into()
}

#[test]
fn a_long_scope_is_not_copied_for_every_few_records() {
    let request = long_scope(4 << 20, 200_000);
    for limits in [Limits { items: 100, wire: 4 << 20 }, Limits { items: 8192, wire: 1 << 20 }] {
        let parts = split(vec![group(Signal::Traces, &request)], limits);
        let (items, wire) = parts
            .iter()
            .flatten()
            .map(measure)
            .fold((0, 0), |sum, size| (sum.0 + size.items, sum.1 + size.wire));
        assert_eq!(items, 200_000);
        assert!(wire < 3 * request.len(), "{wire}");
    }
    // What is copied little is cut as it was asked for.
    let parts =
        split(vec![group(Signal::Traces, &long_scope(10, 1000))], Limits { items: 10, wire: 4 << 20 });
    assert_eq!(parts.len(), 100);
}

#[test]
fn small_scopes_share_a_piece() {
    let scopes: Vec<u8> = (0..1000u32)
        .flat_map(|n| {
            field(2, &[field(1, &field(1, &n.to_be_bytes().map(|b| b & 0x7f))), vec![0x12, 0]].concat())
        })
        .collect();
    let request: Bytes = field(1, &scopes).into();
    let parts = split(vec![group(Signal::Traces, &request)], Limits { items: 100, wire: 4 << 20 });
    assert_eq!(parts.len(), 10);
    let mut names = Vec::new();
    for part in &parts {
        let read = decode_request(Signal::Traces, encode_request(part)).unwrap();
        names.extend(read.groups.into_iter().map(|g| (g.scope.name, g.records.items())));
    }
    let whole = decode_request(Signal::Traces, request).unwrap();
    let whole: Vec<_> = whole.groups.into_iter().map(|g| (g.scope.name, g.records.items())).collect();
    assert_eq!(names, whole);
}

#[test]
fn a_metric_is_cut_between_its_points_and_keeps_its_name_unit_and_way_of_counting() {
    let metrics = Records::Metrics(records::metrics());
    let bytes = encode_request(&[records::group(&records::resource("shop"), metrics)]);
    let of = |parts: Vec<Vec<ResourceGroup>>| {
        let mut points = Vec::new();
        for part in parts {
            for group in decode_request(Signal::Metrics, encode_request(&part)).unwrap().groups {
                let Records::Metrics(metrics) = group.records else { continue };
                for m in metrics {
                    let how = (m.name.clone(), m.description.clone(), m.unit.clone());
                    let each: Vec<MetricData> = match m.data {
                        MetricData::Gauge(p) => p.into_iter().map(|p| MetricData::Gauge(vec![p])).collect(),
                        MetricData::Sum { temporality, monotonic, points } => points
                            .into_iter()
                            .map(|p| MetricData::Sum { temporality, monotonic, points: vec![p] })
                            .collect(),
                        MetricData::Histogram { temporality, points } => points
                            .into_iter()
                            .map(|p| MetricData::Histogram { temporality, points: vec![p] })
                            .collect(),
                        MetricData::ExponentialHistogram { temporality, points } => points
                            .into_iter()
                            .map(|p| MetricData::ExponentialHistogram { temporality, points: vec![p] })
                            .collect(),
                    };
                    points.extend(each.into_iter().map(|data| (how.clone(), data)));
                }
            }
        }
        points
    };
    let whole = group(Signal::Metrics, &bytes);
    let want = of(vec![vec![whole.clone()]]);
    assert!(want.len() > 4);
    for items in 1..=3 {
        let parts = split(vec![whole.clone()], Limits { items, wire: usize::MAX });
        assert!(parts.iter().all(|p| p.iter().map(|g| g.records.items()).sum::<usize>() <= items));
        assert_eq!(of(parts), want, "{items}");
    }
}

#[test]
fn traces_are_told_apart_until_that_takes_too_much() {
    let span = |trace: u8| field(2, &field(1, &[trace; 16]));
    let of = |name: usize, traces: u8| -> Bytes {
        let spans: Vec<u8> = (1..=traces).flat_map(span).collect();
        field(1, &field(2, &[field(1, &field(1, &vec![b'n'; name])), spans].concat())).into()
    };
    let parts = |bytes: &Bytes| {
        let RawGroup { records, .. } = raw_groups(Signal::Traces, bytes).unwrap().remove(0);
        by_trace(&records, 100)
    };
    assert_eq!(parts(&of(10, 200)).len(), 200);
    let one = parts(&of(1 << 20, 200));
    assert_eq!((one.len(), &one[0].0[..], one[0].1.items), (1, &[1; 16][..], 200));
}

#[test]
fn a_list_of_digits_in_json_is_bounded() {
    let text = |n: usize| {
        let counts = vec!["0"; n].join(",");
        format!(
            r#"{{"resourceMetrics":[{{"scopeMetrics":[{{"metrics":[{{"name":"h","histogram":{{"dataPoints":[{{"bucketCounts":[{counts}]}}]}}}}]}}]}}]}}"#
        )
    };
    let read = json::to_protobuf(Signal::Metrics, text(1000).as_bytes()).unwrap();
    assert_eq!(count_items(Signal::Metrics, &read), Some(1));
    let long = json::to_protobuf(Signal::Metrics, text(2_000_000).as_bytes()).unwrap_err().to_string();
    assert!(long.contains("`bucketCounts` is too long"), "{long}");
}

#[test]
fn two_bytes_that_stand_for_an_attribute_are_counted_before_they_are_read() {
    let empty = |n: usize| [0x0a, 0].repeat(n);
    let with = |resource: Vec<u8>| -> Bytes {
        field(1, &[field(1, &resource), field(2, &[0x12, 0])].concat()).into()
    };
    let usual =
        encode_request(&[records::group(&records::resource("shop"), Records::Spans(vec![records::span(1)]))]);
    assert!(raw_memory(Signal::Traces, &usual).unwrap() < 8 << 10);
    assert!(raw_memory(Signal::Traces, &with(empty(1 << 20))).unwrap() > 100 << 20);
    let array = field(1, &field(2, &field(5, &empty(1 << 20))));
    assert!(raw_memory(Signal::Traces, &with(array)).unwrap() > 30 << 20);
    let resources: Bytes = field(1, &field(2, &[0x12, 0])).repeat(10_000).into();
    assert!(raw_memory(Signal::Traces, &resources).unwrap() > 9 << 20);
    // Passed on as they are; read as records, they would take gigabytes.
    let span = field(2, &[0x4a, 0].repeat(2 << 20));
    let request: Bytes = field(1, &field(2, &span)).into();
    assert!(raw_memory(Signal::Traces, &request).unwrap() < 8 << 10);
    assert_eq!(raw_groups(Signal::Traces, &request).unwrap()[0].records.items, 1);
    let refused = decode_request(Signal::Traces, request).unwrap_err();
    assert!(matches!(refused, DecodeError::Wrong(Malformed::Expands)), "{refused}");
}
