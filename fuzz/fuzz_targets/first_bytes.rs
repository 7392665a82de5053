//! What names a protocol, a caller or a client by its first bytes, and what hides secrets.
#![no_main]

use libfuzzer_sys::fuzz_target;
use telegen_wire::{classify, context, mask, proxy_protocol};

fuzz_target!(|bytes: &[u8]| {
    let _ = classify::classify(bytes);
    let _ = classify::sni(bytes);
    let _ = proxy_protocol::parse(bytes);
    let half = bytes.len() / 2;
    if let Some(c) = context::traceparent(&bytes[..half], &bytes[half..]) {
        assert!(c.trace_id.is_valid() && c.span_id.is_valid());
    }
    if let Some(c) = context::b3_single(bytes) {
        assert!(c.trace_id.is_valid() && c.span_id.is_valid());
    }
    if let Ok(text) = std::str::from_utf8(bytes) {
        let once = mask::query(text, &[]).into_owned();
        assert_eq!(mask::query(&once, &[]), once, "what is hidden stays hidden");
        let _ = mask::url(text, &[]);
    }
});
