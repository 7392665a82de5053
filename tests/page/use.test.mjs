// What people come for, with the keyboard alone and with the mouse; and what they see when something is wrong.

import { test } from 'node:test';
import assert from 'node:assert/strict';
import http from 'node:http';
import { mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { open, serve, stage, visit } from './harness.mjs';

const at = stage('demo');

const answered = (page) => page.waitForFunction(() => !document.querySelector('main[aria-busy]'));
const text = (page, selector) => page.locator(selector).first().textContent();

test('by keyboard: find the failing service, its traces, a failed span, and the way back', async () => {
  const { page, troubles, close } = await open(at.browser, at.demo.url);
  await visit(page, at.demo.url, 'services');
  await page.waitForSelector('tbody tr');
  assert.equal(await text(page, 'tbody tr a'), 'checkout');
  await page.keyboard.press('j');
  await page.keyboard.press('Enter');
  await page.waitForSelector('.tabs [role=tab]');
  assert.match(page.url(), /#\/service\/checkout\?ns=shop$/);
  await page.waitForFunction(() => document.activeElement.tagName === 'H1');
  await page.locator('[role=tab][aria-selected=true]').focus();
  for (let i = 0; i < 3; i += 1) await page.keyboard.press('ArrowRight');
  await page.waitForSelector('.traces tbody tr');
  await page.keyboard.press('g');
  await page.keyboard.press('t');
  await page.waitForFunction(() => location.hash === '#/traces');
  await page.keyboard.press('/');
  await page.keyboard.type('error:true');
  // Each letter asks anew: the list is right when the last was asked for and nothing is under way.
  await page.waitForFunction(() => decodeURIComponent(location.hash).endsWith('error:true') && !document.querySelector('main[aria-busy]') && /match/.test(document.querySelector('.status')?.textContent));
  await page.keyboard.press('Tab');
  await page.keyboard.press('j');
  await page.waitForSelector('.traces tbody a:focus');
  await page.keyboard.press('Enter');
  await page.waitForSelector('.wf-row');
  await page.keyboard.press('n');
  await page.waitForSelector('.wf-row.failed:focus');
  await page.keyboard.press('Enter');
  await page.waitForSelector('aside.panel:focus');
  assert.match(await page.locator('aside').textContent(), /http\.response\.status_code/);
  assert.match(page.url(), /span=[0-9a-f]{16}/);
  await page.keyboard.press('Escape');
  await page.waitForSelector('.wf-row:focus');
  assert.deepEqual(troubles, []);
  await close();
});

test('by mouse: why a span has its parent, and a link that opens the same picture', async () => {
  const { page, troubles, close } = await open(at.browser, at.demo.url);
  const { rows } = await at.demo.json('/api/v1/view/traces?q=link:thread&limit=1');
  await visit(page, at.demo.url, `trace/${rows[0][0]}`);
  const row = page.locator('.wf-row', { hasText: 'thread' }).first();
  assert.match(await row.getAttribute('aria-label'), /parent inferred by thread, confidence 0\.97/);
  assert.equal(await row.locator('.guide.dotted').count(), 1);
  await row.click();
  await page.waitForFunction(() => document.querySelector('aside')?.textContent.includes('telegen.link.method'));
  assert.match(await page.locator('aside').textContent(), /parent inferred: thread, confidence 0\.97/);
  const second = await open(at.browser, at.demo.url);
  await second.page.goto(page.url());
  await second.page.waitForFunction(() => document.querySelector('aside')?.textContent.includes('telegen.link.method'));
  assert.equal(await second.page.locator('aside h2').textContent(), await page.locator('aside h2').textContent());
  assert.deepEqual([...troubles, ...second.troubles], []);
  await second.close();
  await close();
});

test('a child that starts before its parent stays where it is, and no bar is invisible', async () => {
  const { page, close } = await open(at.browser, at.demo.url);
  const { rows } = await at.demo.json('/api/v1/view/traces?q=spans%3E12&limit=1');
  await visit(page, at.demo.url, `trace/${rows[0][0]}`);
  await page.waitForSelector('.wf-bar');
  const widths = await page.locator('.wf-bar').evaluateAll((bars) => bars.map((b) => b.getBoundingClientRect().width));
  assert.ok(widths.every((w) => w >= 2), String(Math.min(...widths)));
  const fold = page.locator('.wf-row', { hasText: '× 12' });
  assert.equal(await fold.getAttribute('aria-expanded'), 'false');
  await fold.click();
  assert.equal(await page.locator('.wf-row[aria-setsize="12"]').count(), 12);
  await close();
});

test('the page shows what the API says, and the ledger adds up', async () => {
  const { page, close } = await open(at.browser, at.demo.url);
  await visit(page, at.demo.url, 'telegen');
  await page.waitForSelector('.account');
  const ledger = await at.demo.json('/api/v1/ledger');
  const { produced, discarded, lost, delivered, in_flight: flying } = ledger.traces;
  const sum = (t) => Object.values(t).reduce((a, n) => a + (typeof n === 'number' ? n : sum(n)), 0);
  assert.equal(produced, sum(discarded) + sum(lost) + delivered.otlp + flying);
  assert.equal(await page.locator('.account .ok').count(), 1);
  assert.match(await page.locator('main').textContent(), /profiles.*off.*not built yet/);
  await visit(page, at.demo.url, 'services');
  const services = await at.demo.json('/api/v1/services');
  await page.waitForSelector('tbody tr');
  const names = await page.locator('.services tbody a').allTextContents();
  assert.deepEqual([...names].sort(), services.map((s) => s.name).sort());
  await close();
});

test('three nothings look different: none, not applicable, not known', async () => {
  const { page, close } = await open(at.browser, at.demo.url);
  await visit(page, at.demo.url, 'services');
  const cell = (name, col) => page.locator('tbody tr').filter({ has: page.getByRole('link', { name, exact: true }) }).locator(`td[data-col=${col}]`);
  await page.waitForSelector('tbody tr');
  assert.equal(await cell('cart', 'errors').textContent(), '0');
  assert.match(await cell('postgres', 'rate').textContent(), /^–\(its traffic is seen, not read\)$/);
  assert.equal(await cell('postgres', 'spark').locator('.hatched').count(), 1);
  assert.equal(await cell('cart', 'spark').locator('.hatched').count(), 0);
  assert.match(await cell('recommend', 'p99').textContent(), /^–\(it serves|^\d/);
  await close();
});

test('a filter that cannot be understood says where, and the last result stays', async () => {
  const { page, close } = await open(at.browser, at.demo.url);
  await visit(page, at.demo.url, 'services');
  await page.waitForSelector('tbody tr');
  const before = await page.locator('tbody tr').count();
  await page.fill('#filter', 'p95>fast');
  await page.waitForFunction(() => document.querySelector('.wrong').textContent !== '');
  assert.equal(await text(page, '.wrong'), 'p95>fast: a duration such as 200ms is needed');
  assert.equal(await page.locator('tbody tr').count(), before);
  await page.fill('#filter', 'no-such-thing');
  await page.waitForSelector('.empty:not([hidden])');
  assert.equal(await text(page, '.empty p'), 'No service matches "no-such-thing". Clear filter (Esc)');
  await page.keyboard.press('Escape');
  await page.waitForFunction((n) => document.querySelectorAll('tbody tr').length === n, before);
  await close();
});

test('no rights, nothing seen, nothing there: the words', async () => {
  for (const [kind, route, words] of [
    ['off', 'services', 'Tracing is off: CAP_BPF is missing. Run telegen doctor for the remedy.'],
    ['empty', 'services', 'No requests seen in the last 14 minutes. Watching 0 processes.'],
    ['empty', 'traces', 'No traces in memory yet.'],
  ]) {
    const store = await serve(kind);
    const { page, close } = await open(at.browser, store.url);
    await visit(page, store.url, route);
    await page.waitForSelector('.empty:not([hidden])');
    assert.equal(await text(page, '.empty p'), words);
    await close();
    await store.stop();
  }
  const { page, close } = await open(at.browser, at.demo.url);
  await visit(page, at.demo.url, `trace/${'ab'.repeat(16)}`);
  await page.waitForSelector('.empty:not([hidden])');
  assert.match(await text(page, '.empty p'), /^Trace abab… is not in memory \(holds .*, since .*\)\. It may be in your backend\.$/);
  await visit(page, at.demo.url, 'no-such');
  assert.equal(await text(page, 'h1'), 'No such page');
  await close();
});

test('an agent that goes away is dated, what was shown stays, and a restart is told', async () => {
  const store = await serve('demo');
  const { page, close } = await open(at.browser, store.url);
  await visit(page, store.url, 'services');
  await page.waitForSelector('tbody tr');
  const rows = await page.locator('tbody tr').count();
  await store.stop();
  await page.waitForSelector('.note.error', { timeout: 15_000 });
  assert.match(await page.locator('#note').textContent(), /^Agent not reachable since \d\d:\d\d:\d\d\. Showing what was loaded then\. Retrying in \d+ s · Retry now$/);
  assert.equal(await page.locator('tbody tr').count(), rows);
  const again = await serve('demo', { listen: store.address });
  // The page tries by itself too, and may be the first.
  await Promise.any([
    page.getByRole('button', { name: 'Retry now' }).click(),
    page.waitForSelector('.note.warn', { timeout: 15_000 }),
  ]);
  await page.waitForSelector('.note.warn', { timeout: 15_000 });
  assert.match(await page.locator('#note').textContent(), /^The agent restarted at \d\d:\d\d:\d\d\. Memory before that is gone\. Dismiss$/);
  await close();
  await again.stop();
});

test('with a token the shell loads, asks for it, and keeps it in memory only', async () => {
  const file = join(mkdtempSync(join(tmpdir(), 'telegen-')), 'token');
  writeFileSync(file, 'open-sesame\n');
  const store = await serve('demo', { token: file });
  const { page, close } = await open(at.browser, store.url);
  await page.goto(`${store.url}#/services`);
  await page.waitForSelector('#token');
  assert.match(await page.locator('#note').textContent(), /This address needs the token\./);
  await page.fill('#token', 'wrong');
  await page.keyboard.press('Enter');
  await page.waitForSelector('#token');
  await page.fill('#token', 'open-sesame');
  await page.keyboard.press('Enter');
  await page.waitForSelector('tbody tr');
  assert.equal(await page.evaluate(() => JSON.stringify({ ...localStorage, ...sessionStorage, c: document.cookie })), '{"c":""}');
  await close();
  await store.stop();
});

test('another host name gets 403 with the words', async () => {
  const url = new URL(at.demo.url);
  const answer = await new Promise((resolve, reject) => {
    const request = http.get({ host: url.hostname, port: url.port, path: '/', headers: { host: 'evil.example' } }, (response) => {
      let body = '';
      response.on('data', (part) => { body += part; });
      response.on('end', () => resolve([response.statusCode, body]));
    });
    request.on('error', reject);
  });
  assert.deepEqual(answer, [403, `This address is not allowed as Host. Add it to server.hosts, or open http://localhost:${url.port}.\n`]);
});

test('half an answer and an error keep the page alive, and it recovers by itself', async () => {
  const { page, close } = await open(at.browser, at.demo.url);
  await visit(page, at.demo.url, 'services');
  await page.waitForSelector('tbody tr');
  let mode = 'half';
  await page.route('**/api/v1/view/**', (route) => {
    if (mode === 'half') route.fulfill({ status: 200, contentType: 'application/json', body: '{"now": 1, "rows": [' });
    else if (mode === 'error') route.fulfill({ status: 500, contentType: 'application/json', body: '{"error": "out of order"}' });
    else route.continue();
  });
  await page.waitForSelector('.note.error', { timeout: 15_000 });
  assert.match(await page.locator('#note').textContent(), /Agent not reachable/);
  mode = 'error';
  await page.waitForFunction(() => document.querySelector('#note').textContent.includes('out of order'), null, { timeout: 15_000 });
  mode = 'fine';
  await page.waitForFunction(() => document.querySelector('#note').textContent === '', null, { timeout: 30_000 });
  assert.ok(await page.locator('tbody tr').count() > 0);
  await close();
});

test('pausing holds the data still and counts what comes, and the theme is remembered', async () => {
  const { page, close } = await open(at.browser, at.demo.url);
  await visit(page, at.demo.url, 'services');
  await page.keyboard.press('p');
  assert.match(await page.locator('#note').textContent(), /^Paused at \d\d:\d\d:\d\d · Resume$/);
  const asked = [];
  page.on('request', (request) => { if (request.url().includes('/api/')) asked.push(new URL(request.url()).pathname); });
  await page.waitForFunction(() => /^Paused at \S+ · \d+ new traces? · Resume$/.test(document.querySelector('#note').textContent), null, { timeout: 20_000 });
  assert.deepEqual([...new Set(asked)], ['/api/v1/view/traces']);
  await page.keyboard.press('p');
  await page.waitForFunction(() => document.querySelector('#note').textContent === '');
  await page.keyboard.press('?');
  await page.getByLabel('Theme').selectOption('dark');
  await page.reload();
  assert.equal(await page.evaluate(() => getComputedStyle(document.documentElement).backgroundColor), 'rgb(18, 21, 19)');
  await close();
});

test('a slow agent is asked less often, and nothing is shown as lost', async () => {
  const { page, close } = await open(at.browser, at.demo.url);
  const times = [];
  await page.route('**/api/v1/view/service**', async (route) => {
    times.push(performance.now());
    await new Promise((resolve) => setTimeout(resolve, 1_200));
    await route.continue();
  });
  await visit(page, at.demo.url, 'service/checkout?ns=shop');
  while (times.length < 3) await page.waitForTimeout(100);
  // 1.2 s until the answer, then twice the usual 2 s.
  assert.ok(times[2] - times[1] > 5_000, String(times[2] - times[1]));
  assert.equal(await page.locator('#note').textContent(), '');
  await close();
});

test('two instants are asked for by a form, and what makes no sense is told', async () => {
  const { page, troubles, close } = await open(at.browser, at.demo.url);
  await visit(page, at.demo.url, 'services');
  await page.waitForSelector('tbody tr');
  await page.getByLabel('Range of time').selectOption('choose');
  const [from, to] = [page.getByLabel('From (UTC)'), page.getByLabel('To (UTC)')];
  await from.waitFor();
  // It begins with what is shown.
  const begin = Date.parse(`${await from.inputValue()}Z`);
  const end = Date.parse(`${await to.inputValue()}Z`);
  assert.equal(end - begin, 900_000);
  const field = (ms) => new Date(ms).toISOString().slice(0, 19);
  const alert = page.locator('dialog [role=alert]');
  for (const [a, b, words] of [
    [end, begin, 'The end has to come after the beginning.'],
    [end + 3_600_000, end + 7_200_000, 'That has not happened yet.'],
  ]) {
    await from.fill(field(a));
    await to.fill(field(b));
    await page.keyboard.press('Enter');
    assert.equal(await alert.textContent(), words);
  }
  await from.fill('');
  await page.keyboard.press('Enter');
  assert.equal(await alert.textContent(), 'Both ends are needed, with date and time.');
  const [a, b] = [end - 420_000, end - 180_000];
  await from.fill(field(a));
  await to.fill(field(b));
  await page.keyboard.press('Enter');
  await page.waitForSelector('dialog', { state: 'detached' });
  const range = new URLSearchParams(new URL(page.url()).hash.split('?')[1]);
  assert.deepEqual([Date.parse(range.get('from')), Date.parse(range.get('to'))], [a, b]);
  await answered(page);
  assert.match(await page.locator('.status').first().textContent(), /from \d\d:\d\d to \d\d:\d\d/);
  assert.equal(await text(page, '.tools button.quiet'), 'Back to live');
  assert.deepEqual(troubles, []);
  await close();
});
