//! Made-up services: a shop, and a world of hostile names. The same numbers every time.

use std::sync::Arc;

use telegen_model::{
    Attrs, HistogramPoint, KeyValue, Metric, MetricData, NumberPoint, NumberValue, Records, Resource,
    ResourceGroup, Scope, Span, SpanId, SpanKind, SpanStatus, Str, Temporality, TraceId, Value, semconv as s,
};
use telegen_view::Watched;

const BOUNDS: [f64; 14] = [0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0];

/// A stream of numbers that look random (SplitMix64).
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, n: u64) -> u64 {
        self.next() % n.max(1)
    }

    fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// Around `median`, now and then a lot more.
    fn latency(&mut self, median: f64) -> f64 {
        let sum: f64 = (0..6).map(|_| self.unit()).sum::<f64>() - 3.0;
        median * (sum * 0.9).exp()
    }
}

/// Requests of one kind, counted since the start.
struct Series {
    attrs: Attrs,
    counts: [u64; 15],
    sum: f64,
}

struct Service {
    resource: Arc<Resource>,
    /// Requests a second, median duration in s, share that fails.
    rate: f64,
    median: f64,
    failing: f64,
    routes: Vec<(String, Series, Series)>,
    peers: Vec<(String, Series)>,
    unread: Option<(&'static str, u64, Attrs)>,
    unlinked: u64,
}

/// Requests of one service to another, as the service graph tells them.
struct Edge {
    ends: Attrs,
    series: Series,
    failed: u64,
    rate: f64,
    median: f64,
    failing: f64,
}

/// All services and their time.
pub(crate) struct World {
    dice: Dice,
    services: Vec<Service>,
    edges: Vec<Edge>,
    start: u64,
    hostile: bool,
    giant: bool,
}

fn attrs(list: &[(&str, Value)]) -> Attrs {
    list.iter().map(|(k, v)| KeyValue { key: Str::new(k), value: v.clone() }).collect()
}

fn series(method: &str, route: &str, status: i64) -> Series {
    let mut list =
        vec![(s::HTTP_REQUEST_METHOD, method.into()), (s::HTTP_RESPONSE_STATUS_CODE, Value::Int(status))];
    if !route.is_empty() {
        list.push((s::HTTP_ROUTE, route.into()));
    }
    if status >= 500 {
        list.push((s::ERROR_TYPE, status.to_string().into()));
    }
    Series { attrs: attrs(&list), counts: [0; 15], sum: 0.0 }
}

fn resource(name: &str, namespace: &str) -> Arc<Resource> {
    let mut list = vec![
        KeyValue::new(s::SERVICE_NAME, name),
        KeyValue::new(s::SERVICE_INSTANCE_ID, format!("1b4e28ba-2fa1-11d2-883f-{:012x}", name.len())),
        KeyValue::new(s::HOST_NAME, "web-3"),
        KeyValue::new(s::HOST_ARCH, "amd64"),
        KeyValue::new(s::OS_TYPE, "linux"),
        KeyValue::new(s::PROCESS_EXECUTABLE_PATH, format!("/usr/bin/{name}")),
    ];
    if !namespace.is_empty() {
        list.push(KeyValue::new(s::SERVICE_NAMESPACE, namespace));
    }
    Arc::new(Resource::new(list))
}

fn service(
    name: &str,
    namespace: &str,
    rate: f64,
    median: f64,
    failing: f64,
    routes: &[&str],
    peers: &[&str],
) -> Service {
    let parse = |r: &&str| {
        let (method, route) = r.split_once(' ').unwrap_or((r, ""));
        ((*r).to_owned(), series(method, route, 200), series(method, route, 503))
    };
    let peer = |p: &&str| {
        let mut one = series("GET", "", 200);
        let mut list: Vec<KeyValue> = one.attrs.to_vec();
        list.push(KeyValue { key: Str::new(s::SERVER_ADDRESS), value: (*p).into() });
        list.push(KeyValue::new(s::SERVER_PORT, Value::Int(8080)));
        one.attrs = list.into();
        ((*p).to_owned(), one)
    };
    Service {
        resource: resource(name, namespace),
        rate,
        median,
        failing,
        routes: routes.iter().map(parse).collect(),
        peers: peers.iter().map(peer).collect(),
        unread: None,
        unlinked: 0,
    }
}

fn edge(client: &str, server: &str, rate: f64, median: f64, failing: f64) -> Edge {
    let ends = attrs(&[
        ("client", client.into()),
        ("server", server.into()),
        ("connection_type", if server.contains('.') { "virtual_node" } else { "" }.into()),
    ]);
    Edge {
        series: Series { attrs: ends.clone(), counts: [0; 15], sum: 0.0 },
        ends,
        failed: 0,
        rate,
        median,
        failing,
    }
}

impl World {
    pub(crate) fn new(kind: &str) -> World {
        let services = match kind {
            "empty" | "off" => Vec::new(),
            "hostile" => hostile(),
            "many" => many(),
            _ => shop(),
        };
        let edges = match kind {
            "empty" | "off" | "derived" => Vec::new(),
            "hostile" => hostile_edges(&services),
            "many" => many_edges(),
            _ => shop_edges(),
        };
        World { dice: Dice(7), services, edges, start: 0, hostile: kind == "hostile", giant: kind == "giant" }
    }

    /// What happens in some seconds: metrics, spans, and how many spans there would be.
    pub(crate) fn step(&mut self, now: u64, seconds: u64) -> (Vec<ResourceGroup>, Vec<ResourceGroup>, u64) {
        if self.start == 0 {
            self.start = now;
        }
        let (mut metrics, mut items) = (Vec::new(), 0);
        for service in &mut self.services {
            let wave = 1.0 + 0.35 * ((now / 1_000_000_000) as f64 / 90.0).sin();
            let total = (service.rate * wave * seconds as f64 + self.dice.unit()) as u64;
            items += total;
            for _ in 0..total {
                let n = self.dice.below(service.routes.len() as u64) as usize;
                let bad = self.dice.unit() < service.failing;
                let took = self.dice.latency(service.median * (1.0 + n as f64));
                let Some((_, good, failed)) = service.routes.get_mut(n) else { break };
                if bad { failed } else { good }.add(took);
            }
            for (_, peer) in &mut service.peers {
                for _ in 0..total / 3 {
                    peer.add(self.dice.latency(0.004));
                }
            }
            if let Some((_, bytes, _)) = &mut service.unread {
                *bytes += 400_000 * seconds;
            }
            if service.failing > 0.02 {
                service.unlinked += seconds;
            }
            metrics.push(service.metrics(self.start, now));
        }
        for edge in &mut self.edges {
            let total = (edge.rate * seconds as f64 + self.dice.unit()) as u64;
            for _ in 0..total {
                edge.series.add(self.dice.latency(edge.median));
                edge.failed += u64::from(self.dice.unit() < edge.failing);
            }
        }
        metrics.push(graph(&self.edges, self.start, now));
        let spans = self.spans(now, seconds);
        (metrics, spans, items)
    }

    fn spans(&mut self, now: u64, seconds: u64) -> Vec<ResourceGroup> {
        let mut groups: Vec<ResourceGroup> = Vec::new();
        let mut put = |resource: &Arc<Resource>, span: Span| {
            let found = groups.iter_mut().find(|g| Arc::ptr_eq(&g.resource, resource));
            match found {
                Some(ResourceGroup { records: Records::Spans(spans), .. }) => spans.push(span),
                _ => groups.push(ResourceGroup {
                    resource: resource.clone(),
                    scope: Scope { name: Str::new("telegen/trace"), version: Str::new("0.1.0") },
                    records: Records::Spans(vec![span]),
                }),
            }
        };
        let traces = if self.services.is_empty() { 0 } else { 4 * seconds };
        for i in 0..traces {
            let trace = TraceId(u128_bytes(&mut self.dice));
            let at = now - self.dice.below(seconds * 1_000_000_000);
            let top = self.dice.below(self.services.len() as u64) as usize;
            let depth = if self.hostile { 2 } else { 4 };
            let mut parent = SpanId::ZERO;
            let mut start = at;
            let mut length = (self.dice.latency(self.services[top].median * 4.0) * 1e9) as u64 + 300_000;
            for d in 0..depth {
                let which = (top + d) % self.services.len();
                let n = self.dice.below(self.services[which].routes.len().max(1) as u64) as usize;
                let Some((name, ..)) = self.services[which].routes.get(n) else { break };
                let bad = self.dice.unit() < self.services[which].failing * 2.0;
                let mut span = http(trace, id(&mut self.dice), parent, name, start, length, bad);
                if d == 2 {
                    span.attrs.push(KeyValue::new(s::TELEGEN_LINK_METHOD, "tcp_seq"));
                    span.attrs.push(KeyValue::new(s::TELEGEN_LINK_CONFIDENCE, 1.0));
                }
                if d == 3 && i % 5 == 0 {
                    span.parent_id = id(&mut self.dice);
                }
                parent = span.span_id;
                let resource = self.services[which].resource.clone();
                put(&resource, span);
                // The call by which the next one is reached.
                if d + 1 < depth {
                    let mut call = http(
                        trace,
                        id(&mut self.dice),
                        parent,
                        name,
                        start + length / 10,
                        length * 8 / 10,
                        bad,
                    );
                    call.kind = SpanKind::Client;
                    call.attrs.push(KeyValue::new(s::SERVER_ADDRESS, "10.0.4.7"));
                    call.attrs.push(KeyValue::new(s::SERVER_PORT, Value::Int(8080)));
                    call.attrs.push(KeyValue::new(s::TELEGEN_LINK_METHOD, "thread"));
                    call.attrs.push(KeyValue::new(s::TELEGEN_LINK_CONFIDENCE, 0.97));
                    parent = call.span_id;
                    put(&resource, call);
                    if i % 4 == 0 && !self.hostile {
                        // A call of the same time that no parent could be drawn for.
                        let lone = TraceId(u128_bytes(&mut self.dice));
                        let mut call = http(
                            lone,
                            id(&mut self.dice),
                            SpanId::ZERO,
                            "GET /rates",
                            start + length / 5,
                            length / 6,
                            false,
                        );
                        call.kind = SpanKind::Client;
                        call.attrs.push(KeyValue::new("telegen.link.reason", "two_open_requests"));
                        put(&resource, call);
                    }
                }
                if d == 1 && i % 3 == 0 {
                    for c in 0..12u64 {
                        let child = http(
                            trace,
                            id(&mut self.dice),
                            parent,
                            "GET /stock/{id}",
                            start + c * length / 14,
                            length / 20,
                            false,
                        );
                        put(&resource, child);
                    }
                }
                start += length / 8;
                length = length * 7 / 10;
            }
        }
        if self.giant && seconds == 2 {
            self.giant = false;
            let trace = TraceId::from_hex(b"0123456789abcdef0123456789abcdef").unwrap_or_default();
            let resource = self.services[0].resource.clone();
            let mut parents = vec![SpanId::ZERO];
            for i in 0..9_000u64 {
                let up = parents[self.dice.below(parents.len() as u64) as usize];
                let span = http(
                    trace,
                    id(&mut self.dice),
                    up,
                    "GET /deep",
                    now - 9_000_000_000 + i * 1_000_000,
                    40_000_000,
                    i % 997 == 3,
                );
                if parents.len() < 400 {
                    parents.push(span.span_id);
                }
                put(&resource, span);
            }
        }
        groups
    }
}

impl Series {
    fn add(&mut self, seconds: f64) {
        self.counts[BOUNDS.partition_point(|b| *b < seconds)] += 1;
        self.sum += seconds;
    }

    fn point(&self, start: u64, time: u64) -> HistogramPoint {
        HistogramPoint {
            attrs: self.attrs.clone(),
            start,
            time,
            count: self.counts.iter().sum(),
            sum: self.sum,
            min: None,
            max: None,
            bounds: BOUNDS.into(),
            counts: self.counts.to_vec(),
            exemplars: Vec::new(),
        }
    }
}

impl Service {
    fn metrics(&self, start: u64, now: u64) -> ResourceGroup {
        let histogram = |name: &str, points| Metric {
            name: Str::new(name),
            description: Str::default(),
            unit: Str::new("s"),
            data: MetricData::Histogram { temporality: Temporality::Cumulative, points },
        };
        let served = self
            .routes
            .iter()
            .flat_map(|(_, good, bad)| [good.point(start, now), bad.point(start, now)])
            .collect();
        let called = self.peers.iter().map(|(_, p)| p.point(start, now)).collect();
        let mut metrics = vec![
            histogram(s::HTTP_SERVER_REQUEST_DURATION, served),
            histogram(s::HTTP_CLIENT_REQUEST_DURATION, called),
        ];
        if let Some((_, bytes, attrs)) = &self.unread {
            let value = NumberValue::Int(i64::try_from(*bytes).unwrap_or(i64::MAX));
            let point = NumberPoint { attrs: attrs.clone(), start, time: now, value, exemplars: Vec::new() };
            let data = MetricData::Sum {
                temporality: Temporality::Cumulative,
                monotonic: true,
                points: vec![point],
            };
            metrics.push(Metric {
                name: Str::new("telegen.traffic.unread"),
                description: Str::default(),
                unit: Str::new("By"),
                data,
            });
        }
        if self.unlinked > 0 {
            for (reason, part) in [("two_open_requests", 3), ("event_loop", 1)] {
                let value = NumberValue::Int(i64::try_from(self.unlinked * part).unwrap_or(i64::MAX));
                let attrs = attrs(&[("telegen.reason", reason.into())]);
                metrics.push(sum(
                    "telegen.spans.unlinked",
                    "{span}",
                    vec![NumberPoint { attrs, start, time: now, value, exemplars: Vec::new() }],
                ));
            }
        }
        ResourceGroup {
            resource: self.resource.clone(),
            scope: Scope { name: Str::new("telegen/trace"), version: Str::new("0.1.0") },
            records: Records::Metrics(metrics),
        }
    }
}

fn sum(name: &str, unit: &str, points: Vec<NumberPoint>) -> Metric {
    let data = MetricData::Sum { temporality: Temporality::Cumulative, monotonic: true, points };
    Metric { name: Str::new(name), description: Str::default(), unit: Str::new(unit), data }
}

/// The service graph.
fn graph(edges: &[Edge], start: u64, now: u64) -> ResourceGroup {
    let histogram = |name: &str, points| Metric {
        name: Str::new(name),
        description: Str::default(),
        unit: Str::new("s"),
        data: MetricData::Histogram { temporality: Temporality::Cumulative, points },
    };
    let points: Vec<HistogramPoint> = edges.iter().map(|e| e.series.point(start, now)).collect();
    let here = edges.iter().zip(&points).filter(|(e, _)| e.rate != 944.0).map(|(_, p)| p.clone()).collect();
    let failed = edges.iter().map(|e| NumberPoint {
        attrs: e.ends.clone(),
        start,
        time: now,
        value: NumberValue::Int(i64::try_from(e.failed).unwrap_or(i64::MAX)),
        exemplars: Vec::new(),
    });
    ResourceGroup {
        resource: Arc::new(Resource::new(vec![KeyValue::new(s::SERVICE_NAME, "telegen")])),
        scope: Scope { name: Str::new("telegen/trace"), version: Str::new("0.1.0") },
        records: Records::Metrics(vec![
            histogram("traces_service_graph_request_client_seconds", here),
            histogram("traces_service_graph_request_server_seconds", points),
            sum("traces_service_graph_request_failed_total", "{request}", failed.collect()),
        ]),
    }
}

/// What runs on this made-up machine.
pub(crate) fn watched(world: &World) -> Vec<Watched> {
    let mut all: Vec<Watched> = Vec::new();
    for (i, service) in world.services.iter().enumerate() {
        let text = |key| service.resource.text(key).unwrap_or_default().to_owned();
        let number = u32::try_from(i).unwrap_or(0);
        all.push(Watched {
            pid: 1_200 + number * 17,
            exe: text(s::PROCESS_EXECUTABLE_PATH),
            service: text(s::SERVICE_NAME),
            namespace: text(s::SERVICE_NAMESPACE),
            named_by: if i % 2 == 0 { "unit" } else { "environment" },
            runtime: if i % 3 == 1 { "cpython".to_owned() } else { String::new() },
            ports: vec![8_080 + u16::try_from(i % 100).unwrap_or(0)],
            container: if i % 4 == 2 { "3f4e1c2d9a8b7c6d".to_owned() } else { String::new() },
            selected: true,
            rule: None,
            exports_own: i == 6,
            over_budget_since: None,
        });
    }
    if !all.is_empty() {
        let mut wrk = all[0].clone();
        wrk.pid = 4_001;
        wrk.service = "wrk".to_owned();
        wrk.exe = "/usr/bin/wrk".to_owned();
        wrk.ports.clear();
        wrk.selected = false;
        wrk.rule = Some("exclude[0]".to_owned());
        all.push(wrk);
    }
    all
}

fn shop_edges() -> Vec<Edge> {
    vec![
        edge("user", "nginx", 944.0, 0.001, 0.003),
        edge("nginx", "checkout", 82.0, 0.012, 0.041),
        edge("nginx", "cart", 130.0, 0.002, 0.0),
        edge("checkout", "cart", 80.0, 0.002, 0.0),
        edge("checkout", "payments", 9.1, 0.09, 0.3),
        edge("checkout", "rates.example.org", 4.0, 0.09, 0.0),
        edge("cart", "redis", 210.0, 0.0004, 0.0),
        edge("nginx", "catalogue", 40.0, 0.006, 0.0),
        edge("recommend", "catalogue", 0.9, 0.006, 0.0),
        edge("batch-job", "catalogue", 0.2, 0.006, 0.0),
        edge("catalogue", "postgres", 60.0, 0.002, 0.0),
        edge("payments", "postgres", 12.0, 0.003, 0.0),
        edge("nginx", "grafana", 1.7, 0.03, 0.0),
        edge("10.0.7.31", "nginx", 3.0, 0.002, 0.0),
    ]
}

/// Everybody calls everybody, and names that want to be more than names.
const NAMESPACES: [&str; 5] = ["shop", "billing", "search", "media", "ops"];
const MEMBERS: [&str; 12] = [
    "front", "api", "store", "index", "queue", "worker", "cache", "mail", "audit", "report", "sync", "admin",
];

/// Sixty services in five namespaces, and two in none.
fn many() -> Vec<Service> {
    let one = |namespace: &str, member: &str| {
        let failing = if (namespace, member) == ("billing", "store") { 0.08 } else { 0.0 };
        service(&format!("{namespace}-{member}"), namespace, 4.0, 0.006, failing, &["GET /{id}"], &[])
    };
    let all = NAMESPACES.iter().flat_map(|n| MEMBERS.iter().map(|m| one(n, m)));
    let alone = ["gateway", "cron"].map(|name| service(name, "", 9.0, 0.01, 0.0, &["GET /"], &[]));
    all.chain(alone).collect()
}

fn many_edges() -> Vec<Edge> {
    let mut edges = Vec::new();
    for (i, namespace) in NAMESPACES.iter().enumerate() {
        edges.push(edge("gateway", &format!("{namespace}-front"), 2.0, 0.02, 0.0));
        for (i, member) in MEMBERS.iter().enumerate().skip(1) {
            // A third of them each is called by the front, by the api and by the worker.
            let by = if i < 5 {
                "front"
            } else if i < 9 {
                "api"
            } else {
                "worker"
            };
            let (from, to) = (format!("{namespace}-{by}"), format!("{namespace}-{member}"));
            let failing = if to == "billing-store" { 0.08 } else { 0.0 };
            edges.push(edge(&from, &to, 3.0, 0.006, failing));
        }
        let next = NAMESPACES[(i + 1) % NAMESPACES.len()];
        edges.push(edge(&format!("{namespace}-worker"), &format!("{next}-api"), 1.0, 0.01, 0.0));
    }
    edges.push(edge("cron", "ops-report", 0.5, 0.2, 0.0));
    edges
}

fn hostile_edges(services: &[Service]) -> Vec<Edge> {
    let name =
        |i: usize| services[i % services.len()].resource.text(s::SERVICE_NAME).unwrap_or_default().to_owned();
    let mut edges: Vec<Edge> = (0..700).map(|i| edge(&name(i), &name(i * 7 + 1), 0.3, 0.004, 0.05)).collect();
    edges.push(edge("<img src=x onerror=\"window.hacked=7\">", &name(0), 1.0, 0.01, 0.2));
    edges.extend(
        (0..900).map(|i| edge(&name(i), &format!("\u{202e}10.0.{}.{}", i / 250, i % 250), 0.05, 0.01, 0.0)),
    );
    edges
}

fn u128_bytes(dice: &mut Dice) -> [u8; 16] {
    let (a, b) = (dice.next(), dice.next());
    (u128::from(a) << 64 | u128::from(b) | 1).to_be_bytes()
}

fn id(dice: &mut Dice) -> SpanId {
    SpanId((dice.next() | 1).to_be_bytes())
}

fn http(
    trace_id: TraceId,
    span_id: SpanId,
    parent_id: SpanId,
    name: &str,
    start: u64,
    length: u64,
    bad: bool,
) -> Span {
    let (method, path) = name.split_once(' ').unwrap_or((name, "/"));
    let status = if bad { 503 } else { 200 };
    let mut attrs = vec![
        KeyValue::new(s::HTTP_REQUEST_METHOD, method),
        KeyValue::new(s::URL_PATH, path),
        KeyValue::new(s::URL_SCHEME, "http"),
        KeyValue::new(s::HTTP_RESPONSE_STATUS_CODE, Value::Int(status)),
        KeyValue::new(s::NETWORK_PEER_ADDRESS, "10.0.4.7"),
        KeyValue::new(s::USER_AGENT_ORIGINAL, "curl/8.5.0"),
    ];
    if bad {
        attrs.push(KeyValue::new(s::ERROR_TYPE, "503"));
    }
    Span {
        trace_id,
        span_id,
        parent_id,
        trace_state: Str::default(),
        flags: 1,
        name: Str::new(name),
        kind: SpanKind::Server,
        start,
        end: start + length,
        attrs,
        events: Vec::new(),
        links: Vec::new(),
        status: if bad { SpanStatus::Error } else { SpanStatus::Unset },
        status_message: Str::default(),
    }
}

fn shop() -> Vec<Service> {
    let mut all = vec![
        service("nginx", "", 300.0, 0.001, 0.003, &["GET", "POST"], &["checkout", "cart"]),
        service(
            "checkout",
            "shop",
            82.0,
            0.012,
            0.041,
            &["GET /cart/{id}", "POST /cart/{id}/pay", "GET /healthz"],
            &["payments", "10.0.4.7"],
        ),
        service("cart", "shop", 210.0, 0.0021, 0.0, &["GET /stock/{id}", "PUT /stock/{id}"], &["redis"]),
        service("payments", "shop", 9.1, 0.09, 0.3, &["POST /charge"], &[]),
        service(
            "catalogue",
            "shop",
            41.0,
            0.0062,
            0.0,
            &["GET /items", "GET /items/{id}", "GET /search"],
            &[],
        ),
        service("recommend", "shop", 0.4, 0.21, 0.0, &["GET /similar/{id}"], &["catalogue"]),
        service("grafana", "ops", 1.7, 0.03, 0.0, &["GET /api/dashboards"], &[]),
    ];
    let mut postgres = service("postgres", "", 0.0, 0.001, 0.0, &[], &[]);
    postgres.unread = Some((
        "tls",
        0,
        attrs(&[("telegen.protocol", "postgresql".into()), ("telegen.reason", "tls".into())]),
    ));
    let mut redis = service("redis", "", 0.0, 0.001, 0.0, &[], &[]);
    redis.unread = Some((
        "redis",
        0,
        attrs(&[("telegen.protocol", "redis".into()), ("telegen.reason", "not_read_yet".into())]),
    ));
    let batch = service("batch-job", "shop", 0.0, 0.001, 0.0, &[], &["catalogue"]);
    all.extend([postgres, redis, batch]);
    all
}

fn hostile() -> Vec<Service> {
    let mut names: Vec<String> = [
        "<img src=x onerror=\"window.hacked=1\">",
        "<script>window.hacked=2</script>",
        "'\"><svg/onload=window.hacked=3>",
        "javascript:window.hacked=4",
        "\u{202e}evil\u{202c} \u{200b}zero\u{feff}",
        "nul\0bel\u{7}esc\u{1b}[31m",
        "..%2f..%2f?#/&=+%",
        "__proto__",
        "constructor",
    ]
    .map(str::to_owned)
    .into();
    names.push("x".repeat(4_000));
    names.push("\u{1f469}\u{200d}\u{1f4bb}".repeat(50));
    let mut dice = Dice(3);
    for i in 0..980u64 {
        let word: String =
            (0..dice.below(20) + 3).filter_map(|_| char::from_u32(32 + dice.below(0x2ff) as u32)).collect();
        names.push(format!("s{i}-{word}"));
    }
    let routes = ["GET /<img src=x onerror=\"window.hacked=5\">", "\u{202e}TEG /x", "GET /ok"];
    let namespace = "<b>ns</b>";
    let peers = ["<img src=x onerror=\"window.hacked=6\">"];
    let make = |(i, name): (usize, &String)| {
        let (rate, few) = if i < 20 { (3.0, &routes[..]) } else { (0.02, &routes[2..]) };
        service(
            name,
            if i % 3 == 0 { namespace } else { "" },
            rate,
            0.004,
            0.05,
            few,
            if i < 20 { &peers } else { &[] },
        )
    };
    names.iter().enumerate().map(make).collect()
}
