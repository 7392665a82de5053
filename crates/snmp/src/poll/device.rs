use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use telegen_model::{KeyValue, LogRecord, Metric, Resource, Str, semconv as s};

use super::cell::{Cell, text_of};
use super::clock::{BootClock, Moment};
use super::frame::Frame;
use super::kept::{Kept, Names};
use super::status::{DeviceState, DeviceStatus, rfc3339};
use super::target::Target;
use super::task::{Get, GetFor, Task, TaskState, Work};
use crate::Fault;
use crate::known::Interfaces;
use crate::profile::{LabelSource, Library, Plan};
use crate::protocol::{Oid, Pdu, Request, Writer, arcs, display};
use crate::session::{RoundTrip, Session};
use crate::walk::{Walk, WalkBounds};

/// Largest answer asked for: what fits an Ethernet frame.
const ANSWER: u16 = 1472;
/// Most rows of a column.
const MOST_ROWS: u32 = 100_000;
/// Most questions under way to one device; a small table needs no more than one at a time.
const MOST_IN_FLIGHT: usize = 4;
/// Most packets of a poll before a device has answered.
const MOST_HELLOS: u32 = 4;
/// Rows of a column beyond which a walk that is not known to be long is shared out.
const LONG: u32 = 500;
/// Tries of a question once a device has answered.
const TRIES: u32 = 3;
/// Shortest wait for an answer to a first question, however often a device is polled.
const SHORTEST_WAIT: Duration = Duration::from_millis(500);
/// Names of rows are read again at least so often.
const LABELS_LIVE: Duration = Duration::from_secs(900);
/// Failed polls after which another way to log in is tried.
const DOUBT: u32 = 3;

/// sysUpTime.0
pub(crate) const UPTIME: &[u8] = &[0x2b, 6, 1, 2, 1, 1, 3, 0];
const SYSTEM: [&[u32]; 6] = [
    &[1, 3, 6, 1, 2, 1, 1, 3, 0],
    &[1, 3, 6, 1, 2, 1, 1, 2, 0],
    &[1, 3, 6, 1, 2, 1, 31, 1, 5, 0],
    &[1, 3, 6, 1, 2, 1, 1, 1, 0],
    &[1, 3, 6, 1, 2, 1, 1, 5, 0],
    &[1, 3, 6, 1, 6, 3, 10, 2, 1, 3, 0],
];
/// The table of interfaces.
pub(crate) const INTERFACES: &str = "ifTable";
/// Columns of entPhysicalTable: class, model, serial number, manufacturer.
const ENTITY: [&[u32]; 4] = [
    &[1, 3, 6, 1, 2, 1, 47, 1, 1, 1, 1, 5],
    &[1, 3, 6, 1, 2, 1, 47, 1, 1, 1, 1, 13],
    &[1, 3, 6, 1, 2, 1, 47, 1, 1, 1, 1, 11],
    &[1, 3, 6, 1, 2, 1, 47, 1, 1, 1, 1, 12],
];

/// A device and all that is known of it between polls.
#[derive(Debug)]
pub(crate) struct Device {
    pub(crate) target: Arc<Target>,
    pub(crate) peer: Option<SocketAddr>,
    session: Option<Session>,
    credential: usize,
    /// Whether that credential has worked.
    proven: bool,
    failures: u32,
    pub(crate) rtt: RoundTrip,
    pub(crate) clock: BootClock,
    table_change: Option<u64>,
    sys_object_id: Box<[u8]>,
    pub(crate) plan: Option<Arc<Plan>>,
    pub(crate) resource: Arc<Resource>,
    pub(crate) tables: Vec<TableState>,
    /// Scalars that the device has; all of them before the first poll.
    scalars: Option<Box<[u16]>>,
    labels_at: Option<Instant>,
    /// When its neighbours were last told, all of them.
    told_at: Option<Instant>,
    pub(crate) polls: u32,
    pub(crate) last_poll: u64,
    /// When values of its objects came last, ns since 1970.
    pub(crate) last_values: u64,
    pub(crate) state: DeviceState,
    pub(crate) last_error: Option<String>,
    pub(crate) poll: Option<Box<Poll>>,
    /// Last values of scalars that are counters, each with its place in the plan.
    pub(crate) scalar_counters: Vec<(u16, u64)>,
    /// When the credentials' minute began, and how often another one was tried in it.
    tried: (Option<Instant>, u32),
}

/// What stays of a table.
#[derive(Debug, Default)]
pub(crate) struct TableState {
    /// Nothing for a table without rows, of which a device has many.
    pub(crate) kept: Option<Box<Kept>>,
    /// Columns that are polled; all before the first poll.
    pub(crate) columns: Option<Box<[u16]>>,
}

impl TableState {
    pub(crate) fn kept(&self) -> &Kept {
        self.kept.as_deref().unwrap_or(Kept::empty())
    }
}

/// A poll under way.
#[derive(Debug)]
pub(crate) struct Poll {
    pub(crate) begun: Instant,
    /// How long after its time it began.
    pub(crate) late: Duration,
    /// When the answer came that the values of the poll are told with, ns since 1970.
    pub(crate) time: u64,
    /// When sysUpTime came.
    moment: Moment,
    /// The next question is not asked before.
    not_before: Option<Instant>,
    refresh: bool,
    stage: Stage,
    full: bool,
    /// Only the interfaces: one of them has told that it changed.
    interfaces_alone: bool,
    pub(crate) tasks: Vec<Task>,
    in_flight: usize,
    hellos: u32,
    pub(crate) packets: u32,
    pub(crate) frames: Vec<Frame>,
    pub(crate) fault: Option<(Fault, String)>,
    pub(crate) restarted: bool,
    /// sysUpTime, hundredths of a second.
    pub(crate) uptime: Option<u32>,
    timeouts: u32,
    /// Tables whose names of rows are read in this poll.
    pub(crate) refreshed: Vec<bool>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Hello,
    Probe,
    /// sysUpTime once more, for the second in which the device began.
    Clock,
    Body,
    Labels,
}

/// What a poll made.
pub(crate) struct Outcome {
    pub(crate) resource: Arc<Resource>,
    pub(crate) metrics: Vec<Metric>,
    /// Neighbours that came, stayed or went.
    pub(crate) events: Vec<LogRecord>,
    /// Values that came a second time.
    pub(crate) duplicates: u64,
}

impl Poll {
    /// A table that turns out to be long, with little else to ask for: its columns are walked side by side.
    fn share_out(&mut self, task: usize) {
        let busy = self.tasks.iter().filter(|t| t.state != TaskState::Done).count();
        let Some(Task { work: Work::Walk { table, columns, walk }, .. }) = self.tasks.get_mut(task) else {
            return;
        };
        let parts = (MOST_IN_FLIGHT + 1).saturating_sub(busy).min(walk.open());
        if parts < 2 || walk.rows() < LONG {
            return;
        }
        let mut more = Vec::new();
        for left in (2..=parts).rev() {
            let (places, walk) = walk.split(left);
            let columns = places.iter().map(|p| columns[*p]).collect();
            more.push(Task::new(Work::Walk { table: *table, columns, walk }));
        }
        self.tasks.extend(more);
    }
}

impl Device {
    pub(crate) fn new(target: Arc<Target>) -> Device {
        let resource = Arc::new(Resource::new(base_attributes(&target)));
        Device {
            peer: None,
            session: None,
            credential: 0,
            proven: false,
            failures: 0,
            rtt: RoundTrip::default(),
            clock: BootClock::default(),
            table_change: None,
            sys_object_id: Box::default(),
            plan: None,
            resource,
            tables: Vec::new(),
            scalars: None,
            labels_at: None,
            told_at: None,
            polls: 0,
            last_poll: 0,
            last_values: 0,
            state: DeviceState::Unknown,
            last_error: None,
            poll: None,
            scalar_counters: Vec::new(),
            tried: (None, 0),
            target,
        }
    }

    /// Begins a poll; of the interfaces alone when a notification asked for it and the device is known.
    pub(crate) fn begin(&mut self, now: Instant, late: Duration, interfaces_alone: bool) {
        let full = self.plan.is_none();
        self.poll = Some(Box::new(Poll {
            begun: now,
            late,
            time: 0,
            moment: Moment::default(),
            not_before: None,
            refresh: false,
            stage: Stage::Hello,
            full,
            interfaces_alone: interfaces_alone && !full,
            tasks: vec![hello(full)],
            in_flight: 0,
            hellos: 0,
            packets: 0,
            frames: Vec::new(),
            fault: None,
            restarted: false,
            uptime: None,
            timeouts: 0,
            refreshed: Vec::new(),
        }));
        let access = self.target.credentials.get(self.credential).map(|c| c.access.clone());
        match (&mut self.session, access) {
            (Some(session), Some(access)) => session.set_access(access),
            (slot @ None, Some(access)) => *slot = Some(Session::new(access, ANSWER)),
            (_, None) => {}
        }
    }

    /// The next task that may ask now.
    pub(crate) fn ready(&self) -> Option<usize> {
        let poll = self.poll.as_ref()?;
        // One at a time until it shows that there is much to do.
        let most = if poll.packets < 8 {
            1
        } else if poll.packets < 32 {
            2
        } else {
            MOST_IN_FLIGHT
        };
        if poll.in_flight >= most {
            return None;
        }
        poll.tasks.iter().position(|t| t.state == TaskState::Ready)
    }

    /// Writes the question of a task; gives how long to wait for its answer.
    pub(crate) fn encode<'w>(
        &mut self,
        task: usize,
        id: i32,
        out: &'w mut Writer,
        now: Instant,
    ) -> Option<(&'w [u8], Duration)> {
        let poll = self.poll.as_mut()?;
        let session = self.session.as_mut()?;
        let task = poll.tasks.get_mut(task)?;
        let mut wait = self.rtt.wait(task.tries);
        if poll.stage == Stage::Hello {
            // Whether a device is away is to be known before its next poll.
            wait = wait.min((self.target.interval / TRIES).max(SHORTEST_WAIT));
        }
        task.state = TaskState::Waiting;
        task.tries += 1;
        let mut oids = Vec::with_capacity(24);
        let (kind, repetitions) = task.question(&mut oids);
        let request = Request { kind, id, repetitions, oids: &oids };
        let message = session.encode(out, &request, now);
        poll.in_flight += 1;
        poll.packets += 1;
        if poll.stage == Stage::Hello {
            poll.hellos += 1;
        }
        Some((message, wait))
    }

    /// When the next question may be asked, where that is later than now.
    pub(crate) fn not_before(&self) -> Option<Instant> {
        self.poll.as_ref().and_then(|p| p.not_before)
    }

    /// Whether the question that a task is about to ask is asked for the first time.
    pub(crate) fn is_first_try(&self, task: usize) -> bool {
        self.poll.as_ref().and_then(|p| p.tasks.get(task)).is_some_and(|t| t.tries == 0)
    }

    pub(crate) fn scalars(&self) -> Option<&[u16]> {
        self.scalars.as_deref()
    }

    pub(crate) fn session(&mut self) -> Option<&mut Session> {
        self.session.as_mut()
    }

    /// The question of a task has an answer.
    pub(crate) fn answered(&mut self, task: usize, pdu: &Pdu<'_>, moment: Moment) {
        let Some(poll) = self.poll.as_mut() else { return };
        poll.in_flight = poll.in_flight.saturating_sub(1);
        if poll.time == 0 || poll.stage == Stage::Clock {
            poll.time = moment.came;
        }
        poll.timeouts = 0;
        self.proven = true;
        if let Some(task) = poll.tasks.get_mut(task) {
            let before = task.uptime();
            task.answer(pdu, &mut poll.frames);
            if before.is_none() && task.uptime().is_some() {
                poll.moment = moment;
            }
        }
        poll.share_out(task);
    }

    /// The agent wants the question again, now that its engine or clock is known.
    pub(crate) fn again(&mut self, task: usize) {
        let Some(poll) = self.poll.as_mut() else { return };
        poll.in_flight = poll.in_flight.saturating_sub(1);
        let Some(task) = poll.tasks.get_mut(task) else { return };
        task.again += 1;
        task.tries = 0;
        if task.again > 3 {
            self.failed_task(Fault::NotInTimeWindow);
        } else {
            task.state = TaskState::Ready;
        }
    }

    fn failed_task(&mut self, fault: Fault) {
        let Some(poll) = self.poll.as_mut() else { return };
        if let Some(at) = poll.tasks.iter().position(|t| t.state == TaskState::Waiting) {
            poll.in_flight += 1;
            self.failed(at, fault);
        }
    }

    /// The question of a task has failed: no answer in time, or a refusal.
    pub(crate) fn failed(&mut self, task: usize, fault: Fault) {
        let Some(poll) = self.poll.as_mut() else { return };
        poll.in_flight = poll.in_flight.saturating_sub(1);
        let Some(of) = poll.tasks.get_mut(task) else { return };
        if poll.stage == Stage::Hello {
            let count = self.target.credentials.len().max(1) as u32;
            let share = if self.proven || count == 1 { TRIES } else { (MOST_HELLOS / count).max(1) };
            let share = if self.state == DeviceState::Down { share.min(2) } else { share };
            // A refusal will not change; silence may.
            let silent = fault == Fault::Timeout;
            if silent && of.tries < share && poll.hellos < MOST_HELLOS {
                of.state = TaskState::Ready;
                // The last question of all finds out whether it is the password that it cannot read.
                let last = poll.hellos + 1 >= MOST_HELLOS || of.tries + 1 >= share;
                if last
                    && !self.proven
                    && let Some(session) = &mut self.session
                {
                    session.doubt_privacy();
                }
                return;
            }
            note(&mut poll.fault, fault, "");
            if let Some(session) = &mut self.session {
                session.forget();
            }
            if !self.proven && self.try_next_credential() {
                return;
            }
            if let Some(poll) = self.poll.as_mut()
                && let Some(of) = poll.tasks.get_mut(task)
            {
                of.fail(fault);
            }
            return;
        }
        if poll.stage == Stage::Clock {
            // What is known of its begin must do.
            of.fail(fault);
            return;
        }
        if fault == Fault::Timeout && of.tries < TRIES && poll.timeouts < 2 {
            of.state = TaskState::Ready;
            return;
        }
        poll.timeouts += u32::from(fault == Fault::Timeout);
        of.fail(fault);
        if poll.timeouts >= 2 {
            // It went away: what is left would only time out too.
            for task in poll.tasks.iter_mut().filter(|t| t.state == TaskState::Ready) {
                task.fail(fault);
            }
        }
    }

    /// Ends a poll that lasts too long with what it has; the rest timed out.
    pub(crate) fn give_up(&mut self) {
        let Some(poll) = self.poll.as_mut() else { return };
        poll.in_flight = 0;
        for task in poll.tasks.iter_mut().filter(|t| t.state != TaskState::Done) {
            task.fail(Fault::Timeout);
        }
    }

    /// Goes on with the next way to log in, as long as this poll may send.
    fn try_next_credential(&mut self) -> bool {
        let count = self.target.credentials.len();
        let Some(poll) = self.poll.as_mut() else { return false };
        if count < 2 {
            return false;
        }
        let now = Instant::now();
        if self.tried.0.is_none_or(|at| now.duration_since(at) >= Duration::from_secs(60)) {
            self.tried = (Some(now), 0);
        }
        if self.tried.1 >= self.target.tries_a_minute {
            return false;
        }
        self.tried.1 += 1;
        self.credential = (self.credential + 1) % count;
        if poll.hellos >= MOST_HELLOS || self.credential == 0 {
            return false;
        }
        if let (Some(session), Some(c)) = (&mut self.session, self.target.credentials.get(self.credential)) {
            session.set_access(c.access.clone());
        }
        poll.tasks = vec![hello(poll.full)];
        true
    }

    /// Goes on when all questions of a stage are answered. `Some` when the poll is over.
    pub(crate) fn advance(&mut self, library: &Library, now: Instant) -> Option<Outcome> {
        let poll = self.poll.as_ref()?;
        if poll.tasks.iter().any(|t| t.state != TaskState::Done) {
            return None;
        }
        match poll.stage {
            Stage::Hello | Stage::Probe => self.after_hello(library, now),
            Stage::Clock => self.after_clock(now),
            Stage::Body => self.after_body(now),
            Stage::Labels => self.finish(now),
        }
    }

    fn after_hello(&mut self, library: &Library, now: Instant) -> Option<Outcome> {
        let poll = self.poll.as_mut()?;
        let Some(Task { work: Work::Get(get), fault, .. }) = poll.tasks.first() else { return None };
        if fault.is_some() && get.cells.iter().all(|c| *c == Cell::None) {
            return self.is_down(now);
        }
        let number = |i: usize| get.cells.get(i).and_then(|c| c.number(&get.text));
        let uptime = number(0).map(|u| u as u32);
        let object_id: Box<[u8]> =
            get.cells.get(1).and_then(|c| c.bytes(&get.text)).unwrap_or_default().into();
        let table_change = number(2).map(|v| v as u64);
        let same = object_id == self.sys_object_id;
        poll.uptime = uptime;
        let engine = get.cells.get(5).and_then(|c| c.number(&get.text)).map(|e| e as u32);
        if poll.stage == Stage::Hello {
            let (moment, after) = (poll.moment, self.last_values);
            poll.restarted |= uptime.is_some_and(|u| self.clock.read(u, moment, engine, after));
        }
        if self.clock.boot == 0 {
            self.clock.boot = poll.time;
        }
        if !poll.full && (poll.restarted || !same) {
            // Another device, or another version of it: everything is asked for anew.
            (poll.full, poll.interfaces_alone) = (true, false);
            poll.tasks = vec![hello(true)];
            return None;
        }
        let text =
            |i: usize| get.cells.get(i).and_then(|c| c.bytes(&get.text)).map(text_of).unwrap_or_default();
        let (descr, name) = (text(3), text(4));
        let mut chosen = match self.target.profile.as_str() {
            "auto" if poll.full => library.choose(&object_id, &descr),
            name => name,
        };
        let probes = if self.target.profile == "auto" { library.probes(chosen) } else { &[] };
        if poll.full && !probes.is_empty() {
            match poll.tasks.get(1) {
                None => {
                    let get = Get::new(GetFor::Probe, probes.iter().map(|p| p.0.clone()).collect());
                    poll.tasks.push(Task::new(Work::Get(get)));
                    poll.stage = Stage::Probe;
                    return None;
                }
                Some(Task { work: Work::Get(of), .. }) => {
                    let there = of.cells.iter().position(|c| *c != Cell::None);
                    chosen = there.and_then(|i| probes.get(i)).map_or(chosen, |p| p.1.as_str());
                }
                Some(_) => {}
            }
        }
        let changed = self.table_change != table_change;
        self.table_change = table_change;
        if poll.full {
            self.sys_object_id = object_id;
            match library.plan(chosen) {
                Ok(plan) => {
                    let other = self.plan.as_ref().is_none_or(|p| !Arc::ptr_eq(p, &plan));
                    if other || poll.restarted {
                        self.tables = plan.tables.iter().map(|_| TableState::default()).collect();
                        self.scalars = None;
                    }
                    self.plan = Some(plan);
                }
                Err(e) => {
                    note(&mut poll.fault, Fault::WrongType, "");
                    self.last_error = Some(e.to_string());
                    self.poll = None;
                    return None;
                }
            }
            self.describe(&descr, &name);
        }
        let poll = self.poll.as_mut()?;
        let stale = self
            .labels_at
            .is_none_or(|at| now.duration_since(at) >= LABELS_LIVE.max(self.target.interval * 10));
        let refresh = poll.full || changed || stale;
        if refresh {
            // Spread over time, so that not all devices of one start are read again at once.
            let early = Duration::from_secs(fastrand::u64(0..LABELS_LIVE.as_secs() / 4));
            self.labels_at = Some(now.checked_sub(early).unwrap_or(now));
            if stale {
                self.scalars = None;
                self.tables.iter_mut().for_each(|t| t.columns = None);
            }
        }
        self.poll.as_mut()?.refresh = refresh;
        self.ask_clock(now)
    }

    /// Asks for sysUpTime once more where the device's begin lies near a second's border; else goes on.
    fn ask_clock(&mut self, now: Instant) -> Option<Outcome> {
        let poll = self.poll.as_mut()?;
        let again = poll.uptime.and_then(|_| self.clock.ask_again(poll.moment, self.target.interval / 4));
        let Some(wait) = again else { return self.begin_body(now) };
        poll.not_before = Some(now + wait);
        poll.stage = Stage::Clock;
        poll.tasks = vec![Task::new(Work::Clock(None))];
        None
    }

    fn after_clock(&mut self, now: Instant) -> Option<Outcome> {
        let poll = self.poll.as_mut()?;
        match poll.tasks.first().and_then(Task::uptime) {
            Some(uptime) => {
                // A restart meanwhile is told by the next poll.
                if poll.uptime.is_some_and(|before| uptime >= before) {
                    poll.uptime = Some(uptime);
                    self.clock.read(uptime, poll.moment, None, self.last_values);
                }
                self.ask_clock(now)
            }
            None => self.begin_body(now),
        }
    }

    fn begin_body(&mut self, now: Instant) -> Option<Outcome> {
        let plan = self.plan.clone()?;
        let v1 = self.session.as_ref().is_some_and(|s| s.access().is_v1());
        let poll = self.poll.as_mut()?;
        let refresh = poll.refresh;
        poll.not_before = None;
        let mut tasks = Vec::new();
        // sysUpTime was asked for already.
        let every =
            || (0..plan.scalars.len()).filter(|i| plan.scalars[*i].oid[..] != *UPTIME).map(|i| i as u16);
        let scalars = self.scalars.get_or_insert_with(|| every().collect());
        if !scalars.is_empty() && !poll.interfaces_alone {
            let oids = scalars.iter().map(|i| plan.scalars[usize::from(*i)].oid.clone()).collect();
            tasks.push(Task::new(Work::Get(Get::new(GetFor::Scalars, oids))));
        }
        if poll.full {
            let oids: Vec<Oid> = plan.identity.iter().flatten().cloned().collect();
            if !oids.is_empty() {
                tasks.push(Task::new(Work::Get(Get::new(GetFor::Identity, oids))));
            }
            let walk = Walk::new(ENTITY.iter().filter_map(|a| Oid::from_arcs(a).ok()), None, bounds(v1));
            tasks.push(Task::new(Work::Chassis { walk, frame: Frame::new(ENTITY.len()) }));
        }
        poll.frames = plan.tables.iter().map(|t| Frame::new(t.columns.len() + t.labels.len())).collect();
        poll.refreshed = vec![false; plan.tables.len()];
        for (at, table) in plan.tables.iter().enumerate() {
            let state = &self.tables[at];
            let due = if poll.interfaces_alone {
                table.name == INTERFACES
            } else {
                self.polls.is_multiple_of(table.every) || refresh
            };
            if !due {
                continue;
            }
            let polled: Vec<usize> = match &state.columns {
                Some(columns) => columns.iter().map(|c| usize::from(*c)).collect(),
                None => (0..table.columns.len()).collect(),
            };
            if polled.is_empty() {
                continue;
            }
            let rows = state.kept().rows();
            poll.frames[at].reserve(rows);
            let expected = (rows > 0).then_some(rows as u32);
            for group in groups(&polled, rows) {
                let oids: Vec<Oid> = group.iter().map(|c| table.columns[*c].oid.clone()).collect();
                let walk = Walk::new(oids, expected, bounds(v1));
                tasks.push(Task::new(Work::Walk { table: at, columns: group, walk }));
            }
            // A table without rows so far shows first whether it has any.
            if refresh && rows > 0 {
                poll.refreshed[at] = true;
                tasks.extend(label_tasks(&plan, at, rows, v1));
            }
        }
        poll.tasks = tasks;
        poll.stage = Stage::Body;
        if poll.tasks.is_empty() { self.after_body(now) } else { None }
    }

    fn after_body(&mut self, now: Instant) -> Option<Outcome> {
        let plan = self.plan.clone()?;
        let v1 = self.session.as_ref().is_some_and(|s| s.access().is_v1());
        let poll = self.poll.as_mut()?;
        let mut more = Vec::new();
        for (at, table) in plan.tables.iter().enumerate() {
            let (frame, kept) = (&poll.frames[at], self.tables[at].kept());
            if poll.refreshed[at] || table.labels.is_empty() || frame.rows() == 0 {
                continue;
            }
            // A row that has no name yet: the names are read before values leave.
            let mut from = 0;
            if (0..frame.rows()).any(|row| kept.find(frame.index(row), &mut from).is_none()) {
                poll.refreshed[at] = true;
                more.extend(label_tasks(&plan, at, frame.rows(), v1));
            }
        }
        poll.stage = Stage::Labels;
        if more.is_empty() {
            return self.finish(now);
        }
        poll.tasks.extend(more);
        None
    }

    /// The poll is over: metrics are made of it.
    fn finish(&mut self, now: Instant) -> Option<Outcome> {
        let plan = self.plan.clone()?;
        let mut poll = self.poll.take()?;
        for task in &poll.tasks {
            if let Some(fault) = task.fault {
                let what = match &task.work {
                    Work::Walk { table, .. } | Work::Lookup { table, .. } => {
                        plan.tables[*table].name.as_str()
                    }
                    Work::Chassis { .. } => "entPhysicalTable",
                    Work::Get(_) | Work::Clock(_) => "scalars",
                };
                note(&mut poll.fault, fault, what);
            }
        }
        let mut chassis = None;
        let mut identity = Vec::new();
        for task in &poll.tasks {
            match &task.work {
                Work::Chassis { frame, .. } => chassis = chassis_of(frame),
                Work::Get(get) if get.what == GetFor::Identity => {
                    identity = get.cells.iter().map(|c| c.bytes(&get.text).map(text_of)).collect();
                }
                _ => {}
            }
        }
        if poll.full {
            self.identify(&plan, chassis, &identity);
        }
        self.state = if poll.fault.is_some() { DeviceState::Degraded } else { DeviceState::Up };
        self.last_error = poll.fault.as_ref().map(|(fault, what)| match what.as_str() {
            "" => fault.to_string(),
            what => format!("{fault} ({what})"),
        });
        self.failures = 0;
        let neighbours = |device: &Device| -> Vec<(usize, Arc<Names>)> {
            let edges =
                plan.tables.iter().zip(&device.tables).enumerate().filter(|(_, (t, _))| t.edges.is_some());
            edges.map(|(at, (_, state))| (at, state.kept().names().clone())).collect()
        };
        let before = neighbours(self);
        let (metrics, alike) = super::emit::metrics(self, &plan, &mut poll, now);
        let all = self.told_at.is_none_or(|at| now.duration_since(at) >= super::topology::TOLD_AGAIN);
        if all {
            self.told_at = Some(now);
        }
        let mut events = Vec::new();
        for ((at, old), (_, new)) in before.iter().zip(neighbours(self)) {
            if all || !Arc::ptr_eq(old, &new) {
                let turn = (all, poll.time);
                let of = &plan.tables[*at];
                events.extend(super::topology::events(of, &self.target.name, (old, &new), turn));
            }
        }
        let duplicates = alike + poll.frames.iter().map(|f| u64::from(f.duplicates)).sum::<u64>();
        if let Some(scalars) = self.scalars.take() {
            let got = poll.tasks.iter().find_map(|t| match &t.work {
                Work::Get(get) if get.what == GetFor::Scalars && t.fault.is_none() => Some(&get.cells),
                _ => None,
            });
            self.scalars = Some(match got {
                Some(cells) => {
                    let there = scalars.iter().zip(cells).filter(|(_, c)| **c != Cell::None);
                    there.map(|(at, _)| *at).collect()
                }
                None => scalars,
            });
        }
        self.polls = self.polls.wrapping_add(u32::from(!poll.interfaces_alone));
        (self.last_poll, self.last_values) = (poll.time, poll.time);
        Some(Outcome { resource: self.resource.clone(), metrics, events, duplicates })
    }

    fn is_down(&mut self, now: Instant) -> Option<Outcome> {
        let mut poll = self.poll.take()?;
        let fault = poll.fault.take().map_or(Fault::Timeout, |f| f.0);
        self.failures += 1;
        if self.failures >= DOUBT {
            self.proven = false;
        }
        self.state = DeviceState::Down;
        self.last_error = Some(fault.to_string());
        poll.time = telegen_sys::unix_ns();
        self.last_poll = poll.time;
        let metrics = super::emit::device(self, &poll, now);
        Some(Outcome { resource: self.resource.clone(), metrics, events: Vec::new(), duplicates: 0 })
    }

    /// What the system group says.
    fn describe(&mut self, descr: &str, name: &str) {
        let Some(plan) = &self.plan else { return };
        let mut attrs = base_attributes(&self.target);
        let mut add = |key: &'static str, value: &str| {
            if !value.is_empty() {
                attrs.push(KeyValue::new(key, value));
            }
        };
        add("hw.vendor", &plan.vendor);
        add("snmp.profile", &plan.profile);
        if !self.sys_object_id.is_empty() {
            add("snmp.sys_object_id", &display(&self.sys_object_id).to_string());
        }
        add("snmp.sys_name", name);
        let version = plan.os_version.iter().find_map(|r| r.captures(descr)).and_then(|c| c.get(1));
        add(s::OS_VERSION, version.map_or("", |m| m.as_str()));
        self.resource = Arc::new(Resource::new(attrs));
    }

    /// What the ENTITY-MIB and the vendor's own objects say.
    fn identify(&mut self, plan: &Plan, chassis: Option<[String; 3]>, identity: &[Option<String>]) {
        let (models, rest) = identity.split_at(plan.identity[0].len().min(identity.len()));
        let (serials, versions) = rest.split_at(plan.identity[1].len().min(rest.len()));
        let first = |of: &[Option<String>]| of.iter().flatten().find(|t| !t.is_empty()).cloned();
        let [model, serial, vendor] = chassis.unwrap_or_default();
        let mut more = Vec::new();
        let mut add = |key: &'static str, own: String, other: Option<String>| {
            let value = if own.is_empty() { other.unwrap_or_default() } else { own };
            if !value.is_empty() {
                more.push(KeyValue::new(key, value));
            }
        };
        add("hw.model", model, first(models));
        add("hw.serial_number", serial, first(serials));
        if plan.vendor.is_empty() {
            add("hw.vendor", vendor, None);
        }
        let known = self.resource.text(s::OS_VERSION).unwrap_or_default().to_owned();
        add(s::OS_VERSION, known, first(versions));
        // What is configured stands over what is found.
        let labels = base_attributes(&self.target);
        more.retain(|kv| labels.iter().all(|l| l.key != kv.key));
        self.resource = Arc::new(self.resource.with(more));
    }

    /// What its interfaces are called.
    pub(crate) fn interfaces(&self) -> Option<Interfaces> {
        let plan = self.plan.as_ref()?;
        let table = plan.tables.iter().position(|t| t.name == INTERFACES)?;
        let names = self.tables.get(table)?.kept().names().clone();
        (names.rows() > 0).then(|| Interfaces { plan: plan.clone(), table, names })
    }

    /// How it is, for the API.
    pub(crate) fn status(&self) -> DeviceStatus {
        let interfaces = self.plan.as_ref().and_then(|p| p.tables.iter().position(|t| t.name == "ifTable"));
        let text = |key: &str| self.resource.text(key).map(str::to_owned);
        DeviceStatus {
            name: self.target.name.clone(),
            address: self.target.address.clone(),
            state: self.state,
            profile: self.plan.as_ref().map(|p| p.profile.clone()),
            last_error: self.last_error.clone(),
            last_poll: (self.last_poll != 0).then(|| rfc3339(self.last_poll)),
            rtt_ms: (self.rtt.millis() > 0.0).then(|| (self.rtt.millis() * 1000.0).round() / 1000.0),
            interfaces: interfaces.and_then(|i| self.tables.get(i)).map_or(0, |t| t.kept().rows()),
            vendor: text("hw.vendor"),
            model: text("hw.model"),
        }
    }
}

fn note(slot: &mut Option<(Fault, String)>, fault: Fault, what: &str) {
    // A cause that names what is wrong is worth more than silence.
    if slot.as_ref().is_none_or(|(f, _)| *f == Fault::Timeout && fault != Fault::Timeout) {
        *slot = Some((fault, what.to_owned()));
    }
}

fn hello(full: bool) -> Task {
    let count = if full { SYSTEM.len() } else { 3 };
    let oids = SYSTEM.iter().take(count).filter_map(|a| Oid::from_arcs(a).ok()).collect();
    Task::new(Work::Get(Get::new(GetFor::Hello, oids)))
}

fn bounds(v1: bool) -> WalkBounds {
    WalkBounds { answer: ANSWER, rows: MOST_ROWS, v1 }
}

/// Columns in groups that are walked side by side: a large table in several, so that several questions can be under way.
fn groups(columns: &[usize], rows: usize) -> Vec<Vec<usize>> {
    let parts = if rows > LONG as usize { MOST_IN_FLIGHT } else { 1 };
    let size = columns.len().div_ceil(parts).clamp(1, 16);
    columns.chunks(size).map(<[usize]>::to_vec).collect()
}

fn label_tasks(plan: &Plan, at: usize, rows: usize, v1: bool) -> Vec<Task> {
    let table = &plan.tables[at];
    let expected = (rows > 0).then_some(rows as u32);
    let mut own = Vec::new();
    let mut tasks = Vec::new();
    for (i, label) in table.labels.iter().enumerate() {
        match &label.source {
            LabelSource::Own(_) => own.push(i),
            LabelSource::ByLabel(oid, _) | LabelSource::ByPart(oid, _) => {
                let walk = Walk::new([oid.clone()], None, bounds(v1));
                tasks.push(Task::new(Work::Lookup { table: at, label: i, walk, found: HashMap::new() }));
            }
        }
    }
    for group in groups(&own, rows) {
        let oids: Vec<Oid> = group
            .iter()
            .filter_map(|i| match &table.labels[*i].source {
                LabelSource::Own(oid) => Some(oid.clone()),
                _ => None,
            })
            .collect();
        let columns = group.iter().map(|i| table.columns.len() + i).collect();
        tasks.push(Task::new(Work::Walk { table: at, columns, walk: Walk::new(oids, expected, bounds(v1)) }));
    }
    tasks
}

/// Model, serial number and manufacturer of the first chassis or stack that has a model.
fn chassis_of(frame: &Frame) -> Option<[String; 3]> {
    let text = |cell: Cell| cell.bytes(&frame.text).map(text_of).unwrap_or_default();
    let rows = || (0..frame.rows()).map(|r| frame.row(r)).filter(|row| matches!(row[0], Cell::Int(3 | 11)));
    let with_model = rows().find(|row| !text(row[1]).is_empty());
    let row = with_model.or_else(|| rows().find(|row| !text(row[2]).is_empty()))?;
    Some([text(row[1]), text(row[2]), text(row[3])])
}

fn base_attributes(target: &Target) -> Vec<KeyValue> {
    let (host, port) = target.host_port();
    let labels = target.labels.iter();
    let mut attrs: Vec<KeyValue> =
        labels.map(|(k, v)| KeyValue { key: Str::from(k.as_str()), value: v.as_str().into() }).collect();
    attrs.push(KeyValue::new("snmp.target", target.name.as_str()));
    attrs.push(KeyValue::new(s::SERVER_ADDRESS, host));
    attrs.push(KeyValue::new(s::SERVER_PORT, port));
    attrs
}

/// A number as the one arc of an index.
pub(crate) fn key_of(number: &str, out: &mut Vec<u8>) -> bool {
    out.clear();
    number.parse().map(|arc| crate::protocol::write_arc(out, arc)).is_ok()
}

/// The arcs of an index.
pub(crate) fn index_arcs(index: &[u8]) -> Vec<u32> {
    arcs(index).collect()
}
