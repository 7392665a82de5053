//! The ledger's identity, whatever happens, with real threads and real time.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test ends where something is wrong")]

mod support;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;
use support::{Rig, Script};
use telegen_model::Signal;
use telegen_pipeline::{BatchConfig, Outcome, QueueConfig, RetryConfig, Role, SinkConfig, WhenFull};

fn outcome() -> impl Strategy<Value = Outcome> {
    prop_oneof![
        4 => Just(Outcome::Delivered),
        1 => (0u64..20).prop_map(|n| Outcome::Rejected { n }),
        2 => Just(Outcome::Retry { after: None }),
        1 => Just(Outcome::TooLarge),
        1 => (0u64..20).prop_map(|n| Outcome::Lost { n, reason: "http_400".into() }),
    ]
}

fn config() -> impl Strategy<Value = SinkConfig> {
    let when_full =
        prop_oneof![Just(WhenFull::Block), Just(WhenFull::DropOldest), Just(WhenFull::DropNewest)];
    let role = prop_oneof![4 => Just(Role::Exporter), 1 => Just(Role::View)];
    (1usize..50, 1usize..20_000, 0u64..5, 2000usize..50_000, when_full, prop::bool::ANY, role).prop_map(
        |(max_items, max_bytes, timeout, max_size, when_full, expires, role)| SinkConfig {
            batch: BatchConfig { max_bytes, max_items, timeout: Duration::from_millis(timeout) },
            queue: QueueConfig { max_size, when_full },
            disk: None,
            retry: RetryConfig {
                initial: Duration::from_micros(200),
                max: Duration::from_millis(2),
                max_elapsed: Duration::from_millis(if expires { 3 } else { 0 }),
            },
            rate: None,
            role,
        },
    )
}

fn sinks() -> impl Strategy<Value = Vec<(Vec<Outcome>, bool, SinkConfig)>> {
    prop::collection::vec((prop::collection::vec(outcome(), 0..40), any::<bool>(), config()), 1..4)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_item_is_accounted_for(sinks in sinks(), sizes in prop::collection::vec(1u64..40, 1..60), reload: bool, wait_ms in 0u64..8) {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let (rig, total) = runtime.block_on(run(sinks.clone(), sizes, reload, wait_ms));
        let ledger = rig.ledger();
        prop_assert_eq!(ledger.produced, total);
        prop_assert_eq!(ledger.in_flight, 0);
        let exported = sinks.iter().any(|(_, _, c)| c.role == Role::Exporter);
        for (n, (_, _, config)) in sinks.iter().enumerate() {
            let name = format!("s{n}");
            if config.role == Role::Exporter || !exported {
                prop_assert!(ledger.balances(&name), "{} of {:?}", name, ledger);
            } else {
                prop_assert!(!ledger.delivered.contains_key(&name));
            }
        }
    }
}

/// Three threads push groups of these sizes while the sinks answer as written, then everything ends.
async fn run(
    sinks: Vec<(Vec<Outcome>, bool, SinkConfig)>,
    sizes: Vec<u64>,
    reload: bool,
    wait_ms: u64,
) -> (Arc<Rig>, u64) {
    let script = |n: usize, outcomes: &[Outcome], typed| {
        let script = Script::new(&format!("s{n}")).answering(outcomes.iter().cloned());
        Arc::new(if typed { script } else { script.encoded_only() })
    };
    let make = || -> Vec<_> {
        sinks.iter().enumerate().map(|(n, (o, typed, c))| (script(n, o, *typed), c.clone())).collect()
    };
    let rig = Arc::new(Rig::new(make()));
    let threads: Vec<_> = (0..3u64)
        .map(|t| {
            let (rig, sizes) = (rig.clone(), sizes.clone());
            std::thread::spawn(move || {
                for (n, size) in sizes.iter().enumerate() {
                    let first = (t * 1000 + n as u64) * 100;
                    rig.push(first..first + size);
                }
            })
        })
        .collect();
    if reload {
        rig.pipeline.reload(support::as_sinks(make())).unwrap();
    }
    tokio::time::sleep(Duration::from_millis(wait_ms)).await;
    for thread in threads {
        tokio::task::spawn_blocking(move || thread.join().unwrap()).await.unwrap();
    }
    rig.pipeline.shutdown(Duration::from_millis(wait_ms)).await;
    (rig, 3 * sizes.iter().sum::<u64>())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_span_that_is_delivered_is_delivered_once() {
    let sink = Arc::new(Script::new("a"));
    let config = SinkConfig {
        batch: BatchConfig { max_items: 100, timeout: Duration::from_millis(1), ..BatchConfig::default() },
        ..SinkConfig::default()
    };
    let rig = Arc::new(Rig::new(vec![(sink.clone(), config)]));
    let threads: Vec<_> = (0..4u64)
        .map(|t| {
            let rig = rig.clone();
            std::thread::spawn(move || (0..500).for_each(|n| rig.push([t * 1000 + n])))
        })
        .collect();
    for thread in threads {
        tokio::task::spawn_blocking(move || thread.join().unwrap()).await.unwrap();
    }
    rig.pipeline.shutdown(Duration::from_secs(60)).await;
    let mut times: BTreeMap<u64, usize> = BTreeMap::new();
    sink.spans().into_iter().for_each(|n| *times.entry(n).or_default() += 1);
    let want: BTreeMap<u64, usize> = (0..4).flat_map(|t| (0..500).map(move |n| (t * 1000 + n, 1))).collect();
    assert_eq!(times, want);
    assert_eq!(rig.mon.ledger.snapshot().signal(Signal::Traces).delivered["a"], 2000);
}
