// The form that asks for two instants.

import { h, setText } from './dom.js';
import { isUtc, time, zone } from './format.js';

const two = (n) => String(n).padStart(2, '0');

/** An instant as the field writes it, in the zone that the page shows. */
export function toField(ms, utc = isUtc()) {
  const d = new Date(ms);
  const [year, month, day, hour, minute, second] = utc
    ? [d.getUTCFullYear(), d.getUTCMonth(), d.getUTCDate(), d.getUTCHours(), d.getUTCMinutes(), d.getUTCSeconds()]
    : [d.getFullYear(), d.getMonth(), d.getDate(), d.getHours(), d.getMinutes(), d.getSeconds()];
  return `${year}-${two(month + 1)}-${two(day)}T${two(hour)}:${two(minute)}:${two(second)}`;
}

/** The instant in a field, NaN where there is none. */
export const fromField = (text, utc = isUtc()) => Date.parse(utc && text ? `${text}Z` : text);

/** What is wrong with a range, or nothing. `since`: the first instant that memory holds. */
export function wrongRange({ from, to }, { since, now }) {
  if (!Number.isFinite(from) || !Number.isFinite(to)) return 'Both ends are needed, with date and time.';
  if (from >= to) return 'The end has to come after the beginning.';
  if (from >= now) return 'That has not happened yet.';
  if (since !== null && to <= since) return `Memory begins at ${time(since, now)}: nothing is known of the time before.`;
  return '';
}

/** Opens the form; `pick({ from, to })` gets a range that makes sense. */
export function rangeForm(at, memory, pick) {
  const field = (id, label, ms) => {
    const input = h('input', { type: 'datetime-local', id, step: '1', value: toField(ms) });
    return [input, h('label', { for: id }, `${label} (${zone()})`, input)];
  };
  const [from, fromLabel] = field('range-from', 'From', at.from);
  const [to, toLabel] = field('range-to', 'To', at.to);
  const wrong = h('p', { class: 'wrong', role: 'alert' });
  const form = h('form', { class: 'range-form' }, fromLabel, toLabel, wrong,
    h('div', { class: 'ends' }, h('button', { type: 'submit' }, 'Show'), h('button', { type: 'button', class: 'quiet', on: { click: () => dialog.close() } }, 'Cancel')));
  form.addEventListener('submit', (event) => {
    event.preventDefault();
    const range = { from: fromField(from.value), to: fromField(to.value) };
    const problem = wrongRange(range, memory);
    setText(wrong, problem);
    if (problem) return;
    dialog.close();
    pick({ from: range.from, to: Math.min(range.to, memory.now) });
  });
  const dialog = h('dialog', { class: 'help', 'aria-labelledby': 'range-title' }, h('h2', { id: 'range-title' }, 'From … to …'), form);
  dialog.addEventListener('close', () => dialog.remove());
  document.body.append(dialog);
  dialog.showModal();
}
