use std::sync::Arc;

use telegen_model::{
    Exemplar, HistogramPoint, KeyValue, Metric, MetricData, NumberPoint, NumberValue, Records, Resource,
    ResourceGroup, Scope, SpanId, Temporality, TraceId,
};

use super::{Format, render};

fn group(scope: &str, metrics: Vec<Metric>) -> ResourceGroup {
    let resource = Resource::new(vec![
        KeyValue::new("service.name", "shop\"\n"),
        KeyValue::new("service.namespace", "a"),
        KeyValue::new("service.instance.id", "i"),
        KeyValue::new("host.name", "h"),
    ]);
    ResourceGroup {
        resource: Arc::new(resource),
        scope: Scope { name: scope.into(), version: "1".into() },
        records: Records::Metrics(metrics),
    }
}

fn metrics() -> Vec<ResourceGroup> {
    let counter = Metric {
        name: "telegen.produced".into(),
        description: "Made.".into(),
        unit: "{item}".into(),
        data: MetricData::Sum {
            temporality: Temporality::Cumulative,
            monotonic: true,
            points: vec![NumberPoint {
                attrs: [KeyValue::new("signal", "traces")].into(),
                start: 1,
                time: 2,
                value: NumberValue::Int(7),
                exemplars: vec![],
            }],
        },
    };
    let histogram = Metric {
        name: "http.server.request.duration".into(),
        description: "D.".into(),
        unit: "s".into(),
        data: MetricData::Histogram {
            temporality: Temporality::Cumulative,
            points: vec![HistogramPoint {
                attrs: [KeyValue::new("http.request.method", "GET")].into(),
                start: 1,
                time: 2,
                count: 3,
                sum: 1.25,
                min: None,
                max: None,
                bounds: [0.5, 1.0].into(),
                counts: vec![1, 2, 0],
                exemplars: vec![Exemplar {
                    time: 1_700_000_000_123_456_789,
                    value: NumberValue::Double(0.75),
                    trace_id: TraceId([0xab; 16]),
                    span_id: SpanId([0xcd; 8]),
                }],
            }],
        },
    };
    vec![group("telegen/self", vec![counter]), group("telegen/trace", vec![histogram])]
}

#[test]
fn the_plain_form_is_exact() {
    let expect = concat!(
        "# HELP target_info Attributes of the resource.\n# TYPE target_info gauge\n",
        "target_info{job=\"a/shop\\\"\\n\",instance=\"i\",host_name=\"h\"} 1\n",
        "# HELP http_server_request_duration_seconds D.\n# TYPE http_server_request_duration_seconds histogram\n",
        "http_server_request_duration_seconds_bucket{job=\"a/shop\\\"\\n\",instance=\"i\",http_request_method=\"GET\",le=\"0.5\"} 1\n",
        "http_server_request_duration_seconds_bucket{job=\"a/shop\\\"\\n\",instance=\"i\",http_request_method=\"GET\",le=\"1.0\"} 3\n",
        "http_server_request_duration_seconds_bucket{job=\"a/shop\\\"\\n\",instance=\"i\",http_request_method=\"GET\",le=\"+Inf\"} 3\n",
        "http_server_request_duration_seconds_sum{job=\"a/shop\\\"\\n\",instance=\"i\",http_request_method=\"GET\"} 1.25\n",
        "http_server_request_duration_seconds_count{job=\"a/shop\\\"\\n\",instance=\"i\",http_request_method=\"GET\"} 3\n",
        "# HELP telegen_produced_total Made.\n# TYPE telegen_produced_total counter\n",
        "telegen_produced_total{signal=\"traces\"} 7\n",
    );
    assert_eq!(render(&metrics(), Format::Plain), expect);
}

#[test]
fn openmetrics_carries_exemplars_and_ends_with_eof() {
    let text = render(&metrics(), Format::OpenMetrics);
    let line = text.lines().find(|l| l.contains("le=\"1.0\"")).unwrap();
    let ids = format!("trace_id=\"{}\",span_id=\"{}\"", "ab".repeat(16), "cd".repeat(8));
    assert!(line.ends_with(&format!("3 # {{{ids}}} 0.75 1700000000.123")), "{line}");
    assert!(text.contains("# TYPE telegen_produced counter\ntelegen_produced_total{"), "{text}");
    assert!(text.ends_with("# EOF\n") && text.contains("# TYPE target info\ntarget_info{"));
}
