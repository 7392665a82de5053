// Spans as a tree in time. Nothing is smoothed: no span is moved, no orphan is hung under the root, and what is inferred
// looks inferred.

import { h, fill, setVar, wire, plain } from './dom.js';
import { duration } from './format.js';

const FOLD_FROM = 5;
const OVERSCAN = 12;

/** Builds the tree of a trace: parts (tops without a parent here), children by start, look-alike siblings folded. */
export function tree(spans) {
  const byId = new Map(spans.map((s) => [s.id, { span: s, children: [], up: null }]));
  const tops = [];
  for (const node of byId.values()) {
    const up = node.span.parent ? byId.get(node.span.parent) : null;
    if (up && up !== node && !above(up, node)) {
      node.up = up;
      up.children.push(node);
    } else {
      tops.push(node);
    }
  }
  const byStart = (a, b) => a.span.start - b.span.start;
  for (const node of byId.values()) node.children.sort(byStart);
  tops.sort((a, b) => Boolean(a.span.parent) - Boolean(b.span.parent) || byStart(a, b));
  return { tops, byId, parts: parts(tops) };
}

/** Tops that name the same parent, which was not seen, belong together: `[missing, tops]`, in the order of their start. */
function parts(tops) {
  const found = new Map();
  for (const top of tops) {
    const key = top.span.parent ?? top;
    if (!found.has(key)) found.set(key, []);
    found.get(key).push(top);
  }
  return [...found].map(([key, list]) => [typeof key === 'string' ? key : null, list]);
}

/** The top that lasts longest: where the time went is asked of it. */
const longest = (tops) => tops.reduce((a, b) => (b.span.dur > a.span.dur ? b : a), tops[0]);

/** Whether `node` stands above `from`: parents that go round in a circle are no tree. */
function above(from, node) {
  for (let at = from; at; at = at.up) if (at === node) return true;
  return false;
}

/** Children with five or more siblings of one service, name and outcome as one. */
function grouped(children) {
  const groups = new Map();
  for (const child of children) {
    if (child.children.length || child.span.error !== null) continue;
    const key = `${child.span.service}|${child.span.name}|${child.span.status}`;
    if (!groups.has(key)) groups.set(key, []);
    groups.get(key).push(child);
  }
  const out = [];
  const done = new Set();
  for (const child of children) {
    if (done.has(child)) continue;
    const key = `${child.span.service}|${child.span.name}|${child.span.status}`;
    const group = groups.get(key);
    if (group && group.length >= FOLD_FROM && group.includes(child)) {
      group.forEach((c) => done.add(c));
      out.push({ fold: group, id: `fold:${group[0].span.id}` });
    } else {
      out.push(child);
    }
  }
  return out;
}

/**
 * Where the time of a trace went: from its end backwards, always the child that ended last, over linked spans only.
 * Gives the stretches `[from, to]` of each span on that way, by id.
 */
export function critical(top) {
  const way = new Map();
  const walk = (node, until) => {
    let end = Math.min(until, node.span.start + node.span.dur);
    const own = [];
    const children = node.children.filter((c) => c.span.start < end).sort((a, b) => b.span.start + b.span.dur - a.span.start - a.span.dur);
    for (const child of children) {
      const stop = Math.min(child.span.start + child.span.dur, end);
      if (stop <= Math.max(child.span.start, node.span.start)) continue;
      if (stop < end) own.push([stop, end]);
      walk(child, stop);
      end = Math.max(node.span.start, child.span.start);
    }
    if (end > node.span.start || !own.length) own.push([node.span.start, end]);
    way.set(node.span.id, own);
  };
  if (top) walk(top, top.span.start + top.span.dur);
  return way;
}

/** The waterfall of one trace. `onSelect(span)` is called when a row is chosen. */
export class Waterfall {
  constructor({ onSelect, onZoom = () => {} }) {
    this.onSelect = onSelect;
    this.onZoom = onZoom;
    this.way = null;
    this.folded = new Set();
    this.unfolded = new Set();
    this.rows = [];
    this.mounted = new Map();
    this.focus = null;
    this.selected = null;
    this.zoom = null;
    this.find = '';
    this.group = h('div', { class: 'wf-rows', role: 'rowgroup' });
    this.axis = h('div', { class: 'wf-axis', 'aria-hidden': 'true' });
    this.head = h('div', { class: 'wf-head', role: 'row' },
      h('div', { class: 'wf-name', role: 'columnheader' }, 'Service · operation'),
      h('div', { class: 'wf-time', role: 'columnheader' }, h('span', { class: 'sr' }, 'Time'), this.axis),
      h('div', { class: 'wf-dur', role: 'columnheader' }, 'Duration'));
    this.scroller = h('div', { class: 'wf-body' }, this.group);
    this.strip = new Strip((zoom) => this.setZoom(zoom));
    this.grid = h('div', { class: 'wf', role: 'treegrid', 'aria-label': 'Spans of this trace' }, h('div', { class: 'wf-headgroup', role: 'rowgroup' }, this.head), this.scroller);
    this.element = h('div', { class: 'wf-frame' }, this.strip.element, this.grid);
    addEventListener('scroll', this.onScroll = () => this.mount(), { passive: true });
    addEventListener('resize', this.onScroll);
    this.group.addEventListener('click', (event) => {
      const row = this.rowOf(event.target);
      if (!row) return;
      if (event.target.closest('.twig')) this.toggle(row);
      else if (row.kind === 'fold') this.toggle(row);
      else this.select(row, false);
    });
  }

  close() {
    removeEventListener('scroll', this.onScroll);
    removeEventListener('resize', this.onScroll);
  }

  /** Shows a trace: spans as objects, `dur` in ms. */
  show(trace, spans) {
    const first = !this.trace || this.trace.id !== trace.id;
    this.trace = trace;
    this.gaps = new Map((trace.gaps ?? []).map(([id, calls, reason]) => [id, { calls, reason }]));
    this.tree = tree(spans);
    if (this.way) this.way = critical(longest(this.tree.tops));
    this.colours = new Map();
    for (const s of [...spans].sort((a, b) => a.start - b.start)) {
      if (!this.colours.has(s.service)) this.colours.set(s.service, this.colours.size);
    }
    if (first) this.foldDeep(spans.length);
    const at = this.group.contains(document.activeElement) ? this.rows[this.at]?.id : null;
    if (at) this.redraw(at);
    else this.flatten();
    this.strip.show(this.tree, trace, this.colours, this.zoom);
  }

  /** Shows the critical path, or hides it. */
  setCritical(on) {
    this.way = on ? critical(longest(this.tree.tops)) : null;
    this.redraw(this.rows[this.at]?.id);
  }

  /** In large traces what is deep folds, but never an error nor what stands above one. */
  foldDeep(size) {
    if (size <= 200) return;
    const walk = (node, depth) => {
      const failing = node.children.map((c) => walk(c, depth + 1)).some(Boolean) || node.span.error !== null;
      if (depth > 3 && !failing && node.children.length) this.folded.add(node.span.id);
      return failing;
    };
    this.tree.tops.forEach((top) => walk(top, 1));
  }

  flatten() {
    const rows = [];
    const matches = (node) => !this.find || `${this.trace.services[node.span.service]} ${node.span.name}`.toLowerCase().includes(this.find);
    const put = (node, level, position, size, guides) => {
      const open = node.children.length > 0 && !this.folded.has(node.span.id);
      rows.push({ kind: 'span', id: node.span.id, node, level, position, size, guides, open, hit: this.find !== '' && matches(node) });
      if (!open) return;
      const kids = grouped(node.children);
      kids.forEach((kid, i) => {
        const deeper = [...guides, i < kids.length - 1];
        if (!kid.fold) {
          put(kid, level + 1, i + 1, kids.length, deeper);
        } else if (this.unfolded.has(kid.id)) {
          rows.push({ kind: 'fold', id: kid.id, fold: kid.fold, level: level + 1, position: i + 1, size: kids.length, guides: deeper, open: true });
          kid.fold.forEach((c, j) => put(c, level + 2, j + 1, kid.fold.length, [...deeper, j < kid.fold.length - 1]));
        } else {
          rows.push({ kind: 'fold', id: kid.id, fold: kid.fold, level: level + 1, position: i + 1, size: kids.length, guides: deeper, open: false });
        }
      });
    };
    this.tree.parts.forEach(([missing, tops], i) => {
      if (i > 0 || missing) rows.push({ kind: 'part', id: `part:${tops[0].span.id}`, number: i + 1, missing, top: tops[0], level: 1 });
      tops.forEach((top, j) => put(top, 1, j + 1, tops.length, []));
    });
    this.rows = rows;
    const wanted = this.selected ?? this.focus;
    this.at = Math.max(0, rows.findIndex((r) => r.id === wanted));
    if (!rows[this.at] || rows[this.at].kind === 'part') this.at = rows.findIndex((r) => r.kind !== 'part');
    this.grid.setAttribute('aria-rowcount', String(rows.length + 1));
    setVar(this.group, 'rows', rows.length);
    this.mounted.forEach(({ el }) => el.remove());
    this.mounted.clear();
    this.ticks();
    this.mount();
  }

  window() {
    return this.zoom ?? { from: 0, to: Math.max(this.trace.dur, 0.001) };
  }

  ticks() {
    const { from, to } = this.window();
    fill(this.axis, [0, 0.25, 0.5, 0.75].map((part) => h('span', { vars: { at: part * 100 } }, duration(from + (to - from) * part))));
  }

  height() {
    return document.documentElement.dataset.density === 'compact' ? 24 : 28;
  }

  /** Mounts the rows that can be seen, and a few around them. */
  mount() {
    if (!this.element.isConnected || !this.rows.length) return;
    const tall = this.height();
    const top = this.group.getBoundingClientRect().top;
    const from = Math.max(0, Math.floor(-top / tall) - OVERSCAN);
    const to = Math.min(this.rows.length, Math.ceil((innerHeight - top) / tall) + OVERSCAN);
    for (const [i, { el }] of this.mounted) {
      // The row with the focus stays: a screen reader is there.
      if ((i < from || i >= to) && !el.contains(document.activeElement)) {
        el.remove();
        this.mounted.delete(i);
      }
    }
    for (let i = from; i < to; i += 1) {
      if (this.mounted.has(i)) continue;
      const el = this.make(this.rows[i], i);
      this.mounted.set(i, { el });
      const after = [...this.mounted.keys()].filter((k) => k > i).sort((a, b) => a - b)[0];
      this.group.insertBefore(el, after === undefined ? null : this.mounted.get(after).el);
    }
  }

  rowOf(target) {
    const el = target.closest('.wf-row');
    return el ? this.rows[Number(el.dataset.index)] : null;
  }

  make(row, index) {
    if (row.kind === 'part') return this.makePart(row, index);
    const fold = row.kind === 'fold';
    const span = fold ? row.fold[0].span : row.node.span;
    const service = this.trace.services[span.service] || 'unknown';
    const colour = this.colours.get(span.service) ?? 0;
    const kids = fold || row.node.children.length > 0;
    const inferred = span.link !== null;
    const failed = !fold && span.error !== null;
    const orphan = !fold && row.node.up === null && span.parent !== null;
    const guides = row.guides.map((more, i) => h('span', { class: `guide${more || i === row.guides.length - 1 ? '' : ' end'}${i === row.guides.length - 1 && inferred ? ' dotted' : ''}` }));
    const twig = kids ? h('span', { class: 'twig', 'aria-hidden': 'true' }, row.open ? '▾' : '▸') : h('span', { class: 'twig' });
    const name = h('div', { class: 'wf-name', role: 'rowheader' }, guides, orphan ? h('span', { class: 'stub' }) : null, twig,
      inferred && !fold ? h('span', { class: 'inferred mark' }, '~') : null,
      failed ? h('span', { class: 'bad mark' }, '▲') : null,
      fold ? h('span', { class: 'times mark' }, `× ${row.fold.length}`) : null,
      h('span', { class: 'svc' }, wire(service, 60)), ' ', h('span', { class: 'op' }, wire(span.name, 120), span.path ? [' ', h('span', { class: 'path' }, wire(span.path, 120))] : null),
      inferred && !fold ? h('span', { class: 'inferred' }, ' ', wire(`${span.link}${span.confidence ? ` ${Number(span.confidence).toFixed(2).replace(/^0/, '')}` : ''}`, 40)) : null);
    const el = h('div', {
      class: `wf-row${this.way && !fold && this.way.has(span.id) ? ' way' : ''}${failed ? ' failed' : ''}${row.id === this.selected ? ' selected' : ''}${row.hit ? ' hit' : ''}`,
      role: 'row', 'data-index': index, 'aria-rowindex': index + 2, 'aria-level': row.level, 'aria-posinset': row.position, 'aria-setsize': row.size,
      'aria-expanded': kids ? String(row.open) : null, 'aria-selected': String(row.id === this.selected), tabindex: index === this.at ? '0' : '-1', 'aria-label': this.spoken(row, service), vars: { i: index },
    }, name,
    h('div', { class: 'wf-time', role: 'gridcell' }, fold ? this.foldBars(row.fold, colour) : this.bar(row, span, colour)),
    h('div', { class: 'wf-dur', role: 'gridcell' }, fold ? between(row.fold.map((c) => c.span.dur)) : duration(span.dur)));
    el.addEventListener('focus', () => {
      this.at = index;
      this.focus = row.id;
    });
    return el;
  }

  makePart(row, index) {
    const { missing } = row;
    const which = this.tree.parts.length > 1 ? `Part ${row.number}: ` : '';
    return h('div', { class: 'wf-row part', role: 'row', 'data-index': index, 'aria-rowindex': index + 2, 'aria-level': 1, vars: { i: index } },
      h('div', { role: 'rowheader', class: 'wf-part' }, which,
        missing ? ['parent not seen (', h('code', {}, `${missing.slice(0, 8)}…`), row.top.span.peer ? [', sent by ', wire(row.top.span.peer, 60)] : null, ')'] : 'no parent named'));
  }

  place(start, dur) {
    const { from, to } = this.window();
    const scale = 100 / (to - from);
    const left = (start - from) * scale;
    return { left: Math.max(-1, Math.min(101, left)), wide: Math.max(0, Math.min(102, left + dur * scale) - Math.max(-1, left)), seen: left < 101 && left + dur * scale > -1 };
  }

  bar(row, span, colour) {
    const { left, wide, seen } = this.place(span.start, span.dur);
    if (!seen) return null;
    const parts = [];
    const gap = this.gaps.get(span.id);
    if (gap) parts.push(h('span', { class: 'wf-gap', title: unlinkedText(gap), vars: { left, wide } }));
    parts.push(h('span', { class: `wf-bar s${(colour % 8) + 1}${colour >= 8 ? ' striped' : ''}${span.error !== null ? ' failed' : ''}`, vars: { left, wide } }));
    for (const [from, to] of this.way?.get(span.id) ?? []) {
      const piece = this.place(from, to - from);
      if (piece.seen) parts.push(h('span', { class: 'wf-way', vars: { left: piece.left, wide: piece.wide } }));
    }
    if (!row.open && row.node.children.length) {
      const end = lastEnd(row.node);
      const extent = this.place(span.start, Math.max(0, end - span.start));
      if (end > span.start + span.dur) parts.unshift(h('span', { class: 'wf-extent', vars: { left: extent.left, wide: extent.wide } }));
    }
    const up = row.node.up?.span;
    if (up && span.start < up.start) parts.push(h('span', { class: 'wf-note', title: `starts ${plain(duration(up.start - span.start))} before its parent`, vars: { left } }, '◂'));
    return parts;
  }

  foldBars(fold, colour) {
    return fold.slice(0, 200).map((c) => {
      const { left, wide, seen } = this.place(c.span.start, c.span.dur);
      return seen ? h('span', { class: `wf-bar thin s${(colour % 8) + 1}`, vars: { left, wide } }) : null;
    });
  }

  spoken(row, service) {
    if (row.kind === 'fold') return `${row.fold.length} times ${plain(service, 60)} ${plain(row.fold[0].span.name, 80)}`;
    const s = row.node.span;
    const parts = [`${plain(service, 60)} ${plain(s.name, 80)}${s.path ? ` ${plain(s.path, 80)}` : ''}`];
    if (s.error !== null) parts.push(`error ${plain(s.error || s.status || '', 40)}`);
    parts.push(`starts at ${duration(s.start)}`, `takes ${duration(s.dur)}`);
    const up = row.node.up?.span;
    if (up && s.start < up.start) parts.push(`starts ${duration(up.start - s.start)} before its parent`);
    if (s.link) parts.push(`parent inferred by ${plain(s.link, 40)}${s.confidence ? `, confidence ${plain(s.confidence, 10)}` : ''}`);
    else if (s.reason) parts.push(`no parent drawn: ${plain(s.reason, 40)}`);
    if (this.way?.has(s.id)) parts.push('on the critical path');
    const gap = this.gaps.get(s.id);
    if (gap) parts.push(unlinkedText(gap));
    return parts.join(', ');
  }

  toggle(row) {
    if (row.kind === 'fold') {
      if (this.unfolded.has(row.id)) this.unfolded.delete(row.id);
      else this.unfolded.add(row.id);
    } else if (row.node.children.length) {
      if (this.folded.has(row.id)) this.folded.delete(row.id);
      else this.folded.add(row.id);
    }
    this.redraw(row.id);
  }

  /** The row of a span, with everything unfolded that hides it. */
  reveal(id) {
    const node = this.tree.byId.get(id);
    if (!node) return null;
    for (let at = node.up; at; at = at.up) {
      this.folded.delete(at.span.id);
      for (const kid of grouped(at.children)) {
        if (kid.fold?.includes(node)) this.unfolded.add(kid.id);
      }
    }
    this.flatten();
    return this.rows.find((r) => r.id === id);
  }

  redraw(id) {
    const focused = this.group.contains(document.activeElement);
    this.focus = id;
    this.flatten();
    const at = this.rows.findIndex((r) => r.id === id);
    if (at >= 0) this.at = at;
    if (focused) this.focusAt(this.at);
  }

  focusAt(index) {
    const row = this.rows[index];
    if (!row) return;
    if (row.kind === 'part') {
      this.focusAt(index + (index >= this.at ? 1 : -1));
      return;
    }
    this.at = index;
    const tall = this.height();
    const box = this.group.getBoundingClientRect();
    const y = box.top + index * tall;
    if (y < 140) scrollBy(0, y - 140);
    else if (y + tall > innerHeight - 8) scrollBy(0, y + tall - innerHeight + 8);
    this.mount();
    this.mounted.forEach(({ el }, i) => el.setAttribute('tabindex', i === index ? '0' : '-1'));
    this.mounted.get(index)?.el.focus({ preventScroll: true });
  }

  select(row, enter) {
    this.selected = row.id;
    this.mounted.forEach(({ el }, i) => {
      const mine = this.rows[i].id === row.id;
      el.classList.toggle('selected', mine);
      if (el.hasAttribute('aria-selected')) el.setAttribute('aria-selected', String(mine));
    });
    this.onSelect(row.node.span, row.node, enter);
  }

  /** Goes to the next or previous row that fits. */
  jump(fits, step) {
    for (let i = this.at + step, n = 0; n < this.rows.length; i += step, n += 1) {
      const index = (i + this.rows.length) % this.rows.length;
      const row = this.rows[index];
      if (row.kind === 'span' && fits(row.node.span)) {
        this.focusAt(index);
        return;
      }
    }
  }

  level(open) {
    const row = this.rows[this.at];
    this.rows.filter((r) => r.kind === 'span' && r.level === row?.level && r.node.children.length).forEach((r) => {
      if (open) this.folded.delete(r.id);
      else this.folded.add(r.id);
    });
    this.redraw(row?.id);
  }

  /** Folds the deepest level that is open, or unfolds the topmost that is folded. */
  levels(open) {
    const spans = this.rows.filter((r) => r.kind === 'span' && r.node.children.length && r.open !== open);
    const at = open ? Math.min(...spans.map((r) => r.level)) : Math.max(...spans.map((r) => r.level));
    for (const r of spans.filter((s) => s.level === at)) {
      if (open) this.folded.delete(r.node.span.id);
      else this.folded.add(r.node.span.id);
    }
    this.redraw(this.rows[this.at]?.id);
  }

  setZoom(zoom) {
    const whole = this.trace.dur;
    if (zoom) {
      const wide = Math.max(whole / 10_000, Math.min(whole, zoom.to - zoom.from));
      const from = Math.max(0, Math.min(whole - wide, zoom.from));
      zoom = wide >= whole ? null : { from, to: from + wide };
    }
    this.zoom = zoom;
    this.redraw(this.rows[this.at]?.id);
    this.strip.show(this.tree, this.trace, this.colours, zoom);
    this.onZoom(zoom);
  }

  search(text) {
    this.find = text.toLowerCase();
    this.flatten();
    return this.rows.filter((r) => r.hit).length;
  }

  key(event) {
    const inside = this.group.contains(document.activeElement);
    const row = this.rows[this.at];
    if (!row) return false;
    const zoom = this.window();
    const wide = zoom.to - zoom.from;
    switch (event.key) {
      case 'j': case 'ArrowDown': this.focusAt(inside ? Math.min(this.rows.length - 1, this.at + 1) : this.at); return true;
      case 'k': case 'ArrowUp': this.focusAt(inside ? Math.max(0, this.at - 1) : this.at); return true;
      case 'Home': if (inside) this.focusAt(0); return inside;
      case 'End': if (inside) this.focusAt(this.rows.length - 1); return inside;
      case 'Enter': if (inside && row.kind === 'span') this.select(row, true); else if (inside) this.toggle(row); return inside;
      case 'ArrowRight':
        if (!inside) return false;
        if (event.shiftKey) this.level(true);
        else if (row.kind === 'fold' ? !row.open : row.node.children.length && !row.open) this.toggle(row);
        else if (row.open) this.focusAt(this.at + 1);
        return true;
      case 'ArrowLeft':
        if (!inside) return false;
        if (event.shiftKey) this.level(false);
        else if (row.open) this.toggle(row);
        else this.focusAt(Math.max(0, this.rows.findLastIndex((r, i) => i < this.at && r.level < row.level && r.kind !== 'part')));
        return true;
      case 'n': this.jump((s) => s.error !== null, 1); return true;
      case 'N': this.jump((s) => s.error !== null, -1); return true;
      case 'i': this.jump((s) => s.link !== null, 1); return true;
      case 'f': {
        const span = row.kind === 'span' ? row.node.span : null;
        this.setZoom(this.zoom || !span ? null : { from: span.start - span.dur * 0.05, to: span.start + span.dur * 1.05 });
        return true;
      }
      case 'w': this.setZoom({ from: zoom.from + wide / 4, to: zoom.to - wide / 4 }); return true;
      case 's': this.setZoom({ from: zoom.from - wide / 2, to: zoom.to + wide / 2 }); return true;
      case 'a': this.setZoom({ from: zoom.from - wide / 4, to: zoom.to - wide / 4 }); return true;
      case 'd': this.setZoom({ from: zoom.from + wide / 4, to: zoom.to + wide / 4 }); return true;
      default: return false;
    }
  }
}

/** What a stretch without children may hide. */
export const unlinkedText = ({ calls, reason }) => `${calls} ${calls === 1 ? 'call' : 'calls'} of this service in this time ${calls === 1 ? 'is' : 'are'} not linked: ${plain(reason, 40)}`;

const STRIP = { height: 56, levels: 6 };

/** The whole trace at a glance: six levels of bars, and a brush that chooses a stretch. The table says the same. */
class Strip {
  constructor(pick) {
    this.canvas = h('canvas', { class: 'strip-bars', 'aria-hidden': 'true' });
    this.veil = h('div', { class: 'strip-veil', hidden: true });
    this.element = h('div', { class: 'strip' }, this.canvas, this.veil);
    let begun = null;
    const share = (event) => {
      const box = this.element.getBoundingClientRect();
      return Math.min(1, Math.max(0, (event.clientX - box.left) / box.width));
    };
    this.element.addEventListener('pointerdown', (event) => {
      if (event.button !== 0) return;
      begun = share(event);
      this.element.setPointerCapture(event.pointerId);
    });
    this.element.addEventListener('pointermove', (event) => {
      if (begun !== null) this.brush(begun, share(event));
    });
    this.element.addEventListener('pointerup', (event) => {
      if (begun === null) return;
      const [a, b] = [begun, share(event)].sort((x, y) => x - y);
      begun = null;
      pick(b - a < 0.005 ? null : { from: a * this.dur, to: b * this.dur });
    });
    matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => this.last && this.show(...this.last));
  }

  brush(a, b) {
    this.veil.hidden = false;
    setVar(this.veil, 'left', Math.min(a, b) * 100);
    setVar(this.veil, 'wide', Math.abs(b - a) * 100);
  }

  show(spans, trace, colours, zoom) {
    this.last = [spans, trace, colours, zoom];
    this.dur = Math.max(trace.dur, 0.001);
    if (zoom) this.brush(zoom.from / this.dur, zoom.to / this.dur);
    else this.veil.hidden = true;
    this.element.hidden = spans.byId.size < 8;
    const wide = this.element.clientWidth;
    if (!wide) return;
    const style = getComputedStyle(document.documentElement);
    const palette = [1, 2, 3, 4, 5, 6, 7, 8].map((i) => style.getPropertyValue(`--s${i}`));
    const dark = style.colorScheme === 'dark' || (style.colorScheme !== 'light' && matchMedia('(prefers-color-scheme: dark)').matches);
    // Custom properties keep both colours: the one in use is taken here.
    const one = (value) => (/light-dark\(([^,]+),([^)]+)\)/.exec(value)?.[dark ? 2 : 1] ?? value).trim();
    const scale = devicePixelRatio || 1;
    this.canvas.width = wide * scale;
    this.canvas.height = STRIP.height * scale;
    const pen = this.canvas.getContext('2d');
    pen.scale(scale, scale);
    const tall = (STRIP.height - 8) / STRIP.levels;
    const error = one(style.getPropertyValue('--error'));
    const put = (node, level) => {
      const { span } = node;
      const x = (span.start / this.dur) * wide;
      pen.fillStyle = span.error !== null ? error : one(palette[(colours.get(span.service) ?? 0) % 8]);
      pen.fillRect(x, 4 + Math.min(level, STRIP.levels - 1) * tall, Math.max(1, (span.dur / this.dur) * wide), tall - 2);
      node.children.forEach((c) => put(c, level + 1));
    };
    spans.tops.forEach((top) => put(top, 0));
  }
}

/** Shortest and longest, or one when they look the same. */
function between(durations) {
  const [least, most] = [duration(Math.min(...durations)), duration(Math.max(...durations))];
  return least === most ? least : `${least}–${most}`;
}

function lastEnd(node) {
  return node.children.reduce((end, child) => Math.max(end, lastEnd(child)), node.span.start + node.span.dur);
}

