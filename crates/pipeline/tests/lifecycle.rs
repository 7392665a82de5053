//! Metrics, reload and shutdown. Time is virtual: nothing here waits.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test ends where something is wrong")]

mod support;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use support::{Rig, Script, as_sinks, batches_of};
use telegen_model::{Records, ResourceGroup, Scope, Signal, Temporality};
use telegen_otlp::{RawGroup, raw_groups};
use telegen_pipeline::{
    MetricSource, Outcome, Pipeline, PipelineConfig, PipelineError, Reader, Role, Sink, SinkConfig,
};
use telegen_selfmon::{BuildInfo, SELF_SCOPE, SelfMon};
use telegen_testkit::records;

const RETRY: Outcome = Outcome::Retry { after: None };

#[tokio::test(start_paused = true)]
async fn shutdown_sends_what_is_gathered_and_queued() {
    let sink = Arc::new(Script::gated("a"));
    let rig = Rig::new(vec![(sink.clone(), batches_of(10))]);
    rig.push(0..25);
    sink.wait_calls(1).await;
    sink.let_through(10);
    rig.pipeline.shutdown(Duration::from_secs(5)).await;
    assert_eq!(sink.spans(), (0..25).collect::<Vec<_>>());
    assert_eq!((rig.delivered("a"), rig.ledger().in_flight), (25, 0));
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_sent_before_the_deadline_is_lost_and_counted() {
    let (stuck, away) = (Arc::new(Script::gated("stuck")), Arc::new(Script::new("away")));
    away.always(RETRY);
    let rig = Rig::new(vec![(stuck.clone(), batches_of(10)), (away.clone(), batches_of(10))]);
    rig.push(0..25);
    stuck.wait_calls(1).await;
    let start = tokio::time::Instant::now();
    rig.pipeline.shutdown(Duration::from_secs(5)).await;
    assert_eq!(start.elapsed().as_secs(), 5);
    for name in ["stuck", "away"] {
        assert_eq!(rig.lost(name, "shutdown"), 25);
        assert!(rig.ledger().balances(name));
    }
    assert_eq!(rig.ledger().in_flight, 0);
}

#[tokio::test(start_paused = true)]
async fn what_comes_after_the_end_is_lost_and_counted() {
    let rig = Rig::new(vec![(Arc::new(Script::new("a")), batches_of(10))]);
    rig.pipeline.shutdown(Duration::from_secs(5)).await;
    rig.push(0..4);
    assert_eq!(rig.ledger().lost["pipeline"]["shutdown"], 4);
    assert!(rig.ledger().balances("a"));
    assert!(matches!(rig.pipeline.reload(Vec::new()), Err(PipelineError::Ended)));
}

#[tokio::test(start_paused = true)]
async fn a_batch_that_waits_for_its_next_try_is_tried_at_once_when_the_program_ends() {
    let sink =
        Arc::new(Script::new("a").answering([Outcome::Retry { after: Some(Duration::from_secs(3000)) }]));
    let rig = Rig::new(vec![(sink.clone(), batches_of(1))]);
    rig.push([1]);
    sink.wait_calls(1).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    rig.pipeline.shutdown(Duration::from_secs(5)).await;
    assert_eq!((sink.calls().len(), rig.delivered("a")), (2, 1));
}

#[tokio::test(start_paused = true)]
async fn a_reload_sends_what_is_queued_to_the_new_peer_at_once() {
    for (old_form, new_form) in [(false, true), (true, false)] {
        let form = |s: Script, typed: bool| Arc::new(if typed { s } else { s.encoded_only() });
        let (old, new) = (form(Script::new("a"), old_form), form(Script::new("a"), new_form));
        old.always(Outcome::Retry { after: Some(Duration::from_secs(3000)) });
        let rig = Rig::new(vec![(old.clone(), batches_of(2))]);
        rig.push(0..5);
        old.wait_calls(1).await;
        tokio::time::sleep(Duration::from_secs(1)).await;
        let start = tokio::time::Instant::now();
        rig.pipeline.reload(as_sinks(vec![(new.clone(), batches_of(3))])).unwrap();
        rig.push(5..6);
        rig.settled().await;
        assert!(start.elapsed() < Duration::from_millis(1500), "{:?}", start.elapsed());
        assert_eq!((old.calls().len(), rig.delivered("a")), (1, 6));
        if new_form {
            assert_eq!(new.spans(), (0..6).collect::<Vec<_>>());
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_exporter_that_a_reload_removes_has_a_while_to_empty_its_queue() {
    let (gone, away, stays) =
        (Arc::new(Script::new("gone")), Arc::new(Script::new("away")), Arc::new(Script::new("b")));
    away.always(RETRY);
    let rig =
        Rig::new(vec![(gone.clone(), batches_of(9)), (away, batches_of(9)), (stays.clone(), batches_of(9))]);
    rig.push(0..2);
    rig.pipeline.reload(as_sinks(vec![(stays.clone(), batches_of(9))])).unwrap();
    rig.push(2..4);
    tokio::time::sleep(Duration::from_secs(6)).await;
    assert_eq!((rig.delivered("gone"), rig.lost("away", "removed"), rig.delivered("b")), (2, 2, 4));
    assert_eq!(rig.ledger().in_flight, 0);
}

#[tokio::test(start_paused = true)]
async fn an_exporter_that_is_being_removed_when_the_program_ends_is_counted_too() {
    let away = Arc::new(Script::new("away"));
    away.always(RETRY);
    let rig = Rig::new(vec![(away, batches_of(9))]);
    rig.push(0..2);
    rig.pipeline.reload(Vec::new()).unwrap();
    rig.pipeline.shutdown(Duration::from_secs(1)).await;
    assert_eq!((rig.lost("away", "shutdown"), rig.ledger().in_flight), (2, 0));
}

#[tokio::test(start_paused = true)]
async fn two_exporters_of_one_name_are_refused() {
    let mon = SelfMon::new(BuildInfo::default());
    let one = || (Arc::new(Script::new("a")), batches_of(1));
    let result = Pipeline::start(PipelineConfig::default(), as_sinks(vec![one(), one()]), &mon);
    assert!(matches!(result.map(|_| ()), Err(PipelineError::SameName(name)) if name == "a"));
}

#[test]
fn without_a_runtime_it_says_so() {
    let mon = SelfMon::new(BuildInfo::default());
    let result = Pipeline::start(PipelineConfig::default(), Vec::new(), &mon);
    assert!(matches!(result.map(|_| ()), Err(PipelineError::NoRuntime)));
}

/// A source with 8 points, which remembers how it was read.
#[derive(Default)]
struct Source(Mutex<Vec<Reader>>);

impl MetricSource for Source {
    fn collect(&self, reader: Reader, _: u64) -> Vec<ResourceGroup> {
        self.0.lock().unwrap().push(reader);
        vec![records::group(&records::resource("shop"), Records::Metrics(records::metrics()))]
    }
}

fn delta() -> PipelineConfig {
    PipelineConfig { temporality: Temporality::Delta, ..PipelineConfig::default() }
}

#[tokio::test(start_paused = true)]
async fn metrics_are_read_at_each_interval_and_once_more_at_the_end() {
    let sink = Arc::new(Script::new("a").taking(&[Signal::Metrics]));
    let rig = Rig::with(delta(), vec![(sink.clone(), batches_of(1000))]);
    let source = Arc::new(Source::default());
    rig.pipeline.add_metric_source(source.clone());
    tokio::time::sleep(Duration::from_secs(25)).await;
    rig.pipeline.shutdown(Duration::from_secs(5)).await;
    assert_eq!(*source.0.lock().unwrap(), [Reader::Export { temporality: Temporality::Delta }; 3]);
    let ledger = rig.mon.ledger.snapshot().signal(Signal::Metrics);
    assert_eq!((ledger.produced_by_source["test"], ledger.delivered["a"]), (24, 24));
}

#[tokio::test(start_paused = true)]
async fn another_interval_counts_from_when_it_is_set_and_the_same_changes_nothing() {
    let seconds = Duration::from_secs_f64;
    let rig = Rig::with(delta(), vec![(Arc::new(Script::new("a")), batches_of(1000))]);
    let source = Arc::new(Source::default());
    rig.pipeline.add_metric_source(source.clone());
    let reads = || source.0.lock().unwrap().len();
    let mut seen = Vec::new();
    for (sets, waits) in [(10.0, 25.0), (2.0, 5.0), (2.0, 1.5), (60.0, 59.0), (60.0, 2.0)] {
        rig.pipeline.read_metrics_every(seconds(sets));
        tokio::time::sleep(seconds(waits)).await;
        seen.push(reads());
    }
    assert_eq!(seen, [2, 4, 5, 5, 6]);
    rig.pipeline.shutdown(seconds(5.0)).await;
}

#[tokio::test(start_paused = true)]
async fn metrics_are_not_read_when_only_the_view_would_take_them() {
    let view = SinkConfig { role: Role::View, ..batches_of(1) };
    let rig = Rig::new(vec![(Arc::new(Script::new("view")), view)]);
    let source = Arc::new(Source::default());
    rig.pipeline.add_metric_source(source.clone());
    tokio::time::sleep(Duration::from_secs(25)).await;
    assert_eq!(*source.0.lock().unwrap(), []);
    assert_eq!(rig.pipeline.peek_metrics(1).len(), 1);
    assert_eq!(*source.0.lock().unwrap(), [Reader::Peek]);
    assert_eq!(rig.mon.ledger.snapshot().signal(Signal::Metrics).produced, 0);
}

#[tokio::test(start_paused = true)]
async fn a_scrape_is_given_what_comes_by_itself_and_not_what_it_reads_itself() {
    let scrape = Arc::new(Script::new("scrape").taking(&[Signal::Metrics]));
    let as_scrape = SinkConfig { role: Role::Scrape, ..batches_of(100_000) };
    let given = |scrape: &Script| {
        let names = scrape.calls().into_iter().flat_map(|c| c.batch.groups.clone());
        names.map(|g| g.scope.name.to_string()).collect::<Vec<_>>()
    };
    let (config, exporter) = (
        PipelineConfig { self_resource: Some(records::resource("telegen")), ..PipelineConfig::default() },
        Arc::new(Script::new("a")),
    );
    for sinks in [
        vec![(scrape.clone(), as_scrape.clone())],
        vec![(scrape.clone(), as_scrape), (exporter.clone(), batches_of(100_000))],
    ] {
        let alone = sinks.len() == 1;
        let rig = Rig::with(config.clone(), sinks);
        let source = Arc::new(Source::default());
        rig.pipeline.add_metric_source(source.clone());
        let pushed = ResourceGroup {
            scope: Scope { name: "telegen/snmp".into(), version: "".into() },
            ..source.collect(Reader::Peek, 1).remove(0)
        };
        rig.mon.ledger.produced(Signal::Metrics, "snmp", pushed.records.items() as u64);
        rig.input.push(pushed);
        tokio::time::sleep(Duration::from_secs(25)).await;
        rig.pipeline.shutdown(Duration::from_secs(5)).await;
        assert_eq!(given(&scrape).len(), if alone { 1 } else { 2 });
        assert!(given(&scrape).iter().all(|scope| scope == "telegen/snmp"));
        assert_eq!(
            source.0.lock().unwrap().len(),
            if alone { 1 } else { 4 },
            "one peek, and the exporter's reads"
        );
        let ledger = rig.mon.ledger.snapshot().signal(Signal::Metrics);
        assert_eq!((ledger.in_flight, ledger.delivered.contains_key("scrape")), (0, false));
    }
    assert_eq!(given(&exporter).iter().filter(|scope| *scope == "telegen/snmp").count(), 1);
}

#[tokio::test(start_paused = true)]
async fn own_metrics_leave_in_batches_of_their_own_and_stand_outside_the_ledger() {
    let (sink, view) = (Arc::new(Script::new("a")), Arc::new(Script::new("view")));
    let config =
        PipelineConfig { self_resource: Some(records::resource("telegen")), ..PipelineConfig::default() };
    let as_view = SinkConfig { role: Role::View, ..batches_of(100_000) };
    let rig = Rig::with(config, vec![(sink.clone(), batches_of(100_000)), (view.clone(), as_view)]);
    rig.pipeline.add_metric_source(Arc::new(Source::default()));
    tokio::time::sleep(Duration::from_secs(15)).await;
    let scopes: Vec<Vec<String>> = sink
        .calls()
        .iter()
        .map(|c| c.batch.groups.iter().map(|g| g.scope.name.to_string()).collect())
        .collect();
    assert_eq!(scopes.len(), 2);
    assert!(
        scopes.contains(&vec![SELF_SCOPE.to_string()]) && scopes.contains(&vec!["telegen/test".to_string()])
    );
    assert!(view.calls().iter().all(|c| c.batch.groups.iter().all(|g| g.scope.name != SELF_SCOPE)));
    let ledger = rig.mon.ledger.snapshot().signal(Signal::Metrics);
    assert_eq!((ledger.produced, ledger.delivered["a"], ledger.in_flight), (8, 8, 0));
}

#[tokio::test(start_paused = true)]
async fn of_a_flood_from_others_the_page_is_shown_a_thousand_a_second() {
    let (sink, page) = (Arc::new(Script::new("a").encoded_only()), Arc::new(Script::new("view")));
    let as_view = SinkConfig { role: Role::View, ..batches_of(8192) };
    let rig = Rig::new(vec![(sink.clone(), batches_of(8192)), (page.clone(), as_view)]);
    let push = |spans: std::ops::Range<u64>| {
        let bytes = telegen_otlp::encode_request(&[rig.group(spans)]);
        let RawGroup { resource, records } = raw_groups(Signal::Traces, &bytes).unwrap().remove(0);
        let scope = rig.group(0..0).scope;
        let group = ResourceGroup { resource: Arc::new(resource), scope, records: Records::Raw(records) };
        rig.mon.ledger.produced(Signal::Traces, "test", group.records.items() as u64);
        rig.pipeline.input().push(group);
    };
    // Requests that fit whole, then one of which only a part fits.
    (0..20).for_each(|n| push(n * 300..n * 300 + 300));
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!((rig.delivered("a"), page.items()), (6000, vec![900]));
    push(0..8000);
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!((rig.delivered("a"), page.items()), (14_000, vec![900, 1000]));
    assert_eq!(page.spans()[900..], (0..1000).collect::<Vec<_>>());
}

#[test]
fn sinks_are_kept_as_objects() {
    fn takes(_: Arc<dyn Sink>) {}
    takes(Arc::new(Script::new("a")));
}
