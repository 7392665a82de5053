//! Time to encode one HTTP span of 20 attributes: `cargo bench -p telegen-otlp --bench encode`.
#![expect(clippy::print_stdout, reason = "prints its result")]

use std::hint::black_box;
use std::time::Instant;

use telegen_model::{Records, Signal};
use telegen_testkit::records;

const SPANS: u64 = 1000;
const ROUNDS: u32 = 200;

fn main() {
    let resource = records::resource("shop");
    let groups = [records::group(&resource, Records::Spans((0..SPANS).map(records::http_span).collect()))];
    let size = telegen_otlp::encode_request(&groups).len();
    measure("measure", || {
        black_box(telegen_otlp::measure(&groups[0]));
    });
    measure("clone", || drop(black_box(groups.clone())));
    measure("protobuf", || drop(black_box(telegen_otlp::encode_request(&groups))));
    measure("json", || drop(black_box(telegen_otlp::json::encode_request(Signal::Traces, &groups))));
    let bytes = telegen_otlp::encode_request(&groups);
    measure("count", || {
        black_box(telegen_otlp::count_items(Signal::Traces, &bytes));
    });
    println!(
        "{} bytes a span; bound {}",
        size as u64 / SPANS,
        telegen_otlp::measure(&groups[0]).wire as u64 / SPANS
    );
}

/// Prints the fastest of many rounds: the others tell of the machine, not of the code.
fn measure(name: &str, mut work: impl FnMut()) {
    let best = (0..ROUNDS)
        .map(|_| {
            let start = Instant::now();
            work();
            start.elapsed()
        })
        .min()
        .unwrap_or_default();
    println!("{name}: {} ns a span", best.as_nanos() / u128::from(SPANS));
}
