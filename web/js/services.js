// #/services: what runs here, what fails, what is slow.

import { h, fill, setText, wire, plain } from './dom.js';
import { NEEDED, NONE, about, bytes, count, percent, quantile, rate } from './format.js';
import { objects, poll } from './api.js';
import { address, asked, go, inRange, remember } from './router.js';
import { drawSpark, sparkline } from './chart.js';
import { Table, chips, csvButton, filterBox, pages, setCell } from './table.js';

const EVERY = 5000;
const PAGE = 50;

export function open({ route, setTitle, say, panel, ready, busy }) {
  const state = {
    q: route.query.get('q') ?? '',
    sort: route.query.get('sort') ?? 'failing',
    only: route.query.get('only') === 'failing',
    offset: 0,
  };
  const rows = new Map();
  let cursor = 0;
  let order = [];
  let question = '';

  const line = h('p', { class: 'status' });
  const box = filterBox({ id: 'filter', label: 'Filter services', value: state.q, hint: 'filter: name, error>1%, p95>200ms', change: (q) => change({ q }) });
  const only = h('input', { type: 'checkbox', id: 'only', checked: state.only, on: { change: () => change({ only: only.checked }) } });
  const held = h('button', { type: 'button', class: 'link', hidden: true, on: { click: () => { document.activeElement?.blur(); draw(true); } } });
  const active = h('div', { class: 'chips' });
  const pager = h('div', { class: 'pager', hidden: true });
  const resort = h('button', { type: 'button', class: 'quiet', on: { click: () => sortBy('failing') } }, 'failing first');

  const table = new Table({
    caption: 'Services: requests served in the range',
    columns: [
      { key: 'name', label: 'Service', sort: 'name', up: true, cell: nameCell, update: updateName },
      { key: 'rate', label: 'Rate', sort: 'rate', number: true, update: (cell, s) => setCell(cell, s.rate === null ? NONE : rate(s.rate), s.rate === null ? noRate(s) : null) },
      { key: 'spark', label: 'over time', cell: (s) => sparkline(s.spark, look(s)), update: (cell, s) => drawSpark(cell.querySelector('svg'), s.spark, look(s)) },
      { key: 'errors', label: 'Errors', sort: 'errors', number: true, csv: (s) => s.error_ratio, update: updateErrors },
      ...['p50', 'p95', 'p99'].map((key) => ({ key, label: key, sort: key, number: true, update: (cell, s) => setCell(cell, ...quantile(s[key], s.count, NEEDED[key])) })),
    ],
    open: (s) => go(...target(s)),
    onSort: sortBy,
    className: 'services',
  });

  const element = h('div', { class: 'page' },
    h('h1', { tabindex: '-1', class: 'sr' }, 'Services'),
    line,
    h('div', { class: 'controls' }, box.element, h('label', { for: 'only', class: 'check' }, only, ' only failing'), resort, held, csvButton('services', () => table)),
    active, table.element, pager);

  let changed = false;

  // What was asked for is shown, wherever the pointer stands.
  const drawAll = panel(table.element, () => {
    draw(changed);
    changed = false;
  });

  function change(changes) {
    Object.assign(state, { offset: 0 }, changes);
    only.checked = state.only;
    remember({ q: state.q, only: state.only ? 'failing' : null, sort: state.sort === 'failing' ? null : state.sort });
    setControls();
    changed = true;
    busy();
    poller.wake();
  }

  function setControls() {
    table.setSort(state.sort);
    resort.setAttribute('aria-pressed', String(state.sort === 'failing'));
    chips(active, state.q, (q) => { box.set(q); change({ q }); });
  }

  const clear = () => { box.set(''); change({ q: '', only: false }); };

  function sortBy(key) {
    change({ sort: state.sort === key && key !== 'failing' ? `-${key}` : key });
  }

  const poller = poll(EVERY, () => {
    const parameters = { q: state.q, sort: state.sort, only: state.only ? 'failing' : null, offset: state.offset || null, limit: PAGE, ...asked() };
    const wanted = JSON.stringify(parameters);
    // Rows already here come again only when they changed; another question begins anew.
    if (wanted !== question) cursor = 0;
    question = wanted;
    return ['view/overview', { ...parameters, cursor: cursor || null }];
  }, (json) => {
    box.wrong('');
    if (cursor === 0) rows.clear();
    objects(json).forEach((row) => rows.set(row.id, row));
    ({ cursor, order } = json);
    setLine(json);
    setEmpty(json);
    drawAll(json);
    pages(pager, { offset: state.offset, size: PAGE, total: json.matching, turn: (offset) => { state.offset = offset; changed = true; busy(); poller.wake(); } });
    ready();
    setTitle();
  }, (refusal) => {
    box.wrong(refusal.message);
    ready();
  });

  function draw(force) {
    const list = order.map((id) => [id, rows.get(id)]).filter(([, row]) => row);
    const would = table.show(list, { keepOrder: !force && table.busy });
    held.hidden = would === 0;
    setText(held, `${would} ${would === 1 ? 'row' : 'rows'} would move · Re-sort`);
  }

  function setLine(json) {
    const parts = [
      [count(json.total), json.total === 1 ? ' service' : ' services'],
      [rate(json.rate), json.rate ? '' : ' requests'],
      [percent(json.error_ratio ?? 0), ' errors'],
    ];
    if (json.failing) parts.push([count(json.failing), ' failing']);
    if (json.unread_services) parts.push([count(json.unread_services), ' with traffic seen, not read']);
    fill(line, parts.map(([value, what], i) => [i ? h('span', { class: 'sep', 'aria-hidden': 'true' }, '·') : null, h('span', { class: what === ' failing' ? 'bad' : '' }, h('b', {}, value), what)]),
      h('span', { class: 'aside' }, inRange(json)));
  }

  function setEmpty(json) {
    if (json.matching > 0) return;
    if (json.total > 0) {
      const what = state.q ? `No service matches "${plain(state.q, 60)}".` : 'No service is failing.';
      table.setEmpty(h('p', {}, what, ' ', h('button', { type: 'button', class: 'link', on: { click: clear } }, 'Clear filter (Esc)')));
      say(what);
    } else if (json.tracing) {
      table.setEmpty(h('p', {}, `Tracing is off: ${json.tracing.replace(/\.$/, '')}. Run `, h('code', {}, 'telegen doctor'), ' for the remedy.'));
    } else {
      const watching = json.watched === null ? '' : ` Watching ${count(json.watched)} ${json.watched === 1 ? 'process' : 'processes'}.`;
      table.setEmpty(h('p', {}, `No requests seen ${inRange(json)}.${watching}`), h('p', {}, h('a', { href: '#/telegen/processes' }, 'What is watched and why')));
    }
  }

  setControls();
  return {
    element,
    title: () => 'Services',
    close: () => poller.stop(),
    range: () => poller.wake(),
    question: () => ['view/overview', asked()],
    moved: (next) => (next.query.get('q') ?? '') === state.q && (next.query.get('only') === 'failing') === state.only,
    key(event) {
      const step = { j: 1, ArrowDown: 1, k: -1, ArrowUp: -1 }[event.key];
      if (step) {
        table.move(step);
        return true;
      }
      if (event.key === 'o') {
        table.focusSort();
        return true;
      }
      if (event.key === 'Escape' && (state.q || state.only)) {
        clear();
        return true;
      }
      return false;
    },
  };
}

const target = (s) => [['service', s.name], { ns: s.namespace }];

function nameCell(s) {
  return [
    h('a', { href: address(...target(s)) }, wire(s.name, 120)),
    s.namespace ? h('span', { class: 'ns' }, wire(s.namespace, 60)) : null,
    h('span', { class: 'sub' }),
  ];
}

function updateName(cell, s, tr) {
  const notes = [];
  if (s.idle_s > 90) notes.push(`idle ${about(s.idle_s)}`);
  if (s.instances > 1) notes.push(`${s.instances} instances`);
  if (s.rate === null && s.calls > 0 && !s.unread.length) notes.push('makes calls only');
  for (const [protocol, , perSecond] of s.unread) {
    notes.push(`seen, not read: ${protocol}${perSecond > 0 ? `, ${bytes(perSecond)}/s` : ''}`);
  }
  const sub = cell.querySelector('.sub');
  const text = notes.join(' · ');
  if (sub.dataset.text !== text) {
    sub.dataset.text = text;
    fill(sub, text ? wire(text, 160) : null);
  }
  tr.classList.toggle('stale', s.idle_s > 90);
  tr.classList.toggle('failing', s.failing);
}

const noRate = (s) => (s.unread.length ? 'its traffic is seen, not read' : 'it serves no requests that are read');

function look(s) {
  const hatched = s.rate === null && s.unread.length > 0;
  return { hatched, label: hatched ? 'requests are not known: traffic seen, not read' : '' };
}

function updateErrors(cell, s) {
  const bad = s.error_ratio !== null && s.error_ratio > 0;
  const text = s.error_ratio === null ? NONE : bad ? `▲ ${percent(s.error_ratio)}` : '0';
  setCell(cell, text, s.error_ratio === null ? 'no requests in the range' : null, bad ? 'bad' : '');
}
