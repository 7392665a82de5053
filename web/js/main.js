// The frame: bar, note about the connection, and one page at a time.

import { h, fill, setText, plain, wire } from './dom.js';
import { about, setUtc, shortTime, time } from './format.js';
import { agentNow, ask, link, onLink, setPaused, setToken, wakeAll } from './api.js';
import { RANGES, current, currentRange, fixedAddress, isSettled, readRange, setRange, settle } from './router.js';
import { help, listen } from './keys.js';
import { hatch } from './chart.js';
import * as services from './services.js';

// The first page comes with the frame; the others follow once it is shown, or when they are asked for.
const PAGES = { services };
const LATER = {
  service: () => import('./service.js'),
  map: () => import('./map.js'),
  traces: () => import('./traces.js'),
  trace: () => import('./trace.js'),
  telegen: () => import('./telegen.js'),
  devices: () => import('./devices.js'),
  device: () => import('./devices.js'),
};

const prefs = load();
const el = (id) => document.getElementById(id);
let page = null;

function load() {
  try {
    return JSON.parse(localStorage.getItem('telegen') || '{}');
  } catch {
    return {};
  }
}

function save() {
  try {
    localStorage.setItem('telegen', JSON.stringify(prefs));
  } catch {
    // Kept for this tab only.
  }
}

// --- the bar

const live = h('button', { type: 'button', class: 'quiet', 'aria-pressed': 'false', on: { click: goLive } });
// Brand and sections stand in the page itself: they are there before any of this has run.
const hostName = el('host');
const dot = h('span', { class: 'off-count' });
const sections = [...el('sections').children];
sections.at(-1).append(dot);

// --- the range

const ranges = h('select', { 'aria-label': 'Range of time', title: 'Range of time ([ earlier, ] later)', on: { change: () => (ranges.value === 'choose' ? chooseRange() : pickRange(ranges.value)) } });

/** Every page follows the range at once. */
function pickRange(next) {
  setRange(next);
  if (page?.range) busy();
  showRange();
  page?.range?.();
}

function showRange() {
  const range = currentRange();
  const held = link.started === null ? '' : about(Math.min(3600, (agentNow() - link.started) / 1000));
  const key = JSON.stringify([range, held]);
  if (ranges.dataset.key === key || (document.activeElement === ranges && ranges.dataset.key)) return;
  ranges.dataset.key = key;
  const fixed = range.moving ? [] : [['fixed', `${shortTime(range.from)} – ${shortTime(range.to)}`]];
  fill(ranges, [...fixed, ...RANGES.map(([value, label]) => [value, value === 'all' && held ? `all, ${held}` : label]), ['choose', 'from … to …']]
    .map(([value, label]) => h('option', { value, selected: value === (range.moving ?? 'fixed') }, label)));
  ranges.value = range.moving ?? 'fixed';
  linkChanged();
}

/** Asks for two instants. */
async function chooseRange() {
  const range = currentRange();
  // The list says what is shown, not what was asked for.
  ranges.value = range.moving ?? 'fixed';
  const [, , seconds] = RANGES.find(([name]) => name === range.moving) ?? [];
  const at = range.moving ? { from: agentNow() - (seconds ?? 3600) * 1000, to: agentNow() } : range;
  const { rangeForm } = await import('./range.js');
  rangeForm(at, { since: link.started, now: agentNow() }, pickRange);
}

/** One length earlier or later; a range that would end in the future moves with the time again. */
function shiftRange(step) {
  const range = currentRange();
  const [, , seconds] = RANGES.find(([name]) => name === range.moving) ?? [];
  const { from, to } = range.moving ? { from: agentNow() - (seconds ?? 3600) * 1000, to: agentNow() } : range;
  const length = to - from;
  const next = { from: from + step * length, to: to + step * length };
  if (step > 0 && next.to > agentNow()) pickRange(RANGES.find(([, , s]) => s && Math.abs(s * 1000 - length) < 2000)?.[0] ?? '15m');
  else pickRange(next);
}

function goLive() {
  if (currentRange().moving) setPaused(!link.paused);
  else pickRange('15m');
}

function tools() {
  fill(el('tools'), ranges, live, h('button', { type: 'button', class: 'quiet', 'aria-label': 'Keys and settings', on: { click: showHelp } }, '?'));
  linkChanged();
}

function setTheme(value) {
  prefs.theme = value || undefined;
  if (value) document.documentElement.dataset.theme = value;
  else delete document.documentElement.dataset.theme;
  save();
}

function showHelp() {
  const box = (label, key, act) => {
    const input = h('input', { type: 'checkbox', id: `pref-${key}`, checked: Boolean(prefs[key]) });
    input.addEventListener('change', () => {
      prefs[key] = input.checked || undefined;
      save();
      act?.(input.checked);
    });
    return h('label', { for: `pref-${key}` }, input, ' ', label);
  };
  const theme = h('select', { id: 'theme', on: { change: () => setTheme(theme.value) } },
    [['', 'as the system'], ['light', 'light'], ['dark', 'dark']].map(([value, label]) => h('option', { value, selected: (prefs.theme ?? '') === value }, label)));
  help(h('div', { class: 'prefs' },
    h('label', { for: 'theme' }, 'Theme ', theme),
    box('compact rows', 'compact', (on) => setCompact(on)),
    box('times in UTC', 'utc', (on) => useUtc(on)),
    box('no single-letter keys', 'noKeys'),
    h('button', { type: 'button', on: { click: () => copy(curl(), 'Command') } }, 'Copy curl line of this view'),
    h('button', { type: 'button', on: { click: copyLink } }, 'Copy link')));
}

function setCompact(on) {
  prefs.density = on ? 'compact' : undefined;
  if (on) document.documentElement.dataset.density = 'compact';
  else delete document.documentElement.dataset.density;
  save();
}

function useUtc(on) {
  prefs.utc = on || undefined;
  save();
  setUtc(on);
  wakeAll();
}

function setTitle() {
  const title = page?.title?.() ?? '';
  const where = link.host ? `Telegen ${plain(link.host, 64)}` : 'Telegen';
  document.title = title ? `${title} · ${where}` : where;
}

// --- the note about the connection

const countdown = h('span', { 'aria-hidden': 'true' });
let spoken = 0;

function say(text) {
  const now = performance.now();
  if (now - spoken < 5000 && el('live').textContent) return;
  spoken = now;
  setText(el('live'), text);
}

function linkChanged() {
  if (hostName.dataset.host !== link.host) {
    hostName.dataset.host = link.host;
    fill(hostName, link.host ? wire(link.host, 64) : null);
    setTitle();
  }
  offerDevices();
  setText(dot, link.off ? `${link.off} off` : '');
  dot.hidden = link.off === 0;
  const fixed = !currentRange().moving;
  setText(live, fixed ? 'Back to live' : link.paused ? 'Resume' : 'Live');
  live.classList.toggle('on', !link.paused && !fixed);
  live.setAttribute('aria-pressed', String(link.paused));
  live.title = fixed ? 'The range stands still: show the last 15 minutes' : link.paused ? 'Resume (p)' : 'Pause (p)';
  const note = el('note');
  note.className = '';
  if (link.needsToken) {
    note.className = 'note warn';
    if (!note.querySelector('form')) fill(note, tokenForm());
    say('This address needs the token.');
  } else if (link.refused) {
    note.className = 'note error';
    fill(note, link.refused, ' ', countdown, ' · ', retry());
    say(link.refused);
  } else if (link.lostAt !== null) {
    note.className = 'note error';
    const text = `Agent not reachable since ${time(link.lostAt)}. Showing what was loaded then.`;
    fill(note, text, ' ', countdown, ' · ', retry());
    say(text);
  } else if (link.paused) {
    note.className = 'note';
    fill(note, `Paused at ${time(link.pausedAt)}`, waiting ? ` · ${waiting} new ${waiting === 1 ? 'trace' : 'traces'}` : '', ' · ', h('button', { type: 'button', class: 'link', on: { click: () => setPaused(false) } }, 'Resume'));
  } else if (link.restartedAt !== null) {
    note.className = 'note warn';
    const text = `The agent restarted at ${time(link.restartedAt)}. Memory before that is gone.`;
    fill(note, text, ' ', h('button', { type: 'button', class: 'link', on: { click: () => { link.restartedAt = null; linkChanged(); } } }, 'Dismiss'));
    say(text);
  } else {
    fill(note);
    setText(el('live'), '');
  }
  tick();
}

/** Only a collector has devices. */
function offerDevices() {
  sections.find((a) => a.hash === '#/devices').hidden = link.mode !== 'collector' && !/^devices?$/.test(current().parts[0]);
}

function tick() {
  const left = Math.max(0, Math.ceil((link.retryAt - performance.now()) / 1000));
  setText(countdown, link.lostAt !== null || link.refused ? `Retrying in ${left} s` : '');
}

// What came while the page holds still is counted, not shown.
let waiting = 0;

async function countWaiting() {
  if (!link.paused || document.hidden) {
    waiting = 0;
    return;
  }
  try {
    const from = Math.ceil(link.pausedAt);
    const { in_range: found } = await ask('view/traces', { from, to: from + 3_600_000, limit: 0 });
    if (found === waiting || !link.paused) return;
    waiting = found;
    linkChanged();
  } catch {
    // It is counted again in a moment.
  }
}

const retry = () => h('button', { type: 'button', class: 'link', on: { click: wakeAll } }, 'Retry now');

function tokenForm() {
  const input = h('input', { type: 'password', id: 'token', autocomplete: 'off', spellcheck: 'false' });
  const form = h('form', { class: 'token' }, h('label', { for: 'token' }, 'This address needs the token.'), input, h('button', { type: 'submit' }, 'Use'));
  form.addEventListener('submit', (event) => {
    event.preventDefault();
    if (input.value.trim()) setToken(input.value.trim());
  });
  return form;
}

// --- pages

let shows = 0;

function show() {
  const moved = readRange();
  settle();
  showRange();
  shows += 1;
  el('main').dataset.shown = `${performance.timeOrigin}:${shows}`;
  const route = current();
  const name = route.parts[0];
  const module = Object.hasOwn(PAGES, name) ? PAGES[name] : null;
  if (page && page.module === module && page.moved?.(route)) {
    mark(route.parts[0]);
    setTitle();
    if (moved) page.range?.();
    return;
  }
  page?.close?.();
  page = null;
  mark(route.parts[0]);
  const main = el('main');
  if (!module && Object.hasOwn(LATER, name)) {
    busy();
    bring(name).then(show, (error) => {
      ready();
      fill(main, failure(error, show));
    });
    return;
  }
  if (!module) {
    ready();
    fill(main, h('h1', { tabindex: '-1' }, 'No such page'), h('p', { class: 'empty' }, h('a', { href: '#/services' }, 'Services')));
    document.title = 'No such page · Telegen';
    return;
  }
  try {
    main.setAttribute('aria-busy', 'true');
    page = module.open({ route, setTitle, say, panel, pickRange, ready, busy });
    page.module = module;
    fill(main, page.element);
    loading();
  } catch (error) {
    ready();
    fill(main, failure(error, show));
  }
  setTitle();
  scrollTo(0, 0);
  main.querySelector('h1')?.focus({ preventScroll: true });
}

/** Loads a page. */
async function bring(name) {
  PAGES[name] ??= await LATER[name]();
}

let rest = () => {
  rest = () => {};
  // Nobody asked for these yet: what is missing then is brought, or fails, when it is.
  setTimeout(() => Object.keys(LATER).forEach((name) => bring(name).catch(() => {})), 200);
};

/** A page has asked something else and waits for the answer. */
function busy() {
  el('main').setAttribute('aria-busy', 'true');
}

/** A page has shown the answer to what it asked. */
function ready() {
  clearTimeout(slow);
  el('main').removeAttribute('aria-busy');
  rest();
}

let slow = null;

/** What is there within 300 ms needs no word about waiting. */
function loading() {
  clearTimeout(slow);
  const line = page.element.querySelector('.status');
  slow = setTimeout(() => line && !line.textContent && setText(line, 'Loading…'), 300);
}

function mark(section) {
  offerDevices();
  const of = { service: 'services', trace: 'traces', device: 'devices' }[section] ?? section;
  sections.forEach((a) => {
    if (a.hash === `#/${of}`) a.setAttribute('aria-current', 'page');
    else a.removeAttribute('aria-current');
  });
}

function failure(error, reload) {
  const details = `${error.message}\n${error.stack ?? ''}`;
  return h('div', { class: 'note error' }, `This panel failed: ${error.message}. `,
    h('button', { type: 'button', class: 'link', on: { click: reload } }, 'Reload panel'), ' · ',
    h('button', { type: 'button', class: 'link', on: { click: () => navigator.clipboard?.writeText(details) } }, 'Copy details'));
}

/** A part of a page that may fail alone: `draw(data)` fills `element`; an error is shown in its place. */
function panel(element, draw) {
  return (data) => {
    try {
      draw(data);
    } catch (error) {
      fill(element, failure(error, () => panel(element, draw)(data)));
    }
  };
}

async function copy(text, what) {
  try {
    await navigator.clipboard.writeText(text);
    setText(el('live'), `${what} copied`);
  } catch {
    // Plain http on another host has no clipboard.
    setText(el('live'), `${what}: ${text}`);
  }
}

const copyLink = () => copy(fixedAddress(agentNow()), 'Link');

/** What a terminal asks to get the data of this page. */
function curl() {
  const [path, parameters] = page?.question?.() ?? ['services', {}];
  const query = new URLSearchParams(Object.entries(parameters).filter(([, v]) => v !== null && v !== undefined && v !== ''));
  const token = link.token ? " -H 'authorization: Bearer $TOKEN'" : '';
  return `curl -s${token} '${location.origin}/api/v1/${path}${String(query) ? `?${String(query).replaceAll("'", '%27')}` : ''}'`;
}

setUtc(Boolean(prefs.utc));
document.body.append(hatch());
onLink(linkChanged);
setInterval(tick, 1000);
setInterval(countWaiting, 3000);
setInterval(showRange, 30_000);
tools();
el('skip').addEventListener('click', (event) => {
  event.preventDefault();
  el('main').focus();
});
listen({
  '?': showHelp,
  p: goLive,
  y: copyLink,
  u: () => useUtc(!prefs.utc),
  '[': () => shiftRange(-1),
  ']': () => shiftRange(1),
  '/': () => document.querySelector('input[type=search]')?.focus(),
}, () => page, show, () => !prefs.noKeys);
addEventListener('hashchange', () => isSettled() || show());
show();

