//! Prints spans as they are made, for some seconds: `spans [SECONDS] [quiet]`.
#![allow(clippy::print_stdout, clippy::unwrap_used, reason = "a tool for developers")]

use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use telegen_bpf::{Tap, TapSettings};
use telegen_model::{Records, Scope, Value};
use telegen_otlp::pack::unpack_all;
use telegen_pipeline::{MetricSource, Reader};
use telegen_processes::{Discovery, HostIdentity, Table};
use telegen_selfmon::{BuildInfo, SelfMon};
use telegen_sys::{Host, monotonic_ns, unix_ns};
use telegen_trace::settings::Instrumented;
use telegen_trace::{Engine, EngineConfig, Graph, Outputs, Red, RedSettings, Sampling, Unlinked, Unread};

fn main() {
    let seconds = std::env::args().nth(1).and_then(|s| s.parse().ok()).unwrap_or(5);
    let quiet = std::env::args().nth(2).is_some();
    let tap = Tap::load(TapSettings::default()).unwrap();
    let mut table = Table::new(HostIdentity::new(&Host::read(), "0", &[]), Discovery::default());
    let found = monotonic_ns();
    let listeners: Vec<(u32, u16)> = tap.listeners().unwrap().iter().map(|l| (l.tgid, l.port)).collect();
    table.scan(&listeners, found);
    let scope = Scope { name: "telegen/trace".into(), version: "0".into() };
    let red = Red::new(RedSettings { exponential: false, max_series: 2000 }, scope.clone(), unix_ns());
    let unread = Unread::new(scope.clone());
    let count = Arc::new(AtomicUsize::new(0));
    let seen = count.clone();
    let selfmon = SelfMon::new(BuildInfo::default());
    let engine = Engine::new(
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
            spans: Box::new(move |group| {
                let Records::Packed(spans) = group.records else { return };
                let spans = unpack_all(&spans);
                seen.fetch_add(spans.len(), Ordering::Relaxed);
                for s in spans.iter().filter(|_| !quiet) {
                    let text = |key: &str| match s.attr(key) {
                        Some(Value::Str(v)) => v.to_string(),
                        Some(Value::Int(v)) => v.to_string(),
                        _ => "-".to_owned(),
                    };
                    println!(
                        "{:?} {} {} {} {} {} us {} {}",
                        s.kind,
                        text("http.request.method"),
                        text("url.path"),
                        text("http.response.status_code"),
                        text("http.response.body.size"),
                        (s.end - s.start) / 1000,
                        group.resource.text("service.name").unwrap(),
                        text("error.type"),
                    );
                }
            }),
            red: red.clone(),
            unread: unread.clone(),
            graph: Graph::new(Arc::default(), scope.clone(), unix_ns()),
            unlinked: Unlinked::new(scope),
        },
        selfmon.clone(),
    );
    let engine = Rc::new(std::cell::RefCell::new(engine));
    let handler = engine.clone();
    let pump = tap.pump(move |r| handler.borrow_mut().handle(r)).unwrap();
    let end = Instant::now() + Duration::from_secs(seconds);
    while Instant::now() < end {
        pump.turn(Duration::from_millis(20)).unwrap();
        engine.borrow_mut().turn(monotonic_ns());
    }
    engine.borrow_mut().finish(monotonic_ns());
    println!("{} spans", count.load(Ordering::Relaxed));
    println!("{:#?}", selfmon.ledger.snapshot());
    for g in red.collect(Reader::Peek, unix_ns()) {
        println!("{:?} {} points", g.resource.text("service.name"), g.records.items());
    }
    println!("{:?}", unread.collect(Reader::Peek, unix_ns()).len());
}
