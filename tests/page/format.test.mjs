// Numbers as people read them.

import { test } from 'node:test';
import assert from 'node:assert/strict';
import { bytes, duration, percent, quantile, rate, span } from '../../web/js/format.js';

const ascii = (text) => text.replaceAll('\u2009', ' ');
const table = (f, cases) => cases.forEach(([input, output]) => assert.equal(ascii(f(input)), output, `${f.name}(${input})`));

test('durations have three digits and the unit that fits', () => {
  table(duration, [
    [null, '–'], [NaN, '–'], [0, '0'], [0.0001, '<1 µs'], [0.84, '840 µs'], [0.9999, '1.00 ms'], [12.4, '12.4 ms'],
    [99.96, '100 ms'], [999.4, '999 ms'], [999.95, '1.00 s'], [1920, '1.92 s'], [119_400, '119 s'], [125_000, '2 min 05 s'],
  ]);
});

test('rates and shares tell nothing from none', () => {
  table(rate, [[null, '–'], [0, '0'], [0.004, '<0.01/s'], [0.12, '0.12/s'], [82.1, '82.1/s'], [1240, '1,240/s'], [12_400, '12.4k/s'], [1e9, '1,000,000k/s']]);
  table(percent, [[null, '–'], [0, '0'], [0.00004, '<0.01 %'], [0.041, '4.1 %'], [0.3, '30 %'], [0.99999, '>99.9 %'], [1, '100 %']]);
});

test('bytes are binary and long times are split', () => {
  table(bytes, [[0, '0 B'], [1023, '1023 B'], [1024, '1.00 KiB'], [41 * 1024 * 1024, '41.0 MiB']]);
  table(span, [[90, '90 s'], [3 * 86_400 + 4 * 3600, '3 d 4 h'], [7620, '2 h 07 min']]);
});

test('a quantile of too few requests says how many are needed', () => {
  assert.deepEqual(quantile(5, 37, 100), ['–', '37 requests, 100 needed']);
  assert.equal(ascii(quantile(5, 100, 100)[0]), '5.00 ms');
  assert.deepEqual(quantile(null, 0, 1), ['–', 'no requests in the range']);
});
