//! What each service does over time: counts from metrics, shapes from spans. Everything is bounded: services, rows of a
//! service, series whose last reading is remembered.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use foldhash::fast::RandomState;
use telegen_model::{Resource, Value, semconv as s};

use super::quantile::{Counts, Shape, quantile};
use super::window::{FINE_S, FIVE_S, HELD_S, MINUTE_S, Ring, Stretch};

/// Length of a short step: counts.
pub(crate) const SHORT_S: u64 = 5;
/// Length of a middle step: the finest with durations.
pub(crate) const MIDDLE_S: u64 = 30;
/// Length of a long step.
pub(crate) const LONG_S: u64 = 60;
/// Rates of scripts (`/api/v1/services`) are over this many seconds.
pub(crate) const WINDOW_S: u64 = 60;

const SHORT: usize = 62;
const MIDDLE: usize = 32;
const LONG: usize = 66;
const FINE: usize = 17;
const COARSE: usize = 13;
/// Rows of one kind that one service may have.
const ROWS: usize = 250;
/// Instances of a service that are remembered.
const INSTANCES: usize = 64;
/// Reasons of one kind that one service may have.
const REASONS: usize = 16;
/// Seconds after which a service that does nothing is forgotten.
const FORGET_S: u64 = HELD_S;
/// Seconds after which an instance is no longer counted.
const INSTANCE_S: u64 = 120;

/// Memory that one service takes, about: itself, its rings, and room for names and instances.
pub(crate) const SERVICE_BYTES: usize =
    std::mem::size_of::<Service>() + SHORT * 8 + (MIDDLE + LONG) * std::mem::size_of::<Step>() + 768;
/// Memory that one row takes, about.
pub(crate) const ROW_BYTES: usize = (FINE + COARSE) * std::mem::size_of::<Step>() + 224;

/// Requests of a step.
#[derive(Clone, Debug, Default)]
pub(crate) struct Step {
    pub(crate) errors: u32,
    pub(crate) durations: Counts,
}

impl Step {
    /// All requests of the step.
    pub(crate) fn count(&self) -> u32 {
        self.durations.iter().fold(0, |all, n| all.saturating_add(*n))
    }

    pub(crate) fn add(&mut self, other: &Step) {
        self.errors = self.errors.saturating_add(other.errors);
        for (mine, theirs) in self.durations.iter_mut().zip(&other.durations) {
            *mine = mine.saturating_add(*theirs);
        }
    }
}

/// Requests over time in two resolutions: minutes for a quarter of an hour, five minutes for an hour.
#[derive(Clone, Debug)]
pub(crate) struct History {
    fine: Ring<Step, FINE>,
    coarse: Ring<Step, COARSE>,
}

impl History {
    pub(crate) fn new(now_s: u64) -> History {
        History { fine: Ring::new(now_s / MINUTE_S), coarse: Ring::new(now_s / FIVE_S) }
    }

    pub(crate) fn add(&mut self, step: &Step, now_s: u64) {
        self.fine.at(now_s / MINUTE_S).add(step);
        self.coarse.at(now_s / FIVE_S).add(step);
    }

    /// What was counted in a stretch.
    pub(crate) fn sum(&self, stretch: Stretch) -> Step {
        let (from, to) = stretch.steps(stretch.step);
        if stretch.step == MINUTE_S {
            total(self.fine.range(from, to))
        } else {
            total(self.coarse.range(from, to))
        }
    }
}

fn total<'a>(steps: impl Iterator<Item = Option<&'a Step>>) -> Step {
    let mut all = Step::default();
    steps.flatten().for_each(|step| all.add(step));
    all
}

/// What a row of a table counts: a route served, or a peer called.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum RowKey {
    /// Method and route; no route where none is known.
    Route(String, String),
    /// Address and port of a peer.
    Peer(String, u16),
}

/// Bytes that are recognised and not read.
#[derive(Clone, Debug)]
pub(crate) struct Unread {
    pub(crate) bytes: Ring<u64, FINE>,
    pub(crate) total: u64,
    pub(crate) last: u64,
}

/// One service.
#[derive(Clone, Debug)]
pub(crate) struct Service {
    pub(crate) name: String,
    pub(crate) namespace: String,
    pub(crate) short: Ring<[u32; 2], SHORT>,
    pub(crate) middle: Ring<Step, MIDDLE>,
    pub(crate) long: Ring<Step, LONG>,
    pub(crate) shape: Shape,
    pub(crate) rows: BTreeMap<RowKey, History>,
    /// Requests whose row found no room.
    pub(crate) rowless: u64,
    pub(crate) unread: BTreeMap<(String, String), Unread>,
    /// Spans that got no parent, by reason.
    pub(crate) unlinked: BTreeMap<String, u64>,
    pub(crate) instances: HashMap<u64, (u64, Arc<Resource>), RandomState>,
    /// Whether it ever served a request.
    pub(crate) serves: bool,
    /// Second of its last request, call or byte.
    pub(crate) active: u64,
    /// Number of the reading that last changed what a table shows of it.
    pub(crate) changed: u64,
    /// Spans slower than this are kept in preference, ns.
    pub(crate) slow: u64,
}

impl Service {
    fn new(name: &str, namespace: &str, now_s: u64) -> Service {
        Service {
            name: name.to_owned(),
            namespace: namespace.to_owned(),
            short: Ring::new(now_s / SHORT_S),
            middle: Ring::new(now_s / MIDDLE_S),
            long: Ring::new(now_s / LONG_S),
            shape: Shape::default(),
            rows: BTreeMap::new(),
            rowless: 0,
            unread: BTreeMap::new(),
            unlinked: BTreeMap::new(),
            instances: HashMap::default(),
            serves: false,
            active: now_s,
            changed: 0,
            slow: 1_000_000_000,
        }
    }

    /// Requests of the last [`WINDOW_S`] seconds and how many of them failed.
    pub(crate) fn recent(&self, now_s: u64) -> (u32, u32) {
        let to = now_s / SHORT_S;
        let steps = self.short.range(to.saturating_sub(WINDOW_S / SHORT_S - 1), to).flatten();
        steps.fold((0, 0), |(count, errors), step| {
            (count.saturating_add(step[0]), errors.saturating_add(step[1]))
        })
    }

    /// How long the requests of the last minute, or a little more, took.
    pub(crate) fn durations(&self, now_s: u64) -> Step {
        let to = now_s / MIDDLE_S;
        let mut all = Step::default();
        self.middle
            .range(to.saturating_sub(WINDOW_S / MIDDLE_S), to)
            .flatten()
            .for_each(|step| all.add(step));
        all
    }

    /// Requests served in a stretch of time.
    pub(crate) fn sum(&self, stretch: Stretch) -> Step {
        let (from, to) = stretch.steps(LONG_S);
        total(self.long.range(from, to))
    }

    /// Number of instances seen lately.
    pub(crate) fn instance_count(&self, now_s: u64) -> usize {
        self.instances.values().filter(|(seen, _)| now_s.saturating_sub(*seen) <= INSTANCE_S).count()
    }

    /// The duration below which a share of a step's requests lies, in seconds.
    pub(crate) fn quantile(&self, step: &Step, share: f64) -> Option<f64> {
        quantile(&step.durations, share, &self.shape)
    }
}

/// Seconds that a window of steps of this length covers, as far as the program was there: it began at `started_s`, and the
/// step under way counts only as far as it has come. A service that is new did nothing before, which is known.
pub(crate) fn covered(step_s: u64, now_s: u64, started_s: u64) -> f64 {
    let to = now_s / step_s;
    let from = to.saturating_sub(WINDOW_S / step_s - 1) * step_s;
    (now_s.saturating_sub(from.max(started_s)) as f64).max(1.0)
}

/// All services.
#[derive(Debug)]
pub(crate) struct Services {
    list: Vec<Option<Service>>,
    index: HashMap<(String, String), u32, RandomState>,
    /// Most services, and most rows of all of them.
    limit: usize,
    row_limit: usize,
    rows: usize,
    turned: u64,
    /// Services, rows and instances that found no room.
    pub(crate) refused: u64,
}

impl Services {
    /// Services within a budget: nine parts of sixteen for themselves, two for their rows.
    pub(crate) fn new(memory: usize) -> Services {
        let limit = (memory / 16 * 9 / SERVICE_BYTES).max(16);
        let row_limit = (memory / 8 / ROW_BYTES).max(48);
        let (list, index) = (Vec::new(), HashMap::default());
        Services { list, index, limit, row_limit, rows: 0, turned: 0, refused: 0 }
    }

    /// Bytes in use, estimated.
    pub(crate) fn used(&self) -> usize {
        self.index.len() * SERVICE_BYTES + self.rows * ROW_BYTES
    }

    /// The service of a resource, made if there is room; `None` without a name or room.
    pub(crate) fn of(&mut self, resource: &Resource, now_s: u64) -> Option<u32> {
        let name = text(resource, s::SERVICE_NAME)?;
        let namespace = text(resource, s::SERVICE_NAMESPACE).unwrap_or("");
        // The table is asked with owned keys only; a service is looked up a few times a second.
        let key = (name.to_owned(), namespace.to_owned());
        if let Some(id) = self.index.get(&key) {
            return Some(*id);
        }
        let free = self.list.iter().position(Option::is_none);
        let id = match free {
            Some(id) => id,
            None if self.list.len() < self.limit => {
                self.list.push(None);
                self.list.len() - 1
            }
            None => {
                self.refused += 1;
                return None;
            }
        };
        let number = u32::try_from(id).ok()?;
        self.list[id] = Some(Service::new(name, namespace, now_s));
        self.index.insert(key, number);
        Some(number)
    }

    pub(crate) fn get_mut(&mut self, id: u32) -> Option<&mut Service> {
        self.list.get_mut(id as usize)?.as_mut()
    }

    pub(crate) fn get(&self, id: u32) -> Option<&Service> {
        self.list.get(id as usize)?.as_ref()
    }

    /// Every service with its number.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (u32, &Service)> {
        self.list.iter().enumerate().filter_map(|(i, s)| Some((u32::try_from(i).ok()?, s.as_ref()?)))
    }

    pub(crate) fn find(&self, name: &str, namespace: Option<&str>) -> Option<(u32, &Service)> {
        self.iter().find(|(_, s)| s.name == name && namespace.is_none_or(|n| s.namespace == n))
    }

    /// Counts requests of a service, and under the row they belong to.
    pub(crate) fn add(&mut self, id: u32, served: bool, row: RowKey, step: &Step, now_s: u64) {
        let Some(service) = self.list.get_mut(id as usize).and_then(Option::as_mut) else { return };
        service.active = now_s;
        if served {
            service.serves = true;
            let [count, errors] = service.short.at(now_s / SHORT_S);
            *count = count.saturating_add(step.count());
            *errors = errors.saturating_add(step.errors);
            service.middle.at(now_s / MIDDLE_S).add(step);
            service.long.at(now_s / LONG_S).add(step);
        }
        if !service.rows.contains_key(&row) {
            if service.rows.len() >= ROWS || self.rows >= self.row_limit {
                service.rowless = service.rowless.saturating_add(u64::from(step.count()));
                self.refused += 1;
                return;
            }
            self.rows += 1;
            service.rows.insert(row.clone(), History::new(now_s));
        }
        if let Some(history) = service.rows.get_mut(&row) {
            history.add(step, now_s);
        }
    }

    /// Counts spans of a service that got no parent.
    pub(crate) fn add_unlinked(&mut self, id: u32, reason: &str, spans: u64) {
        let Some(service) = self.list.get_mut(id as usize).and_then(Option::as_mut) else { return };
        if !service.unlinked.contains_key(reason) && service.unlinked.len() >= REASONS {
            self.refused += 1;
            return;
        }
        let count = service.unlinked.entry(reason.to_owned()).or_default();
        *count = count.saturating_add(spans);
    }

    /// Counts bytes of a service that are recognised and not read.
    pub(crate) fn add_unread(&mut self, id: u32, protocol: &str, reason: &str, bytes: u64, now_s: u64) {
        let Some(service) = self.list.get_mut(id as usize).and_then(Option::as_mut) else { return };
        service.active = now_s;
        let key = (protocol.to_owned(), reason.to_owned());
        if !service.unread.contains_key(&key) && service.unread.len() >= REASONS {
            self.refused += 1;
            return;
        }
        let empty = || Unread { bytes: Ring::new(now_s / MINUTE_S), total: 0, last: now_s };
        let unread = service.unread.entry(key).or_insert_with(empty);
        unread.total = unread.total.saturating_add(bytes);
        unread.last = now_s;
        let at = unread.bytes.at(now_s / MINUTE_S);
        *at = at.saturating_add(bytes);
    }

    /// Notes that an instance is there.
    pub(crate) fn instance(&mut self, id: u32, resource: &Arc<Resource>, now_s: u64) {
        let Some(service) = self.list.get_mut(id as usize).and_then(Option::as_mut) else { return };
        let key = InstanceKey::of(resource);
        if !service.instances.contains_key(&key) && service.instances.len() >= INSTANCES {
            service.instances.retain(|_, (seen, _)| now_s.saturating_sub(*seen) <= INSTANCE_S);
            if service.instances.len() >= INSTANCES {
                self.refused += 1;
                return;
            }
        }
        service.instances.insert(key, (now_s, resource.clone()));
    }

    /// Ends a reading: shapes age, and what did nothing for an hour is forgotten.
    pub(crate) fn settle(&mut self, reading: u64, now_s: u64) {
        let turn = now_s / LONG_S != self.turned;
        self.turned = now_s / LONG_S;
        for slot in &mut self.list {
            let Some(service) = slot else { continue };
            // A quarter of an hour after its last request a row still changes: its window empties.
            if now_s.saturating_sub(service.active) <= FINE_S + WINDOW_S {
                service.changed = reading;
            }
            if turn {
                service.shape.turn();
                let recent = service.durations(now_s);
                let slow = quantile(&recent.durations, 0.99, &service.shape).unwrap_or(1.0);
                service.slow = (slow.max(0.001) * 1e9) as u64;
            }
            if now_s.saturating_sub(service.active) > FORGET_S {
                self.rows = self.rows.saturating_sub(service.rows.len());
                self.index.remove(&(service.name.clone(), service.namespace.clone()));
                *slot = None;
            }
        }
    }
}

/// Identity of an instance: its `service.instance.id`, or all of its texts.
struct InstanceKey;

impl InstanceKey {
    fn of(resource: &Resource) -> u64 {
        use std::hash::{BuildHasher, Hash, Hasher};
        let mut hasher = foldhash::fast::FixedState::with_seed(1).build_hasher();
        match resource.get(s::SERVICE_INSTANCE_ID) {
            Some(Value::Str(id)) => id.hash(&mut hasher),
            _ => resource.hash(&mut hasher),
        }
        hasher.finish()
    }
}

fn text<'a>(resource: &'a Resource, key: &str) -> Option<&'a str> {
    resource.text(key).filter(|t| !t.is_empty())
}

const _: () = assert!(
    SHORT as u64 * SHORT_S >= 300 && MIDDLE as u64 * MIDDLE_S >= 900 && LONG as u64 * LONG_S > HELD_S
);
