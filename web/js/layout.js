// A layered drawing of who calls whom: callers left, what they call right. The same input gives the same picture.

export const NODE = { width: 176, height: 48 };
const GAP = { x: 92, y: 20, helper: 14 };
const SWEEPS = 12;

/**
 * Places nodes (`{ key }`) and edges (`{ from, to }`, keys). Gives nodes by key with `x`, `y` (middle), `layer` and
 * `order`, edges with the points they run through and whether they run backwards, and the size of it all. `held`, an earlier
 * result, keeps its nodes in their places: new ones go to the end of their layer.
 */
export function layout(nodes, edges, held = null) {
  const keys = nodes.map((n) => n.key).sort();
  const known = new Set(keys);
  const links = unique(edges.filter((e) => known.has(e.from) && known.has(e.to) && e.from !== e.to));
  const back = backwards(keys, links);
  const forward = links.map((e) => (back.has(id(e)) ? { from: e.to, to: e.from, edge: e } : { ...e, edge: e }));
  const fresh = layers(keys, forward);
  const layer = new Map(keys.map((k) => [k, held?.nodes.get(k)?.layer ?? fresh.get(k)]));
  const rows = [];
  const put = (at, item) => { (rows[at] ??= []).push(item); };
  for (const key of keys) put(layer.get(key), key);
  for (let i = 0; i < rows.length; i += 1) rows[i] ??= [];
  // Helpers carry an edge across the layers between its ends.
  const neighbours = new Map();
  const join = (a, b) => {
    if (!neighbours.has(a)) neighbours.set(a, { left: [], right: [] });
    if (!neighbours.has(b)) neighbours.set(b, { left: [], right: [] });
    neighbours.get(a).right.push(b);
    neighbours.get(b).left.push(a);
  };
  const chains = new Map();
  for (const link of forward) {
    let [a, b] = [link.from, link.to];
    if (layer.get(a) > layer.get(b)) [a, b] = [b, a];
    const chain = [a];
    for (let at = layer.get(a) + 1; at < layer.get(b); at += 1) {
      const helper = `\u0000${id(link)}\u0000${at}`;
      put(at, helper);
      chain.push(helper);
    }
    chain.push(b);
    chains.set(id(link.edge), chain);
    for (let i = 1; i < chain.length; i += 1) if (layer.get(a) !== layer.get(b)) join(chain[i - 1], chain[i]);
  }
  order(rows, neighbours);
  if (held) keep(rows, held);
  const y = heights(rows, neighbours);
  const used = rows.map((row, i) => (row.length ? i : -1)).filter((i) => i >= 0);
  const column = new Map(used.map((at, i) => [at, i]));
  const x = (at) => 8 + column.get(at) * (NODE.width + GAP.x) + NODE.width / 2;
  const placed = new Map();
  rows.forEach((row, at) => row.forEach((key, i) => placed.set(key, { x: x(at), y: y.get(key), layer: at, order: i })));
  const width = used.length * (NODE.width + GAP.x) - GAP.x + 16;
  const height = Math.max(NODE.height + 16, ...[...placed.values()].map((p) => p.y + NODE.height / 2 + 8));
  return {
    nodes: new Map(keys.map((k) => [k, placed.get(k)])),
    places: placed,
    edges: links.map((e) => route(e, chains.get(id(e)), placed, back.has(id(e)))),
    width, height, layers: used.length,
  };
}

const id = (e) => `${e.from}\u0001${e.to}`;

function unique(edges) {
  const seen = new Map(edges.map((e) => [id(e), e]));
  return [...seen.values()].sort((a, b) => (id(a) < id(b) ? -1 : 1));
}

/** Edges that close a circle, found in the order of names: they are drawn backwards. */
function backwards(keys, links) {
  const out = new Map(keys.map((k) => [k, []]));
  const incoming = new Map(keys.map((k) => [k, 0]));
  for (const e of links) {
    out.get(e.from).push(e);
    incoming.set(e.to, incoming.get(e.to) + 1);
  }
  const back = new Set();
  const state = new Map();
  const visit = (start) => {
    const stack = [[start, 0]];
    state.set(start, 1);
    while (stack.length) {
      const top = stack.at(-1);
      const e = out.get(top[0])[top[1]];
      top[1] += 1;
      if (!e) {
        state.set(top[0], 2);
        stack.pop();
      } else if (state.get(e.to) === 1) {
        back.add(id(e));
      } else if (!state.has(e.to)) {
        state.set(e.to, 1);
        stack.push([e.to, 0]);
      }
    }
  };
  // What nobody calls comes first: circles are then cut where they close.
  [...keys].sort((a, b) => Boolean(incoming.get(a)) - Boolean(incoming.get(b)) || (a < b ? -1 : 1)).forEach((k) => state.has(k) || visit(k));
  return back;
}

/** The longest way from a node that nobody calls. */
function layers(keys, forward) {
  const left = new Map(keys.map((k) => [k, 0]));
  const out = new Map(keys.map((k) => [k, []]));
  for (const e of forward) {
    left.set(e.to, left.get(e.to) + 1);
    out.get(e.from).push(e.to);
  }
  const layer = new Map(keys.map((k) => [k, 0]));
  const ready = keys.filter((k) => left.get(k) === 0);
  while (ready.length) {
    const key = ready.shift();
    for (const to of out.get(key)) {
      layer.set(to, Math.max(layer.get(to), layer.get(key) + 1));
      left.set(to, left.get(to) - 1);
      if (left.get(to) === 0) ready.push(to);
    }
  }
  return layer;
}

/** Few crossings: every row by the middle of its neighbours, back and forth. Ties by name. */
function order(rows, neighbours) {
  const place = new Map();
  const note = (row) => row.forEach((key, i) => place.set(key, (i + 0.5) / row.length));
  rows.forEach((row) => {
    row.sort();
    note(row);
  });
  const middle = (key, side) => {
    const near = neighbours.get(key)?.[side] ?? [];
    return near.length ? near.reduce((sum, k) => sum + place.get(k), 0) / near.length : place.get(key);
  };
  for (let i = 0; i < SWEEPS; i += 1) {
    const side = i % 2 ? 'right' : 'left';
    for (const row of i % 2 ? [...rows].reverse() : rows) {
      const weights = new Map(row.map((k) => [k, middle(k, side)]));
      row.sort((a, b) => weights.get(a) - weights.get(b) || (a < b ? -1 : 1));
      note(row);
    }
  }
}

/** Puts what was there back in its order, and what is new behind it. */
function keep(rows, held) {
  for (const row of rows) {
    const rank = (key) => held.places.get(key)?.order ?? Infinity;
    const old = row.filter((k) => rank(k) !== Infinity).sort((a, b) => rank(a) - rank(b));
    const rest = row.filter((k) => rank(k) === Infinity);
    row.splice(0, row.length, ...old, ...rest);
  }
}

/** Heights: near the neighbours, in order, never closer than they are tall. */
function heights(rows, neighbours) {
  const helper = (key) => key.startsWith('\u0000');
  const apart = (a, b) => {
    const half = (k) => (helper(k) ? GAP.helper / 2 : NODE.height / 2);
    return half(a) + half(b) + (helper(a) && helper(b) ? 4 : GAP.y);
  };
  const y = new Map();
  rows.forEach((row) => {
    let at = 0;
    row.forEach((key, i) => {
      at += i ? apart(row[i - 1], key) : 0;
      y.set(key, at);
    });
    row.forEach((key) => y.set(key, y.get(key) - at / 2));
  });
  for (let i = 0; i < 16; i += 1) {
    for (const row of i % 2 ? [...rows].reverse() : rows) {
      const wish = row.map((key) => {
        const near = neighbours.get(key);
        const all = near ? [...near.left, ...near.right] : [];
        return all.length ? all.reduce((sum, k) => sum + y.get(k), 0) / all.length : y.get(key);
      });
      const down = [];
      const up = [];
      row.forEach((key, j) => { down[j] = j ? Math.max(wish[j], down[j - 1] + apart(row[j - 1], key)) : wish[j]; });
      for (let j = row.length - 1; j >= 0; j -= 1) up[j] = j < row.length - 1 ? Math.min(wish[j], up[j + 1] - apart(row[j], row[j + 1])) : wish[j];
      row.forEach((key, j) => y.set(key, (down[j] + up[j]) / 2));
    }
  }
  return closed(y, helper);
}

/** Closes bands that nothing stands in, and begins at the upper edge. */
function closed(y, helper) {
  const half = (key) => (helper(key) ? GAP.helper / 2 : NODE.height / 2);
  const sorted = [...y].sort((a, b) => a[1] - half(a[0]) - b[1] + half(b[0]));
  let end = -Infinity;
  let up = 0;
  const out = new Map();
  for (const [key, at] of sorted) {
    const top = at - half(key);
    if (end === -Infinity) up = top - 8;
    else if (top - end > 2 * GAP.y) up += top - end - 2 * GAP.y;
    end = Math.max(end, at + half(key));
    out.set(key, Math.round(at - up));
  }
  return out;
}

/** The points of an edge, level at each; one that runs backwards keeps beside those that run forward. */
function route(edge, chain, placed, back) {
  const a = placed.get(edge.from);
  const b = placed.get(edge.to);
  const half = NODE.width / 2;
  if (a.layer === b.layer) {
    const out = a.x + half + GAP.x * 0.4;
    return { ...edge, back: true, points: [[a.x + half, a.y], [out, (a.y + b.y) / 2], [b.x + half, b.y]] };
  }
  const right = a.layer < b.layer;
  const [step, beside] = right ? [1, 0] : [-1, 14];
  const helpers = (chain ?? []).slice(1, -1).map((k) => placed.get(k)).sort((p, q) => step * (p.layer - q.layer));
  const points = [[a.x + step * half, a.y + beside]];
  for (const p of helpers) points.push([p.x - step * half, p.y + beside / 2], [p.x + step * half, p.y + beside / 2]);
  points.push([b.x - step * half, b.y + beside]);
  return { ...edge, back: back || !right, points };
}

/** A path through points that is level at each of them. */
export function path(points) {
  const [[x0, y0], [x1], [x2, y2] = []] = points;
  // From a layer into the same one.
  if (points.length === 3 && x0 === x2) return `M${x0} ${y0}C${x1} ${y0} ${x1} ${y2} ${x2} ${y2}`;
  let d = `M${points[0].join(' ')}`;
  for (let i = 1; i < points.length; i += 1) {
    const [[px, py], [x, y]] = [points[i - 1], points[i]];
    const middle = (px + x) / 2;
    d += py === y ? `L${x} ${y}` : `C${middle} ${py} ${middle} ${y} ${x} ${y}`;
  }
  return d;
}

/** Where a label may stand, the best place first: on the last piece, where edges with one beginning have parted. */
export function places(points) {
  const [[px, py], [x, y]] = points.slice(-2);
  return [0.7, 0.5, 0.32, 0.84].map((t) => {
    const u = 1 - t;
    const middle = (px + x) / 2;
    return [u ** 3 * px + 3 * u * t * middle + t ** 3 * x, (u ** 3 + 3 * u * u * t) * py + (3 * u * t * t + t ** 3) * y];
  });
}

/** Whether two layouts show their common nodes in another order or layer. */
export function differs(a, b) {
  for (const [key, place] of a.nodes) {
    const other = b.nodes.get(key);
    if (!other || other.layer !== place.layer || other.order !== place.order) return true;
  }
  return false;
}
