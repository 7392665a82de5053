// Devices on the page: a real collector that polls simulated devices, one of them dead, one with hostile names.

import { after, before, test } from 'node:test';
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { browse, keep, open, shut, visit } from './harness.mjs';

const axe = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const dir = mkdtempSync(join(tmpdir(), 'telegen-page-'));
const telegen = join(process.env.CARGO_TARGET_DIR ?? join(ROOT, 'target'), 'debug/telegen');
const children = [];
let url;
let browser;

/** A switch with so many ports, a sensor and a neighbour. */
function recording(ports, alias) {
  const lines = ['1.3.6.1.2.1.1.1.0|4|Arista Networks EOS version 4.30.1F', '1.3.6.1.2.1.1.2.0|6|1.3.6.1.4.1.30065.1', '1.3.6.1.2.1.1.3.0|67|1000000'];
  for (let i = 1; i <= ports; i += 1) {
    lines.push(`1.3.6.1.2.1.2.2.1.2.${i}|4|Ethernet${i}`, `1.3.6.1.2.1.2.2.1.8.${i}|2|${i % 7 ? 1 : 2}`, `1.3.6.1.2.1.2.2.1.14.${i}|65|${i}`);
    lines.push(`1.3.6.1.2.1.31.1.1.1.1.${i}|4|Et${i}`, `1.3.6.1.2.1.31.1.1.1.6.${i}|70|${i * 1e9}`, `1.3.6.1.2.1.31.1.1.1.10.${i}|70|${i * 2e9}`, `1.3.6.1.2.1.31.1.1.1.18.${i}|4|${alias}`);
  }
  lines.push('1.3.6.1.2.1.47.1.1.1.1.7.1001|4|Inlet', '1.3.6.1.2.1.99.1.1.1.1.1001|2|8', '1.3.6.1.2.1.99.1.1.1.2.1001|2|9', '1.3.6.1.2.1.99.1.1.1.3.1001|2|1', '1.3.6.1.2.1.99.1.1.1.4.1001|2|235', '1.3.6.1.2.1.99.1.1.1.5.1001|2|1');
  lines.push('1.0.8802.1.1.2.1.4.1.1.4.0.1.1|2|4', '1.0.8802.1.1.2.1.4.1.1.9.0.1.1|4|core-2', '1.0.8802.1.1.2.1.3.7.1.3.1|4|Et1');
  return `${lines.join('\n')}\n`;
}

function start(args, ready) {
  const child = keep(spawn(telegen, args, { stdio: ['ignore', 'pipe', 'pipe'] }));
  children.push(child);
  return new Promise((resolve, reject) => {
    let said = '';
    for (const stream of [child.stdout, child.stderr]) {
      stream.on('data', (text) => {
        said += text;
        const found = said.match(ready);
        if (found) resolve(found);
      });
    }
    child.on('exit', (code) => reject(new Error(`telegen ended with ${code}: ${said}`)));
  });
}

before(async () => {
  const built = spawnSync('cargo', ['build', '--quiet', '--locked', '-p', 'telegen'], { cwd: ROOT, stdio: 'inherit' });
  assert.equal(built.status, 0);
  writeFileSync(join(dir, 'a.snmprec'), recording(60, 'to the core'));
  writeFileSync(join(dir, 'b.snmprec'), recording(3, '<img src=x onerror="window.hacked=1">\\u202e'));
  const port = 20000 + Math.floor(Math.random() * 20000);
  await start(['snmp', 'simulate', dir, '--listen', `127.77.0.1:${port}`, '--live'], /ready/);
  const target = (n, name) => `{ address: "127.77.0.${n}:${port}", name: ${name}, credentials: [public] }`;
  writeFileSync(join(dir, 'telegen.yaml'), `mode: collector
server: { listen: "127.0.0.1:${port + 1}" }
collector: { snmp: { interval: 2s, credentials: { public: { version: 2c, community: public } },
  targets: [ ${target(1, 'edge-1')}, ${target(2, 'hostile')}, ${target(9, 'gone')} ] } }
`);
  await start(['collector', '--config', join(dir, 'telegen.yaml')], / ready /);
  url = `http://127.0.0.1:${port + 1}/`;
  browser = await browse();
  for (let turn = 0; turn < 200; turn += 1) {
    const device = await (await fetch(`${url}api/v1/view/device?name=edge-1`)).json();
    const all = await (await fetch(`${url}api/v1/devices`)).json();
    if (device.interfaces?.[0]?.received_before.length && all.find((d) => d.name === 'gone')?.state === 'down') return;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  throw new Error('the devices were never polled');
});

after(async () => {
  await shut(browser);
  for (const child of children) {
    child.removeAllListeners('exit');
    child.kill('SIGTERM');
  }
  rmSync(dir, { recursive: true });
});

test('devices and one of them are shown without trouble, wide and narrow', async () => {
  for (const [theme, width] of [['light', 1280], ['dark', 360]]) {
    const { page, troubles, close } = await open(browser, url, { theme, width });
    for (const route of ['devices', 'device/edge-1', 'device/hostile', 'device/gone', 'device/nobody']) {
      await visit(page, url, route);
      const seen = await page.evaluate(() => ({
        wide: document.documentElement.scrollWidth - innerWidth,
        failed: document.querySelector('main').textContent.includes('This panel failed'),
        hacked: window.hacked,
      }));
      assert.deepEqual(seen, { wide: seen.wide, failed: false, hacked: undefined }, route);
      assert.ok(seen.wide <= 0, `${route}: ${seen.wide} px too wide`);
      await page.evaluate(axe);
      const { violations } = await page.evaluate(() => window.axe.run(document, { resultTypes: ['violations'] }));
      assert.deepEqual(violations.map((v) => `${v.id}: ${v.nodes[0].html}`), [], route);
    }
    assert.deepEqual(troubles, []);
    await close();
  }
});

test('the list tells state and cause, and a device its interfaces, sensors and neighbours', async () => {
  const { page, close } = await open(browser, url);
  await visit(page, url, 'devices');
  const main = page.locator('main');
  await main.getByRole('link', { name: 'edge-1' }).waitFor();
  const first = await main.locator('tbody tr').first().textContent();
  assert.match(first, /gone.*down.*timeout/);
  assert.match(await main.locator('.status').textContent(), /3 devices.*63 interfaces.*1 down/);
  await main.getByRole('link', { name: 'edge-1' }).click();
  await page.locator('main h1', { hasText: 'edge-1' }).waitFor();
  const text = () => page.locator('main').textContent();
  await page.locator('main', { hasText: 'Et50' }).waitFor();
  for (const what of ['Arista', 'Et1', 'to the core', 'Inlet', '23.5 Cel', 'core-2', 'lldp']) assert.ok((await text()).includes(what), what);
  await close();
});
