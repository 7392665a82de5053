//! What is checked in `export` beyond the type of each value.

use std::collections::BTreeMap;
use std::path::PathBuf;

use telegen_config::{ByteSize, Check, OneOrMany, Rate, Report};

use crate::settings::{ClientTls, ExportSettings, Mechanism, SignalName};

impl ExportSettings {
    /// The objects of every kind as (key, kind, name if given).
    fn named(&self) -> Vec<(String, &'static str, Option<&str>)> {
        let mut all = Vec::new();
        macro_rules! kind {
            ($($kind:ident)*) => { $(
                for (key, one) in self.$kind.iter().flat_map(|k| k.keyed(stringify!($kind))) {
                    all.push((key, stringify!($kind), one.name.as_deref()));
                }
            )* };
        }
        kind!(otlp file prometheus remote_write kafka console);
        all
    }

    /// No two write to one file, or have a queue in one folder.
    fn places(&self, report: &mut Report) {
        let mut all: Vec<(String, PathBuf)> = Vec::new();
        for (key, file) in self.file.iter().flat_map(|k| k.keyed("file")) {
            all.push((format!("{key}.path"), file.path.clone()));
        }
        macro_rules! queues {
            ($($kind:ident)*) => { $(
                for (key, one) in self.$kind.iter().flat_map(|k| k.keyed(stringify!($kind))) {
                    let name = one.name.as_deref().unwrap_or(stringify!($kind));
                    if let Some(disk) = one.queue.disk(name, ByteSize::mib(1)) {
                        all.push((format!("{key}.queue.path"), disk.path));
                    }
                }
            )* };
        }
        queues!(otlp remote_write kafka);
        let mut seen: BTreeMap<&PathBuf, &str> = BTreeMap::new();
        for (key, path) in &all {
            if let Some(first) = seen.insert(path, key) {
                report.wrong(key, format!("{} is that of export.{first} too", path.display()));
            }
        }
    }

    /// Whether anything takes telemetry away from Telegen.
    pub fn is_empty(&self) -> bool {
        self.named().is_empty()
    }
}

impl Check for ExportSettings {
    fn check(&self, report: &mut Report) {
        let mut seen: BTreeMap<&str, String> = BTreeMap::new();
        let all = self.named();
        for (key, kind, name) in &all {
            let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | '/');
            if name.is_some_and(|n| n.is_empty() || n.len() > 64 || !n.chars().all(plain)) {
                report.wrong(&format!("{key}.name"), "expected 1 to 64 letters, digits, and . - _ /");
            }
            let name = name.unwrap_or(kind);
            if let Some(first) = seen.insert(name, key.clone()) {
                report.wrong(key, format!("is called {name} like export.{first}: give it another `name`"));
            }
        }
        self.places(report);
        each(&self.otlp, "otlp", report, |otlp, report| {
            for (i, url) in otlp.more_endpoints.iter().enumerate() {
                let twice = otlp.more_endpoints[..i].contains(url) || *url == otlp.endpoint;
                if twice {
                    report.wrong(&format!("more_endpoints.{i}"), "named twice");
                }
            }
            headers(&otlp.headers, report);
            tls(&otlp.tls, report);
            rate(otlp.rate, report);
            report.section("retry", &otlp.retry);
            signals(&otlp.signals, report);
        });
        each(&self.file, "file", report, |file, report| {
            if file.path.as_os_str().is_empty() {
                report.wrong("path", "expected a path");
            }
            signals(&file.signals, report);
        });
        each(&self.remote_write, "remote_write", report, |write, report| {
            if !(1..=2).contains(&write.version) {
                report.wrong("version", "expected one of 1, 2");
            }
            headers(&write.headers, report);
            tls(&write.tls, report);
            rate(write.rate, report);
            report.section("retry", &write.retry);
        });
        each(&self.kafka, "kafka", report, |kafka, report| {
            if kafka.brokers.is_empty() {
                report.wrong("brokers", "expected at least one HOST:PORT");
            }
            let topic = kafka.topic.replace("{signal}", "profiles");
            let plain = |b: u8| b.is_ascii_alphanumeric() || b"._-".contains(&b);
            if !(1..=249).contains(&topic.len())
                || !topic.bytes().all(plain)
                || [".", ".."].contains(&&*topic)
            {
                report.wrong(
                    "topic",
                    "expected a topic's name: up to 249 letters, digits, and . _ -, and {signal}",
                );
            }
            if let Some(sasl) = &kafka.sasl
                && sasl.mechanism == Mechanism::Plain
                && kafka.tls.is_none()
                && !kafka.brokers.iter().all(|b| b.is_loopback())
            {
                report
                    .wrong("sasl.mechanism", "plain sends the password as it is: set tls too, or use scram");
            }
            if let Some(with) = &kafka.tls {
                tls(with, report);
            }
            rate(kafka.rate, report);
            report.section("retry", &kafka.retry);
            signals(&kafka.signals, report);
        });
        each(&self.console, "console", report, |console, report| signals(&console.signals, report));
    }
}

fn each<T>(kind: &Option<OneOrMany<T>>, key: &str, report: &mut Report, check: impl Fn(&T, &mut Report)) {
    for (key, one) in kind.iter().flat_map(|k| k.keyed(key)) {
        report.under(&key, |report| check(one, report));
    }
}

fn signals(signals: &[SignalName], report: &mut Report) {
    if signals.is_empty() {
        report.wrong("signals", "expected at least one of traces, metrics, logs, profiles");
    }
    for (i, signal) in signals.iter().enumerate() {
        if signals[..i].contains(signal) {
            report.wrong(&format!("signals.{i}"), "named twice");
        }
    }
}

/// Names and values that can stand in an HTTP request (RFC 9110, section 5).
fn headers(headers: &BTreeMap<String, telegen_model::Secret>, report: &mut Report) {
    for (name, value) in headers {
        let token = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
        if name.is_empty() || !name.bytes().all(token) {
            report.wrong("headers", "a header's name has only letters, digits and !#$%&'*+-.^_`|~");
        }
        if value.expose().bytes().any(|b| (b < 0x20 && b != b'\t') || b == 0x7f) {
            report.wrong(&format!("headers.{name}"), "a header's value has no control characters");
        }
    }
}

fn rate(rate: Option<Rate>, report: &mut Report) {
    if rate.is_some_and(|rate| rate.get().is_none()) {
        report.wrong("rate", "expected a rate such as 20000/s; leave it out for none");
    }
}

fn tls(tls: &ClientTls, report: &mut Report) {
    match (&tls.cert, &tls.key) {
        (Some(_), None) => report.wrong("tls.cert", "needs tls.key beside it"),
        (None, Some(_)) => report.wrong("tls.key", "needs tls.cert beside it"),
        _ => {}
    }
}
