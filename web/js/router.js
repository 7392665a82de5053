// The address: `#/page/parts?state`, and the range of time that all pages follow. Names from the wire stay behind the
// `#`, out of request logs.

import { shortTime } from './format.js';

/** The address as parts and state. */
export function current() {
  const [path, query = ''] = location.hash.replace(/^#\/?/, '').split('?');
  const parts = path.split('/').filter(Boolean).map((part) => {
    try {
      return decodeURIComponent(part);
    } catch {
      return part;
    }
  });
  return { parts: parts.length ? parts : ['services'], query: new URLSearchParams(query) };
}

/** An address from parts and state; empty state is left out. */
export function address(parts, state = {}) {
  const query = new URLSearchParams();
  for (const [key, value] of Object.entries(state)) {
    if (value !== null && value !== undefined && value !== '' && value !== false) query.set(key, String(value));
  }
  const text = query.toString();
  return `#/${parts.map(encodeURIComponent).join('/')}${text ? `?${text}` : ''}`;
}

/** The address whose page is shown. The browser tells of a new one a moment later, and a key may come first. */
let settled = null;
export const isSettled = () => location.hash === settled;
export function settle() {
  settled = location.hash;
}

/** Goes to another page. */
export function go(parts, state) {
  location.hash = address(parts, state);
}

/** Writes state of the page at hand into the address, without a step in the history. */
export function remember(changes) {
  const { parts, query } = current();
  for (const [key, value] of Object.entries(changes)) {
    if (value === null || value === undefined || value === '' || value === false) query.delete(key);
    else query.set(key, String(value));
  }
  const before = isSettled();
  history.replaceState(null, '', address(parts, Object.fromEntries(query)));
  if (before) settle();
}

// --- the range: one that moves (`range=5m|15m|60m|all`), or a fixed one (`from` and `to`, RFC 3339 in the address)

export const RANGES = [['5m', '5 min', 300], ['15m', '15 min', 900], ['60m', '60 min', 3600], ['all', 'all memory', null]];
const USUAL = '15m';
let range = { moving: USUAL };

/** Takes the range from the address; one without keeps the range that was. Gives whether it changed. */
export function readRange() {
  const { query } = current();
  const before = JSON.stringify(range);
  const [from, to] = [Date.parse(query.get('from') ?? ''), Date.parse(query.get('to') ?? '')];
  if (Number.isFinite(from) && Number.isFinite(to) && from < to) range = { from, to };
  else if (RANGES.some(([name]) => name === query.get('range'))) range = { moving: query.get('range') };
  else write();
  return before !== JSON.stringify(range);
}

function write() {
  const fixed = range.from !== undefined;
  const iso = (ms) => new Date(ms).toISOString().replace('.000', '');
  remember({ from: fixed ? iso(range.from) : null, to: fixed ? iso(range.to) : null, range: fixed || range.moving === USUAL ? null : range.moving });
}

/** The range at hand: `{ moving }` or `{ from, to }` in ms since 1970. */
export const currentRange = () => range;

/** Sets the range: a name of one that moves, or two instants. */
export function setRange(next) {
  range = typeof next === 'string' ? { moving: next } : { from: Math.floor(next.from / 1000) * 1000, to: Math.ceil(next.to / 1000) * 1000 };
  write();
}

/** The range as parameters of a question. */
export const asked = () => (range.moving ? { range: range.moving } : { from: range.from, to: range.to });

/** The address of this page with the range as two instants, so that it shows the same tomorrow. */
export function fixedAddress(now) {
  const { parts, query } = current();
  const [, , length] = RANGES.find(([name]) => name === (range.moving ?? USUAL)) ?? [];
  const { from, to } = range.moving ? { from: now - (length ?? 3600) * 1000, to: now } : range;
  const iso = (ms) => new Date(Math.round(ms / 1000) * 1000).toISOString().replace('.000', '');
  query.delete('range');
  query.set('from', iso(from));
  query.set('to', iso(to));
  return `${location.origin}/${address(parts, Object.fromEntries(query))}`;
}

/** `in the last 15 minutes`, or `14:03 to 14:18`: what the numbers of an answer are of. */
export function inRange(json) {
  if (!json.moving) return `from ${shortTime(json.from)} to ${shortTime(json.to)}`;
  const [, , length] = RANGES.find(([name]) => name === range.moving) ?? [];
  // What began later than the range is told as it is.
  const seconds = length ? Math.min(length, json.seconds) : Math.min(3600, json.seconds);
  return seconds < 90 ? `in the last ${Math.round(seconds)} seconds` : `in the last ${Math.round(seconds / 60)} minutes`;
}
