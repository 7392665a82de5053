//! Prometheus scrapes the agent: it has every value that the agent shows, counts and sums are those of the spans, and
//! it gives back exemplars that are spans.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;
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

/// Its checker has nothing to say about an exposition, Telegen's own metrics with it.
fn promtool_finds_nothing(exposition: &str) {
    let mut check = Command::new("promtool");
    let piped =
        check.args(["check", "metrics"]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = piped.spawn().unwrap();
    child.stdin.take().unwrap().write_all(exposition.as_bytes()).unwrap();
    let out = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&[out.stdout, out.stderr].concat()).into_owned();
    assert!(out.status.success() && said.is_empty(), "{said}");
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
    // Status, trace id, span id and seconds of what is stored.
    let exemplars = || {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
        let query = encoded(&format!("{name}_bucket{{job=\"nginx\"}}"));
        let path = format!("/api/v1/query_exemplars?query={query}&start={}&end={}", now - 600, now + 60);
        let list = ask(port, &path);
        let text = |v: &Value| v.as_str().unwrap_or_default().to_owned();
        let mut all = BTreeSet::new();
        for series in list.as_array().into_iter().flatten() {
            let status = text(&series["seriesLabels"]["http_response_status_code"]);
            for e in series["exemplars"].as_array().into_iter().flatten() {
                let labels = &e["labels"];
                all.insert([
                    status.clone(),
                    text(&labels["trace_id"]),
                    text(&labels["span_id"]),
                    text(&e["value"]),
                ]);
            }
        }
        all
    };
    let end = Instant::now() + Duration::from_secs(60);
    // A span is an exemplar when it has left: some turns after it was counted.
    let settled = || {
        let counted = of(&format!("{name}_count"), "200", "").as_deref() == Some("29");
        counted && ["200", "404"].iter().all(|status| exemplars().iter().any(|e| e[0] == *status))
    };
    while !settled() {
        assert!(
            Instant::now() < end,
            "it was not scraped, or no exemplars: {:?}\n{}",
            exemplars(),
            agent.get("/metrics")
        );
        std::thread::sleep(Duration::from_millis(200));
    }
    let exemplars = exemplars();
    for (status, n) in [("200", "29"), ("404", "8")] {
        assert_eq!(of(&format!("{name}_count"), status, "").as_deref(), Some(n));
        assert_eq!(of(&format!("{name}_bucket"), status, ",le=\"+Inf\"").as_deref(), Some(n));
    }
    let sum: f64 = value(port, &format!("sum({name}_sum{{job=\"nginx\"}})")).unwrap().parse().unwrap();
    assert_eq!(value(port, "count(up{job=\"telegen\"} == 1)").as_deref(), Some("1"));
    // Nothing is asked of nginx any more: the next scrape at the latest has what is shown.
    loop {
        let (shown, stored) = (shown(&agent.get("/metrics")), stored(port));
        assert!(shown.len() > 60 && shown.keys().any(|k| k.starts_with("target_info")), "{shown:#?}");
        if stored == shown {
            break;
        }
        assert!(Instant::now() < end, "stored {stored:#?}\nshown {shown:#?}");
        std::thread::sleep(Duration::from_millis(200));
    }
    drop(prometheus);
    promtool_finds_nothing(&agent.get("/metrics"));
    let told = agent.stop();
    let spans: Vec<_> = told.spans.iter().filter(|s| s.is_server() && s.service() == "nginx").collect();
    assert_eq!(spans.len(), 37);
    let took: f64 = spans.iter().map(|s| s.ms()).sum::<f64>() / 1000.0;
    assert!((sum - took).abs() < 1e-6, "{sum} {took}");
    for [status, trace, span, seconds] in exemplars {
        let found = spans.iter().find(|s| s.trace_id == trace && s.span_id == span);
        let found = found.unwrap_or_else(|| panic!("exemplar {trace} {span} is no span"));
        assert_eq!(found.attr("http.response.status_code"), status);
        assert!((seconds.parse::<f64>().unwrap() - found.ms() / 1000.0).abs() < 1e-9, "{seconds}");
    }
}

/// Series of nginx as the agent shows them, name and labels in order, with their values.
fn shown(text: &str) -> BTreeMap<String, f64> {
    let mut all = BTreeMap::new();
    for line in text.lines().filter(|l| !l.starts_with('#') && l.contains("job=\"nginx\"")) {
        let (series, value) = line.rsplit_once(' ').unwrap();
        let (name, labels) = series.split_once('{').unwrap();
        // No value of these labels has a comma or a quote in it.
        let labels = labels.trim_end_matches('}').split("\",").map(|l| l.split_once("=\"").unwrap());
        let labels = labels.map(|(k, v)| (k.to_owned(), v.trim_end_matches('"').to_owned()));
        all.insert(key(name, labels.collect()), value.parse().unwrap());
    }
    all
}

/// The same as Prometheus has it.
fn stored(port: u16) -> BTreeMap<String, f64> {
    let data = ask(port, &format!("/api/v1/query?query={}", encoded("{job=\"nginx\"}")));
    let mut all = BTreeMap::new();
    for series in data["result"].as_array().into_iter().flatten() {
        let mut labels: BTreeMap<String, String> = serde_json::from_value(series["metric"].clone()).unwrap();
        let name = labels.remove("__name__").unwrap();
        all.insert(key(&name, labels), series["value"][1].as_str().unwrap().parse().unwrap());
    }
    all
}

/// A series' name and labels. Prometheus writes whole bounds without a point, and drops labels without a value.
fn key(name: &str, mut labels: BTreeMap<String, String>) -> String {
    labels.retain(|_, v| !v.is_empty());
    if let Some(bound) = labels.get_mut("le").filter(|b| *b != "+Inf") {
        *bound = bound.parse::<f64>().unwrap().to_string();
    }
    format!("{name} {labels:?}")
}
