//! The memory budget: who holds how much of `limits.memory`. What was set counts as written, the rest is a share.

use telegen_config::{ByteSize, Listen, OneOrMany, Report};
use telegen_pipeline::settings::{BatchSettings, QueueSettings};

use super::Settings;

/// The program itself: code, stacks, tables of processes, connections and devices.
const OWN: ByteSize = ByteSize::mib(24);
/// What the page cannot take at once.
const PAGE_QUEUE: ByteSize = ByteSize::mib(32);

/// Shares of the budget of one configuration.
pub(crate) struct Budget<'a>(pub(crate) &'a Settings);

/// A part that a component may hold.
struct Part {
    key: String,
    bytes: u64,
}

impl Budget<'_> {
    fn part(&self, of: u64) -> ByteSize {
        ByteSize::bytes(self.0.limits.memory.get() / of)
    }

    /// What one exporter's queue may hold in memory when its size is not set: an eighth is for all.
    pub(crate) fn queue(&self) -> ByteSize {
        self.part(8 * self.exporters())
    }

    /// What one exporter's queue on disk may hold in memory, on its way there and ahead of the peer: a quarter is for all.
    pub(crate) fn disk_queue(&self) -> ByteSize {
        self.part(4 * self.exporters())
    }

    fn exporters(&self) -> u64 {
        let export = &self.0.export;
        let exporters =
            export.otlp().len() + export.files().len() + export.remote_write().len() + export.kafka().len();
        exporters.max(1) as u64
    }

    /// Requests that are being read.
    pub(crate) fn receive(&self) -> ByteSize {
        self.part(8).max(ByteSize::mib(4))
    }

    /// What the page remembers.
    pub(crate) fn view(&self) -> ByteSize {
        let set = self.0.view.memory;
        if set == super::ViewSection::default().memory { set.min(self.part(8)) } else { set }
    }

    /// What waits for the page.
    pub(crate) fn page_queue(&self) -> ByteSize {
        PAGE_QUEUE.min(self.part(8))
    }

    /// Series that a scrape shows.
    pub(crate) fn scrape(&self) -> ByteSize {
        self.part(8)
    }

    /// Largest request of an exporter.
    pub(crate) fn batch(&self, set: ByteSize) -> ByteSize {
        if set == BatchSettings::default().max_bytes { set.min(self.part(32)) } else { set }
    }

    /// What every component may hold, by the key that says so.
    fn parts(&self) -> Vec<Part> {
        let settings = self.0;
        let own = OWN.min(ByteSize::bytes(settings.limits.memory.get() / 16 * 5));
        let mut parts = vec![Part { key: "the program itself".to_owned(), bytes: own.get() }];
        let mut add =
            |key: &str, bytes: ByteSize| parts.push(Part { key: key.to_owned(), bytes: bytes.get() });
        if settings.view.enabled && settings.server.listen != Listen::Off {
            add("view.memory", self.view());
            add("what waits for the page", self.page_queue());
        }
        if settings.receive.otlp.is_some() {
            add("receive.otlp", self.receive());
        }
        let export = &settings.export;
        if export.scrape() && settings.server.listen != Listen::Off {
            add("export.prometheus", self.scrape());
        }
        let mut queues: Vec<(String, Option<&QueueSettings>)> = Vec::new();
        queues.extend(keyed(&export.otlp, "export.otlp").map(|(key, e)| (key, Some(&e.queue))));
        queues
            .extend(keyed(&export.remote_write, "export.remote_write").map(|(key, e)| (key, Some(&e.queue))));
        queues.extend(keyed(&export.kafka, "export.kafka").map(|(key, e)| (key, Some(&e.queue))));
        queues.extend(keyed(&export.file, "export.file").map(|(key, _)| (key, None)));
        for (key, queue) in queues {
            match queue.and_then(|q| q.max_size.filter(|_| q.path.is_none())) {
                Some(set) => add(&format!("{key}.queue.max_size"), set),
                None if queue.is_some_and(|q| q.path.is_some()) => {
                    add(&format!("{key}.queue"), self.disk_queue());
                }
                None => add(&format!("{key}.queue"), self.queue()),
            }
        }
        // Two of the largest requests of one signal wait to be put together.
        let largest = export.otlp().iter().map(|o| self.batch(o.batch.max_bytes)).max();
        let largest = largest.unwrap_or_else(|| self.batch(BatchSettings::default().max_bytes));
        add("twice export.otlp.batch.max_bytes", ByteSize::bytes(largest.get().saturating_mul(2)));
        parts
    }

    /// Whether the parts are within the whole.
    pub(crate) fn check(&self, report: &mut Report) {
        let (mut parts, whole) = (self.parts(), self.0.limits.memory);
        let sum = parts.iter().fold(0, |sum: u64, part| sum.saturating_add(part.bytes));
        if sum <= whole.get() {
            return;
        }
        let mib = |bytes: u64| format!("{}MiB", bytes.div_ceil(1 << 20));
        // The largest first: a long message is cut.
        parts.sort_by_key(|part| std::cmp::Reverse(part.bytes));
        let list: Vec<String> = parts.iter().map(|p| format!("{} {}", p.key, mib(p.bytes))).collect();
        let what = format!("less than its parts, {}: {}", mib(sum), list.join(", "));
        report.wrong("limits.memory", what);
    }
}

fn keyed<'a, T>(kind: &'a Option<OneOrMany<T>>, key: &'a str) -> impl Iterator<Item = (String, &'a T)> {
    kind.iter().flat_map(move |k| k.keyed(key))
}
