// Drawings keep to what is known, stay where they are, and give the same picture for the same data.

import { test } from 'node:test';
import assert from 'node:assert/strict';
import { open, serve, stage, visit } from './harness.mjs';
import { NODE, differs, layout, path } from '../../web/js/layout.js';
import { critical, tree } from '../../web/js/waterfall.js';
import { decades } from '../../web/js/chart.js';

const edge = (from, to) => ({ from, to });
const nodes = (...keys) => keys.map((key) => ({ key }));
const SHOP = [['nginx', 'checkout'], ['nginx', 'cart'], ['checkout', 'cart'], ['checkout', 'payments'], ['cart', 'redis'], ['payments', 'checkout'], ['batch', 'batch']].map(([a, b]) => edge(a, b));
const NAMES = nodes('nginx', 'checkout', 'cart', 'payments', 'redis', 'batch');

test('the same services give the same map, in whatever order they come', () => {
  const one = layout(NAMES, SHOP);
  const two = layout([...NAMES].reverse(), [...SHOP].reverse());
  assert.deepEqual([...one.nodes], [...two.nodes]);
  assert.deepEqual(one.edges.map((e) => e.points), two.edges.map((e) => e.points));
  const layer = (key) => one.nodes.get(key).layer;
  assert.ok(layer('nginx') < layer('checkout') && layer('checkout') < layer('payments') && layer('checkout') < layer('cart'));
  assert.deepEqual(one.edges.filter((e) => e.back).map((e) => `${e.from}>${e.to}`), ['payments>checkout']);
});

test('no two nodes of a map cover one another, and every edge begins and ends at its nodes', () => {
  let seed = 7;
  const dice = (n) => { seed = (seed * 1103515245 + 12345) % 2147483648; return seed % n; };
  const many = nodes(...Array.from({ length: 50 }, (_, i) => `s${i}`));
  const map = layout(many, Array.from({ length: 150 }, () => edge(`s${dice(50)}`, `s${dice(50)}`)));
  const places = [...map.nodes.values()];
  for (const [i, a] of places.entries()) {
    for (const b of places.slice(i + 1)) assert.ok(a.x !== b.x || Math.abs(a.y - b.y) >= NODE.height, JSON.stringify([a, b]));
  }
  for (const e of map.edges) {
    const [a, b] = [map.nodes.get(e.from), map.nodes.get(e.to)];
    assert.equal(Math.abs(e.points[0][0] - a.x), NODE.width / 2);
    assert.equal(Math.abs(e.points.at(-1)[0] - b.x), NODE.width / 2);
    assert.match(path(e.points), /^M[\d. -]+[CL]/);
  }
});

test('a service that comes later moves none of those that are there', () => {
  const before = layout(NAMES, SHOP);
  const after = layout([...NAMES, { key: 'aaa' }], [...SHOP, edge('nginx', 'aaa')], before);
  const order = (map, layer) => [...map.nodes].filter(([, p]) => p.layer === layer).sort((a, b) => a[1].order - b[1].order).map(([k]) => k);
  const layer = before.nodes.get('checkout').layer;
  assert.deepEqual(order(after, layer), [...order(before, layer), 'aaa']);
  assert.ok(differs(after, layout([...NAMES, { key: 'aaa' }], [...SHOP, edge('nginx', 'aaa')])));
});

const span = (id, parent, start, dur) => ({ id, parent, start, dur, service: 0, name: 'x', error: null, status: null, link: null });

test('the critical path goes from the end backwards, over the child that ended last', () => {
  const { tops } = tree([span('a', null, 0, 100), span('b', 'a', 10, 30), span('c', 'a', 50, 40), span('d', 'a', 55, 10), span('e', 'c', 60, 20)]);
  const way = critical(tops[0]);
  assert.deepEqual([...way.keys()].sort(), ['a', 'b', 'c', 'e']);
  assert.deepEqual(way.get('a').toSorted((x, y) => x[0] - y[0]), [[0, 10], [40, 50], [90, 100]]);
  assert.deepEqual(way.get('c').toSorted((x, y) => x[0] - y[0]), [[50, 60], [80, 90]]);
  const total = [...way.values()].flat().reduce((sum, [from, to]) => sum + to - from, 0);
  assert.equal(total, 100);
});

test('a child that ends after its parent does not lengthen the critical path', () => {
  const { tops } = tree([span('a', null, 0, 100), span('b', 'a', 80, 60)]);
  const way = critical(tops[0]);
  assert.deepEqual(way.get('b'), [[80, 100]]);
});

const at = stage('demo');

test('a refresh keeps the zoom and the places of the map, and a second tab has the same', async () => {
  const { page, close } = await open(at.browser, at.demo.url);
  const places = (p) => p.locator('.node .box').evaluateAll((boxes) => boxes.map((b) => `${b.getAttribute('x')},${b.getAttribute('y')}`));
  await visit(page, at.demo.url, 'map');
  await page.waitForSelector('.map-svg');
  await page.getByRole('button', { name: 'Larger (+)' }).click();
  const wide = await page.locator('.map-svg').getAttribute('width');
  const before = await places(page);
  const rates = await page.locator('.node-rate').allTextContents();
  await page.waitForFunction((old) => [...document.querySelectorAll('.node-rate')].map((t) => t.textContent).join() !== old, rates.join(), { timeout: 20_000 });
  assert.equal(await page.locator('.map-svg').getAttribute('width'), wide);
  assert.deepEqual(await places(page), before);
  const second = await open(at.browser, at.demo.url);
  await visit(second.page, at.demo.url, 'map');
  await second.page.waitForSelector('.map-svg');
  assert.deepEqual(await places(second.page), before);
  await second.close();
  await close();
});

test('a parent from a header, an inferred one and one that was not seen are drawn differently', async () => {
  const { page, close } = await open(at.browser, at.demo.url);
  const { rows, cols } = await at.demo.json('/api/v1/view/traces?q=link:tcp_seq&limit=200');
  const id = rows.find((r) => r[cols.indexOf('parts')] > 1)?.[0];
  assert.ok(id, 'a trace in two parts');
  await visit(page, at.demo.url, `trace/${id}`);
  await page.waitForSelector('.wf-row.part');
  const style = (selector, property) => page.locator(selector).first().evaluate((el, p) => getComputedStyle(el)[p], property);
  assert.equal(await style('.guide:not(.dotted)', 'borderInlineStartStyle'), 'solid');
  assert.equal(await style('.guide.dotted', 'borderInlineStartStyle'), 'dotted');
  assert.equal(await style('.stub', 'borderTopStyle'), 'dashed');
  assert.match(await page.locator('.wf-row.part').textContent(), /^Part 2: parent not seen \([0-9a-f]{8}…, sent by 10\.0\.4\.7\)$/);
  await page.getByLabel('critical path').check();
  assert.ok(await page.locator('.wf-way').count() > 1);
  assert.match(await page.locator('main').textContent(), /over linked spans only/);
  // A stretch that was chosen is in the address, and opens again.
  await page.keyboard.press('w');
  await page.waitForFunction(() => /t=[\d.]+ms\.\.[\d.]+ms/.test(decodeURIComponent(location.hash)));
  await close();
});

test('folding keeps errors in sight, and the focus stays while data changes', async () => {
  const { page, close } = await open(at.browser, at.demo.url);
  const { rows } = await at.demo.json('/api/v1/view/traces?q=error:true%20spans%3E12&limit=1');
  await visit(page, at.demo.url, `trace/${rows[0][0]}`);
  await page.waitForSelector('.wf-row');
  const failed = await page.locator('.wf-row.failed').count();
  assert.ok(failed > 0);
  await page.keyboard.press('j');
  await page.keyboard.press('j');
  const focus = () => page.evaluate(() => document.activeElement.getAttribute('aria-rowindex'));
  const before = await focus();
  await page.route('**/api/v1/view/trace?**', async (route) => {
    const response = await route.fetch({ url: route.request().url().replace(/&changed=\d+/, '') });
    const json = await response.json();
    json.changed += 1000;
    await route.fulfill({ response, json });
  });
  await page.waitForResponse((r) => r.url().includes('/view/trace?'));
  await page.waitForTimeout(100);
  assert.equal(await focus(), before);
  assert.equal(await page.locator('.wf-row.failed').count(), failed);
  await close();
});

test('a gap in time is drawn as a gap, and the last bar is not joined', async () => {
  const { page, close } = await open(at.browser, at.demo.url);
  await visit(page, at.demo.url, 'service/checkout?ns=shop&range=60m');
  await page.waitForSelector('.chart rect');
  const { series } = await at.demo.json('/api/v1/view/service?name=checkout&range=60m');
  const unknown = series.points.filter((p) => p === null).length;
  assert.ok(unknown > 30, String(unknown));
  const hatched = await page.locator('.chart').first().locator('rect[fill^=url]').first().evaluate((r) => Number(r.getAttribute('width')));
  const wide = await page.locator('.chart').first().locator('.tick').first().evaluate((l) => l.getAttribute('x2') - l.getAttribute('x1'));
  assert.ok(Math.abs(hatched / wide - unknown / series.points.length) < 0.01);
  assert.equal(await page.locator('.chart').first().locator('.line.now').count(), 1);
  await close();
});

test('over powers of ten every duration has its place, and the ticks are whole powers', () => {
  const lines = [{ values: [0.4, null, 30] }, { values: [0, 2] }];
  const scale = decades(lines, [[0, 1800, 'id', false]], 40);
  assert.deepEqual(scale.ticks, [0.1, 10, 1000]);
  assert.deepEqual([0, 0.1, 1, 10_000, 1e9].map(scale.share), [0, 0, 0.2, 1, 1]);
  // One value alone, and none at all, still make an axis.
  assert.deepEqual(decades([{ values: [10] }], [], 10).ticks, [1, 10]);
  assert.deepEqual(decades([{ values: [] }], [], 1).ticks, [0.1, 1]);
});

test('the axis of durations is switched by a button, says so, and is in the address', async () => {
  const { page, troubles, close } = await open(at.browser, at.demo.url);
  await visit(page, at.demo.url, 'service/checkout?ns=shop');
  const figure = page.locator('.figure', { hasText: 'Duration' });
  await figure.locator('.chart').first().waitFor();
  const before = await figure.locator('.line').first().getAttribute('d');
  const button = page.getByRole('button', { name: 'log', exact: true });
  await button.focus();
  await page.keyboard.press('Enter');
  assert.match(page.url(), /axis=log/);
  assert.equal(await button.getAttribute('aria-pressed'), 'true');
  assert.match(await figure.locator('svg[role=img]').getAttribute('aria-label'), /^Duration, logarithmic: /);
  assert.notEqual(await figure.locator('.line').first().getAttribute('d'), before);
  // The next answer draws the charts anew: the button keeps the focus.
  await page.waitForResponse((r) => r.url().includes('/view/service?'));
  await page.waitForTimeout(100);
  assert.equal(await page.evaluate(() => document.activeElement.textContent), 'log');
  await page.reload();
  await page.waitForSelector('svg[aria-label^="Duration, logarithmic"]');
  assert.deepEqual(troubles, []);
  await close();
});

test('where there are many services those of a namespace are one node, and unfold', async (t) => {
  const many = await serve('many');
  t.after(() => many.stop());
  const { page, troubles, close } = await open(at.browser, many.url);
  await visit(page, many.url, 'map');
  await page.waitForSelector('.node');
  const names = () => page.locator('.node .node-name').allTextContents();
  assert.deepEqual((await names()).sort(), ['billing', 'cron', 'gateway', 'media', 'ops', 'search', 'shop']);
  assert.match(await page.locator('.map-tools p').textContent(), /^5 namespaces are one node each/);
  const billing = page.locator('a.node', { hasText: 'billing' });
  assert.equal(await billing.getAttribute('aria-label'), 'namespace billing, 12 services as one node, 1 failing: unfold');
  assert.match(await billing.getAttribute('class'), /failing/);
  // The table marks the edges of all its services.
  await billing.focus();
  assert.equal(await page.locator('.rows tr.marked').count() > 0, true);
  await page.keyboard.press('Enter');
  await page.waitForFunction(() => document.querySelectorAll('.node').length === 18);
  assert.match(page.url(), /open=billing/);
  assert.ok((await names()).includes('billing-store'));
  await page.getByRole('button', { name: 'Remove unfolded billing' }).click();
  await page.waitForFunction(() => document.querySelectorAll('.node').length === 7);
  assert.doesNotMatch(page.url(), /open=/);
  assert.deepEqual(troubles, []);
  await close();
});
