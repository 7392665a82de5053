//! Requests that others send: read, translated and passed on without a panic, and alike both ways.
#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use telegen_model::Signal;
use telegen_otlp as otlp;

fuzz_target!(|input: (u8, &[u8])| {
    let (which, bytes) = input;
    let signal = [Signal::Traces, Signal::Metrics, Signal::Logs, Signal::Profiles][usize::from(which % 4)];
    let whole = Bytes::copy_from_slice(bytes);
    let _ = otlp::decode_response(whole.clone());
    let _ = otlp::decode_status(whole.clone());
    let _ = otlp::raw_groups(signal, &whole);
    let _ = otlp::count_items(signal, bytes);
    if let Ok(protobuf) = otlp::json::to_protobuf(signal, bytes) {
        assert!(otlp::json::from_protobuf(signal, &protobuf).is_ok(), "what was written can be read");
    }
    let _ = otlp::json::from_protobuf(signal, bytes);
});
