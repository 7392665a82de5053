// Every page with every store: nothing goes wrong, nothing leaves the host, the layout holds, anyone can use it.

import { test } from 'node:test';
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { heap, open, routes, stage, visit } from './harness.mjs';

const axe = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
const KINDS = ['empty', 'off', 'demo', 'derived', 'giant', 'hostile', 'many'];
const stores = stage(...KINDS);

async function list(kind) {
  const all = await routes(stores[kind]);
  if (kind === 'giant') all.giant = 'trace/0123456789abcdef0123456789abcdef';
  return Object.values(all);
}

async function check(page, troubles, where) {
  assert.deepEqual(troubles, [], where);
  const seen = await page.evaluate(() => ({
    wide: document.documentElement.scrollWidth - innerWidth,
    elements: document.querySelectorAll('*').length,
    hacked: window.hacked,
    title: document.title,
    failed: document.querySelector('main')?.textContent.includes('This panel failed'),
  }));
  assert.ok(seen.wide <= 0, `${where}: ${seen.wide} px too wide`);
  assert.ok(seen.elements <= 1400, `${where}: ${seen.elements} elements`);
  assert.equal(seen.hacked, undefined, where);
  assert.equal(seen.failed, false, where);
  assert.match(seen.title, /Telegen/);
}

const LOOKS = [['light', 1280], ['dark', 1280], ['light', 400], ['dark', 400], ['light', 320]];
for (const kind of KINDS) {
  // What is nearly empty looks alike in every light.
  for (const [theme, width] of kind === 'demo' ? LOOKS : kind === 'hostile' ? [LOOKS[0], LOOKS[3], LOOKS[4]] : [LOOKS[kind === 'derived' ? 3 : 0]]) {
    test(`${kind}, ${theme}, ${width} px: no complaint, no request elsewhere, no sideways scrolling`, async () => {
      const store = stores[kind];
      const { page, troubles, close } = await open(stores.browser, store.url, { theme, width });
      for (const route of await list(kind)) {
        await visit(page, store.url, route);
        await check(page, troubles, `${kind} ${route}`);
      }
      await close();
    });
  }
}

for (const [kind, theme, width] of [['demo', 'light', 1280], ['demo', 'dark', 1280], ['demo', 'light', 400], ['empty', 'light', 1280], ['giant', 'light', 1280], ['hostile', 'light', 1280]]) {
  test(`${kind}, ${theme}, ${width} px: no rule of accessibility is broken`, async () => {
    const store = stores[kind];
    const { page, close } = await open(stores.browser, store.url, { theme, width });
    // The giant's other pages are the demo's.
    for (const route of kind === 'giant' ? ['trace/0123456789abcdef0123456789abcdef'] : await list(kind)) {
      await visit(page, store.url, route);
      await page.evaluate(axe);
      const result = await page.evaluate(() => globalThis.axe.run(document, { resultTypes: ['violations'] }));
      const found = result.violations.map((v) => `${v.id}: ${v.nodes.slice(0, 3).map((n) => n.html.slice(0, 160)).join(' | ')}`);
      assert.deepEqual(found, [], `${kind} ${route}`);
    }
    await close();
  });
}

test('in the colours of the system, with forced colours and at twice the size nothing is cut', async () => {
  const store = stores.demo;
  for (const look of [{ forcedColors: 'active' }, { width: 640, height: 400, scale: 2 }]) {
    const { page, troubles, close } = await open(stores.browser, store.url, look);
    for (const route of await list('demo')) {
      await visit(page, store.url, route);
      await check(page, troubles, `${JSON.stringify(look)} ${route}`);
    }
    await close();
  }
});

test('the heap stays bounded with a thousand hostile services and a trace of thousands of spans', async () => {
  for (const [kind, route] of [['hostile', 'services'], ['hostile', 'map'], ['giant', 'trace/0123456789abcdef0123456789abcdef']]) {
    const { page, close } = await open(stores.browser, stores[kind].url);
    await visit(page, stores[kind].url, route);
    const used = await heap(page);
    assert.ok(used < 24 << 20, `${kind} ${route}: ${used} bytes`);
    await close();
  }
});

test('hostile names are shown as the text they are', async () => {
  const store = stores.hostile;
  const { page, close } = await open(stores.browser, store.url);
  await visit(page, store.url, `services?q=${encodeURIComponent('onerror')}`);
  assert.equal(await page.locator('tbody a').first().textContent(), '<img src=x onerror="window.hacked=1">');
  await visit(page, store.url, `services?q=${encodeURIComponent('evil')}`);
  assert.equal(await page.locator('tbody a').first().textContent(), '\\u{202E}evil\\u{202C} \\u{200B}zero\\u{FEFF}');
  await page.locator('tbody a').first().click();
  await page.waitForSelector('.tabs [role=tab]');
  assert.equal(await page.locator('main img, main script, main b:not(.n)').count(), 0);
  assert.equal(await page.evaluate(() => window.hacked), undefined);
  await close();
});

test('the policy stops markup and code even if someone tried', async () => {
  const store = stores.demo;
  const { page, close } = await open(stores.browser, store.url);
  await visit(page, store.url, 'services');
  const refused = await page.evaluate(() => {
    const tries = {
      markup: () => { document.body['inner' + 'HTML'] = '<img src=x>'; },
      handler: () => document.body.setAttribute('onclick', 'window.hacked=1'),
      worker: () => new Worker('data:text/javascript,1'),
    };
    return Object.entries(tries).filter(([, attempt]) => { try { attempt(); return false; } catch { return true; } }).map(([name]) => name);
  });
  assert.deepEqual(refused, ['markup', 'handler', 'worker']);
  await close();
});

test('a large trace mounts only what is seen and keeps its errors in sight', async () => {
  const store = stores.giant;
  const { page, close } = await open(stores.browser, store.url);
  await visit(page, store.url, 'trace/0123456789abcdef0123456789abcdef');
  await page.waitForSelector('.wf-row');
  assert.match(await page.locator('.status').textContent(), /9,000 spans.*showing 2,000/);
  assert.ok(await page.locator('.wf-row').count() <= 60);
  await page.keyboard.press('n');
  const row = page.locator('.wf-row:focus');
  assert.match(await row.getAttribute('aria-label'), /error 503/);
  await close();
});
