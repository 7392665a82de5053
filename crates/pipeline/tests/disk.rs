//! Queues on disk behind real pipelines: restarts, acknowledgement, bounds, damage.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test ends where something is wrong")]

mod support;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use support::{Rig, Script, as_sinks, batches_of};
use telegen_model::Signal;
use telegen_pipeline::{
    Ack, AckLevel, Acked, DiskConfig, Outcome, Pipeline, PipelineConfig, PipelineError, QueueConfig,
    SinkConfig, WhenFull,
};
use telegen_selfmon::{BuildInfo, SelfMon};

const RETRY: Outcome = Outcome::Retry { after: None };

fn disk(path: &Path, items: usize) -> SinkConfig {
    let fsync = Duration::from_millis(20);
    let queue = QueueConfig { max_size: 64 << 20, when_full: WhenFull::DropOldest };
    SinkConfig {
        disk: Some(DiskConfig { path: path.to_owned(), fsync, memory: 64 << 20 }),
        queue,
        ..batches_of(items)
    }
}

fn away(name: &str) -> Arc<Script> {
    let sink = Script::new(name).encoded_only();
    sink.always(RETRY);
    Arc::new(sink)
}

/// What a push hears in the end.
fn acked(rig: &Rig, numbers: std::ops::Range<u64>, level: AckLevel) -> mpsc::Receiver<Acked> {
    let (tell, hear) = mpsc::sync_channel(1);
    let group = rig.group(numbers);
    rig.mon.ledger.produced(Signal::Traces, "test", group.records.items() as u64);
    rig.input.push_acked(group, Ack::new(level, move |a| _ = tell.send(a)));
    hear
}

async fn heard(hear: mpsc::Receiver<Acked>) -> Acked {
    tokio::task::spawn_blocking(move || hear.recv_timeout(Duration::from_secs(30)).unwrap()).await.unwrap()
}

fn segments(folder: &Path) -> Vec<PathBuf> {
    let mut out: Vec<PathBuf> = fs::read_dir(folder.join("traces"))
        .unwrap()
        .flatten()
        .map(|e| e.path())
        .filter(|p| p.extension().is_some_and(|e| e == "seg" || e == "open"))
        .collect();
    out.sort();
    out
}

fn on_disk(folder: &Path) -> u64 {
    let mut sum = 0;
    // What is removed meanwhile takes no room.
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let Ok(meta) = entry.metadata() else { continue };
        sum += if meta.is_dir() { on_disk(&entry.path()) } else { meta.len() };
    }
    sum
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_peer_did_not_take_is_there_after_a_restart_and_is_produced_as_recovered() {
    let dir = tempfile::tempdir().unwrap();
    let gone = away("a");
    let rig = Rig::new(vec![(gone.clone(), disk(dir.path(), 10))]);
    rig.push(0..25);
    gone.wait_calls(1).await;
    let id = gone.calls()[0].id.clone();
    rig.pipeline.shutdown(Duration::from_secs(20)).await;
    assert_eq!((rig.ledger().lost_at("export:a"), rig.ledger().in_flight), (0, 25), "nothing is lost");
    drop(rig);

    let back = Arc::new(Script::new("a"));
    let rig = Rig::new(vec![(back.clone(), disk(dir.path(), 10))]);
    rig.push(25..30);
    rig.settled().await;
    assert_eq!(back.spans(), (0..30).collect::<Vec<_>>());
    assert_eq!(back.calls()[0].id, id, "a batch keeps its name over a restart");
    let ledger = rig.ledger();
    assert_eq!((ledger.produced_by_source["recovered"], ledger.produced, rig.delivered("a")), (25, 30, 30));
    assert!(ledger.balances("a"));
    rig.pipeline.shutdown(Duration::from_secs(20)).await;
    assert_eq!(segments(dir.path()), Vec::<PathBuf>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn each_level_of_acknowledgement_is_told_when_it_is_true() {
    let dir = tempfile::tempdir().unwrap();
    let sink = away("a");
    let rig = Rig::new(vec![(sink.clone(), disk(dir.path(), 2))]);
    let delivered = acked(&rig, 0..2, AckLevel::Delivered);
    for (n, level) in [AckLevel::Memory, AckLevel::Written, AckLevel::Fsynced].into_iter().enumerate() {
        let n = n as u64 * 2 + 2;
        assert_eq!(heard(acked(&rig, n..n + 2, level)).await, Acked::Reached(level));
    }
    assert!(!segments(dir.path()).is_empty());
    assert!(delivered.try_recv().is_err(), "the peer is away");
    sink.always(Outcome::Delivered);
    assert_eq!(heard(delivered).await, Acked::Reached(AckLevel::Delivered));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_acknowledged_as_fsynced_is_in_a_copy_of_the_files_made_at_that_moment() {
    let (dir, copy) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let rig = Rig::new(vec![(away("a"), disk(dir.path(), 10))]);
    rig.push(0..10);
    assert_eq!(heard(acked(&rig, 10..20, AckLevel::Fsynced)).await, Acked::Reached(AckLevel::Fsynced));
    fs::create_dir(copy.path().join("traces")).unwrap();
    for file in segments(dir.path()) {
        fs::copy(&file, copy.path().join("traces").join(file.file_name().unwrap())).unwrap();
    }
    let back = Arc::new(Script::new("b"));
    let again = Rig::new(vec![(back.clone(), disk(copy.path(), 10))]);
    again.settled().await;
    assert_eq!(back.spans(), (0..20).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_queue_drops_what_the_settings_say_counts_it_and_stays_within_its_size() {
    const SIZE: usize = 1 << 20;
    for when_full in [WhenFull::DropOldest, WhenFull::DropNewest, WhenFull::Block] {
        let dir = tempfile::tempdir().unwrap();
        let sink = Arc::new(Script::gated("a").encoded_only());
        let mut config = disk(dir.path(), 50);
        config.queue = QueueConfig { max_size: SIZE, when_full };
        let rig = Rig::new(vec![(sink.clone(), config)]);
        let mut last = None;
        for n in 0..400u64 {
            last = Some(acked(&rig, n * 50..n * 50 + 50, AckLevel::Written));
            if n % 20 == 19 {
                tokio::time::sleep(Duration::from_millis(5)).await;
                let bytes = on_disk(dir.path());
                assert!(bytes < SIZE as u64 * 11 / 10, "{when_full:?}: {bytes}");
            }
        }
        let end = heard(last.unwrap()).await;
        assert_eq!(end == Acked::Lost, when_full == WhenFull::Block, "{when_full:?}: {end:?}");
        sink.let_through(100_000);
        rig.settled().await;
        let (lost, ledger) = (rig.lost("a", "queue_full"), rig.ledger());
        assert!(lost > 5000 && ledger.balances("a"), "{when_full:?}: {lost} {ledger:?}");
        assert_eq!(lost + rig.delivered("a"), 20_000);
        let sent: u64 = sink.calls().iter().map(|c| c.items as u64).sum();
        assert_eq!(sent, rig.delivered("a"), "{when_full:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_segment_is_counted_and_the_rest_is_sent() {
    let dir = tempfile::tempdir().unwrap();
    let rig = Rig::new(vec![(away("a"), disk(dir.path(), 10))]);
    rig.push(0..100);
    rig.pipeline.shutdown(Duration::from_secs(20)).await;
    drop(rig);
    let file = segments(dir.path()).remove(0);
    let mut bytes = fs::read(&file).unwrap();
    let at = bytes.len() / 2;
    bytes[at] ^= 0x40;
    fs::write(&file, bytes).unwrap();
    let back = Arc::new(Script::new("a"));
    let rig = Rig::new(vec![(back.clone(), disk(dir.path(), 10))]);
    rig.settled().await;
    let (lost, delivered) = (rig.lost("a", "damaged"), rig.delivered("a"));
    assert!(lost >= 10 && delivered >= 30, "{lost} {delivered}");
    assert_eq!(lost + delivered, 100);
    assert!(rig.ledger().balances("a"));
    rig.push(100..110);
    rig.settled().await;
    assert_eq!(rig.delivered("a"), delivered + 10);
}

#[tokio::test(flavor = "multi_thread")]
async fn parts_of_a_batch_that_was_too_large_have_names_that_survive_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let sink = Arc::new(Script::new("a").encoded_only().answering([Outcome::TooLarge]));
    let rig = Rig::new(vec![(sink.clone(), disk(dir.path(), 10))]);
    rig.push(0..10);
    rig.settled().await;
    let calls = sink.calls();
    let ids: Vec<&str> = calls.iter().map(|c| c.id.as_str()).collect();
    assert_eq!(ids, [calls[0].id.clone(), format!("{}.0", ids[0]), format!("{}.1", ids[0])]);
    assert_eq!(sink.items(), [10, 5, 5]);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_exporters_never_share_a_folder() {
    let dir = tempfile::tempdir().unwrap();
    let rig = Rig::new(vec![(away("a"), disk(dir.path(), 10))]);
    let mon = SelfMon::new(BuildInfo::default());
    let sinks = || as_sinks(vec![(away("b"), disk(dir.path(), 10))]);
    let Err(error) = Pipeline::start(PipelineConfig::default(), sinks(), &mon) else { panic!("it started") };
    let said = error.to_string();
    assert!(
        said.contains(dir.path().to_str().unwrap()) && said.contains("held by another process"),
        "{said}"
    );
    // A reload that cannot be done changes nothing.
    assert!(matches!(rig.pipeline.reload(sinks()), Err(PipelineError::Queue { .. })));
    rig.push(0..3);
    assert_eq!(heard(acked(&rig, 3..4, AckLevel::Fsynced)).await, Acked::Reached(AckLevel::Fsynced));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reload_from_memory_to_disk_and_to_another_folder_loses_nothing() {
    let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let sink = away("a");
    let rig = Rig::new(vec![(sink.clone(), batches_of(10))]);
    rig.push(0..95);
    sink.wait_calls(1).await;
    rig.pipeline.reload(as_sinks(vec![(sink.clone(), disk(one.path(), 10))])).unwrap();
    rig.push(95..100);
    assert_eq!(heard(acked(&rig, 100..101, AckLevel::Written)).await, Acked::Reached(AckLevel::Written));
    let good = Arc::new(Script::new("a"));
    rig.pipeline.reload(as_sinks(vec![(good.clone(), disk(one.path(), 10))])).unwrap();
    rig.settled().await;
    let mut seen = good.spans();
    seen.sort_unstable();
    seen.dedup();
    assert_eq!(seen, (0..101).collect::<Vec<_>>());
    assert_eq!(rig.ledger().lost_at("export:a"), 0);
    rig.pipeline.reload(as_sinks(vec![(good.clone(), disk(two.path(), 10))])).unwrap();
    rig.push(101..103);
    rig.settled().await;
    assert!(!segments(two.path()).is_empty());
}
