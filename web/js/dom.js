// Elements, and texts that come from somewhere else. Nothing here takes markup: a text is a text.

const PLAIN = new Set([
  'class', 'id', 'role', 'type', 'title', 'for', 'value', 'placeholder', 'name', 'scope', 'tabindex', 'colspan',
  'autocomplete', 'spellcheck', 'disabled', 'hidden', 'selected', 'checked', 'download', 'rel', 'lang', 'open',
  'viewBox', 'd', 'x', 'y', 'x1', 'x2', 'y1', 'y2', 'width', 'height', 'fill', 'points', 'cx', 'cy', 'r',
  'preserveAspectRatio', 'text-anchor', 'focusable', 'patternUnits', 'patternTransform', 'rx', 'dx', 'min', 'max', 'step',
]);
const SVG = 'http://www.w3.org/2000/svg';
const SVG_TAGS = new Set(['svg', 'path', 'line', 'rect', 'text', 'g', 'circle', 'polyline', 'title', 'defs', 'pattern', 'tspan', 'svg:a']);

/**
 * Makes an element. `attrs`: names of the list above, `aria-*`, `data-*`, `href` within this page, `on` (listeners by
 * name), `vars` (custom properties, numbers only). Children are nodes or texts; null and false are left out. A link within
 * a drawing is `svg:a`.
 */
export function h(tag, attrs, ...children) {
  const el = SVG_TAGS.has(tag) ? document.createElementNS(SVG, tag.replace('svg:', '')) : document.createElement(tag);
  for (const [name, value] of Object.entries(attrs ?? {})) {
    if (value === null || value === undefined || value === false) continue;
    if (name === 'on') {
      for (const [event, listener] of Object.entries(value)) el.addEventListener(event, listener);
    } else if (name === 'vars') {
      for (const [key, number] of Object.entries(value)) setVar(el, key, number);
    } else if (name === 'href') {
      if (/^(#|\/api\/v1\/|blob:)/.test(value)) el.setAttribute('href', value);
    } else if (PLAIN.has(name) || /^(aria|data)-[a-z-]+$/.test(name)) {
      el.setAttribute(name, value === true ? '' : String(value));
    } else {
      throw new Error(`attribute ${name} is not on the list`);
    }
  }
  add(el, children);
  return el;
}

function add(el, children) {
  for (const child of children.flat(Infinity)) {
    if (child !== null && child !== undefined && child !== false) el.append(child);
  }
}

/** Replaces what is in an element. */
export function fill(el, ...children) {
  el.replaceChildren();
  add(el, children);
  return el;
}

/** Sets a custom property to a number. */
export function setVar(el, name, number) {
  el.style.setProperty(`--${name}`, Number.isFinite(number) ? String(number) : '0');
}

/** Sets a text only when it differs, so that selections and screen readers keep their place. */
export function setText(el, text) {
  if (el.textContent !== text) el.textContent = text;
}

// Control characters, zero-width and bidirectional ones, and what else can make a text look like another.
const ODD = /[\u0000-\u001f\u007f-\u009f\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufffb]/g;
const LONGEST = 2048;

/** A text from the wire: isolated, odd characters shown as `\u{202E}`, long ones cut with a button to see the rest. */
export function wire(text, longest = LONGEST) {
  const el = h('bdi', {});
  write(el, String(text ?? ''), longest);
  return el;
}

function write(el, text, longest) {
  const cut = text.length > longest;
  const shown = cut ? text.slice(0, longest) : text;
  const parts = [];
  let from = 0;
  for (const match of shown.matchAll(ODD)) {
    parts.push(shown.slice(from, match.index));
    parts.push(h('span', { class: 'odd' }, `\\u{${match[0].codePointAt(0).toString(16).toUpperCase()}}`));
    from = match.index + match[0].length;
  }
  parts.push(shown.slice(from));
  fill(el, parts);
  if (cut && longest === LONGEST) {
    const all = () => write(el, text, Infinity);
    el.append(h('button', { type: 'button', class: 'link', on: { click: all } }, ` … show all ${text.length} characters`));
  } else if (cut) {
    el.append('…');
  }
}

/** The same for attributes and titles, where no element can stand. */
export function plain(text, longest = 200) {
  const safe = String(text ?? '').replace(ODD, (c) => `\\u{${c.codePointAt(0).toString(16).toUpperCase()}}`);
  return safe.length > longest ? `${safe.slice(0, longest)}…` : safe;
}

/** Copies a text and says so for a moment. */
export function copyButton(label, text) {
  const button = h('button', { type: 'button', class: 'quiet' }, label);
  button.addEventListener('click', async () => {
    const value = typeof text === 'function' ? text() : text;
    try {
      await navigator.clipboard.writeText(value);
      setText(button, 'copied');
    } catch {
      // Plain http on another host has no clipboard: the text is selected instead.
      setText(button, 'select and copy');
      button.after(h('input', { class: 'copy', value, 'aria-label': label, spellcheck: 'false' }));
    }
    setTimeout(() => setText(button, label), 1500);
  });
  return button;
}

/** Hands a text to the browser as a file. */
export function save(name, text, type) {
  const url = URL.createObjectURL(text instanceof Blob ? text : new Blob([text], { type }));
  const a = h('a', { href: url, download: name.replace(/[^A-Za-z0-9._-]/g, '') });
  document.body.append(a);
  a.click();
  a.remove();
  setTimeout(() => URL.revokeObjectURL(url), 10_000);
}
