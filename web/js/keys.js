// One key map on all screens. Keys never act while someone types, and single letters can be switched off.

import { h } from './dom.js';
import { go, isSettled } from './router.js';

const HELP = [
  ['/', 'filter'], ['g s', 'services'], ['g m', 'map'], ['g t', 'traces'], ['g x', 'Telegen'], ['j k', 'next, previous row'],
  ['Enter', 'open'], ['o', 'sort'], ['[ ]', 'earlier, later'], ['p', 'pause, resume'], ['y', 'copy link'], ['u', 'times in UTC'], ['Esc', 'close, clear, back'],
  ['?', 'this list'], ['← →', 'trace: fold, unfold, parent, child'], ['Shift ← →', 'trace: the whole level'],
  ['n N', 'trace: next, previous error'], ['c', 'trace: critical path'], ['i', 'trace: next inferred link'], ['f', 'trace: fit the span, or all'],
  ['w s a d', 'trace: zoom in, out, left, right'], ['+ - 0', 'map: larger, smaller, fit'],
];

let prefix = false;

/**
 * Listens for keys; `actions` by key, `page()` gives the page at hand, whose `key(event)` goes first. A key that follows a
 * change of the address at once is meant for the new page: `show` brings it on before.
 */
export function listen(actions, page, show, enabled) {
  document.addEventListener('keydown', (event) => {
    if (!isSettled()) show();
    if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return;
    const typing = event.target.closest('input:not([type=checkbox]), select, textarea, [contenteditable]');
    if (typing) {
      if (event.key === 'Escape') event.target.blur();
      return;
    }
    if (event.key !== 'Escape' && event.key.length === 1 && !enabled()) return;
    if (prefix) {
      prefix = false;
      const target = { s: ['services'], m: ['map'], t: ['traces'], x: ['telegen'] }[event.key];
      if (target) {
        event.preventDefault();
        go(target);
        return;
      }
    }
    if (event.key === 'g') {
      prefix = true;
      return;
    }
    if (page()?.key?.(event) === true) {
      event.preventDefault();
      return;
    }
    const action = actions[event.key];
    if (action) {
      event.preventDefault();
      action(event);
    }
  });
}

/** The list of keys as a dialog. */
export function help(settings) {
  const dialog = h('dialog', { class: 'help', 'aria-labelledby': 'help-title' },
    h('h2', { id: 'help-title' }, 'Keys'),
    h('dl', {}, HELP.map(([keys, what]) => h('div', {}, h('dt', {}, keys.split(' ').map((k) => [h('kbd', {}, k), ' '])), h('dd', {}, what)))),
    settings,
    h('form', {}, h('button', { type: 'button', on: { click: () => dialog.close() } }, 'Close')));
  dialog.addEventListener('close', () => dialog.remove());
  document.body.append(dialog);
  dialog.showModal();
}
