// #/map: who calls whom. A table of all edges, and a drawing of as many as a picture can hold.

import { h, fill, setText, wire, plain } from './dom.js';
import { NEEDED, NONE, about, count, duration, percent, quantile, rate } from './format.js';
import { poll } from './api.js';
import { address, asked, go, inRange, remember } from './router.js';
import { NODE, differs, layout, path, places } from './layout.js';
import { Table, chips, csvButton, filterBox, setCell } from './table.js';

const EVERY = 5000;
/** Layers of a drawing at most: a longer one is no map any more. */
const LAYERS = 12;
const ZOOMS = [0.5, 0.65, 0.8, 1, 1.25, 1.5, 2];

export function open({ route, setTitle, say, panel, ready, busy }) {
  const state = {
    q: route.query.get('q') ?? '',
    only: route.query.get('only') === 'failing',
    focus: route.query.get('focus'),
    ns: route.query.get('ns') ?? '',
    depth: route.query.get('depth') ?? '1',
    open: route.query.get('open') ?? '',
    sort: route.query.get('sort') ?? 'failing',
  };
  let last = null;
  let changed = false;

  const line = h('p', { class: 'status' });
  const only = h('input', { type: 'checkbox', id: 'only', checked: state.only });
  const depth = h('select', { id: 'depth', class: 'quiet' }, ['1', '2', '3'].map((n) => h('option', { value: n, selected: state.depth === n }, n)));
  const depthBox = h('label', { for: 'depth', class: 'check' }, 'steps ', depth);
  const box = filterBox({ id: 'filter', label: 'Filter edges', value: state.q, hint: 'filter: name, from:cart, error>1%, p95>200ms', change: (q) => change({ q }) });
  const active = h('div', { class: 'chips' });
  const picture = new Picture({
    select: (key) => table.mark((e) => touches(e, key)),
    unfold: (namespace) => [['map'], { q: state.q, only: state.only ? 'failing' : null, open: [...opened(), namespace].join() }],
  });
  const drawing = h('section', { class: 'map', 'aria-label': 'Drawing' });
  const shown = h('details', { class: 'draw' }, h('summary', {}, 'Draw'), drawing);
  const csv = csvButton('edges', () => table);

  const table = new Table({
    caption: 'Who calls whom',
    columns: [
      { key: 'from', label: 'From', sort: 'from', up: true, cell: (e) => end(e.from), csv: (e) => e.from[0] },
      { key: 'to', label: 'To', sort: 'to', up: true, cell: (e) => end(e.to, e.port), csv: (e) => e.to[0] },
      { key: 'rate', label: 'Rate', sort: 'rate', number: true, update: (c, e) => setCell(c, e.count === null ? NONE : rate(e.rate), e.count === null ? 'seen in traces; how often is not known' : null) },
      { key: 'errors', label: 'Errors', sort: 'errors', number: true, csv: (e) => e.error_ratio, update: updateErrors },
      { key: 'p50', label: 'p50', sort: 'p50', number: true, update: (c, e) => setCell(c, ...quantile(e.p50 ?? null, e.count ?? 0, NEEDED.p50)) },
      { key: 'p95', label: 'p95', sort: 'p95', number: true, update: (c, e) => setCell(c, ...quantile(e.p95 ?? null, e.count ?? 0, NEEDED.p95)) },
      { key: 'ends', label: 'Ends seen', csv: (e) => ends(e), update: (c, e) => setCell(c, ends(e), e.idle_s > 90 ? `idle ${about(e.idle_s)}` : null) },
    ],
    onSort: (key) => change({ sort: state.sort === key ? `-${key}` : key }),
    size: 25,
    className: 'edges',
  });
  table.setSort(state.sort);

  const element = h('div', { class: 'page' },
    h('h1', { tabindex: '-1', class: 'sr' }, 'Map'), line,
    h('div', { class: 'controls' }, box.element, h('label', { for: 'only', class: 'check' }, only, ' only failing'), depthBox, csv),
    active, shown, table.element);
  // Narrow screens have the table; the drawing is there when asked for.
  shown.open = innerWidth > 720;
  shown.addEventListener('toggle', () => last && draw(last));
  fill(drawing, picture.element);

  only.addEventListener('change', () => change({ only: only.checked }));
  depth.addEventListener('change', () => change({ depth: depth.value }));

  /** Namespaces that are unfolded. A comma parts them: one with a comma in its name stays folded. */
  function opened() {
    return state.open.split(',').filter(Boolean);
  }

  function change(changes) {
    Object.assign(state, changes);
    changed = true;
    only.checked = state.only;
    remember({
      q: state.q, only: state.only ? 'failing' : null, focus: state.focus, ns: state.focus ? state.ns : null,
      depth: state.focus && state.depth !== '1' ? state.depth : null, open: state.open, sort: state.sort === 'failing' ? null : state.sort,
    });
    table.setSort(state.sort);
    setControls();
    if ('sort' in changes && last) {
      rows(last);
    } else {
      busy();
      poller.wake();
    }
  }

  function setControls() {
    depthBox.hidden = !state.focus;
    const list = state.focus ? [['around ', state.focus, () => change({ focus: null, ns: '' })]] : [];
    opened().forEach((n) => list.push(['unfolded ', n, () => change({ open: opened().filter((o) => o !== n).join() })]));
    chips(active, state.q, (q) => { box.set(q); change({ q }); }, list);
  }

  const draw = panel(drawing, (json) => {
    if (!drawing.contains(picture.element)) fill(drawing, picture.element);
    if (shown.open) picture.show(json, state.focus ? nodeKey(state.focus, state.ns) : null);
  });

  function rows(json) {
    const by = state.sort.replace(/^-/, '');
    const list = json.edges.map((e) => [`${e.from.join('\u0000')}\u0001${e.to.join('\u0000')}\u0001${e.port}`, e]);
    const value = { from: (e) => e.from[0], to: (e) => e.to[0], rate: (e) => e.rate, errors: (e) => e.error_ratio, p50: (e) => e.p50, p95: (e) => e.p95 }[by];
    if (value) {
      const down = ['from', 'to'].includes(by) === state.sort.startsWith('-') ? -1 : 1;
      list.sort(([, a], [, b]) => {
        const [x, y] = [value(a) ?? null, value(b) ?? null];
        if (x === null || y === null) return (x === null) - (y === null);
        return typeof x === 'string' ? (x < y ? -1 : x > y ? 1 : 0) * down : (['from', 'to'].includes(by) ? 0 : (y - x) * (state.sort.startsWith('-') ? -1 : 1));
      });
    }
    table.show(list, { keepOrder: table.busy && !changed });
    changed = false;
  }

  const drawTable = panel(table.element, rows);

  const poller = poll(EVERY, () => ['view/map', { q: state.q, only: state.only ? 'failing' : null, focus: state.focus, ns: state.focus ? state.ns : null, depth: state.focus ? state.depth : null, open: state.open, ...asked() }], (json) => {
    last = json;
    box.wrong('');
    const services = json.nodes.reduce((sum, n) => sum + (n.outside ? 0 : n.services ?? 1), 0);
    const drawn = json.drawn.length;
    const cut = json.matching > json.drawn.length && services < json.total_nodes;
    const folded = json.folded ? `${count(json.folded)} ${json.folded === 1 ? 'namespace is' : 'namespaces are'} one node each: choose one and open it to unfold` : '';
    setText(line, `${count(json.total_nodes)} ${json.total_nodes === 1 ? 'service' : 'services'} · ${count(json.total_edges)} ${json.total_edges === 1 ? 'edge' : 'edges'}${json.matching < json.total_edges ? ` · ${count(json.matching)} match` : ''} · ${inRange(json)}`);
    picture.note(folded || !cut ? folded : `Showing ${count(services)} of ${count(json.total_nodes)} services, ${count(drawn)} of ${count(json.matching)} edges · the table has ${json.matching > json.edges.length ? `the first ${count(json.edges.length)}` : 'all'}`);
    setEmpty(json);
    draw(json);
    drawTable(json);
    ready();
    setTitle();
  }, (refusal) => {
    box.wrong(refusal.message);
    ready();
  });

  function setEmpty(json) {
    shown.hidden = json.nodes.length === 0;
    if (json.edges.length) return;
    if (json.total_edges) {
      const what = state.q ? `No edge matches "${plain(state.q, 60)}".` : state.only ? 'No edge is failing.' : `Nobody calls "${plain(state.focus ?? '', 60)}", and it calls nobody.`;
      table.setEmpty(h('p', {}, what, ' ', h('button', { type: 'button', class: 'link', on: { click: clear } }, 'Clear filter (Esc)')));
      say(what);
    } else if (json.tracing) {
      table.setEmpty(h('p', {}, `Tracing is off: ${json.tracing.replace(/\.$/, '')}. Run `, h('code', {}, 'telegen doctor'), ' for the remedy.'));
    } else {
      table.setEmpty(h('p', {}, `No calls seen ${inRange(json)}.`), h('p', {}, h('a', { href: '#/telegen/processes' }, 'What is watched and why')));
    }
  }

  function clear() {
    box.set('');
    change({ q: '', only: false, focus: null, ns: '' });
  }

  setControls();
  return {
    element,
    title: () => (state.focus ? `Map around ${plain(state.focus, 40)}` : 'Map'),
    close: () => poller.stop(),
    range: () => poller.wake(),
    question: () => ['view/map', asked()],
    moved(next) {
      if ((next.query.get('focus') ?? null) !== state.focus) return false;
      return next.query.get('q') === (state.q || null) && (next.query.get('open') ?? '') === state.open;
    },
    key(event) {
      const step = { j: 1, ArrowDown: 1, k: -1, ArrowUp: -1 }[event.key];
      if (step) {
        if (picture.element.contains(document.activeElement)) return false;
        table.move(step);
        return true;
      }
      if (event.key === 'Escape' && picture.clear()) return true;
      if (event.key === 'Escape' && (state.q || state.only || state.focus)) {
        clear();
        return true;
      }
      if ('+-0'.includes(event.key)) {
        picture.zoomBy({ '+': 1, '-': -1, 0: 0 }[event.key]);
        return true;
      }
      return false;
    },
  };
}

const nodeKey = (name, namespace) => `${name}\u0002${namespace}`;
const foldKey = (namespace) => `\u0004${namespace}`;
const isAt = ([name, namespace, here], key) => nodeKey(name, namespace) === key || (here && foldKey(namespace) === key);
const touches = ({ from, to }, key) => key !== null && (isAt(from, key) || isAt(to, key));

function end([name, namespace, here], port) {
  if (here) return h('a', { href: address(['service', name], { ns: namespace }) }, wire(name, 120));
  return [wire(name || 'unknown', 120), port ? h('span', { class: 'muted' }, `:${port}`) : null, h('span', { class: 'ns' }, 'outside')];
}

function ends({ ends: [client, server] }) {
  return client && server ? 'both' : client ? 'caller' : server ? 'called' : NONE;
}

function updateErrors(cell, e) {
  if (e.error_ratio === null || e.error_ratio === undefined) setCell(cell, NONE, e.count === null ? 'not known' : 'no requests in the range');
  else setCell(cell, e.error_ratio > 0 ? `▲ ${percent(e.error_ratio)}` : '0', null, e.error_ratio > 0 ? 'bad' : '');
}

/** The drawing. Nodes are links; the chosen one shows the numbers of its edges. */
class Picture {
  constructor({ select, unfold }) {
    this.onSelect = select;
    this.unfold = unfold;
    this.placed = null;
    this.chosen = null;
    this.zoom = null;
    this.words = h('p', { class: 'aside' });
    this.again = h('button', { type: 'button', class: 'link', hidden: true, on: { click: () => this.rearrange() } }, 'Re-arrange');
    const button = (text, name, step) => h('button', { type: 'button', class: 'quiet', 'aria-label': name, title: name, on: { click: () => this.zoomBy(step) } }, text);
    this.frame = h('div', { class: 'map-frame', role: 'group', tabindex: '0', 'aria-label': 'Map of services; the table below says the same' });
    this.element = h('div', {}, this.frame,
      h('div', { class: 'map-tools' }, this.words, this.again, button('−', 'Smaller (-)', -1), button('+', 'Larger (+)', 1), button('fit', 'Fit (0)', 0)));
  }

  note(text) {
    setText(this.words, text);
  }

  /** Shows nodes and edges; what is there already keeps its place. */
  show(json, focus) {
    this.json = json;
    this.focus = focus;
    const { nodes, edges } = split(json);
    this.frame.hidden = nodes.length === 0;
    if (!nodes.length) return;
    const fresh = layout(nodes, edges);
    const same = this.placed && nodes.every((n) => this.placed.nodes.has(n.key)) && nodes.length === this.placed.nodes.size;
    const kin = this.placed && nodes.filter((n) => this.placed.nodes.has(n.key)).length >= nodes.length / 2;
    // Another filter is another picture; the same one with a few nodes more keeps what stands.
    const held = this.placed && (same || kin) && this.at === focus ? layout(nodes, edges, this.placed) : null;
    this.at = focus;
    this.placed = held ?? fresh;
    this.again.hidden = !held || !differs(held, fresh);
    const deep = this.placed.layers > LAYERS;
    this.frame.hidden = deep;
    if (deep) this.note(`${this.placed.layers} services in a row call one another: choose one, or filter, to see a drawing. The table has all.`);
    else this.paint(nodes, edges);
  }

  rearrange() {
    this.placed = null;
    this.show(this.json, this.focus);
  }

  paint(nodes, edges) {
    const data = new Map(edges.map((e) => [`${e.from}\u0001${e.to}`, e]));
    const key = JSON.stringify([nodes, edges, [...this.placed.nodes], this.chosen]);
    if (this.key === key) return;
    this.key = key;
    const focused = document.activeElement?.dataset?.node;
    const busiest = new Set([...edges].filter((e) => e.rate > 0).sort((a, b) => b.rate - a.rate).slice(0, 10));
    const lines = [];
    const labels = [];
    const taken = [];
    for (const e of this.placed.edges) {
      const d = data.get(`${e.from}\u0001${e.to}`);
      if (!d) continue;
      const mine = this.chosen !== null && (d.from === this.chosen || d.to === this.chosen);
      const weight = d.rate > 100 ? 3 : d.rate > 10 ? 2 : 1;
      const shape = path(e.points);
      const dim = this.chosen !== null && !mine;
      const edgeClass = `edge w${weight}${d.failing ? ' bad' : ''}${dim ? ' dim' : ''}${mine ? ' mine' : ''}${d.rate === null ? ' unsure' : ''}`;
      lines.push(h('path', { class: edgeClass, d: shape }));
      if (d.failing) lines.push(h('path', { class: `edge inner${dim ? ' dim' : ''}`, d: shape }));
      lines.push(arrow(e.points, `head${d.failing ? ' bad' : ''}${dim ? ' dim' : ''}`));
      if (dim || !(mine || d.failing || busiest.has(d))) continue;
      const text = [d.rate === null ? null : rate(d.rate), d.failing ? `▲ ${percent(d.error_ratio)}` : null, mine && d.p95 ? `p95 ${duration(d.p95)}` : null].filter(Boolean);
      const wide = Math.max(...text.map((t) => t.length)) * 6.2;
      const free = ([px, py]) => taken.every(([tx, ty, tw, tall]) => Math.abs(px - tx) > (wide + tw) / 2 || Math.abs(py - ty) > 7 * (text.length + tall) - 1);
      const all = places(e.points);
      // Better none than two in one place; what fails or was asked for is told all the same.
      const place = all.find(free) ?? all.map(([px, py]) => [px, py + 13]).find(free) ?? (mine || d.failing ? all[0] : null);
      if (!place) continue;
      const [x, y] = place;
      taken.push([x, y, wide, text.length]);
      text.forEach((t, i) => labels.push(h('text', { class: `edge-label${d.failing && t.startsWith('▲') ? ' bad' : ''}`, x, y: y + 4 - (text.length - 1) * 6.5 + i * 13, 'text-anchor': 'middle' }, t)));
    }
    const boxes = nodes.map((n) => this.node(n, this.placed.nodes.get(n.key)));
    const { width, height } = this.placed;
    this.svg = h('svg', { class: 'map-svg', viewBox: `0 0 ${width} ${height}`, role: 'group', 'aria-label': `${nodes.length} nodes, ${edges.length} edges`, focusable: 'false' },
      h('g', { 'aria-hidden': 'true' }, lines), boxes, h('g', { 'aria-hidden': 'true' }, labels));
    fill(this.frame, this.svg);
    this.scale();
    if (focused) this.frame.querySelector(`[data-node="${CSS.escape(focused)}"]`)?.focus({ preventScroll: true });
  }

  node(n, { x, y }) {
    const [left, top] = [x - NODE.width / 2, y - NODE.height / 2];
    const chosen = this.chosen === n.key;
    const bad = n.failing || n.failing_services > 0;
    const numbers = n.outside ? `${count(n.count)} ${n.count === 1 ? 'peer' : 'peers'}` : n.folded !== undefined ? `${count(n.services)} services` : n.rate === null ? (n.unread ? 'seen, not read' : 'makes calls only') : rate(n.rate);
    const share = !n.outside && n.error_ratio > 0 ? percent(n.error_ratio) : null;
    const name = plain(n.outside ? n.label : n.folded ?? n.name, 200);
    const shown = fitted(name);
    const spoken = n.folded === undefined ? `${name}, ${numbers}` : `namespace ${name}, ${numbers} as one node${n.failing_services ? `, ${n.failing_services} failing` : ''}: unfold`;
    const parts = [
      n.outside || n.folded !== undefined ? h('title', {}, spoken) : null,
      n.folded === undefined ? null : h('rect', { class: 'box behind', x: left + 5, y: top - 5, width: NODE.width, height: NODE.height, rx: 4 }),
      h('rect', { class: 'box', x: left, y: top, width: NODE.width, height: NODE.height, rx: 4 }),
      n.unread ? h('rect', { fill: 'url(#hatch)', x: left + 1, y: top + NODE.height - 7, width: NODE.width - 2, height: 6 }) : null,
      h('text', { class: 'node-name', x: left + 12, y: top + 20 }, shown),
      h('text', { class: 'node-rate', x: left + 12, y: top + 37 }, ` ${numbers}`, share ? h('tspan', { class: bad ? 'bad' : '', dx: 6 }, ` ${bad ? '▲ ' : ''}${share}`) : null),
    ];
    const classes = `node${bad ? ' failing' : ''}${chosen ? ' chosen' : ''}${n.outside ? ' outside' : ''}${n.key === this.focus ? ' focus' : ''}`;
    if (n.outside) return h('g', { class: classes, role: 'img', 'aria-label': spoken }, parts);
    const target = n.folded === undefined ? [['service', n.name], { ns: n.namespace }] : this.unfold(n.folded);
    const link = h('svg:a', { class: classes, href: address(...target), 'data-node': n.key, 'aria-label': n.folded === undefined ? null : spoken }, parts);
    // The first click chooses, the second goes there; Enter goes, for focus has chosen already.
    let before = null;
    link.addEventListener('pointerdown', () => { before = this.chosen; });
    link.addEventListener('focus', () => this.choose(n.key));
    link.addEventListener('click', (event) => {
      if (event.detail > 0 && before !== n.key) {
        event.preventDefault();
        this.choose(n.key);
      }
    });
    if (n.folded === undefined) link.addEventListener('dblclick', () => go(['map'], { focus: n.name, ns: n.namespace }));
    return link;
  }

  choose(key) {
    if (this.chosen === key) return;
    this.chosen = key;
    this.onSelect(key);
    const { nodes, edges } = split(this.json);
    this.paint(nodes, edges);
  }

  /** Lets go of the chosen node; false when there was none. */
  clear() {
    if (this.chosen === null) return false;
    this.choose(null);
    return true;
  }

  scale() {
    const { width, height } = this.placed;
    const fit = Math.max(0.5, Math.min(1.15, (this.frame.clientWidth - 2) / width));
    const zoom = this.zoom ?? fit;
    this.svg.setAttribute('width', Math.round(width * zoom));
    this.svg.setAttribute('height', Math.round(height * zoom));
  }

  /** One step larger or smaller; 0 fits the frame again. */
  zoomBy(step) {
    if (!this.svg) return;
    const now = this.svg.getAttribute('width') / this.placed.width;
    if (step === 0) this.zoom = null;
    else this.zoom = step > 0 ? ZOOMS.find((z) => z > now + 0.01) ?? ZOOMS.at(-1) : ZOOMS.findLast((z) => z < now - 0.01) ?? ZOOMS[0];
    this.scale();
  }
}

let pen = null;

/** As much of a name as there is room for in a node. */
function fitted(name) {
  pen ??= document.createElement('canvas').getContext('2d');
  pen.font = '600 13px system-ui, sans-serif';
  const room = NODE.width - 22;
  let letters = [...name].slice(0, 60);
  if (letters.length === [...name].length && pen.measureText(name).width <= room) return name;
  while (letters.length && pen.measureText(`${letters.join('')}…`).width > room) letters = letters.slice(0, -1);
  return `${letters.join('')}…`;
}

/** Nodes and edges with keys; who is outside stands left when it calls, right when it is called. */
function split(json) {
  const key = (n) => (n.folded === undefined ? nodeKey(n.name, n.namespace) : foldKey(n.folded));
  const nodes = [];
  const out = json.nodes.findIndex((n) => n.outside);
  json.nodes.forEach((n) => n.outside || nodes.push({ ...n, key: key(n) }));
  const at = (i, left) => (i === out ? (left ? '\u0003in' : '\u0003out') : key(json.nodes[i]));
  const edges = json.drawn.map((e) => ({ ...e, from: at(e.from, true), to: at(e.to, false) }));
  if (edges.some((e) => e.from === '\u0003in')) nodes.push({ key: '\u0003in', outside: true, label: 'callers outside', count: json.outside[0] });
  if (edges.some((e) => e.to === '\u0003out')) nodes.push({ key: '\u0003out', outside: true, label: 'outside', count: json.outside[1] });
  return { nodes, edges };
}

function arrow(points, className) {
  const [x, y] = points.at(-1);
  const side = points.at(-2)[0] < x ? -7 : 7;
  return h('path', { class: className, d: `M${x} ${y}l${side} -4v8Z` });
}
