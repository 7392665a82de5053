//! Records for tests: small, valid, and each one distinguishable.

use std::sync::Arc;

use telegen_model::{
    Exemplar, ExponentialHistogramPoint, HistogramPoint, KeyValue, LogRecord, Metric, MetricData,
    NumberPoint, NumberValue, Records, Resource, ResourceGroup, Scope, Severity, Span, SpanEvent, SpanId,
    SpanKind, SpanLink, SpanStatus, Str, Temporality, TraceId, Value, semconv,
};

/// A resource of a service.
pub fn resource(service: &str) -> Arc<Resource> {
    Arc::new(Resource::new(vec![
        KeyValue::new(semconv::SERVICE_NAME, service),
        KeyValue::new(semconv::SERVICE_INSTANCE_ID, "00000000-0000-5000-8000-000000000001"),
        KeyValue::new(semconv::HOST_NAME, "host-1"),
    ]))
}

/// A group under the scope `telegen/test`.
pub fn group(resource: &Arc<Resource>, records: Records) -> ResourceGroup {
    let scope = Scope { name: Str::const_new("telegen/test"), version: Str::const_new("1") };
    ResourceGroup { resource: resource.clone(), scope, records }
}

/// The `n`-th span: its ids, times and path are made from `n`, so that no two are alike.
pub fn span(n: u64) -> Span {
    let mut trace_id = [0; 16];
    trace_id[8..].copy_from_slice(&(n + 1).to_be_bytes());
    Span {
        trace_id: TraceId(trace_id),
        span_id: SpanId((n + 1).to_be_bytes()),
        parent_id: SpanId::ZERO,
        trace_state: Str::const_new(""),
        flags: 1,
        name: Str::const_new("GET"),
        kind: SpanKind::Server,
        start: 1_700_000_000_000_000_000 + n,
        end: 1_700_000_000_000_500_000 + n,
        attrs: vec![
            KeyValue::new(semconv::HTTP_REQUEST_METHOD, "GET"),
            KeyValue::new(semconv::URL_PATH, format!("/item/{n}")),
            KeyValue::new(semconv::HTTP_RESPONSE_STATUS_CODE, 200i64),
        ],
        events: Vec::new(),
        links: Vec::new(),
        status: SpanStatus::Unset,
        status_message: Str::const_new(""),
    }
}

/// A server span as the HTTP source makes it: 20 attributes.
pub fn http_span(n: u64) -> Span {
    let attrs = vec![
        KeyValue::new(semconv::HTTP_REQUEST_METHOD, Value::constant("GET")),
        KeyValue::new(semconv::URL_PATH, format!("/api/v1/orders/{n}/items")),
        KeyValue::new(semconv::URL_QUERY, "page=2&size=50&token=REDACTED"),
        KeyValue::new(semconv::URL_SCHEME, Value::constant("http")),
        KeyValue::new(semconv::HTTP_RESPONSE_STATUS_CODE, 200i64),
        KeyValue::new(semconv::HTTP_ROUTE, "/api/v1/orders/{id}/items"),
        KeyValue::new(semconv::SERVER_ADDRESS, "shop.example.com"),
        KeyValue::new(semconv::SERVER_PORT, 8080i64),
        KeyValue::new(semconv::CLIENT_ADDRESS, "10.1.2.3"),
        KeyValue::new(semconv::NETWORK_PEER_ADDRESS, "10.1.2.3"),
        KeyValue::new(semconv::NETWORK_PEER_PORT, 51234i64),
        KeyValue::new(semconv::NETWORK_PROTOCOL_VERSION, Value::constant("1.1")),
        KeyValue::new(semconv::NETWORK_TRANSPORT, Value::constant("tcp")),
        KeyValue::new(
            semconv::USER_AGENT_ORIGINAL,
            "Mozilla/5.0 (X11; Linux x86_64) Gecko/20100101 Firefox/128.0",
        ),
        KeyValue::new(semconv::HTTP_REQUEST_BODY_SIZE, 0i64),
        KeyValue::new(semconv::HTTP_RESPONSE_BODY_SIZE, 18_231i64),
        KeyValue::new(semconv::PROCESS_PID, 4242i64),
        KeyValue::new(semconv::PROCESS_EXECUTABLE_NAME, "java"),
        KeyValue::new(semconv::PROCESS_RUNTIME_NAME, "OpenJDK Runtime Environment"),
        KeyValue::new(semconv::TELEGEN_ROUTE_SOURCE, Value::constant("inferred")),
    ];
    Span { attrs, name: Str::const_new("GET /api/v1/orders/{id}/items"), ..span(n) }
}

/// A span with everything that OTLP has.
pub fn full_span() -> Span {
    let nested = Value::Map(vec![
        KeyValue::new("list", Value::Array(vec![Value::Int(-1), Value::Bool(false), Value::constant("")])),
        KeyValue::new("none", Value::Array(Vec::new())),
    ]);
    Span {
        parent_id: SpanId([0xff; 8]),
        trace_state: Str::from("a=1,b=2"),
        flags: 0x301,
        kind: SpanKind::Client,
        attrs: vec![
            KeyValue::new("text", "é\u{0}\"\\\n".repeat(40)),
            KeyValue::new("empty", ""),
            KeyValue::new("int", i64::MIN),
            KeyValue::new("zero", 0i64),
            KeyValue::new("double", -0.25),
            KeyValue::new("bool", true),
            KeyValue::new("bytes", Value::Bytes(bytes::Bytes::from_static(&[0, 255, 128]))),
            KeyValue::new("map", nested),
        ],
        events: vec![
            SpanEvent { time: 7, name: Str::from("first"), attrs: vec![KeyValue::new("k", 1i64)] },
            SpanEvent { time: 8, name: Str::from("second"), attrs: Vec::new() },
        ],
        links: vec![SpanLink {
            trace_id: TraceId([1; 16]),
            span_id: SpanId([2; 8]),
            flags: 0x100,
            attrs: vec![KeyValue::new("why", "batch")],
        }],
        status: SpanStatus::Error,
        status_message: Str::from("broken"),
        ..span(77)
    }
}

/// The `n`-th log record.
pub fn log(n: u64) -> LogRecord {
    LogRecord {
        time: 1_700_000_000_000_000_000 + n,
        observed: 1_700_000_000_000_000_500 + n,
        severity: Severity(9),
        severity_text: Str::from("INFO"),
        body: Value::from(format!("line {n}")),
        attrs: vec![KeyValue::new("log.file.path", "/var/log/app.log")],
        trace_id: TraceId([3; 16]),
        span_id: SpanId([4; 8]),
        event_name: Str::from("app.line"),
    }
}

/// One metric of each kind, with two points each but for the gauges; 8 points together.
pub fn metrics() -> Vec<Metric> {
    let attrs = |v: &str| -> telegen_model::Attrs { vec![KeyValue::new("http.route", v)].into() };
    let exemplar = |value| Exemplar {
        time: 1_700_000_000_000_000_003,
        value,
        trace_id: TraceId([9; 16]),
        span_id: SpanId([8; 8]),
    };
    let number = |v: &str, start, value, exemplars| NumberPoint {
        attrs: attrs(v),
        start,
        time: 1_700_000_000_000_000_009,
        value,
        exemplars,
    };
    let histogram = |v: &str, counts: Vec<u64>| HistogramPoint {
        attrs: attrs(v),
        start: 1_700_000_000_000_000_001,
        time: 1_700_000_000_000_000_009,
        count: counts.iter().sum(),
        sum: 12.5,
        min: Some(0.001),
        max: None,
        bounds: vec![0.005, 0.1, 2.5].into(),
        counts,
        exemplars: vec![exemplar(NumberValue::Double(0.05))],
    };
    let exponential = |v: &str, scale, offset, positive: Vec<u64>| ExponentialHistogramPoint {
        attrs: attrs(v),
        start: 1_700_000_000_000_000_001,
        time: 1_700_000_000_000_000_009,
        count: positive.iter().sum::<u64>() + 2,
        sum: 3.25,
        min: None,
        max: Some(9.0),
        scale,
        zero_count: 2,
        positive_offset: offset,
        positive,
        exemplars: vec![exemplar(NumberValue::Int(4))],
    };
    let cumulative = Temporality::Cumulative;
    let metric = |name: &str, unit: &str, data| Metric {
        name: name.into(),
        description: Str::from("What it tells."),
        unit: unit.into(),
        data,
    };
    vec![
        metric(
            "test.level",
            "By",
            MetricData::Gauge(vec![number("/", 0, NumberValue::Double(-0.5), vec![])]),
        ),
        metric(
            "test.sum",
            "{item}",
            MetricData::Sum {
                temporality: cumulative,
                monotonic: true,
                points: vec![
                    number("/a", 5, NumberValue::Int(i64::MAX), vec![exemplar(NumberValue::Int(1))]),
                    number("/b", 5, NumberValue::Int(0), vec![]),
                ],
            },
        ),
        metric(
            "test.up_down",
            "",
            MetricData::Sum {
                temporality: Temporality::Delta,
                monotonic: false,
                points: vec![number("/", 5, NumberValue::Int(-3), vec![])],
            },
        ),
        metric(
            "test.duration",
            "s",
            MetricData::Histogram {
                temporality: cumulative,
                points: vec![histogram("/a", vec![1, 2, 3, 4]), histogram("/b", vec![0, 0, 0, 0])],
            },
        ),
        metric(
            "test.size",
            "By",
            MetricData::ExponentialHistogram {
                temporality: Temporality::Delta,
                points: vec![
                    exponential("/a", -4, -7, vec![1, 0, u64::from(u32::MAX)]),
                    exponential("/b", 20, 0, vec![]),
                ],
            },
        ),
    ]
}

/// A length-delimited field of protobuf: what no encoder would write can be put together with it.
pub fn field(number: u8, content: &[u8]) -> Vec<u8> {
    let (mut out, mut len) = (vec![number << 3 | 2], content.len());
    while len >= 0x80 {
        out.push(len as u8 | 0x80);
        len >>= 7;
    }
    out.push(len as u8);
    out.extend_from_slice(content);
    out
}
