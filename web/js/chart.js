// Small drawings: steps per bucket, y from zero, what is not known is a hatched gap, the bucket under way is hollow.

import { h, fill, setVar } from './dom.js';
import { shortTime } from './format.js';

const HATCH = 'url(#hatch)';
const SPARK = { width: 96, height: 20 };

/** The hatching of everything that is not known; once in the page. */
export function hatch() {
  return h('svg', { class: 'hatch', width: 0, height: 0, 'aria-hidden': 'true', focusable: 'false' },
    h('defs', {}, h('pattern', { id: 'hatch', width: 5, height: 5, patternUnits: 'userSpaceOnUse', patternTransform: 'rotate(45)' },
      h('rect', { width: 5, height: 5 }), h('path', { d: 'M0 0V5' }))));
}

/** A sparkline of counts; null is not known. `hatched` draws no counts at all: seen, not read. */
export function sparkline(counts, { hatched = false, label = '' } = {}) {
  const svg = h('svg', { class: `spark${hatched ? ' hatched' : ''}`, viewBox: `0 0 ${SPARK.width} ${SPARK.height}`, role: 'img', focusable: 'false' });
  drawSpark(svg, counts, { hatched, label });
  return svg;
}

/** Draws a sparkline again with other counts. */
export function drawSpark(svg, counts, { hatched = false, label = '' } = {}) {
  const known = counts.filter((c) => c !== null);
  const most = Math.max(0, ...known);
  const key = `${hatched}|${counts.join()}`;
  if (svg.dataset.key === key) return;
  svg.dataset.key = key;
  svg.setAttribute('aria-label', label || `requests over time, at most ${most} a step`);
  const wide = SPARK.width / counts.length;
  const parts = [];
  const gap = counts.findIndex((c) => c !== null);
  const unknown = gap < 0 ? counts.length : gap;
  if (unknown > 0 || hatched) {
    const width = hatched ? SPARK.width : unknown * wide;
    parts.push(h('rect', { fill: HATCH, x: 0, y: 2, width, height: SPARK.height - 3 }));
  }
  if (!hatched && most > 0) {
    const y = (c) => SPARK.height - 1 - (c / most) * (SPARK.height - 4);
    let line = '';
    const last = counts.length - 1;
    counts.slice(0, last).forEach((c, i) => {
      if (c === null) return;
      line += `${line ? 'L' : 'M'}${(i * wide).toFixed(1)} ${y(c).toFixed(1)}H${((i + 1) * wide).toFixed(1)}`;
    });
    const base = SPARK.height - 1;
    const from = (unknown * wide).toFixed(1);
    if (line) {
      parts.push(h('path', { class: 'area', d: `${line}V${base}H${from}Z` }), h('path', { class: 'line', d: line }));
    }
    const end = counts[last];
    if (end !== null) {
      parts.push(h('path', { class: 'line now', d: `M${(last * wide).toFixed(1)} ${y(end).toFixed(1)}H${SPARK.width}` }));
    }
  } else if (!hatched) {
    parts.push(h('line', { class: 'zero', x1: unknown * wide, x2: SPARK.width, y1: SPARK.height - 1, y2: SPARK.height - 1 }));
  }
  fill(svg, h('title', {}, svg.getAttribute('aria-label')), parts);
}

/**
 * Lets a stretch of a chart be chosen with the pointer: `pick({ from, to })` in ms. The keys `[` and `]`, and the list of
 * ranges, do the same without one.
 */
export function choosable(box, { from, step, steps, left, inner }, pick) {
  const veil = h('div', { class: 'veil', hidden: true });
  let begun = null;
  const share = (event) => {
    const svg = box.querySelector('svg').getBoundingClientRect();
    const scale = svg.width / Number(box.querySelector('svg').getAttribute('width'));
    return Math.min(1, Math.max(0, (event.clientX - svg.left - left * scale) / (inner * scale)));
  };
  const show = (a, b) => {
    const svg = box.querySelector('svg').getBoundingClientRect();
    const scale = svg.width / Number(box.querySelector('svg').getAttribute('width'));
    setVar(veil, 'from', (left + Math.min(a, b) * inner) * scale);
    setVar(veil, 'wide', Math.abs(b - a) * inner * scale);
  };
  box.addEventListener('pointerdown', (event) => {
    if (event.button !== 0 || event.target.closest('a')) return;
    begun = share(event);
    box.setPointerCapture(event.pointerId);
  });
  box.addEventListener('pointermove', (event) => {
    if (begun === null) return;
    show(begun, share(event));
    veil.hidden = Math.abs(share(event) - begun) * inner < 4;
  });
  box.addEventListener('pointercancel', () => {
    begun = null;
    veil.hidden = true;
  });
  box.addEventListener('pointerup', (event) => {
    if (begun === null) return;
    const [a, b] = [begun, share(event)].sort((x, y) => x - y);
    begun = null;
    veil.hidden = true;
    if ((b - a) * inner < 4) return;
    const at = (part) => (from + part * steps * step) * 1000;
    pick({ from: at(a), to: Math.max(at(b), at(a) + 1000) });
  });
  box.append(veil);
  return box;
}

/** A round number at or above `value`, for the top of an axis. */
function roof(value) {
  if (value <= 0) return 1;
  const scale = 10 ** Math.floor(Math.log10(value));
  return [1, 1.5, 2, 3, 4, 5, 6, 8, 10].map((n) => n * scale).find((n) => n >= value * 0.999) ?? value;
}

/** From zero to `most`, evenly. */
function linear(most) {
  return { ticks: [0, most / 2, most], share: (v) => v / most };
}

/** Whole powers of ten around everything that is shown; at most four of them are written. */
export function decades(lines, marks, most) {
  const all = [...lines.flatMap((l) => l.values), ...marks.map(([, value]) => value), most].filter((v) => v > 0);
  const top = Math.ceil(Math.log10(Math.max(...all)) - 1e-9);
  const base = Math.min(top - 1, Math.floor(Math.log10(Math.min(...all)) + 1e-9));
  const every = Math.ceil((top - base) / 3);
  const ticks = [];
  for (let at = base; at <= top; at += every) ticks.push(10 ** at);
  return { ticks, share: (v) => (v > 0 ? Math.min(1, Math.max(0, (Math.log10(v) - base) / (top - base))) : 0) };
}

/**
 * A chart of lines over time. `lines`: `{ name, values, className }` with one value a step, null for none; `known[i]` is
 * false where nothing could be seen. `format` writes the ticks. `marks` are `[at in s, value, id, failed]`, links to
 * traces. `pick` is called with a stretch that was chosen. `log` draws powers of ten at equal distances; what is 0 then stands
 * on the base.
 */
export function chart({ title, lines, known, from, step, format, marks = [], pick, log = false, height = 112, width = 360 }) {
  const tick = (v) => format(v).replace(/(\.\d*?)0+(?=\D|$)/, '$1').replace(/\.(?=\D|$)/, '');
  const left = 52;
  const right = lines.some((l) => l.name) ? 34 : 10;
  const top = 10;
  const bottom = 20;
  const wide = Math.max(200, width);
  const inner = wide - left - right;
  const tall = height - top - bottom;
  // Traces above all lines are drawn at the upper edge: one slow request must not flatten the rest.
  const most = roof(Math.max(0, ...lines.flatMap((l) => l.values.filter((v) => v !== null))));
  const steps = known.length;
  const x = (i) => left + (i / steps) * inner;
  const scale = log ? decades(lines, marks, most) : linear(most);
  const y = (v) => top + tall - scale.share(v) * tall;
  const parts = [];
  for (const value of scale.ticks) {
    const at = y(value);
    parts.push(h('line', { class: 'tick', x1: left, x2: left + inner, y1: at, y2: at }));
    parts.push(h('text', { class: 'axis', x: left - 6, y: at + 4, 'text-anchor': 'end' }, tick(value)));
  }
  for (const part of [0, 0.5, 1]) {
    const i = Math.round(part * steps);
    const anchor = part === 0 ? 'start' : part === 1 ? 'end' : 'middle';
    parts.push(h('text', { class: 'axis', x: x(i), y: height - 4, 'text-anchor': anchor }, shortTime((from + i * step) * 1000)));
  }
  let begin = null;
  for (let i = 0; i <= steps; i += 1) {
    if (i < steps && !known[i]) begin ??= i;
    else if (begin !== null) {
      parts.push(h('rect', { fill: HATCH, x: x(begin), y: top, width: x(i) - x(begin), height: tall }, h('title', {}, 'not known: Telegen was not running')));
      begin = null;
    }
  }
  let labels = [];
  for (const { name, values, className } of lines) {
    let path = '';
    let pen = false;
    const last = values.length - 1;
    values.slice(0, last).forEach((value, i) => {
      if (value === null) {
        pen = false;
        return;
      }
      path += `${pen ? 'L' : 'M'}${x(i).toFixed(1)} ${y(value).toFixed(1)}H${x(i + 1).toFixed(1)}`;
      pen = true;
    });
    if (path) parts.push(h('path', { class: `line ${className}`, d: path }));
    // The step under way is not complete: hollow, and not joined to the others.
    if (values[last] !== null) {
      parts.push(h('path', { class: `line now ${className}`, d: `M${x(last).toFixed(1)} ${y(values[last]).toFixed(1)}H${x(last + 1).toFixed(1)}` }));
    }
    const end = values.findLast((v) => v !== null);
    if (end !== undefined && name) labels.push({ name, at: y(end) + 4, className });
  }
  labels.sort((a, b) => a.at - b.at);
  labels.forEach((label, i) => {
    const above = labels[i - 1];
    if (above && label.at - above.at < 13) label.at = above.at + 13;
  });
  const over = Math.max(0, ...labels.map((l) => l.at - (height - bottom + 4)));
  labels = labels.map((l) => h('text', { class: `name ${l.className}`, x: left + inner + 6, y: l.at - over }, l.name));
  const spoken = lines.map(({ name, values }) => {
    const seen = values.filter((v) => v !== null);
    const now = seen.at(-1);
    return seen.length ? `${name || title} now ${format(now)}, at most ${format(Math.max(...seen))}` : `${name || title}: none`;
  });
  const size = { viewBox: `0 0 ${wide} ${height}`, width: wide, height, focusable: 'false' };
  const svg = h('svg', { ...size, class: 'chart', role: 'img', 'aria-label': `${title}${log ? ', logarithmic' : ''}: ${spoken.join('; ')}` }, parts, labels);
  const box = h('div', { class: 'chart-box' }, svg);
  if (marks.length) {
    // The same traces are in the list of traces, for those who do not point.
    const mark = ([at, value, id, failed]) => {
      const [mx, my] = [x((at - from) / step), Math.max(top, y(value))];
      return h('svg:a', { href: `#/trace/${id}`, tabindex: '-1', class: failed ? 'bad' : '' }, h('title', {}, `${failed ? 'failed, ' : ''}${format(value)} at ${shortTime(at * 1000)}`),
        h('circle', { class: 'reach', cx: mx, cy: my, r: 8 }), h('path', { d: `M${mx} ${my - 4}l4 4l-4 4l-4 -4Z` }));
    };
    const inside = marks.filter(([at]) => at >= from && at <= from + steps * step);
    box.append(h('svg', { ...size, class: 'chart marks', 'aria-hidden': 'true' }, inside.map(mark)));
  }
  return pick ? choosable(box, { from, step, steps, left, inner }, pick) : box;
}
