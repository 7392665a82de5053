// The frame: bar, note about the connection, and one page at a time.

import { h, fill, setText, plain, wire } from './dom.js';
import { setUtc, time } from './format.js';
import { link, onLink, setPaused, setToken, wakeAll } from './api.js';
import { current } from './router.js';
import { help, listen } from './keys.js';
import { hatch } from './chart.js';
import * as services from './services.js';
import * as service from './service.js';
import * as traces from './traces.js';
import * as trace from './trace.js';
import * as telegen from './telegen.js';

const PAGES = { services, service, traces, trace, telegen };
const SECTIONS = [['services', 'Services'], ['traces', 'Traces'], ['telegen', 'Telegen']];

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

const live = h('button', { type: 'button', class: 'quiet', 'aria-pressed': 'false', on: { click: () => setPaused(!link.paused) } });
const hostName = h('span', { class: 'host' });
const dot = h('span', { class: 'off-count' });
const sections = SECTIONS.map(([name, label]) => h('a', { href: `#/${name}`, 'data-section': name }, label, name === 'telegen' ? dot : null));
const theme = h('select', { 'aria-label': 'Theme', class: 'quiet', on: { change: () => setTheme(theme.value) } },
  [['', 'System'], ['light', 'Light'], ['dark', 'Dark']].map(([value, label]) => h('option', { value, selected: (prefs.theme ?? '') === value }, label)));

function bar() {
  fill(el('bar'),
    h('div', { class: 'bar-in' },
      h('a', { class: 'brand', href: '#/services', 'aria-label': 'Telegen, services' }, logo(), h('span', {}, 'Telegen')),
      hostName,
      h('nav', { 'aria-label': 'Sections' }, sections),
      h('div', { class: 'tools' }, live, theme,
        h('button', { type: 'button', class: 'quiet', 'aria-label': 'Keys and settings', on: { click: showHelp } }, '?'))));
  linkChanged();
}

function logo() {
  return h('svg', { viewBox: '0 0 32 32', width: 20, height: 20, 'aria-hidden': 'true', focusable: 'false' },
    h('path', { class: 'logo', d: 'M3 21h7l3-11 5 15 4-10h7' }));
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
  help(h('div', { class: 'prefs' },
    box('compact rows', 'compact', (on) => setCompact(on)),
    box('times in UTC', 'utc', (on) => useUtc(on)),
    box('no single-letter keys', 'noKeys')));
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
  setText(dot, link.off ? `${link.off} off` : '');
  dot.hidden = link.off === 0;
  fill(live, link.paused ? 'Paused · Resume' : 'Live');
  live.classList.toggle('on', !link.paused);
  live.setAttribute('aria-pressed', String(link.paused));
  live.title = link.paused ? 'Resume (p)' : 'Pause (p)';
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
    fill(note, `Paused at ${time(link.pausedAt)}`, ' · ', h('button', { type: 'button', class: 'link', on: { click: () => setPaused(false) } }, 'Resume'));
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

function tick() {
  const left = Math.max(0, Math.ceil((link.retryAt - performance.now()) / 1000));
  setText(countdown, link.lostAt !== null || link.refused ? `Retrying in ${left} s` : '');
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

function show() {
  const route = current();
  const module = PAGES[route.parts[0]];
  if (page && page.module === module && page.moved?.(route)) {
    mark(route.parts[0]);
    setTitle();
    return;
  }
  page?.close?.();
  page = null;
  mark(route.parts[0]);
  const main = el('main');
  if (!module) {
    fill(main, h('h1', { tabindex: '-1' }, 'No such page'), h('p', { class: 'empty' }, h('a', { href: '#/services' }, 'Services')));
    document.title = 'No such page · Telegen';
    return;
  }
  try {
    page = module.open({ route, setTitle, say, panel });
    page.module = module;
    fill(main, page.element);
  } catch (error) {
    fill(main, failure(error, show));
  }
  setTitle();
  scrollTo(0, 0);
  main.querySelector('h1')?.focus({ preventScroll: true });
}

function mark(section) {
  const of = { service: 'services', trace: 'traces' }[section] ?? section;
  sections.forEach((a) => {
    if (a.dataset.section === of) a.setAttribute('aria-current', 'page');
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

async function copyLink() {
  try {
    await navigator.clipboard.writeText(location.href);
    setText(el('live'), 'Link copied');
  } catch {
    setText(el('live'), 'The link is in the address bar');
  }
}

setUtc(Boolean(prefs.utc));
document.body.append(hatch());
onLink(linkChanged);
setInterval(tick, 1000);
bar();
el('skip').addEventListener('click', (event) => {
  event.preventDefault();
  el('main').focus();
});
listen({
  '?': showHelp,
  p: () => setPaused(!link.paused),
  y: copyLink,
  u: () => useUtc(!prefs.utc),
  '/': () => document.querySelector('input[type=search]')?.focus(),
}, () => page, () => !prefs.noKeys);
addEventListener('hashchange', show);
show();

