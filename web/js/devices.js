// #/devices: network devices with their state, and #/device: one of them.

import { h, fill, wire, plain } from './dom.js';
import { NONE, about, bytes, count, time } from './format.js';
import { agentNow, ask, poll } from './api.js';
import { address, go, remember } from './router.js';
import { drawSpark, sparkline } from './chart.js';
import { Table, chips, csvButton, filterBox, setCell } from './table.js';

const EVERY = 5000;
const RATES = { label: 'bytes a second, poll by poll' };
const PAGE = 50;
const WORST = { down: 0, degraded: 1, unknown: 2, up: 3 };
const perSecond = (value) => (value === null || value === undefined ? NONE : `${bytes(value)}/s`);
const target = (name) => [['device', name]];

/** A word for a state, never told by colour alone. */
export function stateText(state) {
  return { up: '● up', degraded: '◐ degraded', down: '▲ down', unknown: '? not polled yet' }[state] ?? state;
}

/** Rates as a drawing takes them: none is not known. */
const known = (rates) => (rates.length ? rates : [null]);
const often = (n) => `${n >= 10 ? count(Math.round(n)) : Number(n.toPrecision(2))}/s`;
const stateClass = (state) => (state === 'down' ? 'bad' : '');

export function open(context) {
  return context.route.parts[0] === 'device' ? one(context) : list(context);
}

function list({ route, setTitle, panel, ready, say }) {
  const state = { q: route.query.get('q') ?? '', sort: route.query.get('sort') ?? 'state' };
  let all = [];
  const line = h('p', { class: 'status' });
  const active = h('div', { class: 'chips' });
  const box = filterBox({ id: 'filter', label: 'Filter devices', value: state.q, hint: 'filter: name, address, vendor, state', change });
  const table = new Table({
    caption: 'Network devices',
    columns: [
      { key: 'name', label: 'Device', sort: 'name', up: true, cell: (d) => [h('a', { href: address(...target(d.name)) }, wire(d.name, 120)), h('span', { class: 'sub' }, wire(d.address, 80))] },
      { key: 'state', label: 'State', sort: 'state', up: true, update: (cell, d) => setCell(cell, stateText(d.state), d.last_error ? plain(d.last_error, 200) : null, stateClass(d.state)) },
      { key: 'vendor', label: 'Vendor', sort: 'vendor', up: true, update: (cell, d) => setCell(cell, d.vendor ? plain(d.vendor, 60) : NONE, d.vendor ? null : 'not known') },
      { key: 'model', label: 'Model', sort: 'model', up: true, update: (cell, d) => setCell(cell, d.model ? plain(d.model, 60) : NONE, d.model ? null : 'it does not tell') },
      { key: 'profile', label: 'Profile', sort: 'profile', up: true, update: (cell, d) => setCell(cell, d.profile ? plain(d.profile, 60) : NONE, d.profile ? null : 'not polled yet') },
      { key: 'interfaces', label: 'Interfaces', sort: 'interfaces', number: true, update: (cell, d) => setCell(cell, count(d.interfaces)) },
      { key: 'rtt_ms', label: 'RTT', sort: 'rtt_ms', number: true, update: (cell, d) => setCell(cell, d.rtt_ms === null ? NONE : `${d.rtt_ms.toFixed(1)} ms`, d.rtt_ms === null ? 'no answer yet' : null) },
      { key: 'last_error', label: 'Last error', cell: () => h('span', {}), update: (cell, d) => setCell(cell, d.last_error ? plain(d.last_error, 120) : '', null, '') },
    ],
    open: (d) => go(...target(d.name)),
    onSort: (key) => { state.sort = state.sort === key ? `-${key}` : key; kept(); draw(); },
    className: 'services',
    size: PAGE,
  });
  const element = h('div', { class: 'page' }, h('h1', { tabindex: '-1', class: 'sr' }, 'Devices'), line,
    h('div', { class: 'controls' }, box.element, csvButton('devices', () => table)), active, table.element);
  const draw = panel(table.element, show);

  function kept() {
    remember({ q: state.q, sort: state.sort === 'state' ? null : state.sort });
    table.setSort(state.sort);
    chips(active, state.q, (q) => { box.set(q); change(q); });
  }

  function change(q) {
    state.q = q;
    kept();
    draw();
  }

  function show() {
    const words = state.q.toLowerCase().split(/\s+/).filter(Boolean);
    const fits = (d) => words.every((w) => [d.name, d.address, d.vendor, d.model, d.profile, d.state, d.last_error].some((t) => String(t ?? '').toLowerCase().includes(w)));
    const key = state.sort.replace(/^-/, '');
    const step = state.sort.startsWith('-') ? -1 : 1;
    const value = (d) => (key === 'state' ? WORST[d.state] ?? 9 : d[key] ?? '');
    const matching = all.filter(fits).sort((a, b) => {
      const [x, y] = [value(a), value(b)];
      const order = typeof x === 'number' && typeof y === 'number' ? x - y : String(x).localeCompare(String(y));
      return step * order || a.name.localeCompare(b.name);
    });
    table.show(matching.map((d) => [d.name, d]));
    if (matching.length === 0) {
      table.setEmpty(h('p', {}, all.length ? `No device matches "${plain(state.q, 60)}".` : 'No device is polled. Name some under collector.snmp.targets.'));
      if (all.length) say('No device matches.');
    }
  }

  const poller = poll(EVERY, () => ['devices', {}], (json) => {
    all = json;
    const down = all.filter((d) => d.state === 'down').length;
    const part = all.filter((d) => d.state === 'degraded').length;
    const ports = all.reduce((sum, d) => sum + d.interfaces, 0);
    const parts = [[count(all.length), all.length === 1 ? ' device' : ' devices'], [count(ports), ' interfaces']];
    if (down) parts.push([count(down), ' down']);
    if (part) parts.push([count(part), ' degraded']);
    fill(line, parts.map(([value, what], i) => [i ? h('span', { class: 'sep', 'aria-hidden': 'true' }, '·') : null, h('span', { class: what === ' down' ? 'bad' : '' }, h('b', {}, value), what)]));
    draw();
    ready();
    setTitle();
  }, () => {
    fill(line, 'Devices are polled in collector mode: ', h('code', {}, 'telegen collector'), '.');
    ready();
  });
  kept();
  return {
    element,
    title: () => 'Devices',
    close: () => poller.stop(),
    question: () => ['devices', {}],
    moved: (next) => next.parts[0] === 'devices' && (next.query.get('q') ?? '') === state.q,
    key(event) {
      const step = { j: 1, ArrowDown: 1, k: -1, ArrowUp: -1 }[event.key];
      if (step) table.move(step);
      return Boolean(step);
    },
  };
}

function one({ route, setTitle, panel, ready }) {
  const name = route.parts[1] ?? '';
  const line = h('p', { class: 'status' });
  const facts = h('dl', { class: 'facts' });
  const part = (title, body) => h('section', {}, h('h2', {}, title), body);
  const interfaces = new Table({
    caption: 'Interfaces',
    columns: [
      { key: 'name', label: 'Interface', cell: (i) => [wire(i.name || `number ${i.index}`, 120), h('span', { class: 'sub' }, wire(i.alias, 120))] },
      { key: 'status', label: 'State', update: (cell, i) => setCell(cell, i.status ? (i.status === 'down' ? '▲ down' : i.status) : NONE, i.status ? null : 'it does not tell', i.status === 'down' ? 'bad' : '') },
      { key: 'received', label: 'Received', number: true, update: (cell, i) => setCell(cell, perSecond(i.received), i.received === null ? 'two polls are needed' : null) },
      { key: 'received_before', label: 'over time', csv: (i) => i.received_before.join(' '), cell: (i) => sparkline(known(i.received_before), RATES), update: (cell, i) => drawSpark(cell.querySelector('svg'), known(i.received_before), RATES) },
      { key: 'sent', label: 'Sent', number: true, update: (cell, i) => setCell(cell, perSecond(i.sent), i.sent === null ? 'two polls are needed' : null) },
      { key: 'sent_before', label: 'over time', csv: (i) => i.sent_before.join(' '), cell: (i) => sparkline(known(i.sent_before), RATES), update: (cell, i) => drawSpark(cell.querySelector('svg'), known(i.sent_before), RATES) },
      { key: 'errors', label: 'Errors', number: true, update: (cell, i) => setCell(cell, i.errors === null ? NONE : i.errors > 0 ? `▲ ${often(i.errors)}` : '0', i.errors === null ? 'two polls are needed' : null, i.errors > 0 ? 'bad' : '') },
    ],
    size: PAGE,
    empty: 'No interface is known.',
  });
  const sensors = new Table({
    caption: 'Sensors',
    columns: [
      { key: 'name', label: 'Sensor', cell: (s) => wire(s.name || s.what, 160) },
      { key: 'what', label: 'Measures', cell: (s) => wire(s.what, 80) },
      { key: 'value', label: 'Value', number: true, update: (cell, s) => setCell(cell, `${Number(s.value.toPrecision(6))} ${s.unit === '1' ? '' : s.unit}`.trim()) },
    ],
    size: PAGE,
    empty: 'No sensor is known.',
  });
  const neighbours = new Table({
    caption: 'Neighbours',
    columns: [
      { key: 'here', label: 'Interface', cell: (n) => wire(n['network.interface.name'] ?? n['network.interface.description'] ?? '', 80) },
      { key: 'there', label: 'Neighbour', cell: (n) => wire(n['snmp.neighbor.name'] ?? n['snmp.neighbor.chassis_id'] ?? '', 120) },
      { key: 'port', label: 'Its port', cell: (n) => wire(n['snmp.neighbor.port'] ?? n['snmp.neighbor.port_id'] ?? '', 80) },
      { key: 'by', label: 'Told by', cell: (n) => wire(n['snmp.topology.protocol'] ?? '', 20) },
    ],
    size: PAGE,
    empty: 'No neighbour is known.',
  });
  const traps = new Table({
    caption: 'Notifications',
    columns: [
      { key: 'time', label: 'Time', cell: (t) => time(t.time) },
      { key: 'name', label: 'What', cell: (t) => wire(t.name, 120) },
      { key: 'text', label: 'Says', cell: (t) => wire(t.text, 300) },
    ],
    size: 20,
    empty: 'No notification came.',
  });
  const element = h('div', { class: 'page' },
    h('p', {}, h('a', { href: '#/devices' }, 'Devices')),
    h('h1', { tabindex: '-1' }, wire(name, 120)), line, facts,
    part('Interfaces', interfaces.element), part('Sensors', sensors.element), part('Neighbours', neighbours.element), part('Notifications', traps.element));
  let status = null;

  const draw = panel(facts, (json) => {
    const shown = json.attributes.filter(([key]) => !['snmp.target', 'server.port'].includes(key));
    fill(facts, shown.map(([key, value]) => [h('dt', {}, wire(key, 80)), h('dd', {}, wire(value, 160))]));
    interfaces.show(json.interfaces.map((i) => [i.index, i]));
    sensors.show(json.sensors.map((s) => [`${s.what} ${s.name}`, s]));
    neighbours.show(json.neighbours.map((n) => [JSON.stringify(n), n]));
    traps.show(json.traps.map((t, i) => [`${t.time} ${i} ${t.name}`, t]));
    const empty = [[interfaces, json.interfaces, 'No interface is known.'], [sensors, json.sensors, 'No sensor is known.'], [neighbours, json.neighbours, 'No neighbour is known.'], [traps, json.traps, 'No notification came.']];
    empty.filter(([, rows]) => rows.length === 0).forEach(([table, , text]) => table.setEmpty(h('p', {}, text)));
  });

  function setLine(json) {
    const parts = [];
    if (status) parts.push(h('span', { class: stateClass(status.state) }, stateText(status.state), status.last_error ? `: ${plain(status.last_error, 200)}` : ''));
    if (json?.last) parts.push(`last poll ${about(Math.max(0, (agentNow() - json.last) / 1000))} ago`);
    if (json?.packets) parts.push(`${count(json.packets)} packets in ${Math.round((json.duration ?? 0) * 1000)} ms`);
    fill(line, parts.map((p, i) => [i ? h('span', { class: 'sep', 'aria-hidden': 'true' }, '·') : null, p]));
  }

  async function askStatus() {
    try {
      status = (await ask('devices')).find((d) => d.name === name) ?? null;
    } catch {
      // The poll below tells.
    }
  }

  const poller = poll(EVERY, () => ['view/device', { name, offset: interfaces.offset || null }], async (json) => {
    await askStatus();
    setLine(json);
    draw(json);
    ready();
    setTitle();
  }, async (refusal) => {
    await askStatus();
    setLine(null);
    if (!status) fill(line, refusal.message);
    ready();
  });
  return {
    element,
    title: () => plain(name, 60),
    close: () => poller.stop(),
    question: () => ['view/device', { name }],
    moved: () => false,
    key: () => false,
  };
}
