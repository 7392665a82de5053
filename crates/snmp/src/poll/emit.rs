use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Instant;

use telegen_model::{Attrs, KeyValue, Metric, MetricData, NumberPoint, NumberValue, Str, Temporality, Value};

use super::cell::{Cell, text_of};
use super::device::{Device, Poll, TableState, UPTIME, index_arcs, key_of};
use super::frame::Frame;
use super::kept::{Kept, NONE};
use super::status::DeviceState;
use super::task::{GetFor, Work};
use crate::profile::{IndexKind, LabelSource, MetricPlan, Plan, SensorPlan, TablePlan};
use crate::protocol::write_arc;

/// What a lookup found: text by index.
type Found = HashMap<Box<[u8]>, String>;

/// Points by metric of the plan.
struct Points {
    sums: Vec<Vec<NumberPoint>>,
    gauges: Vec<Vec<NumberPoint>>,
    time: u64,
}

impl Points {
    fn sum(&mut self, metric: usize, attrs: Attrs, start: u64, value: NumberValue) {
        let time = self.time;
        self.sums[metric].push(NumberPoint { attrs, start, time, value, exemplars: Vec::new() });
    }

    fn gauge(&mut self, metric: usize, attrs: Attrs, value: NumberValue) {
        let time = self.time;
        self.gauges[metric].push(NumberPoint { attrs, start: 0, time, value, exemplars: Vec::new() });
    }
}

/// What a poll brought, as metrics, and how many values are left out because an earlier one of the same metric has the
/// same attributes; what stays of it goes to the device.
pub(crate) fn metrics(device: &mut Device, plan: &Plan, poll: &mut Poll, now: Instant) -> (Vec<Metric>, u64) {
    let mut out = self::device(device, poll, now);
    let count = plan.metrics.len();
    let lists = || std::iter::repeat_with(Vec::new).take(count).collect::<Vec<_>>();
    let mut points = Points { sums: lists(), gauges: lists(), time: poll.time };
    scalars(device, plan, poll, &mut points);
    let mut lookups: HashMap<(usize, usize), &Found> = HashMap::new();
    for task in &poll.tasks {
        if let Work::Lookup { table, label, found, .. } = &task.work {
            lookups.insert((*table, *label), found);
        }
    }
    for (at, table) in plan.tables.iter().enumerate() {
        let walked = |t: &super::task::Task| matches!(&t.work, Work::Walk { table, .. } if *table == at);
        let mut of_table = poll.tasks.iter().filter(|t| walked(t)).peekable();
        if of_table.peek().is_none() {
            continue;
        }
        let whole = of_table.all(|t| t.fault.is_none());
        let boot = device.clock.boot;
        let turn = Turn {
            plan: table,
            frame: &poll.frames[at],
            lookups: &|label| lookups.get(&(at, label)).copied(),
            refreshed: poll.refreshed[at],
            restarted: poll.restarted,
            whole,
            boot,
            last: device.last_values,
            at: &|ticks, kept, seen| device.clock.at(ticks, kept, seen),
        };
        turn.run(&mut device.tables[at], &mut points);
    }
    let mut duplicates = 0;
    for (i, of) in plan.metrics.iter().enumerate() {
        let mut sums = std::mem::take(&mut points.sums[i]);
        let mut gauges = std::mem::take(&mut points.gauges[i]);
        if of.alike {
            let mut seen = HashSet::new();
            duplicates += keep_first(&mut sums, &mut seen) + keep_first(&mut gauges, &mut seen);
        }
        if !sums.is_empty() {
            let data =
                MetricData::Sum { temporality: Temporality::Cumulative, monotonic: true, points: sums };
            out.push(metric(of, data));
        }
        if !gauges.is_empty() {
            out.push(metric(of, MetricData::Gauge(gauges)));
        }
    }
    (out, duplicates)
}

/// Of points that look alike the first stays; how many went.
fn keep_first(points: &mut Vec<NumberPoint>, seen: &mut HashSet<String>) -> u64 {
    let before = points.len();
    points.retain(|p| {
        let mut pairs: Vec<(&str, &str)> =
            p.attrs.iter().map(|kv| (&*kv.key, kv.value.as_str().unwrap_or_default())).collect();
        pairs.sort_unstable();
        let mut key = String::new();
        for part in pairs.into_iter().flat_map(|(k, v)| [k, v]) {
            key.push_str(part);
            key.push('\0');
        }
        seen.insert(key)
    });
    (before - points.len()) as u64
}

fn metric(of: &MetricPlan, data: MetricData) -> Metric {
    Metric {
        name: Str::const_new(of.name),
        description: Str::const_new(of.description),
        unit: Str::const_new(of.unit),
        data,
    }
}

/// What is said of a device whether it answers or not.
pub(crate) fn device(device: &Device, poll: &Poll, now: Instant) -> Vec<Metric> {
    let none: Attrs = Arc::from([]);
    let time = poll.time;
    let gauge = |name, unit, description, value| Metric {
        name: Str::const_new(name),
        description: Str::const_new(description),
        unit: Str::const_new(unit),
        data: MetricData::Gauge(vec![NumberPoint {
            attrs: none.clone(),
            start: 0,
            time,
            value,
            exemplars: Vec::new(),
        }]),
    };
    let up = i64::from(device.state != DeviceState::Down);
    let mut out = vec![
        gauge("snmp.device.up", "1", "Whether the device answers: 1 or 0.", NumberValue::Int(up)),
        gauge(
            "snmp.device.poll.duration",
            "s",
            "Time from the first question of a poll to its last answer.",
            NumberValue::Double(now.saturating_duration_since(poll.begun).as_secs_f64()),
        ),
        gauge(
            "snmp.device.poll.packets",
            "{packet}",
            "Questions of a poll.",
            NumberValue::Int(i64::from(poll.packets)),
        ),
        gauge(
            "snmp.device.poll.lateness",
            "s",
            "How long after its time a poll began.",
            NumberValue::Double(poll.late.as_secs_f64()),
        ),
    ];
    if device.rtt.millis() > 0.0 {
        let seconds = NumberValue::Double(device.rtt.millis() / 1e3);
        out.push(gauge("snmp.device.rtt", "s", "Usual time from a question to its answer.", seconds));
    }
    out
}

fn scalars(device: &mut Device, plan: &Plan, poll: &Poll, points: &mut Points) {
    let uptime = plan.scalars.iter().find(|s| s.oid[..] == *UPTIME);
    if let (Some(scalar), Some(ticks)) = (uptime, poll.uptime) {
        let attrs: Attrs = crate::profile::pairs(&scalar.attrs).collect();
        points.gauge(scalar.metric, attrs, scaled(u64::from(ticks), scalar.scale));
    }
    let got = poll.tasks.iter().find_map(|t| match &t.work {
        Work::Get(get) if get.what == GetFor::Scalars => Some(get),
        _ => None,
    });
    let (Some(get), Some(which)) = (got, device.scalars()) else { return };
    let which: Box<[u16]> = which.into();
    if poll.restarted {
        device.scalar_counters.clear();
    }
    let has = |place: usize| {
        let at = which.iter().position(|w| usize::from(*w) == place);
        at.and_then(|at| get.cells.get(at)).is_some_and(|c| *c != Cell::None)
    };
    for (cell, at) in get.cells.iter().zip(which.iter().copied()) {
        let scalar = &plan.scalars[usize::from(at)];
        if cell.is_one_of(&scalar.none) || scalar.unless.is_some_and(has) {
            continue;
        }
        let attrs: Attrs = crate::profile::pairs(&scalar.attrs).collect();
        let place = device.scalar_counters.iter().position(|(of, _)| *of == at);
        let mut kept = place.map_or(NONE, |p| device.scalar_counters[p].1);
        let counted = extended(*cell, &mut kept);
        match place {
            Some(place) => device.scalar_counters[place].1 = kept,
            None if counted.is_some() => device.scalar_counters.push((at, kept)),
            None => {}
        }
        match counted {
            Some(value) => points.sum(scalar.metric, attrs, device.clock.boot, scaled(value, scalar.scale)),
            None => {
                if let Some(value) = gauge_of(*cell, &get.text, scalar.scale) {
                    points.gauge(scalar.metric, attrs, value);
                }
            }
        }
    }
}

/// A 64-bit counter in 48 bits that keep its order: exact up to 2^37, beyond that to one part in 2^36.
fn ordered(value: u64) -> u64 {
    (value as f64).to_bits() >> 16
}

/// A counter's value with the wraps since it was first read; `kept` is its last. `None`: no counter.
fn extended(cell: Cell, kept: &mut u64) -> Option<u64> {
    let value = match cell {
        Cell::Counter32(v) => {
            let low = *kept as u32;
            match *kept {
                NONE => u64::from(v),
                last if v < low => last - u64::from(low) + u64::from(v) + (1 << 32),
                last => last - u64::from(low) + u64::from(v),
            }
        }
        Cell::Counter64(v) => v,
        _ => return None,
    };
    *kept = value;
    Some(value)
}

fn scaled(value: u64, scale: f64) -> NumberValue {
    match i64::try_from(value) {
        Ok(i) if scale == 1.0 => NumberValue::Int(i),
        _ => NumberValue::Double(value as f64 * scale),
    }
}

fn gauge_of(cell: Cell, text: &[u8], scale: f64) -> Option<NumberValue> {
    match cell {
        Cell::Int(i) if scale == 1.0 => Some(NumberValue::Int(i)),
        Cell::Unsigned(v) if scale == 1.0 => Some(scaled(v, scale)),
        other => other.number(text).map(|n| {
            let n = n * scale;
            // A text that holds a whole number is one.
            if scale == 1.0 && n.fract() == 0.0 && n.abs() < 9e15 && matches!(other, Cell::Octets(..)) {
                NumberValue::Int(n as i64)
            } else {
                NumberValue::Double(n)
            }
        }),
    }
}

/// One table of one poll.
struct Turn<'a> {
    plan: &'a TablePlan,
    frame: &'a Frame,
    lookups: &'a dyn Fn(usize) -> Option<&'a Found>,
    refreshed: bool,
    restarted: bool,
    /// Whether everything of the table came.
    whole: bool,
    boot: u64,
    /// When values came last.
    last: u64,
    at: &'a dyn Fn(u32, u64, bool) -> Option<u64>,
}

impl Turn<'_> {
    fn run(&self, state: &mut TableState, points: &mut Points) {
        let width = self.plan.columns.len();
        let valued: Vec<usize> = (0..self.frame.rows())
            .filter(|r| self.frame.row(*r)[..width].iter().any(|c| *c != Cell::None))
            .collect();
        if state.columns.is_none() && self.whole {
            state.columns = Some(self.useful(&valued));
        }
        let every: Vec<u16> = (0..width as u16).collect();
        let polled = state.columns.as_deref().unwrap_or(&every);
        let counters: Vec<u16> =
            polled.iter().copied().filter(|c| self.plan.columns[usize::from(*c)].counter).collect();
        let mut old = state.kept.take().unwrap_or_default();
        let same_layout = old.columns() == counters;
        let same_rows = !self.refreshed
            && !self.restarted
            && same_layout
            && valued.len() == old.rows()
            && valued.iter().enumerate().all(|(at, row)| old.index(at) == self.frame.index(*row));
        if same_rows {
            // Nearly always so: what is kept is changed in place.
            for (at, row) in valued.into_iter().enumerate() {
                self.emit(row, (at, true), &mut old, &counters, points);
            }
            state.kept = (old.rows() > 0).then_some(old);
            return;
        }
        let mut new = Kept::new(self.plan.labels.len(), &counters);
        let mut from = 0;
        let mut next_old = 0;
        for row in valued {
            let index = self.frame.index(row);
            let was = old.find(index, &mut from);
            if !self.whole {
                // What did not come may only be late: it stays.
                while next_old < was.unwrap_or(from) {
                    copy_row(&mut old, next_old, &mut new, self.plan.labels.len(), same_layout);
                    next_old += 1;
                }
                next_old = next_old.max(was.map_or(next_old, |w| w + 1));
            }
            let at = new.rows();
            match was.filter(|_| !self.refreshed) {
                Some(was) => new.push(index, (0..self.plan.labels.len()).map(|l| old.label(was, l))),
                None => {
                    let labels = self.labels(row, index);
                    new.push(index, labels.iter().map(String::as_str));
                }
            }
            if let Some(was) = was.filter(|_| !self.restarted) {
                new.set_start(at, old.start(was));
                // Columns may have come or gone: those that stay keep their last values.
                for (slot, column) in counters.iter().enumerate() {
                    let before =
                        if same_layout { Some(slot) } else { old.columns().iter().position(|c| c == column) };
                    if let Some(before) = before {
                        new.set_last(at, slot, old.last(was, before));
                    }
                }
            }
            let seen = was.is_some() && !self.restarted;
            self.emit(row, (at, seen), &mut new, &counters, points);
        }
        if !self.whole {
            while next_old < old.rows() {
                copy_row(&mut old, next_old, &mut new, self.plan.labels.len(), same_layout);
                next_old += 1;
            }
        }
        new.shrink();
        state.kept = (new.rows() > 0).then(|| Box::new(new));
    }

    /// Columns that this device has, without those that another makes needless.
    fn useful(&self, rows: &[usize]) -> Box<[u16]> {
        let has = |row: &usize, column: usize| self.frame.row(*row)[column] != Cell::None;
        (0..self.plan.columns.len())
            .filter(|c| {
                let unless = self.plan.columns[*c].unless;
                rows.iter().any(|r| has(r, *c) && unless.is_none_or(|u| !has(r, u)))
            })
            .map(|c| c as u16)
            .collect()
    }

    fn labels(&self, row: usize, index: &[u8]) -> Vec<String> {
        let cells = &self.frame.row(row)[self.plan.columns.len()..];
        let mut out: Vec<String> = Vec::with_capacity(self.plan.labels.len());
        let mut key = Vec::new();
        for (i, label) in self.plan.labels.iter().enumerate() {
            let mut text = match &label.source {
                LabelSource::Own(_) => label_text(cells[i], &self.frame.text),
                LabelSource::ByLabel(_, by) => {
                    let found = (self.lookups)(i).filter(|_| key_of(&out[*by], &mut key));
                    found.and_then(|f| f.get(&key[..])).cloned().unwrap_or_default()
                }
                LabelSource::ByPart(_, part) => {
                    let arcs = index_arcs(index);
                    key.clear();
                    match self.part(&arcs, *part) {
                        Some(range) => arcs[range].iter().for_each(|a| write_arc(&mut key, *a)),
                        None => key.extend_from_slice(index),
                    }
                    (self.lookups)(i).and_then(|f| f.get(&key[..])).cloned().unwrap_or_default()
                }
            };
            if !label.words.is_empty()
                && let Some(word) = text.parse::<i64>().ok().and_then(|n| label.words.get(&n))
            {
                text.clone_from(word);
            }
            out.push(text);
        }
        out
    }

    /// Where a part of the index lies among its arcs.
    fn part(&self, arcs: &[u32], part: usize) -> Option<std::ops::Range<usize>> {
        let mut at = 0;
        for (i, (_, kind)) in self.plan.index.iter().enumerate() {
            let len = match kind {
                IndexKind::Int => 1,
                IndexKind::Ip => 4,
                IndexKind::Mac => 6,
                IndexKind::Text => 1 + *arcs.get(at)? as usize,
                IndexKind::Rest | IndexKind::Dotted => arcs.len().checked_sub(at)?,
            };
            let end = at.checked_add(len).filter(|e| *e <= arcs.len())?;
            if i == part {
                return Some(at..end);
            }
            at = end;
        }
        None
    }

    /// Whether the parts that are octets are none beyond a byte.
    fn has_octets(&self, arcs: &[u32]) -> bool {
        self.plan.index.iter().enumerate().all(|(part, (_, kind))| match kind {
            IndexKind::Int | IndexKind::Dotted => true,
            _ => self.part(arcs, part).is_none_or(|range| arcs[range].iter().all(|a| *a <= 255)),
        })
    }

    fn attributes(&self, kept: &Kept, row: usize) -> Vec<KeyValue> {
        let arcs = index_arcs(kept.index(row));
        let mut out = Vec::with_capacity(self.plan.index.len() + self.plan.labels.len() + 1);
        // An index that is longer than the MIB says is shown whole, so that no two rows look alike.
        let last = self.plan.index.len().checked_sub(1).and_then(|l| self.part(&arcs, l));
        let sound = last.is_some_and(|l| l.end == arcs.len()) && self.has_octets(&arcs);
        for (part, (name, kind)) in self.plan.index.iter().enumerate() {
            let text = match self.part(&arcs, part).filter(|_| sound) {
                Some(range) => part_text(&arcs[range], *kind),
                // An index of another form than the MIB says: the whole of it, once.
                None if part == 0 => dotted(&arcs),
                None => continue,
            };
            out.push(KeyValue { key: Str::const_new(name), value: Value::Str(Str::from(text)) });
        }
        for (i, label) in self.plan.labels.iter().enumerate() {
            let text = kept.label(row, i);
            if !label.attr.is_empty() && !text.is_empty() {
                out.push(KeyValue { key: Str::const_new(label.attr), value: Value::Str(Str::new(text)) });
            }
        }
        out
    }

    fn emit(
        &self,
        row: usize,
        (at, seen): (usize, bool),
        kept: &mut Kept,
        counters: &[u16],
        points: &mut Points,
    ) {
        let cells = self.frame.row(row);
        for (column, cell) in self.plan.columns.iter().zip(cells) {
            if column.discontinuity
                && let Some(ticks) = cell.number(&self.frame.text)
                && let Some(start) = (self.at)(ticks as u32, kept.start(at), seen)
                && start > kept.start(at)
            {
                // Its counters began anew after the last values, unless this is the first look at them. Start times are
                // told by whole seconds of the boot time, which may make it seem a little before.
                let anew = seen && start + 1_000_000_000 > self.last;
                if anew {
                    kept.forget_last(at);
                }
                kept.set_start(at, if anew { start.max(self.last) } else { start });
            }
        }
        let base = self.attributes(kept, at);
        let mut sets: Vec<Option<Attrs>> = vec![None; self.plan.attr_sets.len()];
        let mut slot = 0;
        for (c, column) in self.plan.columns.iter().enumerate() {
            let counter = counters.get(slot).is_some_and(|at| usize::from(*at) == c);
            let this = slot;
            slot += usize::from(counter);
            let cell = cells[c];
            let instead = column.unless.is_some_and(|u| cells[u] != Cell::None);
            if cell == Cell::None || column.discontinuity || instead || cell.is_one_of(&column.none) {
                continue;
            }
            let attrs = sets[column.attr_set].get_or_insert_with(|| {
                base.iter()
                    .cloned()
                    .chain(crate::profile::pairs(&self.plan.attr_sets[column.attr_set]))
                    .collect()
            });
            if let Some(sensor) = self.plan.sensor.as_ref().filter(|s| s.value == c) {
                self.sensor(sensor, cells, (kept, at), attrs, points);
                continue;
            }
            if column.presence {
                points.gauge(column.metric, attrs.clone(), NumberValue::Int(1));
                continue;
            }
            let last = if counter { kept.last(at, this) } else { NONE };
            let mut keep = last;
            if let Cell::Counter64(v) = cell {
                keep = ordered(v);
                if last != NONE && keep < last {
                    // It went back and nothing said so: it began anew after the last poll.
                    kept.set_start(at, kept.start(at).max(self.last));
                }
            }
            let value = match cell {
                Cell::Counter64(v) => Some(v),
                other => extended(other, &mut keep),
            };
            if counter && keep != last {
                kept.set_last(at, this, keep);
            }
            match value {
                Some(value) => {
                    let start = if kept.start(at) != 0 { kept.start(at) } else { self.boot };
                    points.sum(column.metric, attrs.clone(), start, scaled(value, column.scale));
                }
                None => {
                    // Without the size of its units a value would be wrong.
                    let times = column.times.map(|l| kept.label(at, l).parse::<u32>());
                    let scale = match times {
                        Some(Ok(times)) => column.scale * f64::from(times),
                        Some(Err(_)) => continue,
                        None => column.scale,
                    };
                    if let Some(value) = gauge_of(cell, &self.frame.text, scale) {
                        points.gauge(column.metric, attrs.clone(), value);
                    }
                }
            }
        }
    }

    fn sensor(
        &self,
        sensor: &SensorPlan,
        cells: &[Cell],
        (kept, row): (&Kept, usize),
        attrs: &Attrs,
        points: &mut Points,
    ) {
        let works = |c: usize| cells[c] == Cell::None || cells[c].is_one_of(&sensor.works);
        if !sensor.status.is_none_or(works) {
            return;
        }
        let label = |l: usize| kept.label(row, l).parse::<i32>().ok();
        let metric = label(sensor.kind).and_then(|k| sensor.metrics.get(&i64::from(k))).copied();
        let plain = self.plan.columns[sensor.value].metric;
        let metric = metric.unwrap_or(plain);
        let cell = cells[sensor.value];
        if metric == plain {
            if let Some(value) = gauge_of(cell, &self.frame.text, 1.0) {
                points.gauge(metric, attrs.clone(), value);
            }
            return;
        }
        let Some(value) = cell.number(&self.frame.text) else { return };
        // EntitySensorDataScale: units(9), a step of three decimal places each.
        let scale = sensor.scale.and_then(label).map_or(0, |s| (s - 9) * 3);
        let precision = sensor.precision.and_then(label).unwrap_or(0);
        let places = (scale - precision).clamp(-60, 60);
        let power = 10f64.powi(places.abs());
        // Divided, 95 hundredths are 0.95; times 0.01 they are not.
        let value = if places < 0 { value / power } else { value * power };
        points.gauge(metric, attrs.clone(), NumberValue::Double(value));
    }
}

fn copy_row(old: &mut Kept, row: usize, new: &mut Kept, labels: usize, counters: bool) {
    let at = new.rows();
    new.push(old.index(row), (0..labels).map(|l| old.label(row, l)));
    new.set_start(at, old.start(row));
    if counters {
        for slot in 0..new.columns().len() {
            new.set_last(at, slot, old.last(row, slot));
        }
    }
}

fn label_text(cell: Cell, text: &[u8]) -> String {
    match cell {
        Cell::None => String::new(),
        Cell::Int(i) => i.to_string(),
        Cell::Unsigned(v) | Cell::Counter64(v) => v.to_string(),
        Cell::Counter32(v) => v.to_string(),
        Cell::Float(f) => f.to_string(),
        Cell::Oid(..) => {
            cell.bytes(text).map(|o| crate::protocol::display(o).to_string()).unwrap_or_default()
        }
        Cell::Octets(..) => cell.bytes(text).map(text_of).unwrap_or_default(),
    }
}

fn dotted(arcs: &[u32]) -> String {
    let mut out = String::new();
    for (i, arc) in arcs.iter().enumerate() {
        if i > 0 {
            out.push('.');
        }
        out.push_str(&arc.to_string());
    }
    out
}

fn part_text(arcs: &[u32], kind: IndexKind) -> String {
    let octets = |arcs: &[u32]| arcs.iter().map(|a| *a as u8).collect::<Vec<u8>>();
    match kind {
        IndexKind::Int | IndexKind::Ip | IndexKind::Dotted => dotted(arcs),
        IndexKind::Mac => {
            let mut out = String::new();
            for (i, b) in octets(arcs).iter().enumerate() {
                if i > 0 {
                    out.push(':');
                }
                crate::show::hex(&mut out, &[*b]);
            }
            out
        }
        IndexKind::Text => text_of(&octets(&arcs[1..])),
        IndexKind::Rest => text_of(&octets(arcs)),
    }
}
