// Starts the page with a made-up store, and a browser that writes down everything that goes wrong.

import { after, before } from 'node:test';
import { spawn, spawnSync } from 'node:child_process';
import { createInterface } from 'node:readline';
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { join } from 'node:path';
import { chromium } from 'playwright-core';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const ARGS = ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync', '--no-proxy-server'];

let binary = null;

/** Processes that were started and have not ended. */
const started = new Set();

// A file that hangs would hold up everything behind it: it says what it waits for, and ends with what it started.
const PATIENCE = 300_000;
setTimeout(() => {
  console.error(`this file has not ended after ${PATIENCE / 1000} s; it waits for: ${process.getActiveResourcesInfo().join(', ')}`);
  for (const child of started) child.kill('SIGKILL');
  process.exit(1);
}, PATIENCE).unref();

/** Remembers a process until it ends. */
export function keep(child) {
  started.add(child);
  child.on('exit', () => started.delete(child));
  return child;
}

/** Ends with `what`, or without it after some seconds. */
async function soon(what, seconds, otherwise) {
  let timer;
  const late = new Promise((resolve) => { timer = setTimeout(() => resolve(otherwise()), seconds * 1000); });
  await Promise.race([what, late]);
  clearTimeout(timer);
}

/** Builds the example once. */
function build() {
  if (binary) return binary;
  // Measurements want the code as users run it.
  const release = Boolean(process.env.RELEASE);
  const built = spawnSync('cargo', ['build', '--quiet', '--locked', ...(release ? ['--release'] : []), '-p', 'telegen-view', '--example', 'demo'], { cwd: ROOT, stdio: 'inherit' });
  if (built.status !== 0) throw new Error('the example does not build');
  binary = join(process.env.CARGO_TARGET_DIR ?? join(ROOT, 'target'), `${release ? 'release' : 'debug'}/examples/demo`);
  return binary;
}

/** Serves a store: `empty`, `off`, `demo`, `giant` or `hostile`. Gives its address and how to stop it. */
export async function serve(kind, { listen = '127.0.0.1:0', token } = {}) {
  const child = keep(spawn(build(), [kind, listen, ...(token ? [token] : [])], { stdio: ['ignore', 'pipe', 'inherit'] }));
  const lines = createInterface({ input: child.stdout });
  const address = await new Promise((resolve, reject) => {
    lines.on('line', (line) => line.startsWith('listening on ') && resolve(line.slice('listening on '.length)));
    child.on('exit', (code) => reject(new Error(`the example ended with ${code}`)));
  });
  return {
    address,
    url: `http://${address}/`,
    async json(path) {
      const response = await fetch(`http://${address}${path}`);
      return response.json();
    },
    async stop() {
      if (child.exitCode !== null || child.signalCode !== null) return;
      const ended = new Promise((resolve) => child.on('exit', resolve));
      child.kill('SIGINT');
      await soon(ended, 10, () => child.kill('SIGKILL'));
    },
  };
}

/** A browser; CHROMIUM names another program than Debian's. */
export function browse() {
  const executablePath = process.env.CHROMIUM ?? '/usr/bin/chromium';
  if (!existsSync(executablePath)) throw new Error(`${executablePath} is not there: install chromium, or set CHROMIUM`);
  return chromium.launch({ executablePath, args: ARGS });
}

/** Closes a browser that may hang. */
export async function shut(browser) {
  if (browser) await soon(browser.close(), 15, () => console.error('the browser does not close'));
}

/** A browser and some stores for all tests of a file, by name; they end with the file. */
export function stage(...kinds) {
  const all = {};
  before(async () => {
    all.browser = await browse();
    for (const kind of kinds) all[kind] = await serve(kind);
  });
  after(async () => {
    await shut(all.browser);
    await Promise.all(kinds.map((kind) => all[kind]?.stop()));
  });
  return all;
}

/** A page that remembers what the browser complained about and what it asked for elsewhere. */
export async function open(browser, origin, { width = 1280, height = 800, theme = 'light', forcedColors = 'none', scale = 1, clock } = {}) {
  const context = await browser.newContext({ viewport: { width, height }, colorScheme: theme, forcedColors, deviceScaleFactor: scale, reducedMotion: 'reduce', timezoneId: 'UTC' });
  await context.grantPermissions(['clipboard-read', 'clipboard-write']);
  const page = await context.newPage();
  const troubles = [];
  page.on('console', (message) => troubles.push(`console ${message.type()}: ${message.text()}`));
  page.on('pageerror', (error) => troubles.push(`error: ${error.message}`));
  page.on('requestfailed', (request) => {
    // A question that is no longer of interest is given up on purpose.
    if (request.failure()?.errorText !== 'net::ERR_ABORTED') troubles.push(`failed: ${request.url()} ${request.failure()?.errorText}`);
  });
  page.on('request', (request) => {
    if (!request.url().startsWith(origin) && !request.url().startsWith('blob:')) troubles.push(`elsewhere: ${request.url()}`);
  });
  page.on('response', (response) => {
    const size = Number(response.headers()['content-length'] ?? 0);
    if (size > 100 << 10) troubles.push(`large: ${response.url()} ${size}`);
    if (response.status() >= 400) troubles.push(`status ${response.status()}: ${response.url()}`);
  });
  page.on('dialog', (dialog) => {
    troubles.push(`dialog: ${dialog.message()}`);
    dialog.dismiss();
  });
  if (clock) await page.clock.install({ time: clock });
  return { page, troubles, close: () => context.close() };
}

/** Goes to a route and waits until it has shown its data. */
export async function visit(page, base, route) {
  const shown = () => document.querySelector('main')?.dataset.shown ?? '';
  const before = await page.evaluate(shown);
  await page.goto(`${base}#/${route}`);
  await page.waitForFunction((old) => {
    const main = document.querySelector('main');
    return main?.dataset.shown && main.dataset.shown !== old && !main.hasAttribute('aria-busy');
  }, before);
}

/** Every route that a store has something for, by a short name. */
export async function routes(store) {
  const list = {
    services: 'services', map: 'map', traces: 'traces', telegen: 'telegen', 'no-page': 'no/such/page',
    'no-service': 'service/not-there', 'no-trace': `trace/${'ab'.repeat(16)}`,
  };
  const { rows } = await store.json('/api/v1/view/overview?limit=1');
  if (!rows.length) return list;
  const [, name, namespace] = rows[0];
  const service = `service/${encodeURIComponent(name)}?ns=${encodeURIComponent(namespace)}`;
  for (const tab of ['routes', 'callers', 'calls', 'traces', 'unread', 'about']) list[`service-${tab}`] = `${service}&tab=${tab}`;
  list.focus = `map?focus=${encodeURIComponent(name)}&ns=${encodeURIComponent(namespace)}`;
  const traces = await store.json('/api/v1/view/traces?sort=failed&q=spans%3E5&limit=1');
  if (traces.rows.length) list.trace = `trace/${traces.rows[0][0]}`;
  return list;
}

/** Bytes of the page's heap after a collection. */
export async function heap(page) {
  const session = await page.context().newCDPSession(page);
  await session.send('HeapProfiler.collectGarbage');
  const { usedSize } = await session.send('Runtime.getHeapUsage');
  await session.detach();
  return usedSize;
}
