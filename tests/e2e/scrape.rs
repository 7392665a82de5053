//! Prometheus scrapes the agent: counts and sums are those of the spans, and so are the exemplars that it has.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde_json::Value;

use crate::harness::{Agent, Server, free_port, get, nginx};

const PROMETHEUS: &str = "/usr/bin/prometheus";

fn ask(port: u16, path: &str) -> Value {
    serde_json::from_str::<Value>(&get(port, path).1).unwrap_or_default()["data"].clone()
}

fn encoded(query: &str) -> String {
    query
        .bytes()
        .map(|b| {
            if b.is_ascii_alphanumeric() || b == b'_' { (b as char).to_string() } else { format!("%{b:02X}") }
        })
        .collect()
}

/// The value of a query with one answer.
fn value(port: u16, query: &str) -> Option<String> {
    let data = ask(port, &format!("/api/v1/query?query={}", encoded(query)));
    Some(data["result"][0]["value"][1].as_str()?.to_owned())
}

#[test]
fn prometheus_scrapes_counts_and_sums_that_are_those_of_the_spans() {
    if !Path::new(PROMETHEUS).exists() {
        println!("SKIPPED the scrape by Prometheus: it is not installed");
        return;
    }
    let web = nginx(
        "server { listen 127.0.0.1:$PORT; location / { return 200 hello; } location /no { return 404; } }",
    );
    let Some(agent) =
        Agent::start("the scrape by Prometheus", "export: { file: { path: $OUT }, prometheus: {} }\n")
    else {
        return;
    };
    let (dir, port) = (tempfile::tempdir().unwrap(), free_port());
    let config = dir.path().join("prometheus.yaml");
    let text = format!(
        "global: {{ scrape_interval: 1s }}\nscrape_configs: [ {{ job_name: telegen, honor_labels: true, static_configs: [ {{ targets: ['127.0.0.1:{}'] }} ] }} ]\n",
        agent.api
    );
    std::fs::write(&config, text).unwrap();
    let path = dir.path().display().to_string();
    let mut command = Command::new(PROMETHEUS);
    command
        .arg(format!("--config.file={path}/prometheus.yaml"))
        .arg(format!("--storage.tsdb.path={path}/tsdb"))
        .arg(format!("--web.listen-address=127.0.0.1:{port}"))
        .args(["--enable-feature=exemplar-storage", "--log.level=error"])
        .stderr(Stdio::null());
    let prometheus = Server::start(port, dir, &mut command);
    let of = |name: &str, status: &str, more: &str| {
        value(port, &format!("sum({name}{{job=\"nginx\",http_response_status_code=\"{status}\"{more}}})"))
    };
    let name = "http_server_request_duration_seconds";
    for n in 0..37 {
        assert_eq!(
            get(web.port, if n % 5 == 0 { "/no" } else { "/yes" }).0,
            if n % 5 == 0 { 404 } else { 200 }
        );
    }
    let exemplars = || {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
        let query = encoded(&format!("{name}_bucket{{job=\"nginx\"}}"));
        let path = format!("/api/v1/query_exemplars?query={query}&start={}&end={}", now - 600, now + 60);
        let list = ask(port, &path);
        let series = list.as_array().cloned().unwrap_or_default();
        let all = series.iter().flat_map(|one| one["exemplars"].as_array().cloned().unwrap_or_default());
        let label = |e: &Value, name: &str| e["labels"][name].as_str().unwrap_or_default().to_owned();
        all.map(|e| (label(&e, "trace_id"), label(&e, "span_id"))).collect::<BTreeSet<_>>()
    };
    let end = Instant::now() + Duration::from_secs(60);
    while of(&format!("{name}_count"), "200", "").as_deref() != Some("29") {
        assert!(Instant::now() < end, "it was not scraped:\n{}", agent.get("/metrics"));
        std::thread::sleep(Duration::from_millis(200));
    }
    let exemplars = exemplars();
    for (status, n) in [("200", "29"), ("404", "8")] {
        assert_eq!(of(&format!("{name}_count"), status, "").as_deref(), Some(n));
        assert_eq!(of(&format!("{name}_bucket"), status, ",le=\"+Inf\"").as_deref(), Some(n));
    }
    let sum: f64 = value(port, &format!("sum({name}_sum{{job=\"nginx\"}})")).unwrap().parse().unwrap();
    assert_eq!(value(port, "count(up{job=\"telegen\"} == 1)").as_deref(), Some("1"));
    drop(prometheus);
    let told = agent.stop();
    let spans: Vec<_> = told.spans.iter().filter(|s| s.is_server() && s.service() == "nginx").collect();
    assert_eq!(spans.len(), 37);
    let took: f64 = spans.iter().map(|s| s.ms()).sum::<f64>() / 1000.0;
    assert!((sum - took).abs() < 1e-6, "{sum} {took}");
    // Prometheus need not have any; those that it has are spans.
    for exemplar in exemplars {
        assert!(
            spans.iter().any(|s| (s.trace_id.clone(), s.span_id.clone()) == exemplar),
            "{exemplar:?} is no span"
        );
    }
}
