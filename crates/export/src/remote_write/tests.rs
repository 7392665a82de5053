use prost::Message;
use telegen_model::{Metric, MetricData, Records, Temporality};
use telegen_testkit::records;

use super::message::{Request1, Request2, version_1, version_2};
use super::series::Written;

fn written() -> Written {
    let group = records::group(&records::resource("shop"), Records::Metrics(records::metrics()));
    Written::of(&[std::sync::Arc::new(group)])
}

/// `name{labels} value time` of every series.
fn lines(series: impl IntoIterator<Item = (Vec<(String, String)>, f64, i64)>) -> Vec<String> {
    let line = |(labels, value, time): (Vec<(String, String)>, f64, i64)| {
        assert!(labels.is_sorted(), "{labels:?}");
        format!("{labels:?} {value} {time}")
    };
    series.into_iter().map(line).collect()
}

#[test]
fn both_versions_say_the_same() {
    let written = written();
    assert!(written.series.len() > 10);
    let want = lines(written.series.iter().map(|s| (s.labels.clone(), s.value, s.time)));
    let one = Request1::decode(&version_1(&written)[..]).unwrap();
    let first = one.series.iter().map(|s| {
        let labels = s.labels.iter().map(|l| (l.name.clone(), l.value.clone())).collect();
        (labels, s.samples[0].value, s.samples[0].timestamp)
    });
    assert_eq!(lines(first), want);
    let two = Request2::decode(&version_2(&written)[..]).unwrap();
    assert_eq!(two.symbols[0], "");
    let text = |n: u32| two.symbols[n as usize].clone();
    let second = two.series.iter().map(|s| {
        let labels = s.labels.chunks(2).map(|p| (text(p[0]), text(p[1]))).collect();
        (labels, s.samples[0].value, s.samples[0].timestamp)
    });
    assert_eq!(lines(second), want);
    let kinds: Vec<u32> = two.series.iter().map(|s| s.metadata.unwrap().kind).collect();
    assert!([1, 2, 3, 6].iter().all(|k| kinds.contains(k)), "{kinds:?}");
}

#[test]
fn a_histogram_becomes_buckets_that_add_up_and_end_with_infinity() {
    let written = written();
    let name = |s: &super::series::Series| {
        s.labels.iter().find(|(n, _)| n == "__name__").map(|(_, v)| v.clone()).unwrap_or_default()
    };
    let buckets: Vec<_> = written.series.iter().filter(|s| name(s).ends_with("_bucket")).collect();
    let counts: Vec<_> = written.series.iter().filter(|s| name(s).ends_with("_count")).collect();
    let ends: Vec<f64> = buckets
        .iter()
        .filter(|s| s.labels.contains(&("le".into(), "+Inf".into())))
        .map(|s| s.value)
        .collect();
    assert_eq!(ends, counts.iter().map(|s| s.value).collect::<Vec<_>>());
    assert!(!ends.is_empty());
}

#[test]
fn a_histogram_without_buckets_keeps_its_count() {
    let point = telegen_model::HistogramPoint {
        attrs: Vec::new().into(),
        start: 1,
        time: 2_000_000,
        count: 10,
        sum: 12.5,
        min: None,
        max: None,
        bounds: Vec::new().into(),
        counts: Vec::new(),
        exemplars: Vec::new(),
    };
    let data = MetricData::Histogram { points: vec![point], temporality: Temporality::Cumulative };
    let metric = Metric { name: "took".into(), description: "".into(), unit: "".into(), data };
    let group = records::group(&records::resource("shop"), Records::Metrics(vec![metric]));
    let written = Written::of(&[std::sync::Arc::new(group)]);
    let values: Vec<f64> = written.series.iter().map(|s| s.value).collect();
    // The last bucket, the sum, the count, and the resource.
    assert_eq!(values, [10.0, 12.5, 10.0, 1.0]);
}
