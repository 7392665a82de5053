//! What a request costs the user half, from the record to the sinks: `requests [SECONDS] [served|both] [none|view|otlp|json]`.
//!
//! The records are made here, and so the figure is of user space alone; the kernel half is loaded for its tables only.
#![allow(
    clippy::print_stdout,
    clippy::unwrap_used,
    clippy::cast_precision_loss,
    reason = "a tool for developers"
)]

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};
use telegen_bpf::abi::{ConnRecord, DataRecord, data, kind};
use telegen_bpf::{Record, Tap, TapSettings};
use telegen_model::{ResourceGroup, Scope, Signal};
use telegen_pipeline::{
    Batch, BoxFuture, MetricSource, Outcome, Pipeline, PipelineConfig, Reader, Role, SignalSet, Sink,
    SinkConfig,
};
use telegen_processes::{Discovery, HostIdentity, Table};
use telegen_selfmon::{BuildInfo, SelfMon};
use telegen_sys::{Host, monotonic_ns, unix_ns};
use telegen_trace::settings::Instrumented;
use telegen_trace::{Engine, EngineConfig, Graph, Outputs, Red, RedSettings, Sampling, Unlinked, Unread};
use telegen_view::{About, View};

/// Requests of a turn.
const TURN: u32 = 128;
/// Connections.
const CONNS: u32 = 32;
const REQUEST: &[u8] =
    b"GET /index.html HTTP/1.1\r\nHost: 127.0.0.1:8080\r\nUser-Agent: h2load nghttp2/1.52.0\r\n\r\n";

/// Encodes what it is given, and no more.
struct Encoder {
    json: bool,
    bytes: Arc<AtomicU64>,
}

impl Sink for Encoder {
    fn name(&self) -> &str {
        "encoder"
    }
    fn signals(&self) -> SignalSet {
        SignalSet::of(&[Signal::Traces])
    }
    fn needs_records(&self) -> bool {
        self.json
    }
    fn takes_raw(&self) -> bool {
        true
    }
    fn send(&self, batch: Arc<Batch>) -> BoxFuture<'_, Outcome> {
        Box::pin(async move {
            let n = if self.json { batch.encoded_json().len() } else { batch.encoded().len() };
            self.bytes.fetch_add(n as u64, Ordering::Relaxed);
            Outcome::Delivered
        })
    }
}

/// One end of a connection.
struct End {
    cookie: u64,
    server: bool,
    rx: u64,
    tx: u64,
    record: u32,
    pid: u32,
    /// Start of the process, ns since boot.
    start: u64,
}

impl End {
    fn conn(&mut self, n: u32, ts: u64) -> ConnRecord {
        let address = |last: u8| {
            let mut a = [0; 16];
            a[10..].copy_from_slice(&[0xff, 0xff, 127, 0, 0, last]);
            a
        };
        let client = 40_000 + n as u16;
        let (lport, rport) = if self.server { (8080, client) } else { (client, 8080) };
        self.record += 1;
        ConnRecord {
            kind: kind::CONN,
            family: 2,
            role: 0,
            protocol: 1,
            transport: 6,
            preexisting: 0,
            path_len: 0,
            cookie: self.cookie,
            peer_cookie: 0,
            ts,
            start: self.start,
            tgid: self.pid,
            netns: 1,
            lport,
            rport,
            record: self.record - 1,
            laddr: address(1),
            raddr: address(1),
            path: [0; 108],
            lost: 0,
        }
    }

    fn data(&mut self, request: bool, ts: u64, caller: u64) -> DataRecord {
        let received = request == self.server;
        let len = if request { REQUEST.len() as u64 } else { 244 };
        let (at, other) = if received { (self.rx, self.tx) } else { (self.tx, self.rx) };
        *(if received { &mut self.rx } else { &mut self.tx }) += len;
        self.record += 1;
        let mut tail = [0; 8];
        if !request {
            tail[..2].copy_from_slice(&200u16.to_ne_bytes());
            tail[2..4].copy_from_slice(&230u16.to_ne_bytes());
        }
        DataRecord {
            kind: kind::DATA,
            dir: u8::from(!received),
            flags: data::HEAD_START | if request { data::REQUEST | data::IN_HEAD } else { data::RESPONSE },
            record: self.record - 1,
            cookie: self.cookie,
            ts,
            pos: at,
            // Both ends number the bytes alike.
            seq: if request { at as u32 + 977 * (self.cookie as u32 / 2) } else { 0 },
            len: len as u32,
            cap: if request { len as u32 } else { 0 },
            lost: 0,
            tgid: self.pid,
            tid: self.pid,
            token: self.cookie << 32 | u64::from(self.record),
            caller,
            other_pos: other,
            other_ts: if other > 0 { ts - 1000 } else { 0 },
            tail,
            body: if request { 0 } else { 14 },
        }
    }
}

fn cpu(id: ClockId) -> f64 {
    let t = clock_gettime(id);
    t.tv_sec as f64 * 1e9 + t.tv_nsec as f64
}

fn main() {
    let arg = |n: usize, default: &str| std::env::args().nth(n).unwrap_or_else(|| default.to_owned());
    let seconds: f64 = arg(1, "5").parse().unwrap();
    let (ends, sink) = (arg(2, "served"), arg(3, "view"));
    let both = ends == "both";
    let settings = TapSettings {
        ring_bytes: 1 << 20,
        first_request: 512,
        first_response: 256,
        budget: 0,
        brief_budget: 0,
    };
    let tap = Tap::load(settings).unwrap();
    let mut children: Vec<_> =
        (0..2).map(|_| std::process::Command::new("sleep").arg("1000").spawn().unwrap()).collect();
    let pids: Vec<u32> = children.iter().map(std::process::Child::id).collect();
    std::thread::sleep(Duration::from_millis(50));
    let mut table = Table::new(HostIdentity::new(&Host::read(), "0", &[]), Discovery::default());
    table.scan(&[(pids[0], 8080)], 0);
    let scope = Scope { name: "telegen/trace".into(), version: "0".into() };
    let red = Red::new(RedSettings { exponential: false, max_series: 2000 }, scope.clone(), unix_ns());
    let unread = Unread::new(scope.clone());
    let selfmon = SelfMon::new(BuildInfo::default());
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let _in = runtime.enter();
    let bytes = Arc::new(AtomicU64::new(0));
    let mut sinks: Vec<(Arc<dyn Sink>, SinkConfig)> = Vec::new();
    if sink != "none" {
        let view = View::new(16 << 20, &selfmon, About::default());
        sinks.push((Arc::new(view), SinkConfig { role: Role::View, ..SinkConfig::default() }));
    }
    if sink == "otlp" || sink == "json" {
        sinks.push((Arc::new(Encoder { json: sink == "json", bytes: bytes.clone() }), SinkConfig::default()));
    }
    let pipeline = Pipeline::start(PipelineConfig::default(), sinks, &selfmon).unwrap();
    let input = pipeline.input();
    let count = Arc::new(AtomicU64::new(0));
    let (seen, drops) = (count.clone(), sink == "none");
    let graph = Graph::new(Arc::default(), scope.clone(), unix_ns());
    let mut engine = Engine::new(
        EngineConfig {
            sampling: Sampling::default(),
            mask_keys: vec![],
            headers: vec![],
            spans: true,
            instrumented: Instrumented::All,
            max_routes: 200,
            scope: scope.clone(),
        },
        table,
        (tap.procs().unwrap(), tap.counters().unwrap()),
        Outputs {
            spans: Box::new(move |group: ResourceGroup| {
                seen.fetch_add(group.records.items() as u64, Ordering::Relaxed);
                if !drops {
                    input.push(group);
                }
            }),
            red: red.clone(),
            unread: unread.clone(),
            graph: graph.clone(),
            unlinked: Unlinked::new(scope),
        },
        selfmon.clone(),
    );
    let mut conns: Vec<[End; 2]> = (0..CONNS)
        .map(|n| {
            let end = |server: bool| End {
                cookie: u64::from(n) * 2 + u64::from(server) + 2,
                server,
                rx: 0,
                tx: 0,
                record: 0,
                pid: pids[usize::from(!server)],
                start: telegen_sys::process(pids[usize::from(!server)]).unwrap().start * telegen_sys::TICK_NS,
            };
            [end(false), end(true)]
        })
        .collect();
    for (n, [client, server]) in conns.iter_mut().enumerate() {
        let ts = monotonic_ns();
        engine.handle(Record::Conn(&server.conn(n as u32, ts)));
        if both {
            engine.handle(Record::Conn(&client.conn(n as u32, ts)));
        }
    }
    let (mut spent, mut requests, begun) = (0.0, 0u64, Instant::now());
    let all = cpu(ClockId::ProcessCPUTime);
    let mut next = 0;
    while begun.elapsed().as_secs_f64() < seconds {
        std::thread::sleep(Duration::from_micros(1000));
        let from = cpu(ClockId::ThreadCPUTime);
        for i in 0..TURN {
            next = (next + 1) % conns.len();
            let [client, server] = &mut conns[next];
            let ts = monotonic_ns() - u64::from(TURN - i) * 100;
            if both {
                engine.handle(Record::Data(&client.data(true, ts, 0), REQUEST));
            }
            engine.handle(Record::Data(&server.data(true, ts + 10, 0), REQUEST));
            engine.handle(Record::Data(&server.data(false, ts + 50, 0), &[]));
            if both {
                engine.handle(Record::Data(&client.data(false, ts + 60, 0), &[]));
            }
        }
        engine.turn(monotonic_ns());
        spent += cpu(ClockId::ThreadCPUTime) - from;
        requests += u64::from(TURN);
    }
    let all = cpu(ClockId::ProcessCPUTime) - all;
    std::thread::sleep(Duration::from_millis(1300));
    engine.finish(monotonic_ns());
    let rss = std::fs::read_to_string("/proc/self/status").unwrap();
    let rss = rss.lines().find(|l| l.starts_with("VmRSS")).unwrap().to_owned();
    println!(
        "{ends} {sink}: {requests} requests, {} spans, {:.0} ns a request on the engine's thread, {:.0} ns in all, {} encoded, {rss}",
        count.load(Ordering::Relaxed),
        spent / requests as f64,
        all / requests as f64,
        bytes.load(Ordering::Relaxed),
    );
    let served: usize = red.collect(Reader::Peek, unix_ns()).iter().map(|g| g.records.items()).sum();
    let snapshot = selfmon.ledger.snapshot().signal(Signal::Traces);
    println!("{served} points, produced {}, lost {:?}", snapshot.produced, snapshot.lost);
    children.iter_mut().for_each(|c| {
        c.kill().unwrap();
        c.wait().unwrap();
    });
}
