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

const LEFT_OUT: &str = concat!(
    "# HELP telegen_prometheus_left_out Series of this scrape whose name or labels were taken, or that count deltas.\n",
    "# TYPE telegen_prometheus_left_out gauge\n",
);

#[test]
fn the_plain_form_is_exact() {
    let labels = "job=\"a/shop\\\"\\n\",instance=\"i\",http_request_method=\"GET\"";
    let expect = [
        "# HELP target_info Attributes of the resource.\n# TYPE target_info gauge\n",
        "target_info{job=\"a/shop\\\"\\n\",instance=\"i\",host_name=\"h\"} 1\n",
        "# HELP http_server_request_duration_seconds D.\n# TYPE http_server_request_duration_seconds histogram\n",
        &format!("http_server_request_duration_seconds_bucket{{{labels},le=\"0.5\"}} 1\n"),
        &format!("http_server_request_duration_seconds_bucket{{{labels},le=\"1.0\"}} 3\n"),
        &format!("http_server_request_duration_seconds_bucket{{{labels},le=\"+Inf\"}} 3\n"),
        &format!("http_server_request_duration_seconds_sum{{{labels}}} 1.25\n"),
        &format!("http_server_request_duration_seconds_count{{{labels}}} 3\n"),
        "# HELP telegen_produced_total Made.\n# TYPE telegen_produced_total counter\n",
        "telegen_produced_total{signal=\"traces\"} 7\n",
        LEFT_OUT,
        "telegen_prometheus_left_out 0\n",
    ];
    assert_eq!(render(&metrics(), Format::Plain), expect.concat());
}

#[test]
fn openmetrics_carries_units_and_exemplars_and_ends_with_eof() {
    let text = render(&metrics(), Format::OpenMetrics);
    let line = text.lines().find(|l| l.contains("le=\"1.0\"")).unwrap();
    let ids = format!("trace_id=\"{}\",span_id=\"{}\"", "ab".repeat(16), "cd".repeat(8));
    assert!(line.ends_with(&format!("3 # {{{ids}}} 0.75 1700000000.123")), "{line}");
    assert!(text.contains("# TYPE telegen_produced counter\ntelegen_produced_total{"), "{text}");
    assert!(text.contains("# UNIT http_server_request_duration_seconds seconds\n"), "{text}");
    assert!(text.ends_with("# EOF\n") && text.contains("# TYPE target info\ntarget_info{"));
}

fn gauge(name: &str, attrs: &[KeyValue], value: f64) -> Metric {
    let point = NumberPoint {
        attrs: attrs.into(),
        start: 0,
        time: 2,
        value: NumberValue::Double(value),
        exemplars: vec![],
    };
    Metric {
        name: name.into(),
        description: "G\\\n.".into(),
        unit: "".into(),
        data: MetricData::Gauge(vec![point]),
    }
}

fn sum(name: &str, temporality: Temporality, monotonic: bool) -> Metric {
    let MetricData::Gauge(points) = gauge(name, &[], 1.0).data else { unreachable!() };
    Metric { data: MetricData::Sum { temporality, monotonic, points }, ..gauge(name, &[], 1.0) }
}

fn own(metrics: Vec<Metric>) -> String {
    render(&[group("telegen/self", metrics)], Format::Plain)
}

#[test]
fn a_series_comes_once_and_a_name_has_one_type() {
    let cumulative = Temporality::Cumulative;
    let text = own(vec![
        gauge("a.b", &[KeyValue::new("k.x", "v")], 1.0),
        gauge("a_b", &[KeyValue::new("k_x", "v")], 2.0),
        gauge("a.b", &[], 3.0),
        sum("a.b", cumulative, true),
        sum("c", cumulative, true),
        gauge("c.total", &[], 4.0),
        gauge("target.info", &[], 5.0),
        sum("d", Temporality::Delta, true),
    ]);
    assert_eq!(
        text,
        [
            "# HELP a_b G\\\\\\n.\n# TYPE a_b gauge\na_b{k_x=\"v\"} 1.0\na_b 3.0\n",
            "# HELP c_total G\\\\\\n.\n# TYPE c_total counter\nc_total 1.0\n",
            LEFT_OUT,
            "telegen_prometheus_left_out 5\n",
        ]
        .concat()
    );
}

#[test]
fn two_descriptions_of_one_target_are_one() {
    let mut other = group("telegen/trace", vec![gauge("b", &[], 1.0)]);
    other.resource = Arc::new(other.resource.with(vec![KeyValue::new("host.name", "other")]));
    let text = render(&[group("telegen/trace", vec![gauge("a", &[], 1.0)]), other], Format::Plain);
    assert_eq!(text.matches("\ntarget_info{").count(), 1);
    assert!(text.contains("host_name=\"h\"") && !text.contains("other"));
}

/// What `promtool check metrics` says; `None` where it is not installed, which is said.
fn promtool(exposition: &str) -> Option<(bool, String)> {
    use std::io::Write;
    use std::process::{Command, Stdio};
    let program = std::env::var_os("PROMTOOL").unwrap_or_else(|| "promtool".into());
    let child = Command::new(program)
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn();
    let Ok(mut child) = child else {
        eprintln!("promtool is not installed (Debian package prometheus): its opinion was not asked");
        return None;
    };
    child.stdin.take().unwrap().write_all(exposition.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    Some((output.status.success(), String::from_utf8_lossy(&said).into_owned()))
}

#[test]
fn promtool_finds_nothing_to_say_about_telemetry_and_own_metrics() {
    let mon = telegen_selfmon::SelfMon::new(telegen_selfmon::BuildInfo::default());
    mon.ledger.produced(telegen_model::Signal::Traces, "tap", 1);
    mon.ledger.discarded(telegen_model::Signal::Traces, "sampled", 1);
    mon.ledger.lost(telegen_model::Signal::Traces, "ring", "ring_full", 1);
    mon.ledger.delivered(telegen_model::Signal::Traces, "otlp", 1);
    mon.features.on("traces");
    let resource = telegen_testkit::records::resource("shop \"\\\n");
    let groups = [
        group(
            "telegen/trace",
            vec![metrics()[1].clone()]
                .into_iter()
                .flat_map(|g| match g.records {
                    Records::Metrics(m) => m,
                    _ => vec![],
                })
                .collect(),
        ),
        telegen_testkit::records::group(&resource, Records::Metrics(telegen_testkit::records::metrics())),
        mon.group(&resource, 1_700_000_000_000_000_000),
    ];
    let text = render(&groups, Format::Plain);
    for name in [
        "telegen_produced_total",
        "telegen_discarded_total",
        "telegen_lost_total",
        "telegen_delivered_total",
        "telegen_in_flight",
        "telegen_feature_enabled",
        "telegen_build_info",
        "process_cpu_seconds_total",
        "process_resident_memory_bytes",
        "process_open_fds",
    ] {
        let own = |l: &str| l.starts_with(name) && !l.contains("job=");
        assert!(text.lines().any(own), "{name} is not there, or has labels of a target");
    }
    if let Some((ok, said)) = promtool(&text) {
        assert!(ok, "{said}");
        // And it does find something where there is something to find.
        assert!(
            !promtool(&text.replacen("# TYPE", "# TIPE", 1).replace("target_info{", "target_info{{"))
                .unwrap()
                .0
        );
    }
}
