//! Records on standard output, one a line, for eyes.

use std::fmt::Write as _;
use std::io::Write as _;
use std::sync::Arc;

use telegen_model::{
    KeyValue, LogRecord, Metric, MetricData, NumberValue, Records, ResourceGroup, Span, Value, semconv,
};
use telegen_otlp::pack::unpack_all;
use telegen_pipeline::{Batch, BoxFuture, Outcome, SignalSet, Sink};
use tokio::sync::Mutex;

/// The console exporter; the ledger does not count it.
#[derive(Debug)]
pub struct ConsoleSink {
    name: String,
    signals: SignalSet,
    /// One thread waits for a pipe that nobody reads, however many signals there are.
    writing: Arc<Mutex<()>>,
}

impl ConsoleSink {
    /// Prints these signals.
    pub fn new(name: impl Into<String>, signals: SignalSet) -> ConsoleSink {
        ConsoleSink { name: name.into(), signals, writing: Arc::default() }
    }
}

impl Sink for ConsoleSink {
    fn name(&self) -> &str {
        &self.name
    }

    fn signals(&self) -> SignalSet {
        self.signals
    }

    fn send(&self, batch: Arc<Batch>) -> BoxFuture<'_, Outcome> {
        let writing = self.writing.clone();
        Box::pin(async move {
            let turn = writing.lock_owned().await;
            let written = tokio::task::spawn_blocking(move || {
                let _turn = turn;
                let text: String = batch.groups.iter().map(|g| lines(g)).collect();
                std::io::stdout().lock().write_all(text.as_bytes())
            });
            match written.await {
                Ok(Ok(())) => Outcome::Delivered,
                // Whoever read it has gone: there is no one to print for.
                _ => Outcome::Lost { n: u64::MAX, reason: "stdout_closed".into() },
            }
        })
    }
}

fn lines(group: &ResourceGroup) -> String {
    let service = group.resource.text(semconv::SERVICE_NAME).unwrap_or("-");
    let mut out = String::new();
    match &group.records {
        Records::Spans(spans) => spans.iter().for_each(|s| span(&mut out, service, s)),
        Records::Packed(packed) => unpack_all(packed).iter().for_each(|s| span(&mut out, service, s)),
        Records::Metrics(metrics) => metrics.iter().for_each(|m| metric(&mut out, service, m)),
        Records::Logs(logs) => logs.iter().for_each(|l| log(&mut out, service, l)),
        // Only profiles come here as they are.
        Records::Raw(raw) => {
            let _ = writeln!(out, "{} {service} {} items", raw.signal, raw.items);
        }
    }
    out
}

fn span(out: &mut String, service: &str, s: &Span) {
    let micros = s.end.saturating_sub(s.start) / 1000;
    text(out, "span ", service);
    text(out, " ", &s.name);
    let (kind, status) = (s.kind, s.status);
    let _ = write!(out, " {kind:?} {status:?} {micros}us trace={} span={}", s.trace_id, s.span_id);
    if s.parent_id.is_valid() {
        let _ = write!(out, " parent={}", s.parent_id);
    }
    attributes(out, &s.attrs);
    out.push('\n');
}

fn log(out: &mut String, service: &str, l: &LogRecord) {
    text(out, "log ", service);
    text(out, " ", &l.severity_text);
    out.push(' ');
    value(out, &l.body);
    attributes(out, &l.attrs);
    out.push('\n');
}

fn metric(out: &mut String, service: &str, m: &Metric) {
    let mut point = |attrs: &[KeyValue], shown: String| {
        text(out, "metric ", service);
        text(out, " ", &m.name);
        text(out, " ", &shown);
        text(out, " ", &m.unit);
        attributes(out, attrs);
        out.push('\n');
    };
    match &m.data {
        MetricData::Gauge(points) | MetricData::Sum { points, .. } => {
            points.iter().for_each(|p| match p.value {
                NumberValue::Int(i) => point(&p.attrs, i.to_string()),
                NumberValue::Double(d) => point(&p.attrs, d.to_string()),
            })
        }
        MetricData::Histogram { points, .. } => {
            points.iter().for_each(|p| point(&p.attrs, format!("count={} sum={}", p.count, p.sum)));
        }
        MetricData::ExponentialHistogram { points, .. } => {
            points.iter().for_each(|p| point(&p.attrs, format!("count={} sum={}", p.count, p.sum)));
        }
    }
}

fn attributes(out: &mut String, attrs: &[KeyValue]) {
    for kv in attrs {
        text(out, " ", &kv.key);
        out.push('=');
        value(out, &kv.value);
    }
}

fn value(out: &mut String, v: &Value) {
    match v {
        // `Debug` quotes, and escapes what could steer a terminal.
        Value::Str(s) => {
            let _ = write!(out, "{:?}", s.as_str());
        }
        Value::Int(i) => {
            let _ = write!(out, "{i}");
        }
        Value::Double(d) => {
            let _ = write!(out, "{d}");
        }
        Value::Bool(b) => {
            let _ = write!(out, "{b}");
        }
        Value::Bytes(b) => {
            let _ = write!(out, "{} bytes", b.len());
        }
        Value::Array(items) => {
            out.push('[');
            for (i, item) in items.iter().enumerate() {
                out.push_str(if i > 0 { ", " } else { "" });
                value(out, item);
            }
            out.push(']');
        }
        Value::Map(pairs) => {
            out.push('{');
            attributes(out, pairs);
            out.push('}');
        }
    }
}

/// A text without quotes; what could steer a terminal is escaped.
fn text(out: &mut String, before: &str, s: &str) {
    out.push_str(before);
    out.extend(s.chars().flat_map(|c| {
        let (plain, escaped) = if c.is_control() { (None, Some(c.escape_debug())) } else { (Some(c), None) };
        plain.into_iter().chain(escaped.into_iter().flatten())
    }));
}

#[cfg(test)]
mod tests {
    use super::*;
    use telegen_testkit::records;

    #[test]
    fn a_record_is_one_line_that_cannot_steer_a_terminal() {
        let mut s = records::span(1);
        s.name = "GET \u{1b}[2J\n".into();
        s.attrs = vec![KeyValue::new("url.path", "/\u{1b}]0;x\u{7}\n"), KeyValue::new("n", 3i64)];
        assert_eq!(
            lines(&records::group(&records::resource("shop"), Records::Spans(vec![s]))),
            "span shop GET \\u{1b}[2J\\n Server Unset 500us trace=00000000000000000000000000000002 \
             span=0000000000000002 url.path=\"/\\u{1b}]0;x\\u{7}\\n\" n=3\n"
        );
    }

    #[test]
    fn packed_spans_are_lines_as_others_are() {
        let spans = vec![records::http_span(1), records::full_span()];
        let of = |records| lines(&records::group(&records::resource("shop"), records));
        let packed = Records::Packed(telegen_otlp::pack::pack(&spans));
        assert_eq!(of(packed), of(Records::Spans(spans)));
    }

    #[test]
    fn every_point_of_every_kind_of_metric_is_a_line() {
        let out = lines(&records::group(&records::resource("shop"), Records::Metrics(records::metrics())));
        assert_eq!(out.lines().count(), 8);
        assert!(out.contains("metric shop test.duration count=10 sum=12.5 s http.route=\"/a\"\n"), "{out}");
    }
}
