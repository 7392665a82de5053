// #/telegen: can I trust what I see?

import { h, fill, setText, wire, copyButton } from './dom.js';
import { about, bytes, count, percent, span, time } from './format.js';
import { poll } from './api.js';
import { remember } from './router.js';
import { filterBox, scroller } from './table.js';
import { processTable } from './service.js';

const EVERY = 5000;
const SIGNALS = ['traces', 'metrics', 'logs', 'profiles'];
const PARTS = [['features', 'Features'], ['ledger', 'Ledger'], ['cost', 'Cost'], ['processes', 'Processes']];

export function open({ route, setTitle, panel, ready }) {
  const head = h('p', { class: 'status' });
  const [features, ledger, cost, processes] = PARTS.map(([id]) => h('section', { class: 'block', id: `part-${id}`, tabindex: '-1' }));
  const list = h('div', {});
  const box = filterBox({ id: 'process-filter', label: 'Filter processes', value: route.query.get('q') ?? '', hint: 'filter: name, port:8080, watched:no, rule:exclude', change: setQuery });
  const words = h('p', { class: 'muted' });
  fill(processes, h('h2', {}, 'Processes'), words, h('div', { class: 'controls' }, box.element), list);
  const jump = h('nav', { class: 'jump', 'aria-label': 'Parts of this page' }, PARTS.map(([id, label]) => h('a', { href: `#/telegen/${id}` }, label)));
  const element = h('div', { class: 'page' }, h('h1', { tabindex: '-1', class: 'sr' }, 'Telegen'), head, jump, features, ledger, cost, processes);
  let before = null;
  let odd = {};
  let q = route.query.get('q') ?? '';
  let wanted = route.parts[1] ?? null;

  const drawHead = panel(head, (json) => {
    const value = (name) => json.counters.find(([n]) => n === name)?.[4];
    const cpu = value('process.cpu') ?? value('process.cpu.time');
    const rss = value('process.resident_memory') ?? value('process.memory.usage');
    const share = before && cpu !== undefined && json.now > before.now ? (cpu - before.cpu) / ((json.now - before.now) / 1000) : null;
    if (cpu !== undefined) before = { now: json.now, cpu };
    const parts = [
      `Telegen ${json.version}`,
      json.ready.ok ? 'ready' : `not ready: ${json.ready.reasons.map((r) => `${r.component}: ${r.reason}`).join(', ')}`,
      `up ${span((json.now - json.started) / 1000)}`,
      rss !== undefined ? bytes(rss) : null,
      share !== null ? `${share < 0.0005 ? '<0.1\u2009%' : percent(share)} of one core` : null,
      `memory holds ${about((json.now - json.memory.since) / 1000)}`,
    ].filter(Boolean);
    fill(head, parts.map((text, i) => [i ? h('span', { class: 'sep', 'aria-hidden': 'true' }, '·') : null, h('span', { class: i === 1 && !json.ready.ok ? 'bad' : '' }, wire(text, 200))]),
      h('span', { class: 'aside' }, ` ${json.mode || 'agent'}, commit ${json.commit || 'unknown'}, built for ${json.target || 'unknown'}${json.config ? `, configuration ${json.config}` : ', no configuration file'}`));
  });

  const drawFeatures = panel(features, (json) => {
    const key = JSON.stringify(json.features);
    if (features.dataset.key === key) return;
    features.dataset.key = key;
    const on = json.features.filter((f) => f.enabled).length;
    fill(features, h('h2', {}, 'Features', h('span', { class: 'n' }, `${on} on, ${json.features.length - on} off`)),
      scroller('Features', h('table', { class: 'rows features' }, h('caption', { class: 'sr' }, 'Features and why they are off'),
        h('thead', {}, h('tr', {}, ['Feature', 'State', 'Reason', 'Remedy'].map((t) => h('th', { scope: 'col' }, t)))),
        h('tbody', {}, [...json.features].sort((a, b) => a.enabled - b.enabled || a.name.localeCompare(b.name)).map((f) => h('tr', {},
          h('th', { scope: 'row' }, wire(f.name, 80)),
          h('td', {}, h('span', { class: f.enabled ? 'state on' : 'state off' }, f.enabled ? 'on' : 'off')),
          h('td', {}, wire(f.reason, 400)),
          h('td', {}, f.remedy ? [wire(f.remedy, 400), ' ', copyButton('copy', f.remedy)] : null)))))));
  });

  const drawLedger = panel(ledger, (json) => {
    const blocks = SIGNALS.filter((s) => json.ledger[s] && used(json.ledger[s])).map((s) => account(s, json.ledger[s], odd));
    fill(ledger, h('h2', {}, 'Ledger', h('span', { class: 'n' }, 'every item, and what became of it')),
      blocks.length ? blocks : h('p', { class: 'empty' }, 'Nothing was produced yet.'));
  });

  const drawCost = panel(cost, (json) => {
    const m = json.memory;
    const all = (name) => json.counters.filter(([n]) => n === name);
    const one = (name, kind) => all(name).find(([, , , attrs]) => !kind || attrs.some(([, v]) => v === kind))?.[4];
    const tap = (kind) => one('telegen.tap.events', kind);
    const number = (value, label, bad = false) => (value === undefined ? null : fact(label, h('span', { class: bad && value > 0 ? 'bad' : '' }, count(value))));
    const rings = [one('telegen.tap.ring.used'), one('telegen.tap.ring.size')];
    const open = cost.querySelector('details')?.open ?? false;
    fill(cost, h('h2', {}, 'Cost', h('span', { class: 'n' }, 'what it takes, and where it stops')),
      h('h3', {}, 'From the kernel'),
      tap('requests') === undefined ? h('p', { class: 'muted' }, 'No kernel half is at work.') : h('dl', { class: 'facts' },
        number(tap('requests'), 'Requests seen'), number(tap('records'), 'Records read'),
        rings[1] !== undefined ? fact('Rings', `${bytes(rings[0] ?? 0)} of ${bytes(rings[1])}`) : null,
        number(tap('records_lost_ring_full'), 'Records lost, ring full', true), number(tap('requests_lost_ring_full'), 'Requests lost, ring full', true),
        number(tap('requests_over_budget'), 'Over the capture budget: method and status only'), number(tap('requests_over_second_bound'), 'Over the second bound: lost', true),
        number(tap('connections'), 'Connections'), number(tap('connections_without_memory'), 'Connections without memory', true)),
      all('telegen.export.queue.size').length ? [h('h3', {}, 'Queues'), h('dl', { class: 'facts' },
        all('telegen.export.queue.size').map(([, unit, , attrs, value]) => fact(attrs.map(([, v]) => v).join(', '), unit === 'By' ? bytes(value) : count(value))))] : null,
      h('h3', {}, 'Memory of this page'),
      h('dl', { class: 'facts' },
        fact('Budget', bytes(m.budget)), fact('Traces kept', `${count(m.traces)}, ${bytes(m.spans)}`),
        fact('Holds', `${about((json.now - m.since) / 1000)}, since ${time(m.since, json.now)}`),
        fact('Spans seen', count(m.seen)), fact('of them kept', count(m.kept)),
        json.refused ? fact('Services, rows, edges without room', h('span', { class: 'bad' }, count(json.refused))) : null),
      h('details', { open }, h('summary', {}, h('h3', {}, 'All counters', h('span', { class: 'n' }, String(json.counters.length)))),
        scroller('Counters', h('table', { class: 'rows' }, h('caption', { class: 'sr' }, 'Counters'),
          h('thead', {}, h('tr', {}, h('th', { scope: 'col' }, 'Counter'), h('th', { scope: 'col', class: 'number' }, 'Value'), h('th', { scope: 'col' }, 'What it counts'))),
          h('tbody', {}, json.counters.map(([name, unit, help, attrs, value]) => h('tr', {},
            h('th', { scope: 'row' }, h('code', {}, wire(name, 120)), attrs.length ? h('span', { class: 'sub' }, wire(attrs.map(([k, v]) => `${k}=${v}`).join(', '), 200)) : null),
            h('td', { class: 'number' }, unit === 'By' ? bytes(value) : unit === 's' ? `${Math.round(value * 100) / 100} s` : count(value)),
            h('td', { class: 'muted' }, wire(help, 300)))))))));
  });

  const drawProcesses = panel(list, (json) => {
    box.wrong('');
    const key = JSON.stringify([json.rows, json.matching]);
    if (list.dataset.key === key) return;
    list.dataset.key = key;
    setText(words, json.known ? `${count(json.watched)} of ${count(json.total)} processes are watched: those that agent.discovery selects.` : 'Which processes are watched is not known here: no kernel half is at work.');
    const more = json.matching > json.rows.length ? h('p', { class: 'muted' }, `Showing ${json.rows.length} of ${count(json.matching)}: what listens comes first.`) : null;
    fill(list, json.rows.length ? [processTable(json.rows), more] : json.known ? h('p', { class: 'empty' }, `No process matches "${q}".`) : null);
  });

  function setQuery(text) {
    q = text;
    remember({ q });
    found.wake();
  }

  const poller = poll(EVERY, () => ['view/agent', {}], (json) => {
    [drawHead, drawFeatures, drawLedger, drawCost].forEach((draw) => draw(json));
    odd = sums(json.ledger, odd);
    ready();
    setTitle();
    jumpTo();
  });
  const found = poll(EVERY, () => ['view/processes', { q, limit: 30 }], (json) => drawProcesses(json), (refusal) => box.wrong(refusal.message));

  function jumpTo() {
    const part = PARTS.findIndex(([id]) => id === wanted);
    wanted = null;
    if (part < 0) return;
    const section = [features, ledger, cost, processes][part];
    section.scrollIntoView({ block: 'start' });
    section.focus({ preventScroll: true });
  }

  return {
    element,
    title: () => 'Telegen',
    close() {
      poller.stop();
      found.stop();
    },
    question: () => ['view/agent', {}],
    moved(next) {
      wanted = next.parts[1] ?? null;
      jumpTo();
      return true;
    },
  };
}

const fact = (name, value) => h('div', {}, h('dt', {}, name), h('dd', {}, value));
const total = (table) => Object.values(table ?? {}).reduce((a, n) => a + n, 0);
const used = (s) => s.produced > 0 || total(s.discarded) > 0 || Object.keys(s.lost).length > 0;

/** What is lost before and at the exporters. */
function losses(signal) {
  const stages = Object.entries(signal.lost);
  const before = stages.filter(([stage]) => !stage.startsWith('export:')).reduce((a, [, reasons]) => a + total(reasons), 0);
  return { before, at: (name) => total(signal.lost[`export:${name}`]) };
}

/** How far each exporter's sum is from what was produced: 0 when all is accounted for. */
function gap(signal, exporter) {
  const lost = losses(signal);
  return signal.produced - total(signal.discarded) - lost.before - lost.at(exporter) - (signal.delivered[exporter] ?? 0) - signal.in_flight;
}

/** For how many readings a sum was off: counters are read one after another, so one alone means nothing. */
function sums(ledger, before) {
  const now = {};
  for (const [name, signal] of Object.entries(ledger)) {
    for (const exporter of Object.keys(signal.delivered ?? {})) {
      const key = `${name}:${exporter}`;
      if (gap(signal, exporter) !== 0) now[key] = (before[key] ?? 0) + 1;
    }
  }
  return now;
}

function account(name, signal, odd) {
  const lost = losses(signal);
  const exporters = Object.keys(signal.delivered);
  const lines = exporters.map((exporter) => {
    const off = odd[`${name}:${exporter}`] ?? 0;
    const right = gap(signal, exporter) === 0;
    return h('p', { class: 'sum' },
      'produced ', h('b', {}, count(signal.produced)), ' = discarded ', h('b', {}, count(total(signal.discarded))),
      ' + lost ', h('b', { class: lost.before + lost.at(exporter) ? 'bad' : '' }, count(lost.before + lost.at(exporter))),
      ' + delivered (', wire(exporter, 60), ') ', h('b', {}, count(signal.delivered[exporter])), ' + in flight ', h('b', {}, count(signal.in_flight)), ' ',
      right ? h('span', { class: 'ok', title: 'the sum is right' }, '✓') : off >= 2
        ? h('strong', { class: 'bad' }, `✗ ${count(Math.abs(gap(signal, exporter)))} not accounted for`)
        : h('span', { class: 'muted' }, '…'));
  });
  if (!lines.length) lines.push(h('p', { class: 'sum' }, 'produced ', h('b', {}, count(signal.produced)), ', no exporter takes them'));
  const reasons = Object.entries(signal.lost).flatMap(([stage, table]) => Object.entries(table).map(([reason, n]) => [stage, reason, n])).sort((a, b) => b[2] - a[2]);
  const discarded = Object.entries(signal.discarded);
  return h('div', { class: 'account' }, h('h3', {}, name), lines,
    reasons.length ? h('ul', { class: 'reasons' }, reasons.map(([stage, reason, n]) => h('li', {}, h('span', { class: 'bad' }, `lost ${count(n)}`), ' ', wire(reason, 80), h('span', { class: 'muted' }, ' at ', wire(stage, 80))))) : null,
    discarded.length ? h('ul', { class: 'reasons' }, discarded.map(([reason, n]) => h('li', {}, `discarded ${count(n)} `, wire(reason, 80)))) : null);
}
