use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use telegen_model::{Records, ResourceGroup, Scope, Signal, Str};
use telegen_otlp::{DecodeError, Limits, Size};
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
    pub groups: Vec<Arc<ResourceGroup>>,
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
        Batch::sized(signal, groups.into_iter().map(Arc::new).collect(), size)
    }

    /// A batch of groups whose size is known.
    pub(crate) fn sized(signal: Signal, groups: Vec<Arc<ResourceGroup>>, size: Size) -> Batch {
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

    /// A batch as it came from a queue on disk.
    pub(crate) fn restored(signal: Signal, items: usize, id: String, counted: bool, encoded: Bytes) -> Batch {
        let bytes = encoded.len() + OVERHEAD;
        let (encoded, json) = (OnceLock::from(encoded), OnceLock::new());
        Batch { signal, groups: Vec::new(), items, bytes, ack: None, counted, id, encoded, json }
    }

    /// This batch with its encoded request alone.
    #[must_use]
    pub(crate) fn encoded_only(&self) -> Batch {
        let encoded = self.encoded().clone();
        let bytes = encoded.len() + OVERHEAD;
        Batch { groups: Vec::new(), bytes, encoded: OnceLock::from(encoded), ..self.shell() }
    }

    /// Whether its records are there and typed.
    fn is_typed(&self) -> bool {
        !self.groups.is_empty() && !self.groups.iter().any(|g| matches!(g.records, Records::Raw(_)))
    }

    /// This batch with typed records, read back from the encoded request where they are not there. Profiles, which
    /// have none, stay as they came.
    pub(crate) fn with_records(self: &Arc<Batch>) -> Result<Arc<Batch>, DecodeError> {
        let profiles = self.signal == Signal::Profiles;
        if self.is_typed() || self.items == 0 || (profiles && !self.groups.is_empty()) {
            return Ok(self.clone());
        }
        let groups = match profiles {
            true => self.raw_groups()?,
            false => telegen_otlp::decode_request(self.signal, self.encoded().clone())?.groups,
        };
        let groups = groups.into_iter().map(Arc::new).collect();
        Ok(Arc::new(Batch { groups, encoded: self.encoded.clone(), ..self.shell() }))
    }

    /// This batch as two or more of at most half the items each.
    pub(crate) fn halves(self: &Arc<Batch>) -> Result<Vec<Batch>, DecodeError> {
        let groups = match self.groups.is_empty() {
            true => self.raw_groups()?,
            false => self.groups.iter().map(|g| ResourceGroup::clone(g)).collect(),
        };
        let limits = Limits { items: self.items.div_ceil(2), wire: usize::MAX };
        let parts = telegen_otlp::split(groups, limits).into_iter().map(|g| Batch::new(self.signal, g));
        let only_encoded = self.groups.is_empty();
        // Their names follow from the whole's, so that they are the same after a restart.
        let named = parts.enumerate().map(|(n, b)| Batch { id: format!("{}.{n}", self.id), ..b });
        Ok(named.map(|b| if only_encoded { b.encoded_only() } else { b }).collect())
    }

    /// Bytes of the request.
    pub(crate) fn wire(&self) -> usize {
        self.encoded().len()
    }

    /// The records as they stand in the encoded request.
    fn raw_groups(&self) -> Result<Vec<ResourceGroup>, DecodeError> {
        let groups = telegen_otlp::raw_groups(self.signal, self.encoded())?;
        let group = |g: telegen_otlp::RawGroup| ResourceGroup {
            resource: Arc::new(g.resource),
            scope: Scope { name: Str::const_new(""), version: Str::const_new("") },
            records: Records::Raw(g.records),
        };
        Ok(groups.into_iter().map(group).collect())
    }

    /// What is left of this batch without its contents.
    fn shell(&self) -> Batch {
        Batch {
            signal: self.signal,
            groups: Vec::new(),
            items: self.items,
            bytes: self.bytes,
            ack: None,
            counted: self.counted,
            id: self.id.clone(),
            encoded: OnceLock::new(),
            json: OnceLock::new(),
        }
    }

    /// The OTLP `Export*ServiceRequest` in protobuf; encoded once, at the first call.
    pub fn encoded(&self) -> &Bytes {
        self.encoded.get_or_init(|| telegen_otlp::encode_request(&self.groups))
    }

    /// The same request in OTLP/JSON, without a newline; encoded once, at the first call.
    pub fn encoded_json(&self) -> &Bytes {
        self.json.get_or_init(|| match self.is_typed() {
            true => telegen_otlp::json::encode_request(self.signal, &self.groups),
            // What came in was checked then, what was on disk has a checksum.
            false => telegen_otlp::json::from_protobuf(self.signal, self.encoded()).unwrap_or_default(),
        })
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
    let prefix = PREFIX.get_or_init(|| fastrand::u64(..));
    format!("{prefix:016x}-{:x}", NEXT.fetch_add(1, Ordering::Relaxed))
}
