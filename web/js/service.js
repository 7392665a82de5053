// #/service/NAME: rate, errors and durations, the routes it serves, who calls it, whom it calls, its traces, and what is
// known about it.

import { h, fill, setText, wire, plain } from './dom.js';
import { NEEDED, NONE, about, bytes, count, duration, percent, quantile, rate, time } from './format.js';
import { Refusal, agentNow, poll } from './api.js';
import { address, asked, inRange, remember } from './router.js';
import { chart } from './chart.js';
import { Table, csvButton, scroller, setCell } from './table.js';
import { TraceList } from './traces.js';

const EVERY = 2000;
const TABS = [['routes', 'Routes'], ['callers', 'Callers'], ['calls', 'Calls'], ['traces', 'Traces'], ['unread', 'Not read'], ['about', 'About']];

/** What reasons of the agent mean to a person. */
export const REASONS = {
  tls: 'encrypted (TLS)', encrypted: 'encrypted (TLS)', not_read_yet: 'this version does not read the protocol', http2: 'HTTP/2 is not read by this version',
  no_request_on_thread: 'the thread that made the call served no request', two_open_requests: 'the thread had more than one request open',
  handed_off: 'requests are read on one thread and answered on another', event_loop: 'an event loop serves many requests on one thread',
  late: 'the other end came too late to be joined', no_room: 'too many requests were open at once to keep all of them', no_peer: 'the other end is not on this host',
};
export const meaning = (reason) => REASONS[reason] ?? reason.replaceAll('_', ' ');

export function open({ route, setTitle, panel, pickRange, ready, busy, say }) {
  const name = route.parts[1] ?? '';
  const namespace = route.query.get('ns');
  const state = { tab: route.query.get('tab') ?? 'routes', log: route.query.get('axis') === 'log' };
  let last = null;
  let list = null;

  const sub = h('p', { class: 'status' });
  const notes = h('div', { class: 'notes' });
  const charts = h('div', { class: 'charts' });
  const tabs = h('div', { class: 'tabs', role: 'tablist', 'aria-label': 'Parts of this service' });
  const body = h('div', { class: 'tab', role: 'tabpanel', id: 'tab', tabindex: '0' });
  const gone = h('div', { class: 'empty', hidden: true });
  const element = h('div', { class: 'page' },
    h('div', { class: 'head' }, h('h1', { tabindex: '-1' }, wire(name, 200), namespace ? h('span', { class: 'ns' }, wire(namespace, 80)) : null),
      h('a', { class: 'button', href: address(['map'], { focus: name, ns: namespace }) }, 'On the map')),
    sub, notes, gone, charts, tabs, body);

  const routes = numbers('Routes served', 'Route', routeCell, (r) => `${r.method} ${r.route}`, (r) => `${r.method} ${r.route}`);
  const callers = numbers('Callers', 'Caller', (e) => peerCell(e.from), (e) => e.from.join('\u0000'), (e) => e.from[0]);
  const calls = numbers('Peers called', 'Called', (e) => peerCell(e.to, e.port), (e) => `${e.to.join('\u0000')}:${e.port}`, (e) => e.to[0]);
  const tables = { routes, callers, calls };

  const drawCharts = panel(charts, (json) => {
    const { points, step_s: step, from_s: from, elapsed_s: elapsed } = json.series;
    const known = points.map((p) => p !== null);
    const wide = element.clientWidth;
    const columns = wide > 1000 ? 3 : wide > 640 ? 2 : 1;
    const width = Math.max(240, Math.floor((wide - (columns - 1) * 12) / columns) - 26);
    const key = JSON.stringify([json.series, json.marks, width, state.log]);
    if (charts.dataset.key === key) return;
    charts.dataset.key = key;
    const pick = (i) => points.map((p) => (p === null ? null : p[i]));
    const perSecond = (i) => pick(i).map((v, at) => (v === null ? null : v / (at === points.length - 1 ? Math.min(step, elapsed) : step)));
    const { head } = json;
    const base = { known, from, step, width, pick: pickRange };
    const none = head.count === 0;
    const failed = json.marks.filter(([, , , bad]) => bad).length;
    const focused = document.activeElement === axis;
    fill(charts,
      figure('Rate', none && !json.serves ? NONE : rate(head.rate), `${count(head.count)} requests`,
        chart({ ...base, title: 'Rate', format: rate, lines: [{ name: '', values: perSecond(0), className: 's1' }] })),
      figure('Errors', head.error_ratio === null ? NONE : percent(head.error_ratio), head.errors > 0 ? rate(head.errors) : null,
        chart({ ...base, title: 'Errors', format: rate, lines: [{ name: '', values: perSecond(1), className: 'err' }] }), head.errors > 0),
      figure('Duration', ...durations(head),
        chart({ ...base, title: 'Duration', log: state.log, format: duration, marks: json.marks.map(([at, took, id, bad]) => [at / 1000, took, id, bad]),
          lines: [{ name: 'p99', values: pick(4), className: 's2' }, { name: 'p95', values: pick(3), className: 's1' }, { name: 'p50', values: pick(2), className: 's3' }] }),
        false, json.marks.length ? `◆ ${json.marks.length} kept ${json.marks.length === 1 ? 'trace' : 'traces'}${failed ? `, ${failed} failed` : ''}` : null, axis));
    if (focused) axis.focus({ preventScroll: true });
  });

  // One button for as long as the page is there: it keeps the focus while charts are drawn anew.
  const axis = h('button', { type: 'button', class: 'quiet axis-switch', 'aria-pressed': String(state.log), title: 'Durations over powers of ten', on: { click: pickAxis } }, 'log');

  function pickAxis() {
    state.log = !state.log;
    axis.setAttribute('aria-pressed', String(state.log));
    remember({ axis: state.log ? 'log' : null });
    if (last) drawCharts(last);
  }

  function setTabs(json) {
    const counts = { routes: json.routes.length, callers: json.callers.length, calls: json.calls.length, unread: json.unread.length };
    const key = `${state.tab}|${JSON.stringify(counts)}`;
    if (tabs.dataset.key === key) return;
    tabs.dataset.key = key;
    const focused = tabs.contains(document.activeElement);
    fill(tabs, TABS.map(([value, label]) => h('button', {
      type: 'button', role: 'tab', id: `tab-${value}`, 'aria-selected': String(state.tab === value), 'aria-controls': 'tab', tabindex: state.tab === value ? '0' : '-1',
      on: { click: () => pickTab(value), keydown: tabKey },
    }, label, counts[value] ? h('span', { class: 'n' }, String(counts[value])) : null)));
    body.setAttribute('aria-labelledby', `tab-${state.tab}`);
    if (focused) tabs.querySelector('[aria-selected=true]')?.focus();
  }

  function tabKey(event) {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!step) return;
    event.preventDefault();
    const at = TABS.findIndex(([value]) => value === state.tab);
    pickTab(TABS[(at + step + TABS.length) % TABS.length][0]);
    tabs.querySelector('[aria-selected=true]')?.focus();
  }

  function pickTab(value) {
    state.tab = value;
    remember({ tab: value === 'routes' ? null : value });
    if (last) draw(last);
  }

  const drawTab = panel(body, (json) => {
    if (state.tab !== 'traces' && list) {
      list.close();
      list = null;
    }
    if (tables[state.tab]) {
      setEmpty(json);
      tables[state.tab].show(json[state.tab]);
      put(tables[state.tab].element);
    } else if (state.tab === 'traces') {
      list ??= new TraceList({ service: json.name, ns: json.namespace, fixed: true, sort: 'recent', panel, say, busy, ready });
      put(list.element);
    } else if (state.tab === 'unread') {
      put(unread(json), JSON.stringify(json.unread));
    } else {
      put(told(json), JSON.stringify([json.about.map((i) => i.attrs), json.unlinked, json.processes]));
    }
  });

  function setEmpty(json) {
    const when = inRange(json);
    routes.table.setEmpty(json.unread.length ? `It served no requests that are read ${when}: its traffic is seen, not read.` : `It served no requests that are read ${when}.`);
    callers.table.setEmpty(json.serves ? `Who calls it is not known: no caller was identified ${when}.` : `It served no requests that are read ${when}.`);
    calls.table.setEmpty(`It made no calls that are read ${when}.`);
  }

  function put(node, key = state.tab) {
    if (body.dataset.key === key && body.firstChild) return;
    body.dataset.key = key;
    fill(body, node);
  }

  function draw(json) {
    setTabs(json);
    drawCharts(json);
    drawTab(json);
    const attr = (key) => json.about[0]?.attrs.find(([k]) => k === key)?.[1];
    const runtime = [attr('process.runtime.name') ?? json.processes[0]?.[5], attr('process.runtime.version')].filter(Boolean).join(' ');
    const ports = [...new Set(json.processes.flatMap((p) => p[6]))].sort((a, b) => a - b);
    const parts = [
      json.instances === 1 ? '1 instance' : `${json.instances} instances`,
      runtime || null,
      ports.length ? `listens ${ports.slice(0, 4).map((p) => `:${p}`).join(' ')}${ports.length > 4 ? ' …' : ''}` : null,
      json.sampled !== null ? `kept ${percent(json.sampled)} of spans, rates exact` : null,
      json.idle_s > 90 ? `idle ${about(json.idle_s)}` : null,
      inRange(json),
    ].filter(Boolean);
    setText(sub, parts.map((p) => plain(p, 80)).join(' · '));
    setNotes(json);
  }

  function setNotes(json) {
    const told = [];
    if (json.over_budget) told.push(`Over budget: routes and spans missing since ${time(json.over_budget, agentNow())}, rates exact.`);
    if (json.exports_own) told.push('This service exports OTLP traces itself. Telegen keeps its metrics and makes no spans of it (agent.traces.instrumented: metrics).');
    if (json.rowless) told.push(`${count(json.rowless)} requests are counted above but in no row below: there was no memory for more rows.`);
    const key = told.join('|');
    if (notes.dataset.key === key) return;
    notes.dataset.key = key;
    fill(notes, told.map((text) => h('p', { class: 'note warn' }, text)));
  }

  const poller = poll(EVERY, () => ['view/service', { name, ns: namespace, ...asked() }], (json) => {
    last = json;
    gone.hidden = true;
    draw(json);
    ready();
    setTitle();
  }, (refusal) => {
    ready();
    if (refusal instanceof Refusal && refusal.status === 404) {
      setText(sub, '');
      gone.hidden = false;
      fill(gone, h('p', {}, 'Service "', wire(plain(name, 80)), '" is not in memory: it was idle for an hour, or never seen.'), h('p', {}, h('a', { href: '#/services' }, 'All services')));
    } else {
      setText(sub, refusal.message);
    }
  });

  return {
    element,
    title: () => plain(name, 60),
    close() {
      poller.stop();
      list?.close();
    },
    range() {
      poller.wake();
      list?.poller.wake();
    },
    question: () => ['view/service', { name, ns: namespace, ...asked() }],
    moved(next) {
      if (next.parts[1] !== name || next.query.get('ns') !== namespace) return false;
      if ((next.query.get('axis') === 'log') !== state.log) pickAxis();
      const tab = next.query.get('tab') ?? 'routes';
      if (tab !== state.tab) pickTab(tab);
      return true;
    },
    key(event) {
      const step = { j: 1, ArrowDown: 1, k: -1, ArrowUp: -1 }[event.key];
      const table = state.tab === 'traces' ? list?.table : tables[state.tab]?.table;
      if (step && table) {
        table.move(step);
        return true;
      }
      return false;
    },
  };
}

function durations(head) {
  const [p95] = quantile(head.p95, head.count, NEEDED.p95);
  const [p50] = quantile(head.p50, head.count, NEEDED.p50);
  const [p99, why] = quantile(head.p99, head.count, NEEDED.p99);
  return [`p95 ${p95}`, `p50 ${p50} · p99 ${p99}${why && head.count ? ` (${why})` : ''}`];
}

function figure(title, value, more, drawing, bad = false, under = null, tool = null) {
  return h('section', { class: 'figure' },
    h('h2', {}, title), tool, h('p', { class: `big${bad ? ' bad' : ''}` }, bad ? '▲ ' : null, value, more ? h('span', { class: 'more' }, ` ${more}`) : null),
    drawing, under ? h('p', { class: 'under' }, under) : null);
}

function routeCell(r) {
  return [h('span', { class: 'method' }, wire(r.method, 20)), ' ', r.route ? wire(r.route, 200) : h('span', { class: 'muted' }, 'all paths')];
}

function peerCell([name, namespace, here], port) {
  if (here) return [h('a', { href: address(['service', name], { ns: namespace }) }, wire(name, 200)), namespace ? h('span', { class: 'ns' }, wire(namespace, 60)) : null];
  return [wire(name || 'unknown', 200), port ? h('span', { class: 'muted' }, `:${port}`) : null, h('span', { class: 'ns' }, 'outside')];
}

/** A table of rate, errors and durations under some name; the heads sort it here. */
function numbers(caption, label, cell, key, csv) {
  const state = { sort: 'count', up: false, rows: [] };
  const table = new Table({
    caption,
    columns: [
      { key: 'name', label, cell, csv },
      { key: 'rate', label: 'Rate', sort: 'rate', number: true, update: (c, r) => setCell(c, r.count === null ? NONE : rate(r.rate), r.count === null ? 'seen in traces; how often is not known' : null) },
      { key: 'errors', label: 'Errors', sort: 'error_ratio', number: true, csv: (r) => r.error_ratio, update: (c, r) => setCell(c, r.error_ratio > 0 ? `▲ ${percent(r.error_ratio)}` : r.count ? '0' : NONE, r.count ? null : 'no requests in the range', r.error_ratio > 0 ? 'bad' : '') },
      ...['p50', 'p95', 'p99'].map((k) => ({ key: k, label: k, sort: k, number: true, update: (c, r) => setCell(c, ...quantile(r[k] ?? null, r.count ?? 0, NEEDED[k])) })),
    ],
    onSort(by) {
      state.up = state.sort === by && !state.up;
      state.sort = by;
      table.setSort(`${state.up ? '-' : ''}${by}`);
      show(state.rows);
    },
    size: 40,
    className: 'numbers',
  });
  function show(rows) {
    state.rows = rows;
    const value = (r) => r[state.sort] ?? -1;
    const sorted = [...rows].sort((a, b) => (value(b) - value(a)) * (state.up ? -1 : 1));
    table.show(sorted.map((r) => [key(r), r]), { keepOrder: table.busy });
    tools.hidden = rows.length === 0;
  }
  const tools = h('div', { class: 'under-table' }, csvButton(caption.toLowerCase().replaceAll(' ', '-'), () => table));
  return { table, show, element: h('div', {}, table.element, tools) };
}

function unread(json) {
  if (!json.unread.length) return h('p', { class: 'empty' }, 'All of its traffic that was recognised is read.');
  return scroller('Traffic that is seen and not read', h('table', { class: 'rows' },
    h('caption', { class: 'sr' }, 'Traffic that is seen and not read'),
    h('thead', {}, h('tr', {}, ['Protocol', 'Why it is not read', 'Now', 'In all'].map((t, i) => h('th', { scope: 'col', class: i > 1 ? 'number' : '' }, t)))),
    h('tbody', {}, json.unread.map(([protocol, reason, perSecond, total]) => h('tr', {},
      h('th', { scope: 'row' }, wire(protocol, 40)), h('td', {}, wire(meaning(reason), 120)),
      h('td', { class: 'number' }, `${bytes(perSecond)}/s`), h('td', { class: 'number' }, bytes(total)))))));
}

function told(json) {
  const unlinked = Object.entries(json.unlinked).sort((a, b) => b[1] - a[1]);
  return h('div', { class: 'instances' },
    unlinked.length ? h('section', { class: 'block' }, h('h2', {}, 'Spans without a parent'),
      h('p', { class: 'muted' }, 'A parent is drawn only where it is certain. These spans had candidates and got none:'),
      scroller('Spans without a parent', h('table', { class: 'rows' }, h('caption', { class: 'sr' }, 'Spans without a parent, by reason'),
        h('thead', {}, h('tr', {}, h('th', { scope: 'col' }, 'Reason'), h('th', { scope: 'col' }, 'What it means'), h('th', { scope: 'col', class: 'number' }, 'Spans'))),
        h('tbody', {}, unlinked.map(([reason, n]) => h('tr', {}, h('th', { scope: 'row' }, h('code', {}, wire(reason, 60))), h('td', {}, wire(meaning(reason), 120)), h('td', { class: 'number' }, count(n)))))))) : null,
    json.processes.length ? h('section', { class: 'block' }, h('h2', {}, 'Processes', h('span', { class: 'n' }, String(json.processes.length))), processTable(json.processes)) : null,
    h('section', { class: 'block' }, h('h2', {}, 'Instances', h('span', { class: 'n' }, String(json.about.length))),
      json.about.length ? json.about.map(({ seen_s: seen, attrs }, i) => h('details', { open: i === 0 },
        h('summary', {}, wire(attrs.find(([k]) => k === 'service.instance.id')?.[1] ?? `instance ${i + 1}`, 80), h('span', { class: 'muted' }, ` last request ${time(seen * 1000, agentNow())}`)),
        h('dl', { class: 'attrs' }, attrs.map(([k, v]) => [h('dt', {}, wire(k, 120)), h('dd', {}, wire(v))])))) : h('p', { class: 'empty' }, 'No instance is known.')));
}

/** Processes with what was decided about them. */
export function processTable(rows) {
  const decided = (selected, rule) => {
    const why = !rule ? (selected ? '' : ': no rule of agent.discovery.include fits') : /^(in|ex)clude\[/.test(rule) ? `: agent.discovery.${rule}` : `: ${plain(rule, 80)}`;
    return `${selected ? 'watched' : 'not watched'}${why}`;
  };
  return scroller('Processes', h('table', { class: 'rows processes' }, h('caption', { class: 'sr' }, 'Processes'),
    h('thead', {}, h('tr', {}, ['Service', 'Decision', 'Executable', 'Listens', 'Process'].map((t, i) => h('th', { scope: 'col', class: i === 4 ? 'number' : '' }, t)))),
    h('tbody', {}, rows.map(([pid, exe, service, namespace, namedBy, runtime, ports, container, selected, rule, own, over]) => h('tr', {},
      h('th', { scope: 'row' }, wire(service || 'unknown', 80), namespace ? h('span', { class: 'ns' }, wire(namespace, 40)) : null, h('span', { class: 'sub' }, `named by ${namedBy || 'nothing'}`)),
      h('td', {}, h('span', { class: selected ? 'state on' : 'state off' }, decided(selected, rule)),
        own ? h('span', { class: 'sub' }, 'exports OTLP traces itself') : null, over ? h('span', { class: 'sub' }, `over budget since ${time(over, agentNow())}`) : null),
      h('td', {}, wire(exe, 120), runtime || container ? h('span', { class: 'sub' }, wire([runtime, container && `container ${container.slice(0, 12)}`].filter(Boolean).join(' · '), 80)) : null),
      h('td', {}, ports.length ? ports.map((p) => `:${p}`).join(' ') : NONE), h('td', { class: 'number' }, String(pid)))))));
}
