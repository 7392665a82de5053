use super::*;
use telegen_model::{HistogramPoint, NumberValue, SpanId, TraceId};

fn red(max_series: usize, exponential: bool) -> Red {
    Red::new(
        RedSettings { exponential, max_series },
        Scope { name: "telegen/trace".into(), version: "1".into() },
        1000,
    )
}

fn key(side: Side, status: u16) -> SeriesKey {
    SeriesKey { side, method: "GET", status, version: "1.1", error: None, server: None, route: None }
}

fn record(red: &Red, resource: &Arc<Resource>, key: SeriesKey, seconds: f64, now: u64) {
    let exemplar = Exemplar {
        time: now,
        value: NumberValue::Double(seconds),
        trace_id: TraceId([1; 16]),
        span_id: SpanId([2; 8]),
    };
    let request = Request { seconds, request_body: Some(0), response_body: None, now };
    let (series, _) = red.series(resource, &key, now).unwrap();
    if red.record(series, &request) == Recorded::WithExemplar {
        red.exemplify(series, exemplar);
    }
}

/// (metric, count, start, exemplars) of every histogram point.
fn points(groups: &[ResourceGroup]) -> Vec<(String, u64, u64, usize)> {
    let mut out = Vec::new();
    for g in groups {
        let Records::Metrics(metrics) = &g.records else { panic!("metrics") };
        for m in metrics {
            let MetricData::Histogram { points, .. } = &m.data else { panic!("histogram") };
            let add = |p: &HistogramPoint| (m.name.to_string(), p.count, p.start, p.exemplars.len());
            out.extend(points.iter().map(add));
        }
    }
    out.sort();
    out
}

const D: &str = "http.server.request.duration";
const B: &str = "http.server.request.body.size";

#[test]
fn differences_cover_each_request_once_and_totals_all_of_them() {
    let (red, r) = (red(10, false), Arc::new(Resource::default()));
    let delta = Reader::Export { temporality: Temporality::Delta };
    record(&red, &r, key(Side::Server, 200), 0.1, 1500);
    assert_eq!(points(&red.collect(delta, 2000)), [(B.into(), 1, 1500, 0), (D.into(), 1, 1500, 1)]);
    record(&red, &r, key(Side::Server, 200), 0.1, 2500);
    record(&red, &r, key(Side::Server, 200), 0.1, 2600);
    assert_eq!(points(&red.collect(Reader::Peek, 2900))[1], (D.into(), 3, 1500, 1));
    assert_eq!(points(&red.collect(delta, 3000))[1], (D.into(), 2, 2000, 1));
    assert_eq!(points(&red.collect(delta, 4000)), []);
}

#[test]
fn totals_keep_their_start_and_a_peek_changes_nothing() {
    let (red, r) = (red(10, false), Arc::new(Resource::default()));
    let export = Reader::Export { temporality: Temporality::Cumulative };
    record(&red, &r, key(Side::Server, 200), 0.1, 1500);
    assert_eq!(points(&red.collect(Reader::Peek, 1600)), points(&red.collect(export, 1600)));
    record(&red, &r, key(Side::Server, 200), 0.1, 2500);
    assert_eq!(points(&red.collect(export, 3000))[1], (D.into(), 2, 1500, 1));
    assert_eq!(points(&red.collect(export, 3000 + IDLE_NS)).len(), 2);
    assert_eq!(points(&red.collect(export, 3001 + IDLE_NS)), []);
}

#[test]
fn a_scrape_gets_the_last_exemplar_and_an_export_only_those_since_the_one_before() {
    for exponential in [false, true] {
        let (red, r) = (red(10, exponential), Arc::new(Resource::default()));
        let export = Reader::Export { temporality: Temporality::Cumulative };
        let times = |reader, now| {
            let mut times = Vec::new();
            for group in red.collect(reader, now) {
                let Records::Metrics(metrics) = group.records else { panic!("metrics") };
                for data in metrics.into_iter().map(|m| m.data) {
                    match data {
                        MetricData::Histogram { points, .. } => {
                            times.extend(points.iter().flat_map(|p| &p.exemplars).map(|e| e.time));
                        }
                        MetricData::ExponentialHistogram { points, .. } => {
                            times.extend(points.iter().flat_map(|p| &p.exemplars).map(|e| e.time));
                        }
                        other => panic!("{other:?}"),
                    }
                }
            }
            times
        };
        record(&red, &r, key(Side::Server, 200), 0.1, 1500);
        record(&red, &r, key(Side::Server, 200), 0.1, 1600);
        assert_eq!(times(export, 2000), [1500]);
        assert_eq!((times(export, 2100), times(Reader::Peek, 2200)), (vec![], vec![1500]));
        record(&red, &r, key(Side::Server, 200), 0.1, 2500);
        assert_eq!(times(Reader::Peek, 2600), [2500]);
        // Without an export the last one is replaced when it is old.
        record(&red, &r, key(Side::Server, 200), 0.1, 2700);
        assert_eq!(times(Reader::Peek, 2800), [2500]);
        record(&red, &r, key(Side::Server, 200), 0.1, 2501 + 10_000_000_000);
        assert_eq!(times(export, 3000 + 10_000_000_000), [2501 + 10_000_000_000]);
    }
}

#[test]
fn series_beyond_the_bound_are_one_overflow_series_a_side() {
    let (red, r) = (red(2, false), Arc::new(Resource::default()));
    for status in 200..210 {
        record(&red, &r, key(Side::Server, status), 0.1, 1500);
    }
    for status in 200..203 {
        record(&red, &r, key(Side::Client, status), 0.1, 1500);
    }
    let got = points(&red.collect(Reader::Peek, 2000));
    let counts = |name: &str| got.iter().filter(|p| p.0 == name).map(|p| p.1).collect::<Vec<_>>();
    assert_eq!((counts(D), counts("http.client.request.duration")), (vec![1, 1, 8], vec![3]));
    assert_eq!(red.overflowed(), (11, 0));
}

#[test]
fn a_series_that_was_asked_for_does_not_end_before_it_is_used() {
    let (red, r) = (red(10, false), Arc::new(Resource::default()));
    let export = Reader::Export { temporality: Temporality::Cumulative };
    let request = Request { seconds: 0.1, request_body: None, response_body: None, now: 2000 + IDLE_NS };
    record(&red, &r, key(Side::Server, 200), 0.1, 1500);
    let (series, _) = red.series(&r, &key(Side::Server, 200), request.now).unwrap();
    red.collect(export, request.now);
    assert_ne!(red.record(series, &request), Recorded::Ended);
    // One that nobody uses does, and what is remembered of it says so.
    red.collect(export, request.now + IDLE_NS);
    assert_eq!(red.record(series, &request), Recorded::Ended);
}

#[test]
fn another_bound_on_series_holds_from_the_next_one_on() {
    let (red, r) = (red(1, false), Arc::new(Resource::default()));
    let own = |status| red.series(&r, &key(Side::Server, status), 1000).unwrap().1;
    assert_eq!([200, 404].map(own), [true, false]);
    red.set_max_series(2);
    assert_eq!([404, 500].map(own), [true, false]);
    red.set_max_series(1);
    assert_eq!([200, 404, 500].map(own), [true, true, false]);
}
