//! Takes the kernel half's records to the end: spans pushed, requests measured, losses told.

use std::collections::HashSet;
use std::sync::Arc;

use foldhash::fast::RandomState;
use telegen_bpf::abi::{
    ConnRecord, DataRecord, EndRecord, ExchangeRecord, SampleRecord, TrafficRecord, Verdict, data, end,
    protocol,
};
use telegen_bpf::{Counters, ProcTable, Record};
use telegen_model::{ProcessKey, ResourceGroup, Scope, Signal, Str};
use telegen_otlp::pack::Attributes;
use telegen_processes::{Discovery, Exec, Execution, Process, Table};
use telegen_selfmon::{Counter, Gauge, SelfMon};
use telegen_sys::{Clock, TICK_NS};
use telegen_wire::classify;
use telegen_wire::http1::{self, Again, Dir, End, Exchange, KnownHead, Limits, Segment};
use telegen_wire::proxy_protocol;

use crate::common::Commons;
use crate::conn::{Conn, ConnId, Conns, Held, Place};
use crate::finish::{self, Gathered};
use crate::graph::Graph;
use crate::kernel::{Books, KernelCounts};
use crate::red::Red;
use crate::route::{Overflows, Routes};
use crate::sample::Sampling;
use crate::settings::Instrumented;
use crate::tree::{Edge, Lapses, Trees};
use crate::unlinked::Unlinked;
use crate::unread::{Traffic, Unread};

/// Connections at most; a new one beyond is left alone and counted.
const CONNS_MAX: usize = 65_536;
/// Idle connections are forgotten after this, ns.
const IDLE_NS: u64 = 900_000_000_000;
/// How often idle connections are looked for, ns; idle for that long they forget what they were asked last.
const SWEEP_NS: u64 = 60_000_000_000;
/// How often unix sockets are looked for that are no longer there, ns: while a request is open on one, and at least.
const UNIX_LOOK_NS: u64 = 1_000_000_000;
const UNIX_LOOK_MAX_NS: u64 = 32_000_000_000;
/// How often the kernel half's counts are brought in, ns: while records come, and while none do.
const ACCOUNT_NS: u64 = 200_000_000;
const ACCOUNT_SILENT_NS: u64 = 1_000_000_000;
/// Ends of turns that a record waits for an earlier one: each turn reads every ring, but a writer may be slow.
const TURNS_WAITED: u64 = 2;

/// How requests become spans and metrics.
#[derive(Clone, Debug)]
pub struct EngineConfig {
    /// Which spans are kept.
    pub sampling: Sampling,
    /// Further secret query keys.
    pub mask_keys: Vec<String>,
    /// Header names to record.
    pub headers: Vec<String>,
    /// Whether spans are made at all.
    pub spans: bool,
    /// What is made of processes that export OTLP traces themselves.
    pub instrumented: Instrumented,
    /// Routes at most, a service.
    pub max_routes: usize,
    /// Scope of everything made here.
    pub scope: Scope,
}

struct Meters {
    conns: Gauge,
    requests: Gauge,
    conns_refused: Counter,
    garbage: Counter,
    gaps: Counter,
    late: Counter,
    /// By reason, and what was told of them so far.
    unjoined: [Counter; 3],
    overflowed: [Counter; 2],
    told: (Lapses, Overflows),
}

impl Meters {
    fn new(selfmon: &SelfMon) -> Meters {
        let counter = |name, unit, help| selfmon.counter(name, unit, help, &[]);
        let unjoined = |reason| {
            selfmon.counter(
                "telegen.trace.unjoined",
                "{request}",
                "Requests whose other end or parent could not be looked for to the end.",
                &[("reason", reason)],
            )
        };
        let overflowed = |what| {
            selfmon.counter(
                "telegen.trace.routes_overflowed",
                "{request}",
                "Requests without a route of their own, because there were too many.",
                &[("of", what)],
            )
        };
        Meters {
            conns: selfmon.gauge("telegen.trace.connections", "{connection}", "Connections known.", &[]),
            requests: selfmon.gauge(
                "telegen.trace.requests",
                "{request}",
                "Requests that are open or wait for their trace.",
                &[],
            ),
            conns_refused: counter(
                "telegen.trace.connections_refused",
                "{connection}",
                "Connections left alone because the table was full.",
            ),
            garbage: counter(
                "telegen.trace.garbage",
                "{connection}",
                "Connections dropped because their bytes were not HTTP after all.",
            ),
            gaps: counter("telegen.trace.gaps", "{gap}", "Gaps in the records of a connection."),
            late: counter("telegen.trace.late", "{record}", "Records that came after their gap."),
            unjoined: ["no_room", "late", "ambiguous"].map(unjoined),
            overflowed: ["service", "services"].map(overflowed),
            told: Default::default(),
        }
    }

    /// Brings in what the trees and the routes counted.
    fn lapsed(&mut self, lapses: Lapses, overflows: Overflows) {
        let told = std::mem::replace(&mut self.told, (lapses, overflows));
        let of = |l: Lapses| [l.no_room, l.late, l.ambiguous];
        for ((counter, now), before) in self.unjoined.iter().zip(of(lapses)).zip(of(told.0)) {
            counter.add(now - before);
        }
        let of = |o: Overflows| [o.routes, o.services];
        for ((counter, now), before) in self.overflowed.iter().zip(of(overflows)).zip(of(told.1)) {
            counter.add(now - before);
        }
    }
}

/// Takes spans off the engine; must not wait.
pub type SpanOut = Box<dyn FnMut(ResourceGroup) + Send>;

/// Where what the engine makes goes.
pub struct Outputs {
    /// Spans.
    pub spans: SpanOut,
    /// Every request, measured.
    pub red: Red,
    /// Traffic that is not read.
    pub unread: Unread,
    /// Who calls whom.
    pub graph: Graph,
    /// Calls without a parent.
    pub unlinked: Unlinked,
}

/// The engine. Owned by the thread that reads the rings.
pub struct Engine {
    pub(crate) config: Arc<EngineConfig>,
    headers: Arc<[String]>,
    pub(crate) clock: Clock,
    pub(crate) table: Table,
    procs: ProcTable,
    counts: KernelCounts,
    pub(crate) conns: Conns,
    /// Connections of which a record waits for an earlier one, and the turn since which it does.
    waiting: Vec<(u64, ConnId)>,
    /// Number of this turn.
    turns: u64,
    /// Deadlines in no order: few at a time.
    deadlines: Vec<(u64, ConnId)>,
    done: Vec<Exchange>,
    pub(crate) spans: Gathered,
    /// Those of the shape that is made, for their room.
    pub(crate) attributes: Attributes,
    pub(crate) out: Outputs,
    pub(crate) selfmon: SelfMon,
    pub(crate) trees: Trees,
    pub(crate) edges: Vec<Edge>,
    pub(crate) routes: Routes,
    pub(crate) commons: Commons,
    /// Requests that were made and are not in the ledger yet.
    pub(crate) produced: u64,
    /// For hashing heads alike at both ends.
    pub(crate) hasher: RandomState,
    meters: Meters,
    unix: Looks,
    swept: u64,
    accounted: u64,
    /// No record has come since.
    silent: bool,
}

impl Engine {
    /// An engine over a table that knows the processes already running.
    pub fn new(
        config: EngineConfig,
        table: Table,
        kernel: (ProcTable, Counters),
        out: Outputs,
        selfmon: SelfMon,
    ) -> Engine {
        let meters = Meters::new(&selfmon);
        let trees = Trees::new(config.sampling);
        let routes = Routes::new(config.max_routes);
        let mut engine = Engine {
            headers: config.headers.clone().into(),
            config: Arc::new(config),
            clock: Clock::new(),
            table,
            procs: kernel.0,
            counts: KernelCounts::new(kernel.1),
            conns: Conns::default(),
            waiting: Vec::new(),
            turns: TURNS_WAITED + 1,
            deadlines: Vec::new(),
            done: Vec::new(),
            spans: Gathered::default(),
            attributes: Attributes::new(),
            out,
            selfmon,
            trees,
            edges: Vec::new(),
            routes,
            commons: Commons::new(),
            produced: 0,
            hasher: RandomState::default(),
            meters,
            unix: Looks::default(),
            swept: 0,
            accounted: 0,
            silent: false,
        };
        let known: Vec<(u32, Verdict)> = engine.table.iter().map(|p| (p.key.pid, verdict(p))).collect();
        for (pid, verdict) in known {
            engine.tell_kernel(pid, Some(verdict));
        }
        engine
    }

    /// Takes over other settings: what ends from now on is told by them, and what leaves is kept by them. Of connections
    /// that are open the headers that were recorded so far are recorded, as far as they are still wanted.
    pub fn configure(&mut self, config: EngineConfig, discovery: Discovery) {
        self.trees.set_sampling(config.sampling);
        self.routes.set_max(config.max_routes);
        self.headers = config.headers.clone().into();
        self.config = Arc::new(config);
        for pid in self.table.judge_anew(discovery) {
            let told = self.table.get(pid).map(verdict);
            self.tell_kernel(pid, told);
        }
        for conn in self.conns.iter_mut() {
            // It was made by the settings before.
            conn.shape = None;
            if is_excluded(&self.table, conn.owner)
                && let Some(mut http) = conn.http.take_if(|http| !http.is_tunnel())
            {
                // How its open requests end is not told: who waits for them is not held up, and they are none once it is
                // watched again, when the kernel half may speak of the last head.
                let open = http.open_requests();
                http.newest(open).for_each(|x| self.trees.lose(x.id));
                conn.last_head = http.into_last_head();
            }
        }
    }

    /// Takes one record.
    pub fn handle(&mut self, record: Record<'_>) {
        self.silent = false;
        match record {
            Record::Data(r, bytes) => self.on_data(r, bytes),
            Record::Exchange(r) => self.on_exchange(r),
            Record::Conn(r) => self.on_conn(r),
            Record::End(r) => self.on_end(r),
            Record::Sample(r, bytes) => self.on_sample(r, bytes),
            Record::Traffic(r) => self.on_traffic(r),
            Record::Exec(r) => {
                let text = |bytes: &[u8], len: u32| {
                    String::from_utf8_lossy(&bytes[..(len as usize).min(bytes.len())]).into_owned()
                };
                let argv = r.argv.get(..r.argv_len as usize).unwrap_or_default();
                let exec = Exec {
                    path: text(&r.path, r.path_len),
                    interp: text(&r.interp, r.interp_len),
                    argv: argv
                        .strip_suffix(b"\0")
                        .unwrap_or(argv)
                        .split(|b| *b == 0)
                        .map(|a| String::from_utf8_lossy(a).into_owned())
                        .collect(),
                    ppid: r.ppid,
                    execution: Execution { start: r.start, id: r.exec },
                };
                self.trees.exec(r.pid);
                let key = ProcessKey { pid: r.pid, start: r.start / TICK_NS };
                let told = self.table.exec(key, &exec, r.ts).map(verdict);
                self.tell_kernel(r.pid, told);
            }
            Record::Fork(r) => {
                let key = ProcessKey { pid: r.pid, start: r.start / TICK_NS };
                let execution = Execution { start: r.start, id: r.exec };
                let told = self.table.fork(key, r.ppid, execution, r.ts).map(verdict);
                self.tell_kernel(r.pid, told);
            }
            Record::Exit(r) => {
                if let Some(last) = self.procs.remove(r.pid) {
                    let books = Books {
                        table: &mut self.table,
                        ledger: &self.selfmon.ledger,
                        unread: &self.out.unread,
                        now: self.clock.wall(r.ts),
                    };
                    self.counts.gone(r.pid, &last, &books);
                }
                self.trees.exit(r.pid);
                self.table.exit(ProcessKey { pid: r.pid, start: r.start / TICK_NS }, r.ts);
            }
            Record::Listen(r) => {
                let told = self.table.listen(r.tgid, r.port).map(verdict);
                self.tell_kernel(r.tgid, told);
            }
        }
    }

    /// Ends a turn: records that wait no longer, requests whose end is known by silence, spans pushed.
    /// `now` is monotonic.
    pub fn turn(&mut self, now: u64) {
        self.clock.tick(now);
        // An earlier record may be in a ring that was read before the one of the later: it comes with the next turn.
        let given_up = self.turns - TURNS_WAITED;
        self.turns += 1;
        for (_, id) in self.waiting.extract_if(.., |(since, _)| *since <= given_up).collect::<Vec<_>>() {
            self.release(id, true);
        }
        self.expire(now);
        self.settle();
        self.let_go(now, false);
        self.flush();
        self.table.tick(now);
        let every = if self.silent { ACCOUNT_SILENT_NS } else { ACCOUNT_NS };
        if now.saturating_sub(self.accounted) > every {
            self.accounted = now;
            self.silent = true;
            self.account(now);
            self.meters.conns.set(self.conns.len() as i64);
            self.meters.conns_refused.add(self.conns.take_made_room());
            self.meters.requests.set(self.trees.len() as i64);
            self.meters.lapsed(self.trees.lapses, self.routes.overflows);
        }
        if now.saturating_sub(self.swept) > SWEEP_NS {
            self.swept = now;
            let old = self.conns.iter().filter(|(_, c)| now.saturating_sub(c.seen) > IDLE_NS);
            for id in old.map(|(id, _)| id).collect::<Vec<_>>() {
                self.drop_conn(id, End::OwnClose, now);
            }
            self.conns.forget(now.saturating_sub(SWEEP_NS));
        }
    }

    /// Ends everything: what is open is told as lost, the last losses are brought in, spans are pushed.
    pub fn finish(&mut self, now: u64) {
        for (_, id) in std::mem::take(&mut self.waiting) {
            self.release(id, true);
        }
        self.expire(now.saturating_add(2_000_000_000));
        let mut open = 0;
        for (_, conn) in self.conns.iter().filter(|(_, c)| !is_excluded(&self.table, c.owner)) {
            open += conn.http.as_ref().map_or(0, |h| h.open_requests() as u64);
        }
        if open > 0 {
            self.selfmon.ledger.produced(Signal::Traces, "trace", open);
            self.selfmon.ledger.lost(Signal::Traces, "tap", "shutdown", open);
        }
        self.conns.clear();
        // Whom the first look does not know the second does not wait for.
        self.account(now);
        self.account(now);
        self.settle();
        self.let_go(now, true);
        self.flush();
    }

    /// See [`Table::changes`].
    pub fn process_changes(&self) -> u64 {
        self.table.changes()
    }

    /// Every process that is known, watched or not.
    pub fn processes(&self) -> impl Iterator<Item = &Process> {
        self.table.iter()
    }

    /// The kernel half's counters.
    pub fn counters(&self) -> &Counters {
        self.counts.counters()
    }

    /// Brings in what the kernel half counted since the last time.
    fn account(&mut self, now: u64) {
        let mut books = Books {
            table: &mut self.table,
            ledger: &self.selfmon.ledger,
            unread: &self.out.unread,
            now: self.clock.wall(now),
        };
        self.counts.account(&self.procs, &mut books);
    }

    fn tell_kernel(&mut self, pid: u32, verdict: Option<Verdict>) {
        let Some(verdict) = verdict else { return };
        if let Err(error) = self.procs.decide(pid, verdict) {
            tracing::debug!(pid, %error, "process not entered");
        }
    }

    fn conn(&mut self, cookie: u64, now: u64) -> Option<ConnId> {
        let id = self.conns.enter(cookie, now, CONNS_MAX);
        if id.is_none() {
            self.meters.conns_refused.inc();
        }
        id
    }

    fn on_conn(&mut self, r: &ConnRecord) {
        let Some(id) = self.conn(r.cookie, r.ts) else { return };
        let Some(conn) = self.conns.get_mut(id) else { return };
        conn.seen = r.ts;
        let place = conn.place(r.record, r.lost);
        // A new owner, or the first word of the connection: known at once, whatever the order.
        self.conns.introduce(id, r);
        match place {
            Place::Early => self.hold(id, Held::Passed(r.record, r.lost)),
            Place::Next | Place::AfterGap | Place::Late => self.release(id, false),
        }
    }

    /// The connection that a record of bytes is of. Where there is no room for it a request is lost.
    fn read_on(&mut self, (cookie, ts): (u64, u64), request: bool) -> Option<(ConnId, &mut Conn)> {
        let Some(id) = self.conn(cookie, ts) else {
            if request {
                self.selfmon.ledger.produced(Signal::Traces, "trace", 1);
                self.selfmon.ledger.lost(Signal::Traces, "tap", "connections_full", 1);
            }
            return None;
        };
        let conn = self.conns.get_mut(id)?;
        conn.seen = ts;
        Some((id, conn))
    }

    fn on_data(&mut self, r: &DataRecord, bytes: &[u8]) {
        let request = r.flags & data::REQUEST != 0;
        let Some((id, conn)) = self.read_on((r.cookie, r.ts), request) else { return };
        let holds = conn.holds();
        match conn.place(r.record, r.lost) {
            Place::Next => self.data_in_order(id, r, bytes, false),
            Place::AfterGap => self.data_in_order(id, r, bytes, true),
            Place::Early => return self.hold(id, Held::Data(*r, bytes.to_vec())),
            // It was told with its response, or will be.
            Place::Late if r.flags & data::HELD != 0 => return,
            Place::Late => return self.late(request),
        }
        if holds {
            self.release(id, false);
        }
    }

    /// A record comes after what was made without it.
    fn late(&mut self, request: bool) {
        self.meters.late.inc();
        if request {
            self.selfmon.ledger.produced(Signal::Traces, "trace", 1);
            self.selfmon.ledger.lost(Signal::Traces, "tap", "late", 1);
        }
    }

    fn on_exchange(&mut self, r: &ExchangeRecord) {
        let Some((id, conn)) = self.read_on((r.cookie, r.ts), true) else { return };
        let holds = conn.holds();
        match conn.place(r.record, r.lost) {
            Place::Early => return self.hold(id, Held::Exchange(*r)),
            place => self.exchange_in_order(id, r, place),
        }
        if holds {
            self.release(id, false);
        }
    }

    /// Takes a request, which may have been told of alone before, and its response.
    fn exchange_in_order(&mut self, id: ConnId, r: &ExchangeRecord, place: Place) {
        match place {
            Place::Next if self.exchange_at_once(id, r) => return,
            Place::Next | Place::AfterGap => {
                self.data_in_order(id, &r.request(), &[], place == Place::AfterGap);
            }
            Place::Early | Place::Late => {}
        }
        let response = r.response();
        match self.conns.get_mut(id).map(|conn| conn.place(response.record, response.lost)) {
            Some(Place::Next) => self.data_in_order(id, &response, &[], false),
            // Both were given up.
            Some(_) => self.late(true),
            None => {}
        }
    }

    /// Takes a request and its response where nothing else is open on the connection; `false` where nothing was taken.
    fn exchange_at_once(&mut self, id: ConnId, r: &ExchangeRecord) -> bool {
        let Some(conn) = self.conns.get_mut(id) else { return false };
        let Some(http) = conn.http.as_mut().filter(|_| conn.is_server) else { return false };
        let Some(mut x) = http.again(&again(r)) else { return false };
        conn.place(r.record.wrapping_add(1), r.lost);
        if r.seq != 0 {
            conn.seq = Some(r.seq.wrapping_sub(r.pos as u32));
        }
        let end = finish::End { cookie: conn.cookie, server: true, ends: conn.ends.as_ref(), seq: conn.seq };
        let end = (&end, conn.shape.as_deref());
        finish::open_requests(&mut self.trees, &self.hasher, end, std::iter::once(&mut x));
        if !self.finish_exchange(id, &x) {
            self.trees.lose(x.id);
        }
        true
    }

    fn on_end(&mut self, r: &EndRecord) {
        let Some(id) = self.conns.find(r.cookie) else { return };
        let Some(conn) = self.conns.get_mut(id) else { return };
        match conn.place(r.record, r.lost) {
            Place::Next => self.end_in_order(id, r, false),
            Place::AfterGap => self.end_in_order(id, r, true),
            Place::Early => return self.hold(id, Held::End(*r)),
            Place::Late => {
                self.meters.late.inc();
                return;
            }
        }
        self.release(id, false);
    }

    /// Keeps a record until the one before it has come; where there is no room for more, all are taken as they are.
    fn hold(&mut self, id: ConnId, held: Held) {
        let Some(conn) = self.conns.get_mut(id) else { return };
        self.waiting.push((self.turns, id));
        if conn.hold(held) {
            self.release(id, true);
        }
    }

    /// Takes held records whose turn has come; with `force` all of them.
    fn release(&mut self, id: ConnId, force: bool) {
        loop {
            let Some(conn) = self.conns.get_mut(id) else { return };
            let mut gap = false;
            let held = match conn.next_held() {
                Some(held) => held,
                None if force => match conn.force_held() {
                    Some(held) => {
                        gap = true;
                        held
                    }
                    None => return,
                },
                None => return,
            };
            match held {
                Held::Data(r, bytes) => {
                    gap |= conn.place(r.record, r.lost) == Place::AfterGap;
                    self.data_in_order(id, &r, &bytes, gap);
                }
                Held::Exchange(r) => {
                    let place = conn.place(r.record, r.lost);
                    self.exchange_in_order(id, &r, if gap { Place::AfterGap } else { place });
                }
                Held::End(r) => {
                    gap |= conn.place(r.record, r.lost) == Place::AfterGap;
                    self.end_in_order(id, &r, gap);
                }
                Held::Passed(number, lost) => {
                    conn.place(number, lost);
                }
            }
        }
    }

    fn data_in_order(&mut self, id: ConnId, r: &DataRecord, bytes: &[u8], gap: bool) {
        if gap {
            self.meters.gaps.inc();
        }
        let Some(conn) = self.conns.get_mut(id) else { return };
        let request_direction = if r.flags & data::REQUEST != 0 {
            conn.is_server = r.dir == 0;
            true
        } else if conn.http.is_none() && r.flags & (data::HEAD_START | data::MAYBE) == data::HEAD_START {
            // The first head met is a response: the request was sent before the tap or was lost.
            conn.is_server = r.dir == 1;
            false
        } else if conn.http.is_none() && r.flags & data::MAYBE != 0 {
            conn.is_server = r.dir == 0;
            true
        } else {
            conn.is_server == (r.dir == 0)
        };
        let (server, headers) = (conn.is_server, &self.headers);
        let last = &mut conn.last_head;
        let http = conn.http.get_or_insert_with(|| {
            let http = http1::Connection::new(Limits::default(), server, headers.clone());
            Box::new(http.remembering(last.take()))
        });
        let mut done = std::mem::take(&mut self.done);
        let (mut pos, mut len, mut body) = (r.pos, u64::from(r.len), bytes);
        if request_direction && !conn.proxy_done && (r.flags & data::REQUEST != 0 || pos > 0) {
            conn.proxy_done = true;
            if pos == 0
                && let proxy_protocol::Verdict::Found { source, len: prefix } = proxy_protocol::parse(bytes)
            {
                conn.proxied = source;
                let skip = prefix.min(body.len());
                pos += skip as u64;
                len -= skip as u64;
                body = &body[skip..];
                http.start_at(Dir::Request, pos);
            }
        }
        if request_direction && r.seq != 0 {
            conn.seq = Some(r.seq.wrapping_sub(r.pos as u32));
        }
        let opened = http.opened();
        if len > 0 {
            http.segment(
                Segment {
                    dir: if request_direction { Dir::Request } else { Dir::Response },
                    record: r.record,
                    same: r.told(),
                    pos,
                    len,
                    data: body,
                    tail: (r.flags & data::TAIL != 0).then_some(r.tail),
                    ts: r.ts,
                    exec: u64::from(r.tgid) << 32 | u64::from(r.tid),
                    token: r.token,
                    caller: r.caller,
                    blocking: r.dir == 0 && r.flags & data::DONTWAIT == 0,
                    head_start: r.flags & data::HEAD_START != 0,
                    head_cut: r.flags & data::HEAD_CUT != 0,
                    brief: r.flags & data::OVER_BUDGET != 0,
                    chunks: (r.flags & data::CHUNKS != 0).then_some((r.body, r.flags & data::ENDED != 0)),
                    known: r.answer().map(|a| http1::KnownHead {
                        status: a.status,
                        head: u64::from(a.head),
                        length: a.length,
                        start: r.ts.saturating_sub(u64::from(a.since)),
                    }),
                    other: (r.other_ts != 0).then_some((r.other_pos, r.other_ts)),
                },
                &mut done,
            );
        }
        let opened = http.opened().wrapping_sub(opened) as usize;
        if opened > 0 {
            let end = finish::End { cookie: conn.cookie, server, ends: conn.ends.as_ref(), seq: conn.seq };
            let end = (&end, conn.shape.as_deref());
            finish::open_requests(&mut self.trees, &self.hasher, end, http.newest(opened));
        }
        let garbage = http.garbage().is_some();
        let deadline = http.next_deadline().unwrap_or(0);
        if deadline != 0 && (conn.deadline == 0 || deadline < conn.deadline) {
            conn.deadline = deadline;
            self.deadlines.push((deadline, id));
        }
        self.finish_exchanges(id, &mut done);
        self.done = done;
        if garbage {
            self.meters.garbage.inc();
            // The box is made anew when the next head begins, which may be told of as the same as the last one.
            if let Some(conn) = self.conns.get_mut(id) {
                conn.last_head = conn.http.take().and_then(|http| http.into_last_head());
            }
        }
    }

    fn end_in_order(&mut self, id: ConnId, r: &EndRecord, gap: bool) {
        if gap {
            self.meters.gaps.inc();
        }
        let Some(conn) = self.conns.get_mut(id) else { return };
        let Some(http) = conn.http.as_mut() else {
            if r.what == end::CLOSE {
                self.conns.remove(id);
            }
            return;
        };
        let mut done = std::mem::take(&mut self.done);
        let (rx, tx) =
            if conn.is_server { (Dir::Request, Dir::Response) } else { (Dir::Response, Dir::Request) };
        http.reached(rx, r.rx_pos, r.rx_ts, &mut done);
        http.reached(tx, r.tx_pos, r.tx_ts, &mut done);
        let failed = |errno: i32| match errno {
            110 => End::Timeout,
            // Over TCP it is a reset that was met before; a unix socket knows none.
            32 if r.flags & end::PEER_GONE != 0 => End::Fin,
            _ => End::Reset,
        };
        match r.what {
            end::EOF => http.end(rx, End::Fin, r.ts, &mut done),
            end::ERROR => http.close(failed(r.error), r.ts, &mut done),
            _ => {
                let how = match r.error {
                    0 if r.flags & end::PEER_FIN != 0 => End::Fin,
                    0 => End::OwnClose,
                    errno => failed(errno),
                };
                http.close(how, r.ts, &mut done);
            }
        }
        self.finish_exchanges(id, &mut done);
        self.done = done;
        // Nothing more comes where nobody is at the other end, but that the owner finds out with its answer.
        let answers = |c: &mut Conn| c.http.as_ref().is_some_and(|h| h.open_requests() > 0);
        let gone = r.flags & end::PEER_GONE != 0 && !self.conns.get_mut(id).is_some_and(answers);
        if r.what == end::CLOSE || gone {
            self.conns.remove(id);
        }
    }

    /// Whether it is time to look which unix sockets are still there.
    pub fn wants_unix_sockets(&self, now: u64) -> bool {
        self.unix.is_due(now) && self.conns.unix().next().is_some()
    }

    /// Takes the cookies of the unix sockets that were there at `now`, for those whose close nobody met; it took `took` ns
    /// to find them. What was told of one before its end may still be on its way: it ends when it is missing twice.
    pub fn unix_sockets(&mut self, there: &[u64], now: u64, took: u64) {
        let there: HashSet<u64, RandomState> = there.iter().copied().collect();
        let missing = self.conns.unix().filter(|(_, c)| !there.contains(&c.cookie)).map(|(id, _)| id);
        let missing: Vec<ConnId> = missing.collect();
        let open = self.conns.unix().any(|(_, c)| c.http.as_ref().is_some_and(|h| h.open_requests() > 0));
        self.unix.looked(now, took, open || !missing.is_empty());
        for id in missing {
            let Some(conn) = self.conns.get_mut(id) else { continue };
            match conn.missing {
                since if since > conn.seen => self.drop_conn(id, End::OwnClose, since),
                _ => conn.missing = now,
            }
        }
    }

    /// The same at the very last, when everything that was told has been taken.
    pub fn last_unix_sockets(&mut self, there: &[u64], now: u64) {
        let there: HashSet<u64, RandomState> = there.iter().copied().collect();
        let gone = self.conns.unix().filter(|(_, c)| !there.contains(&c.cookie)).map(|(id, _)| id);
        for id in gone.collect::<Vec<_>>() {
            self.drop_conn(id, End::OwnClose, now);
        }
    }

    fn drop_conn(&mut self, id: ConnId, how: End, ts: u64) {
        let Some(conn) = self.conns.get_mut(id) else { return };
        if let Some(http) = conn.http.as_mut() {
            let mut done = std::mem::take(&mut self.done);
            http.close(how, ts, &mut done);
            self.finish_exchanges(id, &mut done);
            self.done = done;
        }
        self.conns.remove(id);
    }

    fn expire(&mut self, now: u64) {
        if self.deadlines.is_empty() {
            return;
        }
        let due: Vec<ConnId> =
            self.deadlines.extract_if(.., |(at, _)| *at <= now).map(|(_, id)| id).collect();
        for id in due {
            let Some(conn) = self.conns.get_mut(id) else { continue };
            conn.deadline = 0;
            let Some(http) = conn.http.as_mut() else { continue };
            let mut done = std::mem::take(&mut self.done);
            http.expire(now, &mut done);
            if let Some(next) = http.next_deadline() {
                conn.deadline = next;
                self.deadlines.push((next, id));
            }
            self.finish_exchanges(id, &mut done);
            self.done = done;
        }
    }

    fn on_sample(&mut self, r: &SampleRecord, bytes: &[u8]) {
        let Some(id) = self.conn(r.cookie, r.ts) else { return };
        let Some(conn) = self.conns.get_mut(id) else { return };
        conn.seen = r.ts;
        if conn.place(r.record, r.lost) == Place::Early {
            self.hold(id, Held::Passed(r.record, r.lost));
        }
        let Some(conn) = self.conns.get_mut(id) else { return };
        let known = match r.protocol {
            protocol::TLS => {
                let mut tls = Traffic::new("tls", "encrypted");
                tls.server_name = classify::sni(bytes).unwrap_or_default();
                Some(tls)
            }
            protocol::HTTP2 => Some(Traffic::new("http2", "not_read_yet")),
            _ => name_of(bytes),
        };
        match &mut conn.traffic {
            // Only the client's first bytes tell the name of the server it wants; which direction came first varies.
            Some(old) if old.server_name.is_empty() => {
                old.server_name = known.map(|k| k.server_name).unwrap_or_default();
            }
            Some(_) => {}
            none => *none = known,
        }
    }

    fn on_traffic(&mut self, r: &TrafficRecord) {
        let wall = self.clock.wall(r.ts);
        let Some(id) = self.conns.find(r.cookie) else { return };
        let Some(conn) = self.conns.get_mut(id) else { return };
        conn.seen = r.ts;
        let total = r.rx + r.tx;
        let more = total.saturating_sub(conn.unread);
        conn.unread = total;
        let known = conn.traffic.clone().unwrap_or(Traffic::new("unknown", "unknown_protocol"));
        if let Some(process) = self.table.get(r.tgid)
            && process.selection.selected
            && more > 0
        {
            self.out.unread.add(&process.instance_resource, known, more, wall);
        }
        if r.last != 0 {
            self.conns.remove(id);
        }
    }
}

/// When to look for unix sockets that are no longer there: a look goes over every descriptor of the host.
#[derive(Default)]
struct Looks {
    last: u64,
    every: u64,
}

impl Looks {
    fn is_due(&self, now: u64) -> bool {
        now.saturating_sub(self.last) >= self.every.max(UNIX_LOOK_NS)
    }

    /// Soon again while a request waits for what may never come, else less and less often.
    fn looked(&mut self, now: u64, took: u64, soon: bool) {
        self.last = now;
        let next = if soon { UNIX_LOOK_NS } else { (self.every * 2).clamp(UNIX_LOOK_NS, UNIX_LOOK_MAX_NS) };
        // A thousandth of a processor at most.
        self.every = next.max(took.saturating_mul(1000));
    }
}

/// A record of an exchange as the framing takes it.
fn again(r: &ExchangeRecord) -> Again {
    let exec = |tid: u32| u64::from(r.tgid) << 32 | u64::from(tid);
    Again {
        told: r.told,
        pos: r.pos,
        len: u64::from(r.len),
        ts: r.start,
        exec: exec(r.tid),
        blocking: r.flags & data::DONTWAIT == 0,
        token: r.token,
        other: (r.other_ts != 0).then_some((r.other_pos, r.other_ts)),
        answer_pos: r.answer_pos,
        answer_len: u64::from(r.answer_len),
        answer_ts: r.ts,
        answer_exec: exec(r.answer_tid),
        answer: KnownHead {
            status: r.status,
            head: u64::from(r.head),
            length: r.body,
            start: r.ts.saturating_sub(u64::from(r.since)),
        },
    }
}

/// Whether the rules leave the owner of a connection out; who is not known is not left out.
fn is_excluded(table: &Table, owner: ProcessKey) -> bool {
    table.get_exact(owner).is_some_and(|p| !p.selection.selected)
}

/// What the kernel half is told of a process.
fn verdict(p: &Process) -> Verdict {
    Verdict {
        start: p.execution.start,
        exec: p.execution.id,
        flags: if p.selection.selected { 0 } else { Verdict::EXCLUDED },
    }
}

/// Names a protocol that is recognised but not read.
fn name_of(bytes: &[u8]) -> Option<Traffic> {
    match classify::classify(bytes) {
        classify::Verdict::Known(p) => Some(Traffic::new(p.name(), "not_read_yet")),
        classify::Verdict::NeedMore | classify::Verdict::Unknown => None,
    }
}

/// The part of a text that every string from the wire is cut to.
pub(crate) fn cut(text: &str, max: usize) -> &str {
    if text.len() <= max {
        return text;
    }
    let mut end = max;
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

/// The same as a text of its own.
pub(crate) fn bounded(text: &str, max: usize) -> Str {
    Str::from(cut(text, max))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn looks_are_rare_where_nothing_waits_and_cheap_where_they_take_long() {
        let mut looks = Looks::default();
        let mut next = |took, soon| {
            looks.looked(looks.last + looks.every, took, soon);
            assert!(!looks.is_due(looks.last + looks.every - 1) && looks.is_due(looks.last + looks.every));
            looks.every / UNIX_LOOK_NS
        };
        assert_eq!([(); 7].map(|()| next(0, false)), [1, 2, 4, 8, 16, 32, 32]);
        assert_eq!(next(0, true), 1);
        assert_eq!(next(5_000_000, true), 5);
        assert_eq!(next(50_000_000, false), 50);
        assert_eq!(next(0, false), 32);
    }
}
