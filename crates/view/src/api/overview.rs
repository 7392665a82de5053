//! `#/services`: a status line and a table, sorted, filtered and cut here.

use std::cmp::Ordering;
use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use serde_json::{Value, json};

use super::answer::{Ask, Wrong, rounded};
use super::filter::{Filter, Row};
use super::range::{Figures, Range};
use super::series::series;
use crate::Inner;
use crate::sink::unix_now;
use crate::store::services::Service;
use crate::store::window::{MINUTE_S, Stretch};

/// Rows of one answer at most.
const ROWS: usize = 200;

const COLS: [&str; 16] = [
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
    "failing",
];

/// A service as the table shows it: numbers of the range.
pub(super) struct Line<'a> {
    id: u32,
    service: &'a Service,
    figures: Figures,
}

impl<'a> Line<'a> {
    fn new(id: u32, service: &'a Service, range: &Range) -> Line<'a> {
        let figures = Figures::of(&service.sum(range.stretch), &service.shape, range.seconds());
        Line { id, service, figures }
    }

    fn json(&self, range: &Range) -> Value {
        let Figures { count, rate, errors, ratio, quantiles: [p50, p95, p99], .. } = self.figures;
        json!([
            self.id,
            self.service.name,
            self.service.namespace,
            self.service.instance_count(range.now_s),
            count,
            self.service.serves.then(|| rounded(rate)),
            rounded(errors),
            ratio,
            p50,
            p95,
            p99,
            spark(self.service, range),
            range.now_s.saturating_sub(self.service.active),
            unread(self.service, range),
            self.service.rows.len(),
            self.figures.failing(),
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
            "rate" => Some(Some(self.figures.rate)),
            "error" => Some(self.figures.ratio.map(|r| r * 100.0)),
            "p50" | "dur" => Some(self.figures.quantiles[0]),
            "p95" => Some(self.figures.quantiles[1]),
            "p99" => Some(self.figures.quantiles[2]),
            _ => None,
        }
    }
}

/// Requests of the range in bars; `null` before anything could be seen, and where it is forgotten.
pub(super) fn spark(service: &Service, range: &Range) -> Vec<Option<u32>> {
    series(range).points(service).map(|p| p.map(|p| p.count)).collect()
}

/// What is recognised and not read: protocol, reason, bytes a second of the last minutes, bytes in all, seconds since.
pub(super) fn unread(service: &Service, range: &Range) -> Vec<Value> {
    // Bytes are held by minutes for a quarter of an hour.
    let recent = Stretch::last(60, range.now_s);
    let (from, to) = recent.steps(MINUTE_S);
    let rows = service.unread.iter().map(|((protocol, reason), unread)| {
        let bytes: u64 = unread.bytes.range(from, to).flatten().sum();
        let rate = rounded(bytes as f64 / recent.seconds(range.started_s));
        json!([protocol, reason, rate, unread.total, range.now_s.saturating_sub(unread.last)])
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
    let range = Range::of(&ask, now, inner.store.started())?;
    let counts = inner.store.counts();
    let all: Vec<Line<'_>> = counts.services.iter().map(|(id, s)| Line::new(id, s, &range)).collect();
    let rate: f64 = all.iter().map(|l| l.figures.rate).sum();
    let errors: f64 = all.iter().map(|l| l.figures.errors).sum();
    let total = all.len();
    let unread_services = all.iter().filter(|l| !l.service.unread.is_empty()).count();
    let failing = all.iter().filter(|l| l.figures.failing()).count();
    let mut lines = Vec::new();
    for line in all {
        if filter.passes(&line)? && (!failing_only || line.figures.failing()) {
            lines.push(line);
        }
    }
    sort(&mut lines, ask.text("sort").unwrap_or("failing"));
    let matching = lines.len();
    let page: Vec<Line<'_>> = lines.into_iter().skip(offset).take(limit).collect();
    let changed = page.iter().filter(|l| cursor == 0 || l.service.changed > cursor);
    let rows: Vec<Value> = changed.map(|l| l.json(&range)).collect();
    let order: Vec<u32> = page.iter().map(|l| l.id).collect();
    let watched = {
        let list = inner.watched();
        list.known.then(|| list.processes.iter().filter(|w| w.selected).count())
    };
    let mut answer = json!({
        "watched": watched,
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
    range.told(&mut answer);
    Ok(ask.json(&super::with_status(&inner, now, answer)))
}

fn sort(lines: &mut [Line<'_>], by: &str) {
    let (by, up) = match by.strip_prefix('-') {
        Some(by) => (by, true),
        None => (by, false),
    };
    let number = |line: &Line<'_>| match by {
        "rate" => Some(line.figures.rate),
        "errors" => line.figures.ratio,
        "p50" => line.figures.quantiles[0],
        "p95" => line.figures.quantiles[1],
        "p99" => line.figures.quantiles[2],
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
            let key = |l: &Line<'_>| {
                if l.figures.failing() { (1, l.figures.errors) } else { (0, l.figures.rate) }
            };
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
