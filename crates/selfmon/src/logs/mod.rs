//! Logs on standard error: one line an event, as text or JSON.
//!
//! Control characters are escaped, so that a text from the wire can neither forge a line nor steer a
//! terminal. A call site says at most 10 things in 10 seconds; what it held back is told as a number.
//! Events under the target [`NOTICE`] and those below `info` are never held back. Secrets are kept out by
//! their type (`telegen_model::Secret` shows itself as `REDACTED`), and what [`hide`] names by its text.

mod format;
mod hide;
mod limit;

pub use hide::{hide, redact};

use std::io::Write;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tracing::{Event, Level, Metadata, Subscriber};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};

use format::Fields;
use limit::{Limiter, Verdict};

/// Target of events that no rate limit applies to: refused configuration, features that are off.
pub const NOTICE: &str = "telegen::notice";

/// How much is told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum LogLevel {
    /// Failures only.
    Error,
    /// And what may become one.
    Warn,
    /// And what a user should know.
    #[default]
    Info,
    /// And how decisions were made.
    Debug,
    /// Everything.
    Trace,
}

/// How a line looks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// `TIME LEVEL TARGET: MESSAGE key=value ...`
    #[default]
    Text,
    /// One JSON object: `time`, `level`, `target`, `message`, then the fields.
    Json,
}

/// Why logs could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// Something else in this process receives the events already.
    #[error("a log receiver is set already")]
    AlreadySet,
}

/// Set once by [`init_logs`]; until then events go nowhere and [`ready`] writes text.
static LOGS: OnceLock<Logs> = OnceLock::new();

#[derive(Debug)]
struct Logs {
    format: LogFormat,
    level: AtomicU8,
    /// Until the ready line was written, no line holds that word.
    ready: AtomicBool,
    suppressed: AtomicU64,
    limiter: Mutex<Limiter>,
}

/// Sends the events of this process to standard error, from now on.
///
/// Events of other crates are shown from `warn` on only: their finer ones may hold header values.
pub fn init_logs(level: LogLevel, format: LogFormat) -> Result<(), LogError> {
    let logs = Logs {
        format,
        level: AtomicU8::new(level as u8),
        ready: AtomicBool::new(false),
        suppressed: AtomicU64::new(0),
        limiter: Mutex::default(),
    };
    LOGS.set(logs).map_err(|_| LogError::AlreadySet)?;
    let subscriber = tracing_subscriber::registry().with(StderrLayer);
    tracing::subscriber::set_global_default(subscriber).map_err(|_| LogError::AlreadySet)
}

/// Changes the level of a running program; does nothing before [`init_logs`].
pub fn set_level(level: LogLevel) {
    if let Some(logs) = LOGS.get() {
        logs.level.store(level as u8, Ordering::Relaxed);
        tracing::callsite::rebuild_interest_cache();
    }
}

/// Number of lines held back by the rate limit so far.
pub fn suppressed() -> u64 {
    LOGS.get().map_or(0, |l| l.suppressed.load(Ordering::Relaxed))
}

/// Tells that start-up is complete: exactly one line, at any level, with the word scripts wait for.
///
/// `listen` is where the server listens, empty for nowhere. In JSON the line has `"event":"ready"`.
pub fn ready(listen: &str) {
    let logs = LOGS.get();
    if let Some(logs) = logs {
        // The line is written once, even when two threads come here.
        if logs.ready.swap(true, Ordering::SeqCst) {
            return;
        }
    }
    write_line(&ready_line(listen, logs.map_or(LogFormat::Text, |l| l.format)));
}

fn ready_line(listen: &str, format: LogFormat) -> String {
    let mut fields = Fields::default();
    fields.message.push_str("ready");
    fields.push("event", "ready".into());
    if !listen.is_empty() {
        fields.push("listen", listen.into());
    }
    format::line(format, now_unix_ns(), Level::INFO, "telegen", &fields)
}

struct StderrLayer;

impl<S: Subscriber> Layer<S> for StderrLayer {
    fn enabled(&self, meta: &Metadata<'_>, _: Context<'_, S>) -> bool {
        LOGS.get().is_some_and(|l| l.wants(meta))
    }

    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        if let Some(logs) = LOGS.get() {
            logs.event(event);
        }
    }
}

impl Logs {
    fn wants(&self, meta: &Metadata<'_>) -> bool {
        let ours = meta.target().starts_with("telegen");
        let level = if ours { self.level.load(Ordering::Relaxed) } else { LogLevel::Warn as u8 };
        meta.is_event() && rank(meta.level()) <= level.min(self.level.load(Ordering::Relaxed))
    }

    fn event(&self, event: &Event<'_>) {
        let meta = event.metadata();
        let (now, time) = (Instant::now(), now_unix_ns());
        let limited = *meta.level() <= Level::INFO && meta.target() != NOTICE;
        let mut lines = String::new();
        let shown = {
            let mut limiter = self.limiter.lock().unwrap_or_else(PoisonError::into_inner);
            let verdict = if limited { limiter.ask(meta, now) } else { Verdict::Show };
            for held in limiter.due(now) {
                lines.push_str(&self.line(time, *held.meta.level(), held.meta.target(), &held.fields()));
            }
            verdict == Verdict::Show
        };
        if shown {
            let mut fields = Fields::default();
            event.record(&mut fields);
            lines.push_str(&self.line(time, *meta.level(), meta.target(), &fields));
        } else {
            self.suppressed.fetch_add(1, Ordering::Relaxed);
        }
        if !lines.is_empty() {
            write_line(&lines);
        }
    }

    fn line(&self, time: u64, level: Level, target: &str, fields: &Fields) -> String {
        let line = format::line(self.format, time, level, target, fields);
        if self.ready.load(Ordering::SeqCst) { line } else { format::without_ready(line, self.format) }
    }
}

fn rank(level: &Level) -> u8 {
    let level = match *level {
        Level::ERROR => LogLevel::Error,
        Level::WARN => LogLevel::Warn,
        Level::INFO => LogLevel::Info,
        Level::DEBUG => LogLevel::Debug,
        Level::TRACE => LogLevel::Trace,
    };
    level as u8
}

/// Whole lines in one write. A standard error that is gone is no reason to stop.
fn write_line(lines: &str) {
    let _ = std::io::stderr().lock().write_all(lines.as_bytes());
}

fn now_unix_ns() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |d| u64::try_from(d.as_nanos()).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_that_scripts_wait_for_is_one_line_in_both_formats() {
        let text = ready_line("127.0.0.1:19090", LogFormat::Text);
        assert!(text.ends_with(" INFO telegen: ready event=ready listen=127.0.0.1:19090\n"), "{text}");
        let json = ready_line("", LogFormat::Json);
        assert!(json.contains(r#""message":"ready","event":"ready"}"#), "{json}");
        assert_eq!((text.matches('\n').count(), json.matches('\n').count()), (1, 1));
    }
}
