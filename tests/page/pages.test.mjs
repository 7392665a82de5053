// Every page with every store: nothing goes wrong, nothing leaves the host, the layout holds, anyone can use it.

import { after, before, test } from 'node:test';
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { browse, open, serve, visit } from './harness.mjs';

const axe = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
const stores = {};
let browser;

before(async () => {
  browser = await browse();
  for (const kind of ['empty', 'off', 'demo', 'giant', 'hostile']) stores[kind] = await serve(kind);
});

after(async () => {
  await browser?.close();
  await Promise.all(Object.values(stores).map((s) => s.stop()));
});

async function routes(store, kind) {
  const list = ['services', 'traces', 'telegen', 'no/such/page', 'service/not-there', `trace/${'ab'.repeat(16)}`];
  if (kind === 'empty' || kind === 'off') return list;
  const { rows } = await store.json('/api/v1/view/traces?sort=failed&limit=1');
  const services = await store.json('/api/v1/view/overview?limit=1');
  const [, name, namespace] = services.rows[0];
  const service = `service/${encodeURIComponent(name)}?ns=${encodeURIComponent(namespace)}`;
  list.push(`trace/${rows[0][0]}`, ...['routes', 'calls', 'traces', 'unread', 'about'].map((tab) => `${service}&tab=${tab}`));
  if (kind === 'giant') list.push('trace/0123456789abcdef0123456789abcdef');
  return list;
}

// What the browser itself says about answers that are meant to be no success.
const expected = (trouble) => /status 404|Failed to load resource.*404/.test(trouble);

async function check(page, troubles, where) {
  assert.deepEqual(troubles.filter((t) => !expected(t)), [], where);
  const seen = await page.evaluate(() => ({
    wide: document.documentElement.scrollWidth - innerWidth,
    elements: document.querySelectorAll('*').length,
    hacked: window.hacked,
    title: document.title,
  }));
  assert.ok(seen.wide <= 0, `${where}: ${seen.wide} px too wide`);
  assert.ok(seen.elements <= 1400, `${where}: ${seen.elements} elements`);
  assert.equal(seen.hacked, undefined, where);
  assert.match(seen.title, /Telegen/);
}

for (const kind of ['empty', 'off', 'demo', 'giant', 'hostile']) {
  for (const [theme, width] of [['light', 1280], ['dark', 1280], ['light', 400], ['dark', 400], ['light', 320]]) {
    test(`${kind}, ${theme}, ${width} px: no complaint, no request elsewhere, no sideways scrolling`, async () => {
      const store = stores[kind];
      const { page, troubles, close } = await open(browser, store.url, { theme, width });
      for (const route of await routes(store, kind)) {
        await visit(page, store.url, route);
        await check(page, troubles, `${kind} ${route}`);
      }
      await close();
    });
  }
}

for (const [kind, width] of [['demo', 1280], ['demo', 400], ['empty', 1280], ['giant', 1280], ['hostile', 1280]]) {
  test(`${kind}, ${width} px: no rule of accessibility is broken`, async () => {
    const store = stores[kind];
    const { page, close } = await open(browser, store.url, { width });
    for (const route of await routes(store, kind)) {
      await visit(page, store.url, route);
      await page.evaluate(axe);
      const result = await page.evaluate(() => globalThis.axe.run(document, { resultTypes: ['violations'] }));
      const found = result.violations.map((v) => `${v.id}: ${v.nodes.slice(0, 3).map((n) => n.html.slice(0, 160)).join(' | ')}`);
      assert.deepEqual(found, [], `${kind} ${route}`);
    }
    await close();
  });
}

test('hostile names are shown as the text they are', async () => {
  const store = stores.hostile;
  const { page, close } = await open(browser, store.url);
  await visit(page, store.url, `services?q=${encodeURIComponent('onerror')}`);
  assert.equal(await page.locator('tbody a').first().textContent(), '<img src=x onerror="window.hacked=1">');
  await visit(page, store.url, `services?q=${encodeURIComponent('evil')}`);
  assert.equal(await page.locator('tbody a').first().textContent(), '\\u{202E}evil\\u{202C} \\u{200B}zero\\u{FEFF}');
  await page.locator('tbody a').first().click();
  await page.waitForSelector('.tabs');
  assert.equal(await page.locator('main img, main script, main b:not(.n)').count(), 0);
  assert.equal(await page.evaluate(() => window.hacked), undefined);
  await close();
});

test('the policy stops markup and code even if someone tried', async () => {
  const store = stores.demo;
  const { page, close } = await open(browser, store.url);
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
  const { page, close } = await open(browser, store.url);
  await visit(page, store.url, 'trace/0123456789abcdef0123456789abcdef');
  await page.waitForSelector('.wf-row');
  assert.match(await page.locator('.status').textContent(), /9,000 spans.*showing 2,000/);
  assert.ok(await page.locator('.wf-row').count() <= 60);
  await page.keyboard.press('n');
  const row = page.locator('.wf-row:focus');
  assert.match(await row.getAttribute('aria-label'), /error 503/);
  await close();
});
