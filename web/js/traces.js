// #/traces: the recent, slow or failed ones.

import { h, fill, setText, wire, plain } from './dom.js';
import { about, count, duration, percent, time, zone } from './format.js';
import { agentNow, objects, poll } from './api.js';
import { address, asked, go, inRange, remember } from './router.js';
import { Table, chips, csvButton, filterBox, setCell } from './table.js';

const EVERY = 5000;
const STEP = 50;
const SORTS = [['recent', 'recent'], ['slow', 'slow'], ['failed', 'failed']];

export function open({ route, setTitle, say, panel, ready, busy }) {
  const list = new TraceList({
    q: route.query.get('q') ?? '',
    sort: route.query.get('sort') ?? 'recent',
    service: route.query.get('service'),
    panel,
    say,
    busy,
    onState: remember,
    ready: () => {
      ready();
      setTitle();
    },
  });
  return {
    element: h('div', { class: 'page' }, h('h1', { tabindex: '-1', class: 'sr' }, 'Traces'), list.element),
    title: () => 'Traces',
    close: () => list.close(),
    range: () => list.poller.wake(),
    question: () => ['view/traces', { ...list.state, ...asked() }],
    moved: (next) => ['q', 'sort', 'service'].every((k) => (next.query.get(k) ?? '') === ((k === 'sort' && list.state.sort === 'recent' ? '' : list.state[k]) ?? '')),
    key: (event) => list.key(event),
  };
}

/** A list of traces, of one service or all. */
export class TraceList {
  constructor({ q = '', sort = 'recent', service = null, ns = null, fixed = false, panel, say = () => {}, onState = () => {}, ready = () => {}, busy = () => {} }) {
    this.state = { q, sort, service, ns, limit: STEP };
    this.fixed = fixed;
    this.onState = onState;
    this.say = say;
    this.busy = busy;
    this.box = filterBox({ id: 'trace-filter', label: 'Filter traces', value: q, hint: 'filter: dur>200ms, status>499, route:/pay, error:true', change: (text) => this.filter(text) });
    this.active = h('div', { class: 'chips' });
    this.sorts = h('div', { class: 'ranges', role: 'group', 'aria-label': 'Order' });
    this.line = h('p', { class: 'status' });
    this.more = h('button', { type: 'button', hidden: true, on: { click: () => { this.state.limit = Math.min(200, this.state.limit + STEP); this.poller.wake(); } } }, 'Show more');
    this.fresh = h('button', { type: 'button', class: 'link', hidden: true, on: { click: () => { document.activeElement?.blur(); this.draw(true); } } });
    this.table = new Table({
      caption: 'Traces in memory',
      columns: [
        { key: 'name', label: 'Trace', cell: rootCell, csv: (t) => `${t.service} ${t.name} ${t.path ?? ''} ${t.id}` },
        { key: 'dur', label: 'Duration', number: true, update: (c, t) => setCell(c, duration(t.dur)) },
        { key: 'status', label: 'Status', number: true, update: (c, t) => setCell(c, t.error ? `▲ ${t.status ?? 'error'}` : (t.status ?? '–'), null, t.error ? 'bad' : '') },
        { key: 'spans', label: 'Spans', number: true, update: (c, t) => setCell(c, count(t.spans)) },
        { key: 'services', label: 'Services', number: true, update: (c, t) => setCell(c, count(t.services)) },
        { key: 'start', label: `Start (${zone()})`, number: true, update: (c, t) => setCell(c, time(t.start, agentNow())) },
      ],
      open: (t) => go(['trace', t.id]),
      className: 'traces',
    });
    this.element = h('div', {},
      this.line,
      h('div', { class: 'controls' }, this.box.element, this.sorts, this.fresh, csvButton('traces', () => this.table)),
      this.active, this.table.element, h('div', { class: 'pager' }, this.more));
    this.setControls();
    this.answer = panel(this.table.element, (json) => this.take(json));
    this.poller = poll(EVERY, () => ['view/traces', { ...this.state, ...asked() }], (json) => {
      this.answer(json);
      ready();
    }, (refusal) => {
      this.box.wrong(refusal.message);
      ready();
    });
  }

  filter(q) {
    this.state.q = q;
    this.state.limit = STEP;
    this.onState({ q });
    this.setControls();
    this.changed = true;
    this.busy();
    this.poller.wake();
  }

  clear() {
    this.box.set('');
    this.filter('');
  }

  setControls() {
    const all = () => {
      this.state.service = null;
      this.state.ns = null;
      this.onState({ service: null, ns: null });
      this.filter(this.state.q);
    };
    const others = this.state.service && !this.fixed ? [['service ', this.state.service, all]] : [];
    chips(this.active, this.state.q, (q) => { this.box.set(q); this.filter(q); }, others);
    const sorts = SORTS.map(([value, label]) => h('button', {
      type: 'button', 'aria-pressed': String(this.state.sort === value),
      on: { click: () => { this.state.sort = value; this.onState({ sort: value === 'recent' ? null : value }); this.setControls(); this.changed = true; this.busy(); this.poller.wake(); } },
    }, label));
    fill(this.sorts, sorts);
  }

  take(json) {
    this.box.wrong('');
    this.last = json;
    const held = about((json.now - json.since) / 1000);
    const parts = [`${count(json.in_range)} ${json.in_range === 1 ? 'trace' : 'traces'} ${inRange({ ...json, ...span(json) })}`, `memory holds ${held}, since ${time(json.since, json.now)}`];
    if (this.state.q || this.state.service) parts.unshift(`${count(json.matching)} match`);
    if (json.sampled !== null) parts.push(`kept ${percent(json.sampled)} of spans, rates exact`);
    if (json.passes_over) parts.push('ordinary ones are passed over at this rate, failed and slow ones kept first');
    setText(this.line, parts.join(' · '));
    this.empty(json);
    // What was asked for is shown, wherever the pointer stands.
    this.draw(this.changed);
    this.changed = false;
    this.more.hidden = json.matching <= this.state.limit || this.state.limit >= 200;
  }

  draw(force) {
    if (!this.last) return;
    // While someone is at a row, new traces wait.
    const keep = !force && this.table.busy && this.table.order.length > 0;
    const rows = objects(this.last).map((row) => [row.id, row]);
    if (keep) {
      const present = new Set(this.table.order);
      const waiting = rows.filter(([id]) => !present.has(id)).length;
      this.fresh.hidden = waiting === 0;
      setText(this.fresh, `${waiting} new ${waiting === 1 ? 'trace' : 'traces'} · Show`);
      return;
    }
    this.fresh.hidden = true;
    this.table.show(rows);
  }

  empty(json) {
    if (json.rows.length) return;
    if (this.state.q) {
      this.say(`No trace matches "${plain(this.state.q, 60)}".`);
      this.table.setEmpty(h('p', {}, `No trace matches "${plain(this.state.q, 60)}". `, h('button', { type: 'button', class: 'link', on: { click: () => this.clear() } }, 'Clear filter (Esc)')));
    } else if (json.tracing) {
      this.table.setEmpty(h('p', {}, `Tracing is off: ${json.tracing.replace(/\.$/, '')}. Run `, h('code', {}, 'telegen doctor'), ' for the remedy.'));
    } else if (json.total) {
      this.table.setEmpty(h('p', {}, `No trace ${inRange({ ...json, ...span(json) })}. Memory holds ${count(json.total)} of another time.`));
    } else {
      this.table.setEmpty(h('p', {}, 'No traces in memory yet.'), h('p', {}, h('a', { href: '#/telegen/processes' }, 'What is watched and why')));
    }
  }

  key(event) {
    const step = { j: 1, ArrowDown: 1, k: -1, ArrowUp: -1 }[event.key];
    if (step) {
      this.table.move(step);
      return true;
    }
    if (event.key === 'Escape' && this.state.q) {
      this.clear();
      return true;
    }
    return false;
  }

  close() {
    this.poller.stop();
  }
}

/** The range of a list of traces, as answers about numbers tell it. */
function span(json) {
  const range = asked();
  if (range.from) return { moving: false, from: range.from, to: range.to };
  return { moving: true, seconds: (json.now - json.started) / 1000 };
}

function rootCell(t) {
  const marks = [];
  const errors = t.errors ? h('span', { class: 'bad' }, `▲ ${t.errors} ${t.errors === 1 ? 'error' : 'errors'}`) : null;
  if (t.inferred) marks.push(`${t.inferred} inferred`);
  if (t.parts > 1) marks.push(`${t.parts} parts`);
  return [
    h('a', { href: address(['trace', t.id]) }, h('span', { class: 'svc' }, wire(t.service || 'unknown', 80)), ' ', wire(t.name, 160), t.path ? [' ', h('span', { class: 'path' }, wire(t.path, 160))] : null),
    h('span', { class: 'sub' }, errors, errors && marks.length ? ' · ' : null, marks.join(' · ')),
  ];
}
