// What a person comes to find out, once with the keyboard alone and once with the mouse.

import { test } from 'node:test';
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { open, serve, stage, visit } from './harness.mjs';

const at = stage('demo');

const answered = (page) => page.waitForFunction(() => !document.querySelector('main[aria-busy]'));
const focused = (page, what) => page.waitForFunction((text) => document.activeElement?.textContent.includes(text), what);
/** Presses a key until the focus is on something. */
async function until(page, key, selector, most = 60) {
  for (let i = 0; i < most; i += 1) {
    if (await page.evaluate((s) => document.activeElement?.matches(s), selector)) return;
    await page.keyboard.press(key);
  }
  assert.fail(`${key} never came to ${selector}`);
}

test('which route is slowest: by keyboard', async () => {
  const { page, troubles, close } = await open(at.browser, at.demo.url);
  await visit(page, at.demo.url, 'services');
  await page.keyboard.press('/');
  await page.keyboard.type('catalogue');
  await answered(page);
  await page.keyboard.press('Tab');
  await page.keyboard.press('j');
  await focused(page, 'catalogue');
  await page.keyboard.press('Enter');
  await page.waitForSelector('.numbers tbody tr');
  await until(page, 'Tab', 'th[data-col=p95] button');
  await page.keyboard.press('Enter');
  await page.waitForSelector('th[data-col=p95][aria-sort=descending]');
  const rows = await page.locator('.numbers tbody tr th').allTextContents();
  const { routes } = await at.demo.json('/api/v1/view/service?name=catalogue&range=15m');
  const slowest = routes.toSorted((a, b) => b.p95 - a.p95)[0];
  assert.equal(rows[0], `${slowest.method} ${slowest.route}`);
  assert.deepEqual(troubles, []);
  await close();
});

test('which dependency fails: by mouse from the map, by keyboard from the service', async () => {
  const { page, troubles, close } = await open(at.browser, at.demo.url);
  await visit(page, at.demo.url, 'map');
  assert.equal(await page.locator('.node.failing .node-name').allTextContents().then((names) => names.sort().join()), 'checkout,payments');
  // The first click chooses, and shows the edges; the second one goes there.
  const node = page.locator('.node', { hasText: 'payments' });
  await node.click();
  assert.match(page.url(), /#\/map/);
  assert.equal(await page.locator('.rows tr.marked').count(), 2);
  await node.click();
  await page.waitForFunction(() => location.hash.startsWith('#/service/payments'));
  await visit(page, at.demo.url, 'service/checkout?ns=shop&tab=calls');
  await page.waitForSelector('.numbers tbody tr');
  await page.keyboard.press('j');
  await page.keyboard.press('k');
  const failing = page.locator('.numbers tbody tr', { hasText: '▲' }).first();
  assert.match(await failing.textContent(), /^payments/);
  await failing.locator('a').focus();
  await page.keyboard.press('Enter');
  await page.waitForFunction(() => location.hash.startsWith('#/service/payments'));
  await page.waitForFunction(() => document.querySelector('main h1')?.textContent.startsWith('payments'));
  assert.deepEqual(troubles, []);
  await close();
});

test('the trace behind a point of the chart: by mouse; the slowest of the list: by keyboard', async () => {
  const { page, troubles, close } = await open(at.browser, at.demo.url);
  await visit(page, at.demo.url, 'service/payments?ns=shop');
  await page.waitForSelector('.marks a');
  // Points may cover one another: it is one of them.
  const targets = await page.locator('.marks a').evaluateAll((all) => all.map((a) => a.getAttribute('href')));
  await page.locator('.marks a .reach').first().click({ force: true });
  await page.waitForFunction((all) => all.includes(location.hash.split('?')[0]), targets);
  await page.waitForSelector('.wf-row');
  await visit(page, at.demo.url, 'service/payments?ns=shop&tab=traces');
  await page.waitForSelector('.traces tbody tr');
  await until(page, 'Tab', '.ranges button:nth-child(2)');
  await page.keyboard.press('Enter');
  await answered(page);
  const { rows } = await at.demo.json('/api/v1/view/traces?service=payments&sort=slow&limit=1&range=15m');
  await page.waitForFunction((id) => document.querySelector('.traces tbody a')?.href.includes(id), rows[0][0]);
  await page.keyboard.press('j');
  await page.keyboard.press('Enter');
  await page.waitForSelector('.wf-row');
  assert.ok(page.url().includes(rows[0][0]));
  assert.deepEqual(troubles, []);
  await close();
});

test('why a span has its parent: by keyboard', async () => {
  const { page, troubles, close } = await open(at.browser, at.demo.url);
  const { rows } = await at.demo.json('/api/v1/view/traces?q=link:tcp_seq&limit=1');
  await visit(page, at.demo.url, `trace/${rows[0][0]}`);
  await page.waitForSelector('.wf-row');
  for (let i = 0; i < 8; i += 1) {
    await page.keyboard.press('i');
    if (/inferred by tcp_seq, confidence 1/.test(await page.locator('.wf-row:focus').getAttribute('aria-label'))) break;
  }
  await page.keyboard.press('Enter');
  await page.waitForSelector('aside.panel:focus');
  await until(page, 'Tab', 'details.why summary');
  await page.keyboard.press('Enter');
  await page.waitForSelector('details.why[open]');
  assert.match(await page.locator('details.why').textContent(), /same TCP sequence number at both ends/);
  assert.deepEqual(troubles, []);
  await close();
});

test('why a span has none, and what a stretch without children may hide', async () => {
  const { page, close } = await open(at.browser, at.demo.url);
  const { rows } = await at.demo.json('/api/v1/view/traces?q=attr.telegen.link.reason:two_open_requests&limit=200');
  let reason = null;
  for (const [id] of rows) {
    const trace = await at.demo.json(`/api/v1/view/trace?id=${id}`);
    if (trace.services[0] !== 'checkout') continue;
    await visit(page, at.demo.url, `trace/${id}`);
    await page.waitForSelector('aside .unlinked');
    await page.waitForFunction(() => document.querySelector('aside .unlinked')?.textContent.includes('like it'));
    reason = await page.locator('aside .unlinked').textContent();
    break;
  }
  assert.match(reason, /^No parent drawn: two_open_requests, the thread had more than one request open \(\d[\d,]* like it in this service\)$/);
  const all = await at.demo.json('/api/v1/view/traces?limit=200&q=spans%3E5');
  for (const [id] of all.rows) {
    const { gaps } = await at.demo.json(`/api/v1/view/trace?id=${id}`);
    if (!gaps.length) continue;
    await visit(page, at.demo.url, `trace/${id}`);
    await page.waitForSelector('.wf-gap');
    const row = page.locator('.wf-row', { has: page.locator('.wf-gap') }).first();
    assert.match(await row.getAttribute('aria-label'), /\d+ calls? of this service in this time (is|are) not linked: two_open_requests/);
    await close();
    return;
  }
  assert.fail('no trace has a gap');
});

test('why traffic is not read, which feature is off and its remedy, and why a process is not watched: by keyboard', async () => {
  const { page, troubles, close } = await open(at.browser, at.demo.url);
  await visit(page, at.demo.url, 'services');
  await page.keyboard.press('/');
  await page.keyboard.type('postgres');
  await answered(page);
  await page.keyboard.press('Tab');
  await page.keyboard.press('j');
  await focused(page, 'postgres');
  await page.keyboard.press('Enter');
  await page.waitForSelector('.tabs [role=tab]');
  await until(page, 'Tab', '[role=tab]');
  for (let i = 0; i < 4; i += 1) await page.keyboard.press('ArrowRight');
  await page.waitForFunction(() => document.querySelector('#tab')?.textContent.includes('encrypted (TLS)'));
  await page.keyboard.press('g');
  await page.keyboard.press('x');
  await page.waitForSelector('.features tbody tr');
  const row = page.locator('.features tr', { hasText: 'traces.tls' });
  assert.match(await row.textContent(), /off.*libssl was not found.*install debug links, or set agent\.traces\.tls/);
  await until(page, 'Tab', '.jump a:last-child');
  await page.keyboard.press('Enter');
  await page.waitForFunction(() => document.activeElement?.id === 'part-processes');
  await until(page, 'Tab', '#process-filter');
  await page.keyboard.type('watched:no');
  await page.waitForFunction(() => document.querySelectorAll('.processes tbody tr').length === 1);
  assert.match(await page.locator('.processes tbody').textContent(), /wrk.*not watched: agent\.discovery\.exclude\[0\]/);
  assert.deepEqual(troubles, []);
  await close();
});

test('copy link opens the same picture in a second tab, also when time has passed', async () => {
  const { page, close } = await open(at.browser, at.demo.url);
  await visit(page, at.demo.url, 'service/checkout?ns=shop&tab=callers&range=5m');
  await page.waitForSelector('.numbers tbody tr');
  await page.keyboard.press('y');
  await page.waitForFunction(() => document.querySelector('#live').textContent === 'Link copied');
  const link = await page.evaluate(() => navigator.clipboard.readText());
  assert.match(link, /#\/service\/checkout\?ns=shop&tab=callers&from=20[^&]+Z&to=20[^&]+Z$/);
  const second = await open(at.browser, at.demo.url);
  await second.page.goto(link);
  await second.page.waitForSelector('.numbers tbody tr');
  assert.deepEqual(await second.page.locator('.numbers tbody th').allTextContents(), await page.locator('.numbers tbody th').allTextContents());
  assert.match(await second.page.locator('.status').first().textContent(), /from \d\d:\d\d to \d\d:\d\d/);
  assert.equal(await second.page.locator('.tools button.quiet').first().textContent(), 'Back to live');
  assert.deepEqual(second.troubles, []);
  await second.close();
  await close();
});

test('a stretch drawn on a chart, and the keys for earlier and later, move every panel', async () => {
  const { page, troubles, close } = await open(at.browser, at.demo.url);
  await visit(page, at.demo.url, 'service/checkout?ns=shop');
  await page.waitForSelector('.chart-box');
  const box = await page.locator('.chart-box').first().boundingBox();
  await page.mouse.move(box.x + box.width * 0.4, box.y + 40);
  await page.mouse.down();
  await page.mouse.move(box.x + box.width * 0.6, box.y + 40, { steps: 4 });
  await page.mouse.up();
  await page.waitForFunction(() => /from=20.*&to=20/.test(location.hash));
  await answered(page);
  const range = new URLSearchParams(new URL(page.url()).hash.split('?')[1]);
  const wide = Date.parse(range.get('to')) - Date.parse(range.get('from'));
  assert.ok(wide > 120_000 && wide < 300_000, String(wide));
  assert.match(await page.locator('.status').first().textContent(), /from \d\d:\d\d to \d\d:\d\d/);
  await page.keyboard.press('[');
  await page.waitForFunction((before) => location.hash.includes(`to=${encodeURIComponent(before)}`), range.get('from'));
  for (let i = 0; i < 12 && page.url().includes('from='); i += 1) await page.keyboard.press(']');
  assert.doesNotMatch(page.url(), /from=/);
  assert.deepEqual(troubles, []);
  await close();
});

test('a table is saved as CSV in which no cell is a formula', async () => {
  const hostile = await serve('hostile');
  const { page, close } = await open(at.browser, hostile.url);
  await visit(page, hostile.url, 'services?q=onload');
  const [download] = await Promise.all([page.waitForEvent('download'), page.getByRole('button', { name: 'CSV' }).click()]);
  assert.match(download.suggestedFilename(), /^telegen-web-3-services\.csv$/);
  const lines = (await readFile(await download.path(), 'utf8')).split('\r\n');
  assert.equal(lines[0], 'name,rate,errors,p50,p95,p99');
  assert.equal(lines.length, 3);
  assert.match(lines[1], /^"'""><svg\/onload=window\.hacked=3>",/);
  const formula = await page.evaluate(async () => {
    const { Table } = await import(document.querySelector('script[type=module]').src.replace('main.js', 'table.js'));
    const table = new Table({ caption: 'x', columns: [{ key: 'a', label: 'A' }, { key: 'b', label: 'B' }] });
    table.show([['1', { a: '=1+1', b: -2 }], ['2', { a: '@x', b: null }]]);
    return table.csv();
  });
  assert.equal(formula, "a,b\r\n'=1+1,-2\r\n'@x,\r\n");
  await close();
  await hostile.stop();
});
