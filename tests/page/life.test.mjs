// A tab that stays open, a viewer whose clock is wrong, and a connection that is far away.

import { test } from 'node:test';
import assert from 'node:assert/strict';
import { heap, open, stage, visit } from './harness.mjs';

const at = stage('demo');

/** Lets the page live through some time, one poll after the other. */
async function live(page, turns, step) {
  for (let i = 0; i < turns; i += 1) {
    const answer = page.waitForResponse((r) => r.url().includes('/api/v1/view/'));
    await page.clock.fastForward(step);
    await answer;
  }
}

test('ten idle minutes: few requests, each of them small', async () => {
  const { page, troubles, close } = await open(at.browser, at.demo.url, { clock: new Date() });
  await visit(page, at.demo.url, 'services');
  let bytes = 0;
  let largest = 0;
  let requests = 0;
  page.on('response', async (response) => {
    if (!response.url().includes('/api/')) return;
    const { responseBodySize } = await response.request().sizes();
    requests += 1;
    bytes += responseBodySize;
    largest = Math.max(largest, responseBodySize);
  });
  await live(page, 120, 5_000);
  await page.waitForTimeout(200);
  console.log(`ten minutes of #/services: ${requests} requests, ${Math.round(bytes / requests)} bytes each, ${largest} at most`);
  assert.ok(requests <= 121, String(requests));
  assert.ok(bytes / requests <= 6 << 10, String(bytes / requests));
  assert.ok(largest <= 100 << 10, String(largest));
  assert.deepEqual(troubles, []);
  await close();
});

test('a day in the same tab does not grow it', async () => {
  for (const route of ['service/checkout?ns=shop', 'map']) {
    const { page, close } = await open(at.browser, at.demo.url, { clock: new Date() });
    await visit(page, at.demo.url, route);
    await live(page, 15, 5_000);
    const before = await heap(page);
    await live(page, 96, 900_000);
    const after = await heap(page);
    console.log(`a day of #/${route}: ${before} bytes of heap, then ${after}`);
    assert.ok(after < before * 1.1 + (256 << 10), `${route}: ${before} to ${after}`);
    await close();
  }
});

test('a viewer whose clock is an hour off sees the same ages', async () => {
  const seen = [];
  for (const off of [0, 3_600_000]) {
    const { page, close } = await open(at.browser, at.demo.url, { clock: new Date(Date.now() + off) });
    await visit(page, at.demo.url, 'traces');
    await page.waitForSelector('.traces tbody tr');
    seen.push((await page.locator('.status').first().textContent()).replace(/holds [^,]+, since [\d:]+/, 'holds').replace(/\d+/g, 'n'));
    // What began today has no day in front, wherever the viewer's clock stands.
    assert.match(await page.locator('td[data-col=start]').first().textContent(), /^\d\d:\d\d:\d\d$/);
    await visit(page, at.demo.url, 'services');
    const idle = page.locator('tr', { hasText: 'batch-job' }).locator('.sub');
    assert.match(await idle.textContent(), /^idle 1[45]\s?min$/u);
    await close();
  }
  assert.equal(seen[0], seen[1]);
});

test('through a tunnel with 200 ms and 1 Mbit/s the first rows need two round trips of parts and one of data', async () => {
  const { page, troubles, close } = await open(at.browser, at.demo.url);
  const session = await page.context().newCDPSession(page);
  await session.send('Network.enable');
  await session.send('Network.emulateNetworkConditions', { offline: false, latency: 200, downloadThroughput: 125_000, uploadThroughput: 125_000 });
  let parts = 0;
  let bytes = 0;
  page.on('response', async (response) => {
    const { responseBodySize } = await response.request().sizes();
    bytes += responseBodySize;
    parts += 1;
  });
  const began = performance.now();
  await page.goto(`${at.demo.url}#/services`);
  await page.waitForSelector('tbody tr');
  console.log(`first rows through the tunnel after ${Math.round(performance.now() - began)} ms: ${parts} parts, ${bytes} bytes`);
  // Nothing waits for another part to be read: all are named in the page.
  const chained = await page.evaluate(() => {
    const all = performance.getEntriesByType('resource');
    const first = Math.min(...all.filter((e) => e.name.includes('/api/')).map((e) => e.startTime));
    const entries = all.filter((e) => e.name.includes('/ui/') && e.startTime < first);
    const named = new Set([...document.querySelectorAll('link[href], script[src]')].map((e) => e.href || e.src));
    return entries.filter((e) => !named.has(e.name)).map((e) => e.name);
  });
  assert.deepEqual(chained, []);
  assert.ok(bytes <= 80 << 10, String(bytes));
  assert.deepEqual(troubles, []);
  await close();
});

test('a first look from this machine: when the first paint came', async () => {
  const { page, close } = await open(at.browser, at.demo.url);
  await page.goto(`${at.demo.url}#/services`);
  await page.waitForSelector('tbody tr');
  const paint = await page.evaluate(() => performance.getEntriesByName('first-contentful-paint')[0]?.startTime);
  console.log(`first contentful paint after ${Math.round(paint)} ms`);
  assert.ok(paint > 0);
  await close();
});
