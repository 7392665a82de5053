//! The API behind a real server.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test fails by panicking"
)]

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};
use telegen_model::{
    HistogramPoint, KeyValue, Metric, MetricData, Records, Resource, ResourceGroup, Scope, Signal, Span,
    SpanId, SpanKind, SpanStatus, Str, Temporality, TraceId, Value as Attr, semconv as s,
};
use telegen_pipeline::{Batch, Outcome, Sink};
use telegen_selfmon::{BuildInfo, SelfMon};
use telegen_server::settings::ServerSettings;
use telegen_server::{Running, Server};
use telegen_view::{About, View, Watched};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

struct Page {
    view: View,
    monitor: SelfMon,
    server: Running,
}

async fn page() -> Page {
    let monitor =
        SelfMon::new(BuildInfo { version: "1.2.3".into(), commit: "abc".into(), target: "t".into() });
    let about = About { host: "h1".to_owned(), ..About::default() };
    let view = View::new(16 << 20, &monitor, about);
    let settings = ServerSettings { listen: "127.0.0.1:0".parse().unwrap(), ..ServerSettings::default() };
    let server = Server::new(settings, &monitor).merge(view.api()).merge_shell(view.shell());
    let server = server.start().await.unwrap().unwrap();
    Page { view, monitor, server }
}

impl Page {
    /// Status, head and body of an answer.
    async fn raw(&self, path: &str, headers: &str) -> (u16, String, Vec<u8>) {
        let mut stream = TcpStream::connect(self.server.address()).await.unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n{headers}\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.unwrap();
        let end = answer.windows(4).position(|w| w == b"\r\n\r\n").unwrap() + 4;
        let head = String::from_utf8(answer[..end].to_vec()).unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        (status, head, answer[end..].to_vec())
    }

    async fn get(&self, path: &str) -> (u16, Value) {
        let (status, _, body) = self.raw(path, "").await;
        (status, serde_json::from_slice(&body).unwrap_or_else(|e| panic!("{path}: {e}")))
    }
}

fn now() -> u64 {
    u64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos()).unwrap()
}

fn resource(name: &str) -> Arc<Resource> {
    Arc::new(Resource::new(vec![
        KeyValue::new(s::SERVICE_NAME, name),
        KeyValue::new(s::SERVICE_NAMESPACE, "shop"),
    ]))
}

fn group(name: &str, records: Records) -> ResourceGroup {
    let scope = Scope { name: Str::new("telegen/trace"), version: Str::new("1") };
    ResourceGroup { resource: resource(name), scope, records }
}

fn requests(name: &str, status: i64, bucket: usize, n: u64) -> ResourceGroup {
    let bounds = [0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0];
    let mut counts = vec![0; 15];
    counts[bucket] = n;
    let attrs = [
        KeyValue::new(s::HTTP_REQUEST_METHOD, "GET"),
        KeyValue::new(s::HTTP_RESPONSE_STATUS_CODE, Attr::Int(status)),
    ];
    let point = HistogramPoint {
        attrs: attrs.into(),
        start: 1,
        time: now(),
        count: n,
        sum: 0.0,
        min: None,
        max: None,
        bounds: bounds.into(),
        counts,
        exemplars: Vec::new(),
    };
    let data = MetricData::Histogram { temporality: Temporality::Cumulative, points: vec![point] };
    let name_of = Str::new(s::HTTP_SERVER_REQUEST_DURATION);
    let metric = Metric { name: name_of, description: Str::default(), unit: Str::new("s"), data };
    group(name, Records::Metrics(vec![metric]))
}

fn span(trace: u8, id: u8, parent: u8, millis: u64, status: i64) -> Span {
    let start = now() - 1_000_000_000;
    Span {
        trace_id: TraceId([trace; 16]),
        span_id: SpanId([id; 8]),
        parent_id: SpanId([parent; 8]),
        trace_state: Str::default(),
        flags: 1,
        name: Str::new("GET /cart"),
        kind: SpanKind::Server,
        start,
        end: start + millis * 1_000_000,
        attrs: vec![
            KeyValue::new(s::URL_PATH, "/cart/<img src=x onerror=alert(1)>"),
            KeyValue::new(s::HTTP_RESPONSE_STATUS_CODE, Attr::Int(status)),
        ],
        events: Vec::new(),
        links: Vec::new(),
        status: if status >= 500 { SpanStatus::Error } else { SpanStatus::Unset },
        status_message: Str::default(),
    }
}

async fn send(page: &Page, name: &str, spans: Vec<Span>) {
    let batch = Batch::new(Signal::Traces, vec![group(name, Records::Spans(spans))]);
    assert_eq!(page.view.send(Arc::new(batch)).await, Outcome::Delivered);
}

#[tokio::test]
async fn services_are_listed_as_the_contract_says() {
    let page = page().await;
    page.view.metrics(&[requests("checkout", 200, 1, 30), requests("cart", 500, 6, 4)], now());
    let (status, services) = page.get("/api/v1/services").await;
    assert_eq!(status, 200);
    let rows = services.as_array().unwrap();
    let keys = |v: &Value| v.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    assert_eq!(
        keys(&rows[0]),
        [
            "name",
            "namespace",
            "instances",
            "requests_per_second",
            "error_ratio",
            "p50_ms",
            "p95_ms",
            "p99_ms"
        ]
    );
    assert_eq!((&rows[0]["name"], &rows[0]["error_ratio"]), (&json!("cart"), &json!(1.0)));
    assert_eq!((&rows[1]["name"], &rows[1]["namespace"]), (&json!("checkout"), &json!("shop")));
    // Half of the way from 5 to 10 ms.
    assert_eq!((&rows[1]["p50_ms"], &rows[1]["instances"]), (&json!(7.5), &json!(1)));
    assert!(rows[1]["requests_per_second"].as_f64().unwrap() > 0.0);
}

#[tokio::test]
async fn traces_are_found_by_service_duration_and_error_and_come_as_otlp() {
    let page = page().await;
    send(&page, "cart", vec![span(1, 1, 0, 50, 200), span(1, 2, 1, 20, 200)]).await;
    send(&page, "cart", vec![span(2, 3, 0, 500, 503)]).await;
    send(&page, "shop", vec![span(3, 4, 0, 5, 200)]).await;
    let ids = async |query: &str| {
        let (status, otlp) = page.get(&format!("/api/v1/traces{query}")).await;
        assert_eq!(status, 200, "{query}");
        let mut ids: Vec<String> = Vec::new();
        for resource in otlp["resourceSpans"].as_array().unwrap() {
            for span in resource["scopeSpans"][0]["spans"].as_array().unwrap() {
                ids.push(span["spanId"].as_str().unwrap()[..2].to_owned());
            }
        }
        ids.sort();
        ids
    };
    assert_eq!(ids("").await, ["01", "02", "03", "04"]);
    assert_eq!(ids("?service=cart").await, ["01", "02", "03"]);
    assert_eq!(ids("?service=cart&limit=1").await, ["03"]);
    assert_eq!(ids("?min_ms=40").await, ["01", "02", "03"]);
    assert_eq!(ids("?error=true").await, ["03"]);
    assert_eq!(ids("?service=none").await, Vec::<String>::new());
    assert_eq!(
        page.get("/api/v1/traces?limit=many").await,
        (400, json!({"error": "limit: a number is needed"}))
    );
    let one = "01".repeat(16);
    let (status, trace) = page.get(&format!("/api/v1/traces/{one}")).await;
    assert_eq!(
        (status, &trace["resourceSpans"][0]["scopeSpans"][0]["spans"][0]["traceId"]),
        (200, &json!(one))
    );
    assert_eq!(page.get(&format!("/api/v1/traces/{}", "09".repeat(16))).await.0, 404);
    assert_eq!(page.get("/api/v1/traces/xyz").await.0, 400);
}

#[tokio::test]
async fn features_and_the_ledger_are_those_of_the_program() {
    let page = page().await;
    page.monitor.features.off("traces", "CAP_BPF is missing", "run as root");
    page.monitor.ledger.produced(Signal::Traces, "tap", 3);
    let (_, features) = page.get("/api/v1/features").await;
    let off = json!([{
        "feature": "traces", "name": "traces", "enabled": false,
        "reason": "CAP_BPF is missing", "remedy": "run as root",
    }]);
    assert_eq!(features, off);
    let (_, ledger) = page.get("/api/v1/ledger").await;
    assert_eq!(ledger["traces"]["produced"], json!(3));
    let (_, overview) = page.get("/api/v1/view/overview").await;
    assert_eq!((&overview["tracing"], &overview["off"]), (&json!("CAP_BPF is missing"), &json!(1)));
}

#[tokio::test]
async fn the_overview_sends_only_what_changed_since_the_cursor() {
    let page = page().await;
    page.view.metrics(&[requests("a", 200, 1, 100), requests("b", 200, 1, 10)], now());
    let (_, first) = page.get("/api/v1/view/overview").await;
    assert_eq!(
        (first["rows"].as_array().unwrap().len(), &first["total"], &first["host"]),
        (2, &json!(2), &json!("h1"))
    );
    let cursor = first["cursor"].as_u64().unwrap();
    let (_, same) = page.get(&format!("/api/v1/view/overview?cursor={cursor}")).await;
    assert_eq!((same["rows"].as_array().unwrap().len(), same["order"].as_array().unwrap().len()), (0, 2));
    let (_, filtered) = page.get("/api/v1/view/overview?q=-a").await;
    assert_eq!(filtered["matching"], json!(1));
    let wrong = page.get("/api/v1/view/overview?q=p95%3Efast").await;
    assert_eq!(wrong, (200, json!({"wrong": "p95>fast: a duration such as 200ms is needed"})));
}

#[tokio::test]
async fn what_fails_stands_on_top_and_every_column_sorts() {
    let page = page().await;
    page.view.metrics(
        &[requests("busy", 200, 1, 900), requests("failing", 500, 3, 9), requests("few", 500, 2, 4)],
        now(),
    );
    let names = async |query: &str| {
        let (_, json) = page.get(&format!("/api/v1/view/overview?{query}")).await;
        let rows = json["rows"].as_array().unwrap();
        rows.iter().map(|r| r[1].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    // Four failures are too few to call it failing.
    assert_eq!(names("").await, ["failing", "busy", "few"]);
    assert_eq!(names("only=failing").await, ["failing"]);
    assert_eq!(names("sort=name").await, ["busy", "failing", "few"]);
    assert_eq!(names("sort=-name").await, ["few", "failing", "busy"]);
    assert_eq!(names("sort=rate").await, ["busy", "failing", "few"]);
    assert_eq!(names("sort=-p95").await, ["busy", "few", "failing"]);
    assert_eq!(names("sort=name&limit=1&offset=1").await, ["failing"]);
}

#[tokio::test]
async fn a_service_tells_its_numbers_its_routes_and_its_series() {
    let page = page().await;
    page.view.metrics(&[requests("cart", 200, 1, 40)], now());
    let (status, json) = page.get("/api/v1/view/service?name=cart&ns=shop").await;
    assert_eq!(status, 200);
    assert_eq!((&json["head"]["count"], &json["head"]["errors"]), (&json!(40), &json!(0.0)));
    assert_eq!((&json["routes"][0]["method"], &json["routes"][0]["count"]), (&json!("GET"), &json!(40)));
    let points = json["series"]["points"].as_array().unwrap();
    assert!((30..=31).contains(&points.len()), "{}", points.len());
    assert_eq!(&points[0], &Value::Null);
    let seen: u64 = points.iter().filter_map(|p| p[0].as_u64()).sum();
    assert_eq!(seen, 40);
    let (status, gone) = page.get("/api/v1/view/service?name=cart&ns=other").await;
    assert_eq!((status, &gone["gone"]), (200, &json!("no such service in memory")));
    assert_eq!(page.get("/api/v1/view/service?name=cart&range=7m").await.0, 400);
    let (_, long) = page.get("/api/v1/view/service?name=cart&range=60m").await;
    assert!((60..=61).contains(&long["series"]["points"].as_array().unwrap().len()));
    let (_, short) = page.get("/api/v1/view/service?name=cart&range=5m").await;
    assert_eq!((&short["series"]["step_s"], &short["head"]["count"]), (&json!(10), &json!(40)));
}

#[tokio::test]
async fn a_fixed_range_holds_what_was_then_and_a_moving_one_what_is_now() {
    let page = page().await;
    let minutes = |n: u64| now() - n * 60 * 1_000_000_000;
    page.view.metrics(&[requests("cart", 200, 1, 10)], minutes(40));
    page.view.metrics(&[requests("cart", 200, 1, 15)], minutes(8));
    page.view.metrics(&[requests("cart", 200, 1, 16)], now());
    let count = async |query: String| {
        let (status, json) = page.get(&format!("/api/v1/view/service?name=cart&{query}")).await;
        assert_eq!(status, 200, "{query}");
        assert_eq!(json["routes"][0]["count"], json["head"]["count"], "{query}");
        (json["head"]["count"].as_u64().unwrap(), json["moving"].as_bool().unwrap())
    };
    assert_eq!(count("range=5m".into()).await, (1, true));
    assert_eq!(count("range=15m".into()).await, (6, true));
    assert_eq!(count("range=60m".into()).await, (16, true));
    assert_eq!(count("range=all".into()).await, (16, true));
    let then =
        |from: u64, to: u64| format!("from={}&to={}", minutes(from) / 1_000_000, minutes(to) / 1_000_000);
    assert_eq!(count(then(10, 5)).await, (5, false));
    assert_eq!(count(then(50, 30)).await, (10, false));
    assert_eq!(page.get("/api/v1/view/service?name=cart&from=5&to=4").await.0, 400);
    let (_, overview) = page.get(&format!("/api/v1/view/overview?{}", then(10, 5))).await;
    assert_eq!(overview["rows"][0][4], json!(5));
}

#[tokio::test]
async fn the_map_has_every_edge_in_its_table_and_draws_what_fits() {
    let page = page().await;
    let edge = |client: &str, server: &str, n: u64| {
        let mut group = requests("graph", 200, 1, n);
        let Records::Metrics(metrics) = &mut group.records else { unreachable!() };
        metrics[0].name = Str::new("traces_service_graph_request_client_seconds");
        let MetricData::Histogram { points, .. } = &mut metrics[0].data else { unreachable!() };
        points[0].attrs = [KeyValue::new("client", client), KeyValue::new("server", server)].into();
        group
    };
    let mut groups = vec![requests("front", 200, 1, 50), requests("cart", 200, 1, 40)];
    groups.push(edge("front", "cart", 40));
    groups.push(edge("user", "front", 50));
    for i in 0..600 {
        groups.push(edge("cart", &format!("10.0.{}.{}", i / 250, i % 250), 1));
    }
    page.view.metrics(&groups, now());
    let (status, map) = page.get("/api/v1/view/map").await;
    assert_eq!(status, 200);
    assert_eq!((&map["total_edges"], &map["outside"]), (&json!(602), &json!([1, 600])));
    // Everybody outside is one node, whatever their number.
    assert_eq!((map["nodes"].as_array().unwrap().len(), map["drawn"].as_array().unwrap().len()), (3, 3));
    let edges = map["edges"].as_array().unwrap();
    assert_eq!(edges.len(), 500);
    assert_eq!(
        (&edges[0]["from"], &edges[0]["to"]),
        (&json!(["user", "", false]), &json!(["front", "shop", true]))
    );
    assert_eq!((&edges[1]["count"], &edges[1]["ends"]), (&json!(40), &json!([true, false])));
    let (_, near) = page.get("/api/v1/view/map?focus=front&ns=shop&depth=1").await;
    assert_eq!(near["matching"], json!(2));
    let (_, none) = page.get("/api/v1/view/map?only=failing").await;
    assert_eq!((&none["matching"], &none["nodes"]), (&json!(0), &json!([])));
    let (_, service) = page.get("/api/v1/view/service?name=cart").await;
    assert_eq!(service["callers"].as_array().unwrap().len(), 1);
    assert_eq!(service["calls"].as_array().unwrap().len(), 250);
    assert!(page.get("/api/v1/view/map?q=p95%3Efast").await.1["wrong"].is_string());
}

#[tokio::test]
async fn services_of_a_namespace_are_one_node_of_the_map_where_there_are_many() {
    let page = page().await;
    let service = |i: usize| {
        let mut group = requests(&format!("s{i:02}"), if i == 3 { 503 } else { 200 }, 1, 10);
        // 20 in one namespace, 10 in another, one alone in its own, one in none.
        let namespace = match i {
            30 => "solo",
            31 => "",
            _ => ["shop", "shop", "bank"][i % 3],
        };
        let attrs = group.resource.attrs().iter().filter(|a| a.key != "service.namespace").cloned();
        let more = (!namespace.is_empty()).then(|| KeyValue::new("service.namespace", namespace));
        group.resource = Arc::new(Resource::new(attrs.chain(more).collect()));
        group
    };
    let edge = |client: usize, server: usize| {
        let mut group = requests("graph", 200, 1, 7);
        let Records::Metrics(metrics) = &mut group.records else { unreachable!() };
        metrics[0].name = Str::new("traces_service_graph_request_client_seconds");
        let MetricData::Histogram { points, .. } = &mut metrics[0].data else { unreachable!() };
        let name = |i: usize| format!("s{i:02}");
        points[0].attrs =
            [KeyValue::new("client", name(client)), KeyValue::new("server", name(server))].into();
        group
    };
    // Within shop; shop to bank, twice; bank to the one alone; the one in none calls itself.
    let mut groups: Vec<_> = (0..30).map(service).collect();
    groups.extend([edge(0, 1), edge(0, 2), edge(1, 5), edge(2, 30), edge(31, 31)]);
    page.view.metrics(&groups, now());
    // Thirty are few enough to be drawn each.
    let (_, map) = page.get("/api/v1/view/map").await;
    assert_eq!((&map["folded"], map["nodes"].as_array().unwrap().len()), (&json!(0), 31));
    page.view.metrics(&[service(30), service(31)], now());
    let (_, map) = page.get("/api/v1/view/map").await;
    let name = |n: &serde_json::Value| n["folded"].as_str().or(n["name"].as_str()).unwrap().to_owned();
    let nodes = map["nodes"].as_array().unwrap();
    let mut names: Vec<String> = nodes.iter().map(name).collect();
    names.sort();
    assert_eq!(
        (&map["folded"], names),
        (&json!(2), ["bank", "s30", "s31", "shop"].map(str::to_owned).into())
    );
    let shop = nodes.iter().find(|n| n["folded"] == "shop").unwrap();
    assert_eq!(
        (&shop["services"], &shop["count"], &shop["failed"], &shop["failing_services"]),
        (&json!(20), &json!(200), &json!(10), &json!(1))
    );
    let drawn = map["drawn"].as_array().unwrap();
    let at = |e: &serde_json::Value, end: &str| name(&nodes[e[end].as_u64().unwrap() as usize]);
    let mut edges: Vec<String> = drawn.iter().map(|e| format!("{}>{}", at(e, "from"), at(e, "to"))).collect();
    edges.sort();
    assert_eq!(edges, ["bank>s30", "s31>s31", "shop>bank"]);
    // Unfolded, or around one service, each stands for itself.
    let (_, open) = page.get("/api/v1/view/map?open=shop,bank").await;
    assert_eq!((&open["folded"], open["nodes"].as_array().unwrap().len()), (&json!(0), 32));
    let (_, near) = page.get("/api/v1/view/map?focus=s00&ns=shop").await;
    assert_eq!((&near["folded"], near["nodes"].as_array().unwrap().len()), (&json!(0), 3));
}

#[tokio::test]
async fn processes_are_told_with_the_rule_that_decided() {
    let page = page().await;
    let (_, unknown) = page.get("/api/v1/view/processes").await;
    assert_eq!((&unknown["known"], &unknown["total"]), (&json!(false), &json!(0)));
    let one = |pid, service: &str, rule: Option<&str>| Watched {
        pid,
        exe: format!("/usr/bin/{service}"),
        service: service.to_owned(),
        namespace: "shop".to_owned(),
        named_by: "unit",
        ports: vec![8080],
        selected: rule.is_none(),
        rule: rule.map(str::to_owned),
        exports_own: pid == 1,
        ..Watched::default()
    };
    page.view.watched(vec![one(1, "cart", None), one(2, "wrk", Some("exclude[0]"))]);
    page.view.metrics(&[requests("cart", 200, 1, 40)], now());
    let (_, all) = page.get("/api/v1/view/processes").await;
    assert_eq!((&all["total"], &all["watched"]), (&json!(2), &json!(1)));
    let (_, out) = page.get("/api/v1/view/processes?q=watched:no").await;
    assert_eq!((&out["matching"], &out["rows"][0][9]), (&json!(1), &json!("exclude[0]")));
    let (_, service) = page.get("/api/v1/view/service?name=cart").await;
    assert_eq!((&service["exports_own"], &service["processes"][0][0]), (&json!(true), &json!(1)));
    let (_, overview) = page.get("/api/v1/view/overview").await;
    assert_eq!(overview["watched"], json!(1));
}

#[tokio::test]
async fn a_trace_is_sent_as_rows_and_a_span_with_everything_it_says() {
    let page = page().await;
    send(&page, "cart", vec![span(1, 1, 0, 50, 503), span(1, 2, 1, 20, 200), span(1, 3, 9, 1, 200)]).await;
    let id = "01".repeat(16);
    let (_, trace) = page.get(&format!("/api/v1/view/trace?id={id}")).await;
    assert_eq!((&trace["total"], &trace["errors"], &trace["parts"]), (&json!(3), &json!(1), &json!(2)));
    assert_eq!(trace["services"], json!(["cart"]));
    let same = page.get(&format!("/api/v1/view/trace?id={id}&changed={}", trace["changed"])).await.1;
    assert_eq!((&same["unchanged"], &same["rows"]), (&json!(true), &Value::Null));
    let (_, one) = page.get(&format!("/api/v1/view/span?trace={id}&span={}", "01".repeat(8))).await;
    assert_eq!(one["attrs"][0], json!(["url.path", "/cart/<img src=x onerror=alert(1)>"]));
    let (status, gone) = page.get(&format!("/api/v1/view/trace?id={}", "07".repeat(16))).await;
    assert_eq!((status, gone["gone"].is_string(), gone["since"].is_number()), (200, true, true));
    let (_, list) = page.get("/api/v1/view/traces?q=error:true").await;
    assert_eq!((&list["matching"], &list["rows"][0][0]), (&json!(1), &json!(id)));
}

#[tokio::test]
async fn a_large_trace_shows_its_errors_and_what_is_above_them() {
    let page = page().await;
    let deep = |n: u32, parent: u32| {
        let mut one = span(1, 0, 0, 1, if n == 2_999 { 500 } else { 200 });
        one.span_id = SpanId(u64::from(n + 1).to_be_bytes());
        one.parent_id = SpanId(u64::from(parent).to_be_bytes());
        one
    };
    // A chain of 30 links, then 2,969 spans below its end; the last one failed.
    send(&page, "cart", (0..3_000).map(|n| deep(n, n.min(30))).collect()).await;
    let (_, trace) = page.get(&format!("/api/v1/view/trace?id={}", "01".repeat(16))).await;
    let rows = trace["rows"].as_array().unwrap();
    assert_eq!((rows.len(), &trace["total"]), (2_000, &json!(3_000)));
    assert!(rows.iter().any(|r| !r[8].is_null()), "the failed span is there");
    for n in 1..=30u64 {
        let id = format!("{n:016x}");
        assert!(rows.iter().any(|r| r[0] == json!(id)), "link {n}");
    }
}

#[tokio::test]
async fn the_page_has_its_policy_and_its_parts_never_change() {
    let page = page().await;
    let (status, head, body) = page.raw("/", "").await;
    assert_eq!(status, 200);
    assert!(head.contains("content-security-policy: default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'\r\n"));
    assert!(
        head.contains("cache-control: no-cache\r\n")
            && head.contains("cross-origin-opener-policy: same-origin\r\n")
    );
    let tag = head.lines().find_map(|l| l.strip_prefix("etag: ")).unwrap();
    assert_eq!(page.raw("/", &format!("if-none-match: {tag}\r\n")).await.0, 304);
    let html = String::from_utf8(body).unwrap();
    let script = html.split("src=\"").nth(1).unwrap().split('"').next().unwrap();
    let (status, head, _) = page.raw(script, "accept-encoding: gzip\r\n").await;
    assert_eq!(status, 200);
    for line in [
        "cache-control: public, max-age=31536000, immutable\r\n",
        "content-encoding: gzip\r\n",
        "content-type: text/javascript; charset=utf-8\r\n",
        "x-content-type-options: nosniff\r\n",
    ] {
        assert!(head.contains(line), "{line}: {head}");
    }
    assert_eq!(page.raw("/favicon.ico", "").await.0, 200);
    assert_eq!(page.raw("/ui/0000000000000000/app.css", "").await.0, 404);
    let (_, head, _) = page.raw("/api/v1/view/agent", "accept-encoding: gzip\r\n").await;
    assert!(head.contains("content-security-policy: default-src 'none'; frame-ancestors 'none'\r\n"));
    assert!(head.contains("cache-control: no-store\r\n") && head.contains("content-encoding: gzip\r\n"));
}
