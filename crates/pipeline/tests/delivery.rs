//! Batching, fan-out, retries and what the ledger says of it. Time is virtual: nothing here waits.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test ends where something is wrong")]

mod support;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use support::{Rig, Script, as_sinks, batches_of};
use telegen_model::Signal;
use telegen_pipeline::{
    Ack, AckLevel, Acked, BatchConfig, Outcome, QueueConfig, RetryConfig, Role, SinkConfig, WhenFull,
};
use telegen_testkit::records;

const RETRY: Outcome = Outcome::Retry { after: None };

#[tokio::test(start_paused = true)]
async fn a_batch_closes_at_its_number_of_items_and_a_rest_after_the_timeout() {
    let sink = Arc::new(Script::new("a"));
    let rig = Rig::new(vec![(sink.clone(), batches_of(4))]);
    let start = tokio::time::Instant::now();
    for n in 0..10 {
        rig.push([n]);
    }
    sink.wait_calls(3).await;
    assert_eq!(sink.items(), [4, 4, 2]);
    assert_eq!(sink.spans(), (0..10).collect::<Vec<_>>());
    let at: Vec<_> = sink.calls().iter().map(|c| (c.at - start).as_millis()).collect();
    assert_eq!((at[0], at[1]), (0, 0));
    assert!((1000..1010).contains(&at[2]), "{at:?}");
    rig.settled().await;
    assert!(rig.ledger().balances("a"));
    assert_eq!(rig.delivered("a"), 10);
}

#[tokio::test(start_paused = true)]
async fn a_batch_closes_at_its_number_of_bytes() {
    let sink = Arc::new(Script::new("a").encoded_only());
    let config = SinkConfig {
        batch: BatchConfig { max_bytes: 10_000, ..BatchConfig::default() },
        ..SinkConfig::default()
    };
    let rig = Rig::new(vec![(sink.clone(), config.clone())]);
    for n in 0..30 {
        rig.push(n * 10..n * 10 + 10);
    }
    rig.push(1000..1300);
    rig.settled().await;
    let sizes: Vec<_> = sink.calls().iter().map(|c| c.batch.encoded().len()).collect();
    assert!(sizes.len() == 10 && sizes.iter().all(|s| *s <= 10_000), "{sizes:?}");
    assert_eq!(rig.delivered("a"), 600);
}

#[tokio::test(start_paused = true)]
async fn exporters_with_equal_bounds_share_a_batch_and_its_encoding() {
    let (a, b, c) = (
        Arc::new(Script::new("a").encoded_only()),
        Arc::new(Script::new("b").encoded_only()),
        Arc::new(Script::new("c")),
    );
    let rig =
        Rig::new(vec![(a.clone(), batches_of(3)), (b.clone(), batches_of(3)), (c.clone(), batches_of(3))]);
    rig.push(0..3);
    rig.settled().await;
    let of = |s: &Script| s.calls()[0].batch.clone();
    assert!(Arc::ptr_eq(&of(&a), &of(&b)));
    assert_eq!(of(&a).encoded().as_ptr(), of(&c).encoded().as_ptr());
    assert_eq!((of(&a).groups.len(), of(&c).groups.len()), (0, 1));
    for name in ["a", "b", "c"] {
        assert!(rig.ledger().balances(name));
    }
}

#[tokio::test(start_paused = true)]
async fn a_sink_that_hangs_delays_neither_the_source_nor_another_sink() {
    let (stuck, well) = (Arc::new(Script::gated("stuck")), Arc::new(Script::new("well")));
    let rig = Rig::new(vec![(stuck.clone(), batches_of(2)), (well.clone(), batches_of(2))]);
    for n in 0..100 {
        rig.push([n]);
        // Lets the tasks run as they would beside a source's own thread.
        tokio::task::yield_now().await;
    }
    well.wait_calls(50).await;
    assert_eq!(rig.delivered("well"), 100);
    assert_eq!((stuck.calls().len(), rig.ledger().in_flight), (1, 100));
    stuck.let_through(50);
    rig.settled().await;
    assert_eq!(stuck.spans(), (0..100).collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn a_signal_that_the_peer_refuses_does_not_stop_the_others() {
    let sink = Arc::new(Script::gated("a"));
    let rig = Rig::new(vec![(sink.clone(), batches_of(1))]);
    rig.push([1]);
    sink.wait_calls(1).await;
    let logs = telegen_model::Records::Logs(vec![records::log(1)]);
    rig.input.push(records::group(&records::resource("shop"), logs));
    sink.wait_calls(2).await;
    assert_eq!(sink.calls()[1].batch.signal, Signal::Logs);
}

#[tokio::test(start_paused = true)]
async fn a_batch_is_sent_again_with_growing_waits_until_the_peer_takes_it() {
    let wish = Outcome::Retry { after: Some(Duration::from_secs(60)) };
    let sink = Arc::new(Script::new("a").answering([RETRY, RETRY, RETRY, wish, RETRY]));
    let rig = Rig::new(vec![(sink.clone(), batches_of(1))]);
    rig.push([7]);
    rig.settled().await;
    let calls = sink.calls();
    assert!(calls.iter().all(|c| c.id == calls[0].id), "the same batch under the same name");
    let waits: Vec<f64> = calls.windows(2).map(|w| (w[1].at - w[0].at).as_secs_f64()).collect();
    let within = [(0.8, 1.21), (1.6, 2.41), (3.2, 4.81), (60.0, 66.1), (12.8, 19.3)];
    assert_eq!(waits.len(), within.len());
    for (wait, (low, high)) in waits.iter().zip(within) {
        assert!((low..high).contains(wait), "{waits:?}");
    }
    assert_eq!((rig.delivered("a"), rig.ledger().lost_at("export:a")), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn a_batch_is_given_up_after_its_time_and_counted() {
    let sink = Arc::new(Script::new("a"));
    sink.always(RETRY);
    let retry = RetryConfig { max_elapsed: Duration::from_secs(10), ..RetryConfig::default() };
    let rig = Rig::new(vec![(sink.clone(), SinkConfig { retry, ..batches_of(3) })]);
    rig.push(0..3);
    rig.settled().await;
    assert_eq!(rig.lost("a", "retry_expired"), 3);
    let calls = sink.calls();
    let tried = calls[calls.len() - 1].at - calls[0].at;
    assert!(tried.as_secs() == 10 && calls.len() >= 3, "{tried:?}");
}

#[tokio::test(start_paused = true)]
async fn a_wait_beyond_the_time_of_a_batch_ends_with_it_and_a_last_try() {
    let wish = Outcome::Retry { after: Some(Duration::from_secs(86_400)) };
    let sink = Arc::new(Script::new("a").answering([wish]));
    let retry = RetryConfig { max_elapsed: Duration::from_secs(10), ..RetryConfig::default() };
    let rig = Rig::new(vec![(sink.clone(), SinkConfig { retry, ..batches_of(3) })]);
    rig.push(0..3);
    rig.settled().await;
    assert_eq!((rig.delivered("a"), rig.lost("a", "retry_expired")), (3, 0));
    let calls = sink.calls();
    assert_eq!((calls[1].at - calls[0].at).as_secs(), 10);
}

#[tokio::test(start_paused = true)]
async fn what_a_sink_answers_is_what_the_ledger_says() {
    let lost = |n| Outcome::Lost { n, reason: "http_400".into() };
    let sink = Arc::new(Script::new("a").answering([
        Outcome::Delivered,
        Outcome::Rejected { n: 2 },
        Outcome::Rejected { n: 99 },
        lost(5),
        lost(1),
        lost(u64::MAX),
    ]));
    let rig = Rig::new(vec![(sink, batches_of(5))]);
    for n in 0..6 {
        rig.push(n * 5..n * 5 + 5);
    }
    rig.settled().await;
    assert_eq!(rig.delivered("a"), 5 + 3 + 4);
    assert_eq!((rig.lost("a", "rejected_by_peer"), rig.lost("a", "http_400")), (2 + 5, 5 + 1 + 5));
    assert!(rig.ledger().balances("a"));
}

#[tokio::test(start_paused = true)]
async fn a_request_that_is_too_large_is_halved_until_it_fits_and_one_item_alone_is_lost() {
    for encoded_only in [false, true] {
        let sink = Script::new("a").answering([
            Outcome::TooLarge,  // 5
            Outcome::TooLarge,  // 3
            Outcome::Delivered, // 2
            RETRY,              // 1, the rest of the 3
            Outcome::TooLarge,  // 1 again
            Outcome::Delivered, // 2, the rest of the 5
        ]);
        let sink = Arc::new(if encoded_only { sink.encoded_only() } else { sink });
        let rig = Rig::new(vec![(sink.clone(), batches_of(5))]);
        rig.push(0..5);
        rig.settled().await;
        assert_eq!(sink.items(), [5, 3, 2, 1, 1, 2]);
        if !encoded_only {
            assert_eq!(sink.spans(), [0, 1, 2, 3, 4, 0, 1, 2, 0, 1, 2, 2, 3, 4]);
        }
        assert_eq!((rig.delivered("a"), rig.lost("a", "too_large")), (4, 1));
        let ids: Vec<_> = sink.calls().iter().map(|c| c.id.clone()).collect();
        assert!(ids[3] == ids[4] && ids[0] != ids[1] && ids[1] != ids[2] && ids[2] != ids[5]);
    }
}

/// A queue with room for exactly two batches of ten spans, behind a sink that holds the first one.
async fn overflowing(when_full: WhenFull) -> (Rig, Arc<Script>) {
    let sink = Arc::new(Script::gated("a").encoded_only());
    let mut config = batches_of(10);
    config.batch.max_bytes = 1 << 16;
    // Large enough that batches are not cut smaller, and set to its real size once a batch is known.
    config.queue = QueueConfig { max_size: 1 << 20, when_full };
    let rig = Rig::new(vec![(sink.clone(), config.clone())]);
    rig.push(0..10);
    sink.wait_calls(1).await;
    let one = sink.calls()[0].batch.bytes;
    config.queue.max_size = 3 * one - 1;
    config.batch.max_bytes = one;
    rig.pipeline.reload(as_sinks(vec![(sink.clone(), config)])).unwrap();
    for n in 1..6 {
        rig.push(n * 10..n * 10 + 10);
        // Each becomes a batch of its own, in this order.
        tokio::time::sleep(Duration::from_secs(2)).await;
    }
    (rig, sink)
}

#[tokio::test(start_paused = true)]
async fn a_full_queue_does_what_it_is_told_and_counts_it_exactly() {
    // Batch 0 is being sent and must not be dropped; one more has room.
    for (when_full, kept) in
        [(WhenFull::Block, [0, 1]), (WhenFull::DropNewest, [0, 1]), (WhenFull::DropOldest, [0, 5])]
    {
        let (rig, sink) = overflowing(when_full).await;
        assert_eq!(rig.lost("a", "queue_full"), 40, "{when_full:?}");
        assert_eq!(rig.ledger().in_flight, 20, "{when_full:?}");
        sink.let_through(10);
        rig.settled().await;
        assert_eq!(rig.delivered("a"), 20, "{when_full:?}");
        assert!(rig.ledger().balances("a"), "{when_full:?}");
        let first: Vec<u64> = sink
            .calls()
            .iter()
            .map(|c| telegen_otlp::decode_request(Signal::Traces, c.batch.encoded().clone()).unwrap().groups)
            .map(|g| {
                if let telegen_model::Records::Spans(s) = &g[0].records {
                    support::number(s[0].span_id)
                } else {
                    0
                }
            })
            .collect();
        assert_eq!(first, kept.map(|n| n * 10), "{when_full:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_batch_that_waits_for_its_next_try_can_make_room_for_newer_ones() {
    let sink = Arc::new(Script::new("a").encoded_only());
    sink.always(Outcome::Retry { after: Some(Duration::from_secs(1000)) });
    let mut config = batches_of(10);
    config.queue = QueueConfig { max_size: 4096, when_full: WhenFull::DropOldest };
    let rig = Rig::new(vec![(sink.clone(), config.clone())]);
    for n in 0..20 {
        rig.push(n * 10..n * 10 + 10);
        tokio::time::sleep(Duration::from_secs(2)).await;
    }
    let (held, lost) = (rig.ledger().in_flight, rig.lost("a", "queue_full"));
    assert_eq!(held + lost, 200);
    assert!(held > 0 && lost > 100, "{held} held, {lost} lost");
    sink.always(Outcome::Delivered);
    rig.settled().await;
    assert_eq!((rig.delivered("a"), rig.lost("a", "queue_full")), (held, lost));
}

#[tokio::test(start_paused = true)]
async fn memory_stays_within_the_bound_while_the_peer_is_away() {
    let sink = Arc::new(Script::new("a").encoded_only());
    sink.always(RETRY);
    let max_size = 1 << 20;
    let queue = QueueConfig { max_size, when_full: WhenFull::DropOldest };
    let config = SinkConfig { queue, ..SinkConfig::default() };
    let rig = Rig::new(vec![(sink.clone(), config.clone())]);
    let size = rig.mon.gauge("telegen.export.queue.size", "By", "", &[("exporter", "a")]);
    let mut largest = 0;
    for n in 0..200 {
        rig.push(n * 500..n * 500 + 500);
        tokio::time::sleep(Duration::from_millis(300)).await;
        largest = largest.max(size.get());
    }
    assert!(largest <= max_size as i64 && largest > max_size as i64 / 2, "{largest}");
    assert_eq!(rig.ledger().in_flight + rig.lost("a", "queue_full"), 100_000);
}

#[tokio::test(start_paused = true)]
async fn a_sink_that_fails_on_one_batch_goes_on_with_the_next() {
    struct Fails(Script);
    impl telegen_pipeline::Sink for Fails {
        fn name(&self) -> &str {
            self.0.name()
        }
        fn signals(&self) -> telegen_pipeline::SignalSet {
            self.0.signals()
        }
        fn send(&self, batch: Arc<telegen_pipeline::Batch>) -> telegen_pipeline::BoxFuture<'_, Outcome> {
            assert!(batch.items != 3, "on purpose");
            self.0.send(batch)
        }
    }
    let sink: Arc<dyn telegen_pipeline::Sink> = Arc::new(Fails(Script::new("a")));
    let rig = Rig::new(vec![]);
    rig.pipeline.reload(vec![(sink, batches_of(3))]).unwrap();
    rig.push(0..3);
    rig.push(3..5);
    rig.settled().await;
    assert_eq!((rig.delivered("a"), rig.lost("a", "fault")), (2, 3));
}

#[tokio::test(start_paused = true)]
async fn the_view_counts_only_for_signals_that_no_exporter_takes() {
    let view = Arc::new(Script::new("view"));
    let as_view = SinkConfig { role: Role::View, ..batches_of(1) };
    let alone = Rig::new(vec![(view.clone(), as_view.clone())]);
    alone.push([1]);
    alone.settled().await;
    assert!(alone.ledger().balances("view"));
    assert_eq!(alone.delivered("view"), 1);

    let (view, exporter, console) =
        (Arc::new(Script::new("view")), Arc::new(Script::new("otlp")), Arc::new(Script::new("console")));
    let uncounted = SinkConfig { role: Role::Uncounted, ..batches_of(1) };
    let sinks = vec![(view.clone(), as_view), (exporter, batches_of(1)), (console.clone(), uncounted)];
    let rig = Rig::new(sinks);
    rig.push([1]);
    view.wait_calls(1).await;
    console.wait_calls(1).await;
    rig.settled().await;
    assert_eq!(rig.ledger().delivered.into_iter().collect::<Vec<_>>(), [("otlp".to_string(), 1)]);
}

#[tokio::test(start_paused = true)]
async fn what_nothing_takes_is_discarded_and_said_so() {
    let rig = Rig::new(vec![(Arc::new(Script::new("a").taking(&[Signal::Logs])), batches_of(1))]);
    rig.push(0..3);
    let ledger = rig.ledger();
    assert_eq!((ledger.discarded["no_exporter"], ledger.in_flight), (3, 0));
}

#[tokio::test(start_paused = true)]
async fn a_source_hears_once_how_far_its_records_came() {
    let lost = Outcome::Lost { n: 1, reason: "grpc_3".into() };
    for (wants, outcome, heard) in [
        (AckLevel::Memory, RETRY, Some(Acked::Reached(AckLevel::Memory))),
        (AckLevel::Delivered, RETRY, None),
        (AckLevel::Delivered, Outcome::Delivered, Some(Acked::Reached(AckLevel::Delivered))),
        // The peer will never take it: sending it again would not help.
        (AckLevel::Delivered, lost, Some(Acked::Reached(AckLevel::Delivered))),
    ] {
        let (a, b) = (Arc::new(Script::new("a")), Arc::new(Script::new("b")));
        a.always(outcome.clone());
        let rig = Rig::new(vec![(a.clone(), batches_of(1)), (b.clone(), batches_of(2))]);
        let told = Arc::new(Mutex::new(Vec::new()));
        let to = told.clone();
        rig.input.push_acked(rig.group([1]), Ack::new(wants, move |acked| to.lock().unwrap().push(acked)));
        a.wait_calls(1).await;
        b.wait_calls(1).await;
        tokio::time::sleep(Duration::from_millis(10)).await;
        assert_eq!(told.lock().unwrap().iter().copied().next(), heard, "{wants:?} {outcome:?}");
        rig.pipeline.shutdown(Duration::from_secs(1)).await;
        // What was still on its way is lost with the program: the source sends it again.
        assert_eq!(*told.lock().unwrap(), [heard.unwrap_or(Acked::Lost)], "{wants:?} {outcome:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_a_starved_runtime_cannot_make_into_batches_is_lost_and_counted() {
    let (a, b) = (Arc::new(Script::new("a").encoded_only()), Arc::new(Script::new("b")));
    let rig = Rig::new(vec![(a.clone(), batches_of(8192)), (b.clone(), batches_of(8192))]);
    // No await in between: the tasks of the pipeline never run while 20 MB come in.
    for n in 0..100 {
        rig.push(n * 1000..n * 1000 + 1000);
    }
    let lost = rig.lost("a", "queue_full");
    assert!((30_000..70_000).contains(&lost), "{lost}");
    assert_eq!((rig.lost("b", "queue_full"), rig.ledger().in_flight), (lost, 100_000 - lost));
    rig.settled().await;
    assert_eq!((rig.delivered("a"), rig.delivered("b")), (100_000 - lost, 100_000 - lost));
}

#[tokio::test(start_paused = true)]
async fn a_rate_holds_back_what_is_too_much_and_loses_nothing() {
    let sink = Arc::new(Script::new("a"));
    let rate = std::num::NonZeroU64::new(100);
    let rig = Rig::new(vec![(sink.clone(), SinkConfig { rate, ..batches_of(10) })]);
    for n in 0..100 {
        rig.push(n * 10..n * 10 + 10);
    }
    rig.settled().await;
    assert_eq!((rig.delivered("a"), sink.calls().len()), (1000, 100));
    let calls = sink.calls();
    let took = calls[99].at - calls[0].at;
    // One second's worth at once, the rest at its pace.
    assert!((Duration::from_millis(8800)..Duration::from_millis(9200)).contains(&took), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn the_end_of_the_program_does_not_wait_for_a_rate() {
    let sink = Arc::new(Script::new("a"));
    let rate = std::num::NonZeroU64::new(1);
    let rig = Rig::new(vec![(sink.clone(), SinkConfig { rate, ..batches_of(10) })]);
    for n in 0..100 {
        rig.push(n * 10..n * 10 + 10);
    }
    sink.wait_calls(1).await;
    rig.pipeline.shutdown(Duration::from_secs(5)).await;
    assert_eq!(rig.delivered("a"), 1000);
}

#[tokio::test(start_paused = true)]
async fn latency_and_age_are_told() {
    let sink = Arc::new(Script::new("a"));
    sink.always(Outcome::Retry { after: Some(Duration::from_secs(7)) });
    let rig = Rig::new(vec![(sink.clone(), batches_of(1))]);
    rig.push([1]);
    sink.wait_calls(2).await;
    let told = |name: &str| {
        let metrics = rig.mon.metrics(1);
        let found = metrics.iter().find(|m| m.name == name).map(|m| format!("{:?}", m.data));
        found.unwrap_or_else(|| panic!("no {name}"))
    };
    let age = told("telegen.export.queue.age");
    let seconds: f64 = age.split_once("Double(").unwrap().1.split_once(')').unwrap().0.parse().unwrap();
    // Waits are spread by a fifth.
    assert!((5.6..8.5).contains(&seconds), "{age}");
    assert!(told("telegen.export.requests.time").contains("exporter"));
}
