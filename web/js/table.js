// Tables that are kept, not rebuilt: rows are known by a key, and only the texts that differ change.

import { h, fill, plain, save, setText } from './dom.js';
import { link } from './api.js';

/**
 * A table. `columns`: `{ key, label, sort, number, cell(row), update(cell, row) }`. `cell` makes the content once, `update`
 * changes it; `csv(row)` is its value in a file, unless that is `row[key]`. `open(row)` is called for a click beside the
 * link.
 */
export class Table {
  constructor({ caption, columns, open, empty, onSort, size = Infinity, className = '' }) {
    this.columns = columns;
    this.size = size;
    this.offset = 0;
    this.pager = h('div', { class: 'pager', hidden: true });
    this.open = open;
    this.rows = new Map();
    this.order = [];
    this.sort = null;
    this.heads = columns.map((column) => this.head(column, onSort));
    this.body = h('tbody', {});
    this.caption = h('caption', { class: 'sr' }, caption);
    this.empty = h('div', { class: 'empty', hidden: true }, empty ?? '');
    this.table = h('table', { class: `rows cards ${className}` }, this.caption, h('thead', {}, h('tr', {}, this.heads)), this.body);
    this.element = h('div', {}, h('div', { class: 'scroller' }, this.table, this.empty), this.pager);
    this.body.addEventListener('click', (event) => {
      if (event.target.closest('a, button, input')) return;
      // Who selects a text does not want to leave.
      if (String(getSelection())) return;
      const row = this.byElement(event.target);
      if (row && this.open) this.open(row);
    });
  }

  head(column, onSort) {
    const label = column.sort && onSort
      ? h('button', { type: 'button', on: { click: () => onSort(column.sort) } }, column.label, h('span', { class: 'arrow', 'aria-hidden': 'true' }))
      : column.label;
    return h('th', { scope: 'col', class: column.number ? 'number' : '', 'data-col': column.key }, label);
  }

  setSort(sort) {
    this.columns.forEach((column, i) => {
      if (!column.sort) return;
      const name = String(sort ?? '');
      const mine = name === column.sort || name === `-${column.sort}`;
      const up = name.startsWith('-') !== (column.up === true);
      if (mine) this.heads[i].setAttribute('aria-sort', up ? 'ascending' : 'descending');
      else this.heads[i].removeAttribute('aria-sort');
    });
  }

  byElement(element) {
    const tr = element.closest('tr');
    return tr ? this.rows.get(tr.dataset.key)?.row : null;
  }

  /** Whether the user is at a row: then rows should stay where they are. */
  get busy() {
    return this.body.matches(':hover') || this.body.contains(document.activeElement);
  }

  /** Shows `rows` (`[key, row]`) in their order, a page of them. Gives how many would stand elsewhere. */
  show(all, { keepOrder = false } = {}) {
    this.all = all;
    if (this.offset >= all.length) this.offset = 0;
    const rows = all.slice(this.offset, this.offset + this.size);
    pages(this.pager, { offset: this.offset, size: this.size, total: all.length, turn: (offset) => { this.offset = offset; this.show(this.all); } });
    const keys = rows.map(([key]) => String(key));
    const present = new Set(keys);
    for (const [key, entry] of this.rows) {
      if (!present.has(key)) {
        entry.tr.remove();
        this.rows.delete(key);
      }
    }
    for (const [key, row] of rows) {
      const known = this.rows.get(String(key));
      if (known) {
        known.row = row;
        this.update(known);
      } else {
        this.rows.set(String(key), this.make(String(key), row));
      }
    }
    const held = keepOrder ? [...this.order.filter((k) => present.has(k)), ...keys.filter((k) => !this.order.includes(k))] : keys;
    let at = this.body.firstElementChild;
    for (const key of held) {
      const { tr } = this.rows.get(key);
      if (tr === at) at = at.nextElementSibling;
      else this.body.insertBefore(tr, at);
    }
    this.order = held;
    this.empty.hidden = rows.length > 0;
    this.table.hidden = rows.length === 0;
    return keys.filter((key, i) => held[i] !== key).length;
  }

  /** Goes to the head that sorts. */
  focusSort() {
    (this.heads.find((th) => th.hasAttribute('aria-sort')) ?? this.heads[0]).querySelector('button')?.focus();
  }

  /** Marks the rows that fit. */
  mark(fits) {
    for (const { tr, row } of this.rows.values()) tr.classList.toggle('marked', fits(row));
  }

  /** The rows as they stand, as CSV (RFC 4180). */
  csv() {
    const columns = this.columns.filter((c) => c.key !== 'spark');
    // What begins like a formula would be run by a spreadsheet.
    const cell = (value) => {
      const text = value === null || value === undefined ? '' : String(value);
      const safe = typeof value !== 'number' && /^[=+\-@\t\r]/.test(text) ? `'${text}` : text;
      return /[",\r\n]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
    };
    const line = (values) => `${values.map(cell).join(',')}\r\n`;
    const rows = this.all.map(([, row]) => row);
    return line(columns.map((c) => c.key)) + rows.map((row) => line(columns.map((c) => (c.csv ? c.csv(row) : row[c.key])))).join('');
  }

  setEmpty(...content) {
    fill(this.empty, ...content);
  }

  make(key, row) {
    const cells = this.columns.map((column, i) => {
      const tag = i === 0 ? 'th' : 'td';
      const cell = h(tag, { scope: i === 0 ? 'row' : null, class: column.number ? 'number' : '', 'data-col': column.key });
      cell.setAttribute('data-label', column.label);
      if (column.cell) fill(cell, column.cell(row));
      return cell;
    });
    const tr = h('tr', { 'data-key': key }, cells);
    const entry = { tr, cells, row };
    this.update(entry);
    return entry;
  }

  update({ tr, cells, row }) {
    this.columns.forEach((column, i) => column.update?.(cells[i], row, tr));
  }

  /** Moves the focus by `step` rows. */
  move(step) {
    const links = [...this.body.querySelectorAll('tr')].map((tr) => tr.querySelector('a')).filter(Boolean);
    if (!links.length) return;
    const at = links.findIndex((a) => a.closest('tr').contains(document.activeElement));
    const next = at < 0 ? (step > 0 ? 0 : links.length - 1) : Math.min(links.length - 1, Math.max(0, at + step));
    links[next].focus();
  }
}

/** What may be wider than the screen, in reach of the keyboard: arrow keys scroll it. */
export function scroller(label, ...content) {
  return h('div', { class: 'scroller', role: 'group', tabindex: '0', 'aria-label': label }, content);
}

/** A text cell with its reason, when it has one, for the pointer and the screen reader alike. */
export function setCell(cell, text, why = null, className = '') {
  let value = cell.querySelector('.value');
  if (!value) {
    value = h('span', { class: 'value' });
    cell.append(value);
  }
  setText(value, text);
  const wanted = `value ${className}`.trim();
  if (value.className !== wanted) value.className = wanted;
  let note = cell.querySelector('.why');
  if (why) {
    if (!note) {
      note = h('span', { class: 'why sr' });
      cell.append(note);
    }
    setText(note, `(${why})`);
    if (cell.title !== why) cell.title = why;
  } else if (note) {
    note.remove();
    cell.removeAttribute('title');
  }
}

/** Fills the line under a table that turns its pages. */
export function pages(element, { offset, size, total, turn }) {
  element.hidden = total <= size;
  if (element.hidden) return;
  const last = Math.min(total, offset + size);
  const button = (label, to, off) => h('button', { type: 'button', disabled: off, on: { click: () => turn(to) } }, label);
  fill(element, button('Previous', offset - size, offset === 0), ` ${offset + 1}–${last} of ${total.toLocaleString('en-US')} `, button('Next', offset + size, last >= total));
}

/** A button that saves a table as it stands. */
export function csvButton(name, table) {
  const click = () => save(`telegen-${link.host}-${name}.csv`, table().csv(), 'text/csv;charset=utf-8');
  return h('button', { type: 'button', class: 'quiet', title: 'Save this table', on: { click } }, h('span', { 'aria-hidden': 'true' }, '↓ '), 'CSV');
}

/** The field of a filter, with room for what is wrong with it. */
export function filterBox({ id, label, value, hint, change }) {
  const input = h('input', { type: 'search', id, value, placeholder: hint, autocomplete: 'off', spellcheck: 'false' });
  const wrong = h('span', { class: 'wrong', role: 'alert' });
  input.addEventListener('input', () => change(input.value));
  input.addEventListener('keydown', (event) => {
    if (event.key !== 'Escape' || !input.value) return;
    input.value = '';
    change('');
  });
  return {
    element: h('div', { class: 'filter' }, h('label', { for: id, class: 'sr' }, label), input, wrong),
    set(text) {
      input.value = text;
    },
    wrong: (text) => setText(wrong, text),
  };
}

/** What narrows a list, each with a way to take it off. `others`: `[label, value, remove]`. */
export function chips(element, q, change, others = []) {
  const terms = q.match(/(?:[^\s"]|"[^"]*"?)+/g) ?? [];
  const chip = (text, remove) => h('span', { class: 'chip' }, plain(text, 60), h('button', { type: 'button', 'aria-label': `Remove ${plain(text, 60)}`, on: { click: remove } }, '×'));
  const mine = terms.map((term, i) => chip(term, () => change(terms.filter((_, j) => j !== i).join(' '))));
  const all = [...others.map(([label, value, remove]) => chip(`${label}${value}`, remove)), ...(terms.length > 1 || others.length ? mine : [])];
  fill(element, all);
  element.hidden = all.length === 0;
}
