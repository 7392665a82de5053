// #/trace/ID: where the time went, and which links are inferred.

import { h, fill, save, setText, wire, plain, copyButton } from './dom.js';
import { about, count, duration, time } from './format.js';
import { Refusal, agentNow, ask, link, objects, poll } from './api.js';
import { address, remember } from './router.js';
import { Waterfall, unlinkedText } from './waterfall.js';
import { meaning } from './service.js';

const EVERY = 2000;
const round = (ms) => Math.round(ms * 1000) / 1000;
const KINDS = { 1: 'internal', 2: 'server', 3: 'client', 4: 'producer', 5: 'consumer' };

/** What held when a parent was inferred, by method. */
const WHY = {
  thread: ['The thread had read the head of that request itself, to its end, and no other request since.', 'The response to that request was not complete when the call was made, and the thread itself gave it.', 'The thread held no other request meanwhile, and no thread of this process ever held two, or gave what another had read.', 'A read of the request, or of the response to the call, was one that waits: no event loop.'],
  tcp_seq: ['Both ends of the connection are on this host.', 'The first byte of the request has the same TCP sequence number at both ends; method and target agree, and so does one of the ports.', 'The caller sent no trace header: that would stand alone.'],
  unix_peer: ['Both ends of the unix socket are on this host.', 'The kernel names each as the peer of the other.'],
};

export function open({ route, setTitle, say, panel, ready }) {
  const id = route.parts[1] ?? '';
  let wanted = route.query.get('span');
  let changed = -1;
  let opened = false;
  let top = null;
  let chosen = null;

  const heading = h('h1', { tabindex: '-1' }, 'Trace ', h('code', {}, plain(id, 8)));
  const line = h('p', { class: 'status' });
  const search = h('input', { type: 'search', id: 'find', placeholder: 'find in trace', autocomplete: 'off', spellcheck: 'false' });
  const hits = h('span', { class: 'muted' });
  const way = h('input', { type: 'checkbox', id: 'way', on: { change: () => setWay(way.checked) } });
  const levels = (label, text, open) => h('button', { type: 'button', class: 'quiet', 'aria-label': label, title: label, on: { click: () => waterfall.levels(open) } }, text);
  const tools = h('div', { class: 'controls' }, h('label', { for: 'find', class: 'sr' }, 'Find in trace'), search, hits,
    levels('Fold one level', '− level', false), levels('Unfold one level', '+ level', true),
    h('label', { for: 'way', class: 'check' }, way, ' critical path'),
    copyButton('copy id', id), h('button', { type: 'button', class: 'quiet', on: { click: download } }, 'OTLP'));
  const aside = h('aside', { class: 'panel', 'aria-label': 'Span', hidden: true, tabindex: '-1' });
  const note = h('p', { class: 'aside', hidden: true }, 'Critical path: from the end backwards, always what ended last, over linked spans only.');
  const waterfall = new Waterfall({ onSelect: select, onZoom: (zoom) => remember({ t: zoom ? `${round(zoom.from)}ms..${round(zoom.to)}ms` : null }) });
  const split = h('div', { class: 'split' }, waterfall.element, aside);
  const gone = h('div', { class: 'empty', hidden: true });
  const element = h('div', { class: 'page' }, heading, line, tools, note, gone, split);

  search.addEventListener('input', () => setText(hits, search.value ? `${waterfall.search(search.value)} found` : (waterfall.search(''), '')));

  function setWay(on) {
    way.checked = on;
    note.hidden = !on;
    waterfall.setCritical(on);
  }

  const draw = panel(waterfall.element, (json) => {
    const spans = objects(json);
    waterfall.show(json, spans);
    top = spans.find((s) => s.parent === null) ?? spans[0];
    fill(heading, h('span', { class: 'svc' }, wire(json.services[top.service] || 'unknown', 80)), ' ', wire(top.name, 160), top.path ? [' ', h('span', { class: 'path' }, wire(top.path, 160))] : null);
    const parts = [
      duration(json.dur), `${count(json.total)} ${json.total === 1 ? 'span' : 'spans'}`,
      json.services.length === 1 ? '1 service' : `${json.services.length} services`,
      json.errors ? `${json.errors} ${json.errors === 1 ? 'error' : 'errors'}` : null,
      json.inferred ? `${json.inferred} inferred` : null,
      json.parts > 1 ? `${json.parts} parts, not linked` : null,
      json.gaps.length ? `${json.gaps.reduce((n, [, calls]) => n + calls, 0)} calls near it without a parent` : null,
      json.refused ? `${count(json.refused)} spans found no room in memory` : null,
      json.total > json.rows.length ? `showing ${count(json.rows.length)}: failed ones and those nearest the top` : null,
      time(json.start, agentNow()),
    ].filter(Boolean);
    fill(line, parts.map((text, i) => [i ? h('span', { class: 'sep', 'aria-hidden': 'true' }, '·') : null, h('span', { class: text.endsWith('error') || text.endsWith('errors') ? 'bad' : '' }, text)]),
      h('span', { class: 'aside' }, ' trace ', h('code', {}, json.id)));
  });

  const poller = poll(EVERY, () => ['view/trace', { id, changed: changed < 0 ? null : changed }], (json) => {
    ready();
    gone.hidden = true;
    split.hidden = false;
    if (json.unchanged || json.changed === changed) return;
    changed = json.changed;
    draw(json);
    setTitle();
    const [, from, to] = /^([\d.]+)ms\.\.([\d.]+)ms$/.exec(route.query.get('t') ?? '') ?? [];
    if (!opened && from) waterfall.setZoom({ from: Number(from), to: Number(to) });
    if (wanted) {
      const row = waterfall.reveal(wanted);
      wanted = null;
      if (row) waterfall.select(row, false);
    } else if (json.rows.length === 1 && !opened) {
      // One span alone is all there is to look at.
      waterfall.select(waterfall.rows.find((r) => r.kind === 'span'), false);
    }
    opened = true;
  }, (refusal) => {
    ready();
    poller.stop();
    tools.hidden = true;
    split.hidden = true;
    setText(line, '');
    gone.hidden = false;
    const body = refusal instanceof Refusal ? refusal.body : null;
    const held = body?.since ? ` (holds ${about((body.now - body.since) / 1000)}, since ${time(body.since, body.now)})` : '';
    const text = refusal.status === 404 ? `Trace ${plain(id.slice(0, 4))}… is not in memory${held}. It may be in your backend.` : refusal.message;
    fill(gone, h('p', {}, text), h('p', {}, h('a', { href: '#/traces' }, 'Traces in memory')));
    say(text);
  });

  async function select(span, node, enter) {
    chosen = span.id;
    remember({ span: span.id });
    const service = waterfall.trace.services[span.service] || 'unknown';
    const before = node.up && span.start < node.up.span.start ? duration(node.up.span.start - span.start) : null;
    aside.hidden = false;
    const details = h('div', {}, 'Loading…');
    fill(aside,
      h('div', { class: 'panel-head' },
        h('h2', {}, h('span', { class: 'svc' }, wire(service, 80)), ' ', wire(span.name, 160)),
        h('button', { type: 'button', class: 'quiet', 'aria-label': 'Close span', on: { click: closePanel } }, '×')),
      h('p', { class: 'facts-line' }, `${KINDS[span.kind] ?? 'span'} · ${duration(span.dur)} · starts at ${duration(span.start)}`),
      span.error !== null ? h('p', { class: 'bad' }, '▲ ', wire([span.status, span.error && span.error !== span.status ? `error.type=${span.error}` : null].filter(Boolean).join(', ') || 'error', 200)) : null,
      span.link !== null ? [h('p', { class: 'inferred' }, '~ parent inferred: ', wire(span.link, 60), span.confidence ? `, confidence ${Number(span.confidence).toFixed(2)}` : ''),
        WHY[span.link] ? h('details', { class: 'why' }, h('summary', {}, 'why'), h('ul', {}, WHY[span.link].map((text) => h('li', {}, text)))) : null]
        : span.parent && node.up ? h('p', { class: 'muted' }, 'parent read from a header, or the service itself') : null,
      span.reason && !node.up ? h('p', { class: 'unlinked' }, 'No parent drawn: ', h('code', {}, wire(span.reason, 60)), `, ${plain(meaning(span.reason), 120)}`) : null,
      waterfall.gaps.has(span.id) ? h('p', { class: 'muted' }, unlinkedText(waterfall.gaps.get(span.id)), ', ', plain(meaning(waterfall.gaps.get(span.id).reason), 120)) : null,
      span.parent && !node.up ? h('p', { class: 'muted' }, 'parent not seen: ', h('code', {}, span.parent)) : null,
      before ? h('p', { class: 'muted' }, `starts ${before} before its parent`) : null,
      details);
    if (enter) aside.focus();
    try {
      const json = await ask('view/span', { trace: id, span: span.id });
      if (chosen !== span.id) return;
      fill(details, body(json));
      const unlinked = aside.querySelector('.unlinked');
      if (unlinked && json.alike) unlinked.append(` (${count(json.alike)} like it in this service)`);
    } catch (error) {
      fill(details, h('p', { class: 'muted' }, error.message));
    }
  }

  function body(json) {
    return [
      json.message ? h('p', { class: 'bad' }, wire(json.message)) : null,
      block('Attributes', json.attrs), block('Resource', json.resource),
      json.events.length ? [h('h3', {}, 'Events'), json.events.map(([at, name, attrs]) => h('div', {}, h('p', {}, wire(name), h('span', { class: 'muted' }, ` ${time(at)}`)), list(attrs)))] : null,
      json.links.length ? [h('h3', {}, 'Links'), h('ul', {}, json.links.map(([trace]) => h('li', {}, h('a', { href: address(['trace', trace]) }, h('code', {}, trace)))))] : null,
      h('p', { class: 'muted' }, 'scope ', wire(json.scope, 80), ' · span ', h('code', {}, json.id), ' ', copyButton('copy', json.id)),
    ];
  }

  const block = (title, attrs) => (attrs.length ? [h('h3', {}, title), list(attrs)] : null);
  const list = (attrs) => h('dl', { class: 'attrs' }, attrs.map(([key, value]) => [h('dt', {}, wire(key, 160)), h('dd', {}, wire(value), copyButton('copy', value))]));

  function closePanel() {
    aside.hidden = true;
    chosen = null;
    waterfall.selected = null;
    remember({ span: null });
    waterfall.flatten();
    waterfall.focusAt(waterfall.at);
  }

  async function download() {
    const headers = link.token ? { authorization: `Bearer ${link.token}` } : {};
    const response = await fetch(`/api/v1/traces/${encodeURIComponent(id)}`, { headers });
    if (!response.ok) {
      say('The trace is no longer in memory.');
      return;
    }
    save(`telegen-${link.host}-trace-${id}.json`, await response.blob());
  }

  return {
    element,
    title: () => (top ? `${plain(top.name, 60)} trace` : 'Trace'),
    close() {
      poller.stop();
      waterfall.close();
    },
    question: () => [`traces/${id}`, {}],
    moved: (next) => next.parts[1] === id && next.query.get('span') === chosen,
    key(event) {
      if (event.key === 'Escape') {
        if (!aside.hidden) closePanel();
        else history.back();
        return true;
      }
      if (event.key === 'c') {
        setWay(!way.checked);
        return true;
      }
      if (event.key === '/') {
        search.focus();
        return true;
      }
      return waterfall.key(event);
    },
  };
}
