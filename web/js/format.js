// Numbers for people: three significant digits, the unit behind a thin space.

const THIN = '\u2009';
export const NONE = '–';

function three(value) {
  const size = Math.abs(value);
  if (size >= 999.5) return Math.round(value).toLocaleString('en-US');
  if (size >= 99.95) return value.toFixed(0);
  if (size >= 9.995) return value.toFixed(1);
  return value.toFixed(2);
}

const trimmed = (text) => (text.includes('.') ? text.replace(/\.?0+$/, '') : text);

/** A duration in ms. */
export function duration(ms) {
  if (ms === null || ms === undefined || !Number.isFinite(ms)) return NONE;
  if (ms === 0) return '0';
  if (ms < 0.0005) return `<1${THIN}µs`;
  if (ms < 0.9995) return `${trimmed(three(ms * 1000))}${THIN}µs`;
  if (ms < 999.5) return `${three(ms)}${THIN}ms`;
  if (ms < 119_500) return `${three(ms / 1000)}${THIN}s`;
  return span(ms / 1000);
}

/** A long time in s: `2 min 05 s`, `3 h 07 min`, `3 d 4 h`. */
export function span(seconds) {
  const s = Math.round(seconds);
  const two = (n) => String(n).padStart(2, '0');
  if (s < 120) return `${s}${THIN}s`;
  if (s < 3600) return `${Math.floor(s / 60)}${THIN}min ${two(s % 60)}${THIN}s`;
  if (s < 86_400) return `${Math.floor(s / 3600)}${THIN}h ${two(Math.floor((s % 3600) / 60))}${THIN}min`;
  return `${Math.floor(s / 86_400)}${THIN}d ${Math.floor((s % 86_400) / 3600)}${THIN}h`;
}

/** The same to the minute, for sentences. */
export function about(seconds) {
  if (seconds < 90) return `${Math.max(0, Math.round(seconds))}${THIN}s`;
  if (seconds < 5400) return `${Math.round(seconds / 60)}${THIN}min`;
  return span(seconds);
}

/** Requests a second. */
export function rate(perSecond) {
  if (perSecond === null || perSecond === undefined || !Number.isFinite(perSecond)) return NONE;
  if (perSecond === 0) return '0';
  if (perSecond < 0.01) return '<0.01/s';
  if (perSecond >= 9_999.5) return `${three(perSecond / 1000)}k/s`;
  return `${three(perSecond)}/s`;
}

/** A share as percent; 0 is `0`. */
export function percent(ratio) {
  if (ratio === null || ratio === undefined || !Number.isFinite(ratio)) return NONE;
  if (ratio === 0) return '0';
  const value = ratio * 100;
  if (value < 0.01) return `<0.01${THIN}%`;
  if (value >= 99.95 && ratio < 1) return `>99.9${THIN}%`;
  return `${value >= 9.995 ? trimmed(value.toFixed(1)) : trimmed(value.toPrecision(2))}${THIN}%`;
}

/** Bytes in binary units. */
export function bytes(n) {
  if (n === null || n === undefined || !Number.isFinite(n)) return NONE;
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];
  let value = n;
  let unit = 0;
  while (value >= 1023.5 && unit < units.length - 1) {
    value /= 1024;
    unit += 1;
  }
  return `${unit === 0 ? Math.round(value) : three(value)}${THIN}${units[unit]}`;
}

/** A count, exact, with separators. */
export const count = (n) => (n ?? 0).toLocaleString('en-US');

const prefs = { utc: false };

/** Whether times are in UTC. */
export const isUtc = () => prefs.utc;

/** Whether times are shown in UTC instead of the viewer's zone. */
export function setUtc(utc) {
  prefs.utc = utc;
}

const clock = (options) => (ms) =>
  new Date(ms).toLocaleTimeString('en-GB', { ...options, timeZone: prefs.utc ? 'UTC' : undefined });
const seconds = clock({ hour: '2-digit', minute: '2-digit', second: '2-digit' });
const minutes = clock({ hour: '2-digit', minute: '2-digit' });

/** `14:03:12`, of today or with the day in front. */
export function time(ms, now = Date.now()) {
  const day = (t) => new Date(t).toLocaleDateString('en-CA', { timeZone: prefs.utc ? 'UTC' : undefined });
  return day(ms) === day(now) ? seconds(ms) : `${day(ms)} ${seconds(ms)}`;
}

/** `14:03`. */
export const shortTime = (ms) => minutes(ms);

/** Name of the zone that times are shown in: `UTC`, `UTC+2`. */
export function zone() {
  if (prefs.utc) return 'UTC';
  const offset = -new Date().getTimezoneOffset();
  if (offset === 0) return 'UTC';
  const hours = Math.floor(Math.abs(offset) / 60);
  const rest = Math.abs(offset) % 60;
  return `UTC${offset < 0 ? '−' : '+'}${hours}${rest ? `:${String(rest).padStart(2, '0')}` : ''}`;
}

/** A quantile that needs some requests to mean anything: text, and why it is missing. */
export function quantile(ms, requests, needed) {
  if (requests >= needed && ms !== null) return [duration(ms), null];
  if (requests === 0) return [NONE, 'no requests in the range'];
  return [NONE, `${count(requests)} ${requests === 1 ? 'request' : 'requests'}, ${needed} needed`];
}
/** Requests needed for p50, p95 and p99. */
export const NEEDED = { p50: 1, p95: 20, p99: 100 };
