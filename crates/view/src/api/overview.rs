//! `#/services`: a status line and a table, sorted, filtered and cut here.

use std::cmp::Ordering;
use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use serde_json::{Value, json};

use super::answer::{Ask, Wrong, rounded};
use super::filter::{Filter, Row};
use crate::Inner;
use crate::sink::unix_now;
use crate::store::services::{ROW_S, SHORT_S, Service, WINDOW_S, covered};

/// Rows of one answer at most.
const ROWS: usize = 200;
/// Bars of a sparkline.
const BARS: u64 = 30;

const COLS: [&str; 15] = [
    "id",
    "name",
    "namespace",
    "instances",
    "count",
    "rate",
    "errors",
    "error_ratio",
    "p50",
    "p95",
    "p99",
    "spark",
    "idle_s",
    "unread",
    "calls",
];

/// A service as the table shows it: numbers of the last 60 s.
pub(super) struct Line<'a> {
    id: u32,
    pub(super) service: &'a Service,
    count: u32,
    failed: u32,
    pub(super) rate: f64,
    errors: f64,
    ratio: Option<f64>,
    quantiles: [Option<f64>; 3],
}

impl<'a> Line<'a> {
    pub(super) fn new(id: u32, service: &'a Service, now_s: u64, started_s: u64) -> Line<'a> {
        let (count, failed) = service.recent(now_s);
        let durations = service.durations(now_s);
        let seconds = covered(SHORT_S, now_s, started_s);
        let quantiles = [0.50, 0.95, 0.99]
            .map(|q| service.quantile(&durations, q).filter(|_| count > 0).map(|s| rounded(s * 1e3)));
        let ratio = (count > 0).then(|| f64::from(failed) / f64::from(count));
        let (rate, errors) = (f64::from(count) / seconds, f64::from(failed) / seconds);
        Line { id, service, count, failed, rate, errors, ratio, quantiles }
    }

    /// Fails enough to stand on top: 1 % of its requests, and at least five.
    fn failing(&self) -> bool {
        self.failed >= 5 && self.ratio.is_some_and(|r| r >= 0.01)
    }

    fn idle(&self, now_s: u64) -> u64 {
        now_s.saturating_sub(self.service.active)
    }

    fn json(&self, now_s: u64, started_s: u64) -> Value {
        let [p50, p95, p99] = self.quantiles;
        json!([
            self.id,
            self.service.name,
            self.service.namespace,
            self.service.instance_count(now_s),
            self.count,
            self.service.serves.then(|| rounded(self.rate)),
            rounded(self.errors),
            self.ratio,
            p50,
            p95,
            p99,
            spark(self.service, now_s, started_s),
            self.idle(now_s),
            unread(self.service, now_s, started_s),
            self.service.rows.len(),
        ])
    }
}

impl Row for Line<'_> {
    fn contains(&self, word: &str) -> bool {
        self.service.name.to_lowercase().contains(word)
            || self.service.namespace.to_lowercase().contains(word)
    }

    fn text(&self, key: &str, value: &str) -> Option<bool> {
        match key {
            "service" => Some(self.service.name.to_lowercase().contains(value)),
            "ns" | "namespace" => Some(self.service.namespace.to_lowercase().contains(value)),
            _ => None,
        }
    }

    fn number(&self, key: &str) -> Option<Option<f64>> {
        match key {
            "rate" => Some(Some(self.rate)),
            "error" => Some(self.ratio.map(|r| r * 100.0)),
            "p50" | "dur" => Some(self.quantiles[0]),
            "p95" => Some(self.quantiles[1]),
            "p99" => Some(self.quantiles[2]),
            _ => None,
        }
    }
}

/// Requests of the last 15 minutes in bars of 30 s; `null` before anything could be seen.
pub(super) fn spark(service: &Service, now_s: u64, started_s: u64) -> Vec<Option<u32>> {
    let per_bar = 30 / SHORT_S;
    // The bar under way is the last one.
    let last = now_s / 30;
    (last.saturating_sub(BARS - 1)..=last)
        .map(|bar| {
            let from = bar * per_bar;
            let known = (bar + 1) * 30 > started_s;
            known.then(|| {
                service.short.range(from, from + per_bar - 1).flatten().map(|[count, _]| *count).sum()
            })
        })
        .collect()
}

/// What is recognised and not read: protocol, reason, bytes a second of the last 60 s, bytes in all.
pub(super) fn unread(service: &Service, now_s: u64, started_s: u64) -> Vec<Value> {
    let to = now_s / ROW_S;
    let from = to.saturating_sub(WINDOW_S / ROW_S - 1);
    let rows = service.unread.iter().map(|((protocol, reason), unread)| {
        let bytes: u64 = unread.bytes.range(from, to).flatten().sum();
        json!([protocol, reason, rounded(bytes as f64 / covered(ROW_S, now_s, started_s)), unread.total])
    });
    rows.collect()
}

pub(super) async fn overview(State(inner): State<Arc<Inner>>, ask: Ask) -> Result<Response, Wrong> {
    let filter = Filter::parse(ask.text("q").unwrap_or(""))?;
    let cursor = ask.number::<u64>("cursor")?.unwrap_or(0);
    let offset = ask.number("offset")?.unwrap_or(0);
    let limit = ask.number("limit")?.unwrap_or(ROWS).min(ROWS);
    let failing_only = ask.text("only") == Some("failing");
    let now = unix_now();
    let (now_s, started_s) = (now / 1_000_000_000, inner.store.started() / 1_000_000_000);
    let counts = inner.store.counts();
    let all: Vec<Line<'_>> =
        counts.services.iter().map(|(id, s)| Line::new(id, s, now_s, started_s)).collect();
    let rate: f64 = all.iter().map(|l| l.rate).sum();
    let errors: f64 = all.iter().map(|l| l.errors).sum();
    let total = all.len();
    let unread_services = all.iter().filter(|l| !l.service.unread.is_empty()).count();
    let failing = all.iter().filter(|l| l.failing()).count();
    let mut lines = Vec::new();
    for line in all {
        if filter.passes(&line)? && (!failing_only || line.failing()) {
            lines.push(line);
        }
    }
    sort(&mut lines, ask.text("sort").unwrap_or("failing"));
    let matching = lines.len();
    let page: Vec<Line<'_>> = lines.into_iter().skip(offset).take(limit).collect();
    let changed = page.iter().filter(|l| cursor == 0 || l.service.changed > cursor);
    let rows: Vec<Value> = changed.map(|l| l.json(now_s, started_s)).collect();
    let order: Vec<u32> = page.iter().map(|l| l.id).collect();
    let answer = json!({
        "window_s": WINDOW_S,
        "cursor": counts.readings.number,
        "total": total,
        "matching": matching,
        "failing": failing,
        "rate": rounded(rate),
        "error_ratio": if rate > 0.0 { Some(errors / rate) } else { None },
        "unread_services": unread_services,
        "tracing": super::tracing(&inner),
        "cols": COLS,
        "order": order,
        "rows": rows,
    });
    Ok(ask.json(&super::with_status(&inner, now, answer)))
}

fn sort(lines: &mut [Line<'_>], by: &str) {
    let (by, up) = match by.strip_prefix('-') {
        Some(by) => (by, true),
        None => (by, false),
    };
    let number = |line: &Line<'_>| match by {
        "rate" => Some(line.rate),
        "errors" => line.ratio,
        "p50" => line.quantiles[0],
        "p95" => line.quantiles[1],
        "p99" => line.quantiles[2],
        _ => None,
    };
    // Names go up by themselves, numbers down.
    let by_name = |a: &Line<'_>, b: &Line<'_>| {
        (&a.service.name, &a.service.namespace).cmp(&(&b.service.name, &b.service.namespace))
    };
    lines.sort_by(|a, b| match by {
        "name" => {
            if up {
                by_name(b, a)
            } else {
                by_name(a, b)
            }
        }
        "failing" => {
            let key = |l: &Line<'_>| if l.failing() { (1, l.errors) } else { (0, l.rate) };
            let (a_key, b_key) = (key(a), key(b));
            b_key.partial_cmp(&a_key).unwrap_or(Ordering::Equal).then_with(|| by_name(a, b))
        }
        _ => {
            // What has no such number stands last, whichever way.
            let order = match (number(a), number(b)) {
                (Some(a), Some(b)) => {
                    if up {
                        a.total_cmp(&b)
                    } else {
                        b.total_cmp(&a)
                    }
                }
                (Some(_), None) => Ordering::Less,
                (None, Some(_)) => Ordering::Greater,
                (None, None) => Ordering::Equal,
            };
            order.then_with(|| by_name(a, b))
        }
    });
}
