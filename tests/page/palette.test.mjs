// The colours of the stylesheet have the contrasts that the eye needs (WCAG 2.2, 1.4.3 and 1.4.11).

import { test } from 'node:test';
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';

const css = readFileSync(new URL('../../web/app.css', import.meta.url), 'utf8');
const tokens = Object.fromEntries([...css.matchAll(/--([\w-]+): light-dark\((#\w{6}), (#\w{6})\)/g)].map(([, name, light, dark]) => [name, [light, dark]]));

function luminance(hex) {
  const part = (i) => {
    const c = Number.parseInt(hex.slice(i, i + 2), 16) / 255;
    return c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
  };
  return 0.2126 * part(1) + 0.7152 * part(3) + 0.0722 * part(5);
}

function contrast(a, b) {
  const [high, low] = [luminance(a), luminance(b)].sort((x, y) => y - x);
  return (high + 0.05) / (low + 0.05);
}

for (const [mode, name] of [[0, 'light'], [1, 'dark']]) {
  test(`text has 4.5 and marks have 3.0 on every ground, ${name}`, () => {
    const grounds = ['bg', 'panel', 'sunk', 'selected'];
    for (const text of ['text', 'muted', 'accent', 'error', 'warn', 'inferred']) {
      for (const ground of grounds) {
        const value = contrast(tokens[text][mode], tokens[ground][mode]);
        assert.ok(value >= 4.5, `${text} on ${ground}: ${value.toFixed(2)}`);
      }
    }
    assert.ok(contrast(tokens.error[mode], tokens['error-tint'][mode]) >= 4.5);
    assert.ok(contrast(tokens.warn[mode], tokens['warn-tint'][mode]) >= 4.5);
    for (const mark of ['control', 's1', 's2', 's3', 's4', 's5', 's6', 's7', 's8']) {
      for (const ground of ['panel', 'selected']) {
        const value = contrast(tokens[mark][mode], tokens[ground][mode]);
        assert.ok(value >= 3, `${mark} on ${ground}: ${value.toFixed(2)}`);
      }
    }
  });
}
