// The tree of a waterfall keeps to what is known.

import { test } from 'node:test';
import assert from 'node:assert/strict';
import { tree } from '../../web/js/waterfall.js';

const span = (id, parent, start) => ({ id, parent, start, dur: 1, service: 0, name: 'x', error: null, status: null, link: null });

test('a span whose parent was not seen is a part of its own, after the root', () => {
  const { tops } = tree([span('c', 'gone', 0), span('a', null, 5), span('b', 'a', 6)]);
  assert.deepEqual(tops.map((t) => t.span.id), ['a', 'c']);
  assert.deepEqual(tops[0].children.map((t) => t.span.id), ['b']);
});

test('children stand in the order of their start, and none is moved', () => {
  const spans = [span('a', null, 10), span('c', 'a', 30), span('b', 'a', 2)];
  const { tops } = tree(spans);
  assert.deepEqual(tops[0].children.map((t) => [t.span.id, t.span.start]), [['b', 2], ['c', 30]]);
});

test('parents that go round in a circle, and a span that is its own parent, end', () => {
  const { tops, byId } = tree([span('a', 'b', 0), span('b', 'a', 1), span('c', 'c', 2)]);
  assert.equal(tops.length + [...byId.values()].reduce((n, node) => n + node.children.length, 0), 3);
});

test('spans that name the same unseen parent are one part', () => {
  const { parts } = tree([span('a', 'gone', 5), span('b', 'gone', 6), span('c', 'else', 1), span('d', null, 9)]);
  assert.deepEqual(parts.map(([missing, tops]) => [missing, tops.map((t) => t.span.id)]), [[null, ['d']], ['else', ['c']], ['gone', ['a', 'b']]]);
});
