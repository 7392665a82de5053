use std::hash::{BuildHasher, Hasher};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use telegen_model::{ResourceGroup, Signal};
use telegen_otlp::Size;
use telegen_selfmon::SELF_SCOPE;

use crate::Ack;

/// Memory of a batch beside its records or its encoded request.
const OVERHEAD: usize = 512;

/// Records of one signal on their way to sinks. Immutable once made; sinks share it behind an `Arc`.
#[derive(Debug)]
pub struct Batch {
    /// Its signal.
    pub signal: Signal,
    /// The records; empty when only the encoded request was kept ([`crate::Sink::needs_records`]).
    pub groups: Vec<ResourceGroup>,
    /// Spans, data points or log records.
    pub items: usize,
    /// Memory that it holds while it waits, estimated.
    pub bytes: usize,
    /// Who wants to hear how far it comes; taken out when the batch is handed to the queues.
    pub ack: Option<Ack>,
    /// Whether the ledger counts it: Telegen's own metrics stand outside.
    counted: bool,
    id: String,
    encoded: OnceLock<Bytes>,
    json: OnceLock<Bytes>,
}

impl Batch {
    /// A batch of groups, all of one signal.
    pub fn new(signal: Signal, groups: Vec<ResourceGroup>) -> Batch {
        let size = groups.iter().map(telegen_otlp::measure).fold(Size::default(), Size::plus);
        let counted = groups.iter().all(|g| g.scope.name != SELF_SCOPE);
        Batch {
            signal,
            groups,
            items: size.items,
            bytes: size.memory + OVERHEAD,
            ack: None,
            counted,
            id: next_id(),
            encoded: OnceLock::new(),
            json: OnceLock::new(),
        }
    }

    /// This batch with its encoded request alone.
    #[must_use]
    pub fn encoded_only(&self) -> Batch {
        let encoded = self.encoded().clone();
        Batch {
            signal: self.signal,
            groups: Vec::new(),
            items: self.items,
            bytes: encoded.len() + OVERHEAD,
            ack: None,
            counted: self.counted,
            id: self.id.clone(),
            encoded: OnceLock::from(encoded),
            json: OnceLock::new(),
        }
    }

    /// The OTLP `Export*ServiceRequest` in protobuf; encoded once, at the first call.
    pub fn encoded(&self) -> &Bytes {
        self.encoded.get_or_init(|| telegen_otlp::encode_request(&self.groups))
    }

    /// Whether the ledger counts its items.
    pub fn counted(&self) -> bool {
        self.counted
    }

    /// A name that stays the same when the batch is sent again, so that a receiver can drop the second copy.
    pub fn id(&self) -> &str {
        &self.id
    }
}

/// A random prefix for this process, then a number.
fn next_id() -> String {
    static PREFIX: OnceLock<u64> = OnceLock::new();
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let prefix = PREFIX.get_or_init(|| std::hash::RandomState::new().build_hasher().finish());
    format!("{prefix:016x}-{:x}", NEXT.fetch_add(1, Ordering::Relaxed))
}
