// #/service/NAME: rate, errors and durations, the routes it serves, the peers it calls, its traces.

import { h, fill, setText, wire, plain } from './dom.js';
import { NEEDED, NONE, about, bytes, count, duration, percent, quantile, rate, time } from './format.js';
import { Refusal, agentNow, poll } from './api.js';
import { remember } from './router.js';
import { chart } from './chart.js';
import { Table, scroller, setCell } from './table.js';
import { TraceList } from './traces.js';

const EVERY = 2000;
const RANGES = [['5m', '5 min'], ['15m', '15 min'], ['60m', '60 min']];
const TABS = [['routes', 'Routes'], ['calls', 'Calls'], ['traces', 'Traces'], ['unread', 'Not read'], ['about', 'About']];

export function open({ route, setTitle, panel }) {
  const name = route.parts[1] ?? '';
  const namespace = route.query.get('ns');
  const state = { tab: route.query.get('tab') ?? 'routes', range: route.query.get('range') ?? '15m' };
  let last = null;
  let list = null;

  const sub = h('p', { class: 'status' }, 'Loading…');
  const ranges = h('div', { class: 'ranges', role: 'group', 'aria-label': 'Range of the charts' });
  const charts = h('div', { class: 'charts' });
  const tabs = h('div', { class: 'tabs', role: 'tablist', 'aria-label': 'Parts of this service' });
  const body = h('div', { class: 'tab', role: 'tabpanel', id: 'tab', tabindex: '0' });
  const gone = h('div', { class: 'empty', hidden: true });
  const element = h('div', { class: 'page' },
    h('div', { class: 'head' }, h('h1', { tabindex: '-1' }, wire(name, 200), namespace ? h('span', { class: 'ns' }, wire(namespace, 80)) : null), ranges),
    sub, gone, charts, tabs, body);

  const routes = numbers('Routes served in the last 60 seconds', 'Route', (r) => [
    h('span', { class: 'method' }, wire(r.method, 20)), ' ',
    r.route ? wire(r.route, 200) : h('span', { class: 'muted' }, 'all paths'),
  ], (r) => `${r.method} ${r.route}`);
  const calls = numbers('Peers called in the last 60 seconds', 'Peer', (r) => [wire(r.peer || 'unknown', 200), r.port ? h('span', { class: 'muted' }, `:${r.port}`) : null], (r) => `${r.peer}:${r.port}`);
  routes.table.setEmpty('It served no requests that are read in the last 15 minutes.');
  calls.table.setEmpty('It made no calls that are read in the last 15 minutes.');

  const drawCharts = panel(charts, (json) => {
    const { points, step_s: step, from_s: from, elapsed_s: elapsed } = json.series;
    const known = points.map((p) => p !== null);
    const width = Math.max(240, Math.floor((element.clientWidth - 2 * 16) / (element.clientWidth > 1000 ? 3 : element.clientWidth > 640 ? 2 : 1)) - 26);
    const key = JSON.stringify([json.series, width]);
    if (charts.dataset.key === key) return;
    charts.dataset.key = key;
    const pick = (i) => points.map((p) => (p === null ? null : p[i]));
    const perSecond = (i) => pick(i).map((v, at) => (v === null ? null : v / (at === points.length - 1 ? Math.min(step, elapsed) : step)));
    const { head } = json;
    const base = { known, from, step, width };
    const none = head.count === 0;
    fill(charts,
      figure('Rate', none && !json.serves ? NONE : rate(head.rate), null,
        chart({ ...base, title: 'Rate', format: rate, lines: [{ name: '', values: perSecond(0), className: 's1' }] })),
      figure('Errors', head.error_ratio === null ? NONE : percent(head.error_ratio), head.errors > 0 ? `${rate(head.errors)}` : null,
        chart({ ...base, title: 'Errors', format: rate, lines: [{ name: '', values: perSecond(1), className: 'err' }] }), head.errors > 0),
      figure('Duration', ...durations(head),
        chart({ ...base, title: 'Duration', format: duration, lines: [{ name: 'p99', values: pick(4), className: 's2' }, { name: 'p95', values: pick(3), className: 's1' }, { name: 'p50', values: pick(2), className: 's3' }] })));
  });

  function setRanges() {
    fill(ranges, RANGES.map(([value, label]) => h('button', { type: 'button', 'aria-pressed': String(state.range === value), on: { click: () => { state.range = value; remember({ range: value }); setRanges(); poller.wake(); } } }, label)));
  }

  function setTabs(json) {
    const counts = { routes: json.routes.length, calls: json.calls.length, unread: json.unread.length, about: json.instances };
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
    if (state.tab === 'routes') {
      routes.show(json.routes);
      put(routes.table.element);
    } else if (state.tab === 'calls') {
      calls.show(json.calls);
      put(calls.table.element);
    } else if (state.tab === 'traces') {
      list ??= new TraceList({ service: json.name, sort: 'recent', panel });
      put(list.element);
    } else if (state.tab === 'unread') {
      put(unread(json), JSON.stringify(json.unread));
    } else {
      put(instances(json), JSON.stringify(json.about.map((i) => i.attrs)));
    }
  });

  function put(node, key = state.tab) {
    if (body.dataset.key === key && body.firstChild) return;
    body.dataset.key = key;
    fill(body, node);
  }

  function draw(json) {
    setTabs(json);
    drawCharts(json);
    drawTab(json);
    const parts = [
      json.instances === 1 ? '1 instance' : `${json.instances} instances`,
      json.idle_s > 90 ? `idle ${about(json.idle_s)}` : null,
      json.head.count ? `${count(json.head.count)} requests in the last ${json.window_s} s` : null,
      json.unread.length ? 'traffic seen, not read' : null,
    ].filter(Boolean);
    setText(sub, parts.join(' · '));
  }

  setRanges();
  const poller = poll(EVERY, () => ['view/service', { name, ns: namespace, range: state.range }], (json) => {
    last = json;
    gone.hidden = true;
    draw(json);
    setTitle();
  }, (refusal) => {
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
    key(event) {
      const step = { j: 1, ArrowDown: 1, k: -1, ArrowUp: -1 }[event.key];
      const table = { traces: list?.table }[state.tab];
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
  return [`p95 ${p95}`, `p50 ${p50} · p99 ${p99}${why && head.count ? ` (${why.replace(' in the last 60 s', '')})` : ''}`];
}

function figure(title, value, more, drawing, bad = false) {
  return h('section', { class: 'figure' },
    h('h2', {}, title), h('p', { class: `big${bad ? ' bad' : ''}` }, bad ? '▲ ' : null, value, more ? h('span', { class: 'more' }, ` ${more}`) : null),
    drawing);
}

/** A table of rate, errors and durations under some name. */
function numbers(caption, label, cell, key) {
  const table = new Table({
    caption,
    columns: [
      { key: 'name', label, cell },
      { key: 'rate', label: 'Rate', number: true, update: (c, r) => setCell(c, rate(r.rate)) },
      { key: 'errors', label: 'Errors', number: true, update: (c, r) => setCell(c, r.error_ratio === null ? NONE : r.errors > 0 ? `▲ ${percent(r.error_ratio)}` : '0', r.error_ratio === null ? 'no requests in the last 60 s' : null, r.errors > 0 ? 'bad' : '') },
      ...['p50', 'p95', 'p99'].map((q) => ({ key: q, label: q, number: true, update: (c, r) => setCell(c, ...quantile(r[q], r.count, NEEDED[q])) })),
    ],
  });
  return { table, show: (rows) => table.show(rows.map((r) => [key(r), r]), { keepOrder: table.busy }) };
}

function unread(json) {
  if (!json.unread.length) return h('p', { class: 'empty' }, 'All of its traffic that was recognised is read.');
  const reasons = {
    tls: 'encrypted: what is inside is not seen', http2: 'HTTP/2 is recognised and not read yet',
  };
  return scroller('Traffic that is seen and not read', h('table', { class: 'rows' },
    h('caption', { class: 'sr' }, 'Traffic that is seen and not read'),
    h('thead', {}, h('tr', {}, ['Protocol', 'Why it is not read', 'Now', 'In all'].map((t, i) => h('th', { scope: 'col', class: i > 1 ? 'number' : '' }, t)))),
    h('tbody', {}, json.unread.map(([protocol, reason, perSecond, total]) => h('tr', {},
      h('th', { scope: 'row' }, wire(protocol, 40)), h('td', {}, wire(reasons[reason] ?? reason.replaceAll('_', ' '), 120)),
      h('td', { class: 'number' }, `${bytes(perSecond)}/s`), h('td', { class: 'number' }, bytes(total)))))));
}

function instances(json) {
  if (!json.about.length) return h('p', { class: 'empty' }, 'No instance is known.');
  return h('div', { class: 'instances' }, json.about.map(({ seen_s: seen, attrs }, i) => h('details', { open: i === 0 },
    h('summary', {}, wire(attrs.find(([k]) => k === 'service.instance.id')?.[1] ?? `instance ${i + 1}`, 80), h('span', { class: 'muted' }, ` last request ${time(seen * 1000, agentNow())}`)),
    h('dl', { class: 'attrs' }, attrs.map(([k, v]) => [h('dt', {}, wire(k, 120)), h('dd', {}, wire(v))])))));
}

