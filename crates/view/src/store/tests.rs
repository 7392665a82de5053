use std::sync::Arc;

use telegen_model::{
    Attrs, HistogramPoint, KeyValue, Metric, MetricData, NumberPoint, NumberValue, Records, Resource,
    ResourceGroup, Scope, Span, SpanId, SpanKind, SpanStatus, Str, Temporality, TraceId, Value, semconv as s,
};

use super::Store;
use super::quantile::BOUNDS;
use super::services::{RowKey, Service};
use super::window::Stretch;

const S: u64 = 1_000_000_000;
/// A time at the beginning of a step of every length.
const T: u64 = 1_732_000_020;

fn resource(name: &str) -> Arc<Resource> {
    Arc::new(Resource::new(vec![
        KeyValue::new(s::SERVICE_NAME, name),
        KeyValue::new(s::SERVICE_INSTANCE_ID, "i1"),
    ]))
}

fn scope() -> Scope {
    Scope { name: Str::new("telegen/trace"), version: Str::new("1") }
}

fn histogram(name: &str, attrs: Vec<KeyValue>, start: u64, counts: [u64; 15]) -> Metric {
    let point = HistogramPoint {
        attrs: attrs.into(),
        start,
        time: 0,
        count: counts.iter().sum(),
        sum: 0.0,
        min: None,
        max: None,
        bounds: BOUNDS.into(),
        counts: counts.to_vec(),
        exemplars: Vec::new(),
    };
    Metric {
        name: Str::new(name),
        description: Str::default(),
        unit: Str::new("s"),
        data: MetricData::Histogram { temporality: Temporality::Cumulative, points: vec![point] },
    }
}

fn get(status: i64) -> Vec<KeyValue> {
    vec![
        KeyValue::new(s::HTTP_REQUEST_METHOD, "GET"),
        KeyValue::new(s::HTTP_RESPONSE_STATUS_CODE, Value::Int(status)),
    ]
}

fn metrics(name: &str, list: Vec<Metric>) -> ResourceGroup {
    ResourceGroup { resource: resource(name), scope: scope(), records: Records::Metrics(list) }
}

fn counts(n: u64) -> [u64; 15] {
    let mut counts = [0; 15];
    counts[2] = n;
    counts
}

fn with<T>(store: &Store, name: &str, read: impl Fn(&Service) -> T) -> T {
    let counts = store.counts();
    read(counts.services.find(name, None).unwrap().1)
}

fn served(status: i64, start: u64, n: u64) -> Vec<ResourceGroup> {
    vec![metrics("web", vec![histogram(s::HTTP_SERVER_REQUEST_DURATION, get(status), start, counts(n))])]
}

#[test]
fn cumulative_readings_become_what_came_between_them() {
    let store = Store::new(16 << 20, T * S);
    store.metrics(&served(200, 1, 100), T * S);
    store.metrics(&served(200, 1, 130), (T + 2) * S);
    store.metrics(&served(200, 1, 130), (T + 4) * S);
    assert_eq!(with(&store, "web", |w| w.recent(T + 4)), (130, 0));
    // The series begins anew: a restart counts from zero again.
    store.metrics(&served(200, 2, 5), (T + 6) * S);
    assert_eq!(with(&store, "web", |w| w.recent(T + 6)), (135, 0));
    // After the window it is empty, and an hour later the service is gone.
    assert_eq!(with(&store, "web", |w| w.recent(T + 66)), (0, 0));
    store.metrics(&served(200, 2, 5), (T + 4000) * S);
    assert!(store.counts().services.find("web", None).is_none());
}

#[test]
fn a_clock_that_is_set_back_or_on_does_not_hide_what_comes_after() {
    let store = Store::new(16 << 20, T * S);
    store.metrics(&served(200, 1, 100), T * S);
    let earlier = T - 3 * 3600;
    store.metrics(&served(200, 1, 107), earlier * S);
    assert_eq!(with(&store, "web", |w| w.recent(earlier)), (7, 0));
    assert_eq!(with(&store, "web", |w| w.sum(Stretch::last(900, earlier)).count()), 7);
    let key = RowKey::Route("GET".into(), String::new());
    for seconds in [900, 3600] {
        let row = with(&store, "web", |w| w.rows[&key].sum(Stretch::last(seconds, earlier)).count());
        assert_eq!(row, 7, "{seconds}");
    }
    assert!(store.started() <= earlier * S);
    store.metrics(&served(200, 1, 110), (earlier + 1800) * S);
    assert_eq!(with(&store, "web", |w| w.recent(earlier + 1800)), (3, 0));
}

#[test]
fn errors_are_5xx_and_what_has_an_error_type_and_4xx_only_for_callers() {
    let store = Store::new(16 << 20, T * S);
    let mut reset = get(0);
    reset.push(KeyValue::new(s::ERROR_TYPE, "connection_reset"));
    let list = vec![
        histogram(s::HTTP_SERVER_REQUEST_DURATION, get(200), 1, counts(10)),
        histogram(s::HTTP_SERVER_REQUEST_DURATION, get(404), 1, counts(4)),
        histogram(s::HTTP_SERVER_REQUEST_DURATION, get(503), 1, counts(2)),
        histogram(s::HTTP_SERVER_REQUEST_DURATION, reset, 1, counts(1)),
    ];
    store.metrics(&[metrics("web", list)], T * S);
    assert_eq!(with(&store, "web", |w| w.recent(T)), (17, 3));
    let mut peer = get(404);
    peer.push(KeyValue::new(s::SERVER_ADDRESS, "db"));
    peer.push(KeyValue::new(s::SERVER_PORT, Value::Int(80)));
    store.metrics(
        &[metrics("web", vec![histogram(s::HTTP_CLIENT_REQUEST_DURATION, peer, 1, counts(6))])],
        T * S,
    );
    // Calls are no requests served.
    assert_eq!(with(&store, "web", |w| w.recent(T)), (17, 3));
    let called = with(&store, "web", |w| w.rows[&RowKey::Peer("db".into(), 80)].sum(Stretch::last(60, T)));
    assert_eq!((called.count(), called.errors), (6, 6));
    let got = with(&store, "web", |w| {
        w.rows[&RowKey::Route("GET".into(), String::new())].sum(Stretch::last(60, T))
    });
    assert_eq!((got.count(), got.errors), (17, 3));
}

#[test]
fn bytes_that_are_not_read_are_counted_by_protocol_and_reason() {
    let store = Store::new(16 << 20, T * S);
    let unread = |n: i64| {
        let attrs: Attrs =
            [KeyValue::new("telegen.protocol", "tls"), KeyValue::new("telegen.reason", "encrypted")].into();
        let value = NumberValue::Int(n);
        let points = vec![NumberPoint { attrs, start: 1, time: 0, value, exemplars: Vec::new() }];
        let data = MetricData::Sum { temporality: Temporality::Cumulative, monotonic: true, points };
        let name = Str::new("telegen.traffic.unread");
        vec![metrics("db", vec![Metric { name, description: Str::default(), unit: Str::new("By"), data }])]
    };
    store.metrics(&unread(1_000), T * S);
    store.metrics(&unread(1_500), (T + 2) * S);
    let key = ("tls".to_owned(), "encrypted".to_owned());
    assert_eq!(with(&store, "db", |d| d.unread[&key].total), 1_500);
    assert!(!with(&store, "db", |d| d.serves));
}

#[test]
fn the_service_graph_becomes_edges_and_unlinked_spans_are_counted_by_reason() {
    let store = Store::new(16 << 20, T * S);
    let ends = || vec![KeyValue::new("client", "web"), KeyValue::new("server", "db")];
    let sum = |name: &str, attrs: Vec<KeyValue>, n: i64| {
        let value = NumberValue::Int(n);
        let points =
            vec![NumberPoint { attrs: attrs.into(), start: 1, time: 0, value, exemplars: Vec::new() }];
        let data = MetricData::Sum { temporality: Temporality::Cumulative, monotonic: true, points };
        Metric { name: Str::new(name), description: Str::default(), unit: Str::new("1"), data }
    };
    let reason = vec![KeyValue::new("telegen.reason", "two_open_requests")];
    let reading = |n: u64, failed: i64| {
        vec![metrics(
            "web",
            vec![
                // In whatever order: failures count only with their durations.
                sum("traces_service_graph_request_failed_total", ends(), failed),
                histogram("traces_service_graph_request_client_seconds", ends(), 1, counts(n)),
                histogram("traces_service_graph_request_server_seconds", ends(), 1, counts(n)),
                sum("telegen.spans.unlinked", reason.clone(), 14),
            ],
        )]
    };
    store.metrics(&reading(10, 2), T * S);
    store.metrics(&reading(15, 3), (T + 2) * S);
    let counts = store.counts();
    let flows = counts.edges.flows(&counts.services, Stretch::last(60, T + 2), T + 2);
    assert_eq!(flows.len(), 1);
    let step = flows[0].step.as_ref().unwrap();
    assert_eq!((step.count(), step.errors, flows[0].ends), (15, 3, (true, true)));
    assert_eq!((flows[0].client.name.as_str(), flows[0].server.name.as_str()), ("web", "db"));
    let web = counts.services.find("web", None).unwrap().1;
    assert_eq!(web.unlinked.iter().collect::<Vec<_>>(), [(&"two_open_requests".to_owned(), &14)]);
}

#[test]
fn a_kept_call_and_its_answer_tell_who_is_behind_an_address() {
    let store = Store::new(16 << 20, T * S);
    let mut call = span(1, 2, 0, 5, false);
    call.kind = SpanKind::Client;
    call.attrs.push(KeyValue::new(s::SERVER_ADDRESS, "10.0.0.9"));
    call.attrs.push(KeyValue::new(s::SERVER_PORT, Value::Int(8080)));
    // The answer may come first.
    store.spans(&spans("db", vec![span(1, 3, 2, 1, false)]), T * S);
    store.spans(&spans("web", vec![call]), T * S);
    store.spans(&spans("cache", vec![span(1, 4, 3, 1, false)]), T * S);
    let counts = store.counts();
    let id = |name| counts.services.find(name, None).unwrap().0;
    assert_eq!(counts.edges.behind(id("web"), "10.0.0.9", 8080), Some(id("db")));
    assert_eq!(counts.edges.behind(id("web"), "10.0.0.9", 80), None);
    let flows = counts.edges.flows(&counts.services, Stretch::last(60, T), T);
    // A server that is the parent of another says who calls, not how often.
    assert_eq!((flows.len(), flows[0].client.name.as_str(), flows[0].step.is_none()), (1, "db", true));
}

#[test]
fn an_exponential_histogram_counts_in_the_same_buckets() {
    let store = Store::new(16 << 20, T * S);
    let point = telegen_model::ExponentialHistogramPoint {
        attrs: get(200).into(),
        start: 1,
        time: 0,
        count: 9,
        sum: 0.0,
        min: None,
        max: None,
        scale: 3,
        zero_count: 2,
        // 2^(-3) s = 125 ms and the bucket above it.
        positive_offset: -24,
        positive: vec![3, 4],
        exemplars: Vec::new(),
    };
    let data = MetricData::ExponentialHistogram { temporality: Temporality::Cumulative, points: vec![point] };
    let name = Str::new(s::HTTP_SERVER_REQUEST_DURATION);
    let metric = Metric { name, description: Str::default(), unit: Str::new("s"), data };
    store.metrics(&[metrics("web", vec![metric])], T * S);
    let durations = with(&store, "web", |w| w.durations(T).durations);
    assert_eq!((durations[0], durations[6], durations.iter().sum::<u32>()), (2, 7, 9));
}

#[test]
fn services_are_bounded_and_the_rest_is_counted() {
    let store = Store::new(1 << 20, T * S);
    for i in 0..500 {
        let one = histogram(s::HTTP_SERVER_REQUEST_DURATION, get(200), 1, counts(1));
        store.metrics(&[metrics(&format!("s{i}"), vec![one])], T * S);
    }
    let counts = store.counts();
    let held = counts.services.iter().count() as u64;
    assert!((16..200).contains(&held), "{held}");
    let rows: u64 = counts.services.iter().map(|(_, s)| s.rows.len() as u64).sum();
    let rowless: u64 = counts.services.iter().map(|(_, s)| s.rowless).sum();
    // A service has found no room, or its one row has none.
    assert_eq!(counts.services.refused, (500 - held) + (held - rows));
    assert_eq!(rowless, held - rows);
    assert!(counts.services.used() + counts.readings.used() <= 1 << 20);
}

fn span(trace: u128, id: u64, parent: u64, millis: u64, failed: bool) -> Span {
    Span {
        trace_id: TraceId(trace.to_be_bytes()),
        span_id: SpanId(id.to_be_bytes()),
        parent_id: SpanId(parent.to_be_bytes()),
        trace_state: Str::default(),
        flags: 1,
        name: Str::new("GET"),
        kind: SpanKind::Server,
        start: T * S,
        end: T * S + millis * 1_000_000,
        attrs: vec![KeyValue::new(s::URL_PATH, "/a/path/that/does/not/fit/inline")],
        events: Vec::new(),
        links: Vec::new(),
        status: if failed { SpanStatus::Error } else { SpanStatus::Unset },
        status_message: Str::default(),
    }
}

fn spans(name: &str, list: Vec<Span>) -> Vec<ResourceGroup> {
    vec![ResourceGroup { resource: resource(name), scope: scope(), records: Records::Spans(list) }]
}

fn trace(n: u128) -> TraceId {
    TraceId(n.to_be_bytes())
}

#[test]
fn a_trace_is_put_together_from_all_of_its_spans() {
    let store = Store::new(16 << 20, T * S);
    store.spans(&spans("web", vec![span(1, 2, 1, 5, false), span(1, 1, 0, 10, true)]), T * S);
    store.spans(&spans("db", vec![span(1, 3, 9, 1, false)]), (T + 1) * S);
    let traces = store.traces();
    let one = traces.get(trace(1)).unwrap();
    assert_eq!((one.spans.len(), one.errors, one.end - one.start), (3, 1, 10_000_000));
    assert_eq!(one.root().unwrap().span.span_id, SpanId(1u64.to_be_bytes()));
    assert_eq!(one.changed, traces.changes());
}

#[test]
fn memory_is_bounded_and_failed_traces_stay_longer_than_ordinary_ones() {
    let store = Store::new(1 << 20, T * S);
    store.spans(&spans("web", vec![span(1, 1, 0, 1, true)]), T * S);
    for second in 0..100u64 {
        // Below the rate at which ordinary traces are passed over.
        let list = (0..100).map(|i| span(u128::from(second * 100 + i + 10), 1, 0, 1, false)).collect();
        store.spans(&spans("web", list), (T + second) * S);
    }
    let traces = store.traces();
    assert!(traces.used() <= 1 << 20, "{}", traces.used());
    assert!(traces.get(trace(1)).is_some());
    assert!(traces.get(trace(10)).is_none());
    assert!(traces.get(trace(10_009)).is_some());
    assert_eq!(traces.seen, 10_001);
    assert!(traces.left().is_some());
    let bytes: usize = traces.iter().map(|(_, t)| t.bytes).sum();
    assert_eq!(bytes, traces.used());
}

#[test]
fn a_busy_service_does_not_push_out_a_quiet_one() {
    let store = Store::new(1 << 20, T * S);
    store.spans(&spans("quiet", vec![span(7, 1, 0, 1, false)]), T * S);
    for second in 0..100u64 {
        let list = (0..100).map(|i| span(u128::from(second * 100 + i + 10), 1, 0, 1, false)).collect();
        store.spans(&spans("busy", list), (T + second) * S);
    }
    assert!(store.traces().get(trace(7)).is_some());
}

/// A trace id as random ones are.
fn random(n: u64) -> u128 {
    let mut z = n.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    u128::from(z ^ (z >> 27))
}

#[test]
fn at_high_rates_a_share_of_the_traces_is_kept_and_each_of_them_whole() {
    let store = Store::new(64 << 20, T * S);
    let mut kept_before = 0;
    for second in 0..20u64 {
        if second == 2 {
            // The gate closed at once, not by and by.
            let kept = store.traces().kept - kept_before;
            assert!((100..600).contains(&kept), "{kept} of 20,000 spans were kept in the second second");
        }
        kept_before = store.traces().kept;
        for batch in 0..10u64 {
            let ids = (0..1_000).map(|i| second * 10_000 + batch * 1_000 + i);
            let list = ids
                .flat_map(|n| [span(random(n), 1, 0, 1, false), span(random(n), 2, 1, 1, false)])
                .collect();
            store.spans(&spans("web", list), (T + second) * S);
        }
    }
    let traces = store.traces();
    let last = traces.kept - kept_before;
    assert!((100..2_000).contains(&last), "{last} of 20,000 spans were kept in the last second");
    assert!(traces.passes_over());
    let halves = traces.iter().filter(|(_, t)| t.spans.len() != 2).count();
    assert!(halves <= 1, "{halves} traces are not whole");
}

#[test]
fn one_trace_cannot_take_all_of_the_memory() {
    let store = Store::new(1 << 20, T * S);
    for i in 0..5_000u64 {
        store.spans(&spans("web", vec![span(1, i + 1, 0, 1, true)]), (T + i / 40) * S);
    }
    let traces = store.traces();
    let one = traces.get(trace(1)).unwrap();
    assert!(one.bytes <= (1 << 20) / 4 + 1_000, "{}", one.bytes);
    assert_eq!(one.spans.len() + one.refused as usize, 5_000);
}

#[test]
fn parents_that_go_round_in_a_circle_have_a_root_all_the_same() {
    let store = Store::new(1 << 20, T * S);
    store.spans(
        &spans("web", vec![span(1, 1, 2, 1, false), span(1, 2, 1, 5, false), span(1, 3, 3, 1, false)]),
        T * S,
    );
    assert!(store.traces().get(trace(1)).unwrap().root().is_some());
}

#[test]
fn a_hundred_thousand_random_names_stay_within_the_memory_and_are_counted() {
    let memory = 4 << 20;
    let store = Store::new(memory, T * S);
    for i in 0..1_000u64 {
        let now = (T + i / 100) * S;
        let attr =
            |n: u64, key: &'static str| KeyValue::new(key, format!("\u{202e}<b>{}\0{n}", "x".repeat(40)));
        let reading: Vec<ResourceGroup> = (0..10)
            .map(|j| {
                let n = i * 10 + j;
                let route = vec![attr(n, s::HTTP_REQUEST_METHOD), attr(n, s::HTTP_ROUTE)];
                let peer = vec![attr(n, s::SERVER_ADDRESS)];
                let edge = vec![attr(n, "client"), attr(n + 1, "server")];
                let service = format!("service {} {}", n % 3_000, "y".repeat(100));
                metrics(
                    &service,
                    vec![
                        histogram(s::HTTP_SERVER_REQUEST_DURATION, route, 1, counts(1)),
                        histogram(s::HTTP_CLIENT_REQUEST_DURATION, peer, 1, counts(1)),
                        histogram("traces_service_graph_request_client_seconds", edge, 1, counts(1)),
                    ],
                )
            })
            .collect();
        store.metrics(&reading, now);
        let list = (0..100).map(|j| {
            let mut one = span(random(i * 100 + j), i * 100 + j + 1, 0, 1, j == 0);
            one.name = Str::new(format!("M{} {}", i * 100 + j, "z".repeat(200)));
            one
        });
        store.spans(&spans("flood", list.collect()), now);
    }
    let (counts, traces) = (store.counts(), store.traces());
    let used = counts.services.used() + counts.readings.used() + counts.edges.used();
    assert!(used + traces.used() <= memory + memory / 64, "{used} + {}", traces.used());
    // Series that no longer come make room for others.
    let refused = [counts.services.refused, counts.edges.refused];
    assert!(refused.iter().all(|n| *n > 0), "{refused:?}");
    assert!(counts.services.get(0).is_some() && traces.len() > 0);
}

#[test]
fn packed_spans_are_kept_and_counted_as_others_are() {
    let (typed, packed) = (Store::new(16 << 20, T * S), Store::new(16 << 20, T * S));
    let linked = |s: Span| Span { attrs: vec![KeyValue::new(s::TELEGEN_LINK_METHOD, "tcp_seq")], ..s };
    let all = [span(1, 2, 0, 5, false), linked(span(1, 3, 2, 10, true)), span(2, 4, 0, 9, false)];
    let list = spans("web", all.to_vec());
    typed.spans(&list, T * S);
    let pack = |g: &ResourceGroup| match &g.records {
        Records::Spans(spans) => {
            ResourceGroup { records: Records::Packed(telegen_otlp::pack::pack(spans)), ..g.clone() }
        }
        _ => g.clone(),
    };
    packed.spans(&list.iter().map(pack).collect::<Vec<_>>(), T * S);
    for id in [trace(1), trace(2)] {
        let of = |store: &Store| {
            let traces = store.traces();
            let t = traces.get(id).unwrap();
            let whole: Vec<Span> = t.spans.iter().map(|k| k.whole().unwrap()).collect();
            assert!(t.spans.iter().zip(&whole).all(|(k, w)| k.span == w.head() && k.name() == w.name));
            let own = t.spans.iter().map(|k| k.packed.len()).sum::<usize>();
            assert!(t.bytes > own && t.bytes < own + 1024 * t.spans.len(), "{} {own}", t.bytes);
            (whole, t.inferred(), t.bytes, t.errors, t.start, t.end)
        };
        assert_eq!(of(&packed), of(&typed));
        assert_eq!(of(&packed).0, all.iter().filter(|s| s.trace_id == id).cloned().collect::<Vec<_>>());
        assert_eq!(of(&packed).1, usize::from(id == trace(1)));
    }
    let shape = |store: &Store| with(store, "web", |service| format!("{:?}", service.shape));
    assert_eq!(shape(&packed), shape(&typed));
}
