//! What the page's store costs: `cost [SPANS_A_SECOND]`. Time goes by as fast as it can.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::cast_precision_loss,
    reason = "an example talks to its user"
)]

use std::sync::Arc;
use std::time::Instant;

use telegen_model::{
    HistogramPoint, KeyValue, Metric, MetricData, Records, Resource, ResourceGroup, Scope, Span, SpanId,
    SpanKind, SpanStatus, Str, Temporality, TraceId, Value, semconv as s,
};
use telegen_selfmon::{BuildInfo, SelfMon};
use telegen_view::{About, View};

const BOUNDS: [f64; 14] = [0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0];
const S: u64 = 1_000_000_000;
const SECONDS: u64 = 60;

fn resource(i: usize) -> Arc<Resource> {
    let name = format!("service-{i}");
    Arc::new(Resource::new(vec![
        KeyValue::new(s::SERVICE_NAME, name.as_str()),
        KeyValue::new(s::SERVICE_INSTANCE_ID, name.as_str()),
    ]))
}

/// A random number of a counter (SplitMix64).
fn mix(n: u64) -> u64 {
    let mut z = n.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z ^ (z >> 27)
}

fn span(n: u64, kind: SpanKind, now: u64) -> Span {
    let trace = mix(n / 2);
    Span {
        trace_id: TraceId((u128::from(trace) << 64 | u128::from(mix(trace))).to_be_bytes()),
        span_id: SpanId((mix(n) | 1).to_be_bytes()),
        parent_id: if n % 2 == 1 { SpanId((mix(n - 1) | 1).to_be_bytes()) } else { SpanId::ZERO },
        trace_state: Str::default(),
        flags: 1,
        name: Str::new("GET /items/{id}"),
        kind,
        start: now,
        end: now + mix(n) % 5_000_000,
        attrs: vec![
            KeyValue::new(s::HTTP_REQUEST_METHOD, "GET"),
            KeyValue::new(s::URL_PATH, "/items/48151"),
            KeyValue::new(s::HTTP_RESPONSE_STATUS_CODE, Value::Int(200)),
            KeyValue::new(s::SERVER_ADDRESS, "10.0.4.7"),
            KeyValue::new(s::SERVER_PORT, Value::Int(8080)),
        ],
        events: Vec::new(),
        links: Vec::new(),
        status: SpanStatus::Unset,
        status_message: Str::default(),
    }
}

fn reading(services: usize, routes: usize, start: u64, n: u64) -> Vec<ResourceGroup> {
    let scope = Scope { name: Str::new("telegen/trace"), version: Str::new("1") };
    let point = |r: usize| HistogramPoint {
        attrs: [
            KeyValue::new(s::HTTP_REQUEST_METHOD, "GET"),
            KeyValue::new(s::HTTP_ROUTE, format!("/route/{r}")),
        ]
        .into(),
        start,
        time: start,
        count: n,
        sum: 0.0,
        min: None,
        max: None,
        bounds: BOUNDS.into(),
        counts: vec![n; 15],
        exemplars: Vec::new(),
    };
    let group = |i| ResourceGroup {
        resource: resource(i),
        scope: scope.clone(),
        records: Records::Metrics(vec![Metric {
            name: Str::new(s::HTTP_SERVER_REQUEST_DURATION),
            description: Str::default(),
            unit: Str::new("s"),
            data: MetricData::Histogram {
                temporality: Temporality::Cumulative,
                points: (0..routes).map(point).collect(),
            },
        }]),
    };
    (0..services).map(group).collect()
}

fn rss() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|l| l.starts_with("VmRSS")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<f64>().unwrap() / 1024.0
}

fn main() {
    let rate: u64 = std::env::args().nth(1).map_or(60_000, |t| t.parse().unwrap());
    let now = 1_732_000_000 * S;
    let view = View::new(16 << 20, &SelfMon::new(BuildInfo::default()), About::default());
    let before = rss();
    let (mut took, mut spans) = (0.0, 0);
    for second in 0..SECONDS {
        for part in 0..20 {
            let at = now + second * S + part * S / 20;
            let first = second * rate + part * (rate / 20);
            let made = |service: usize, kind: SpanKind, odd: u64| ResourceGroup {
                resource: resource(service),
                scope: Scope { name: Str::new("telegen/trace"), version: Str::new("1") },
                records: Records::Spans(
                    (first..first + rate / 20).filter(|n| n % 2 == odd).map(|n| span(n, kind, at)).collect(),
                ),
            };
            let groups = [made(0, SpanKind::Client, 0), made(1, SpanKind::Server, 1)];
            let began = Instant::now();
            view.spans(&groups, at);
            took += began.elapsed().as_secs_f64();
            spans += rate / 20;
        }
    }
    println!("{:<44} {:>10.0} ns", format!("a span, at {rate} spans/s"), took * 1e9 / spans as f64);
    let series = 50 * 40;
    let mut took = 0.0;
    for n in 1..=20 {
        let groups = reading(50, 40, now, n);
        let began = Instant::now();
        view.metrics(&groups, now + (SECONDS + n * 2) * S);
        took += began.elapsed().as_secs_f64();
    }
    println!("{:<44} {:>10.2} ms", format!("a reading of {series} series"), took * 1e3 / 20.0);
    println!("{:<44} {:>10.1} MiB", "memory of it all, 16 MiB allowed", rss() - before);
}
