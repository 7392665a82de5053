// Takes pictures of every page: `node shots.mjs FOLDER [STORE|URL]`. For looking at them, not a test.

import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { browse, open, routes, serve, visit } from './harness.mjs';

const [folder = '/tmp/telegen-shots', what = 'demo', only = ''] = process.argv.slice(2);
mkdirSync(folder, { recursive: true });
const store = what.startsWith('http') ? { url: what, json: async (path) => (await fetch(new URL(path, what))).json(), stop() {} } : await serve(what);
const browser = await browse();
for (const [theme, width] of [['light', 1280], ['dark', 1280], ['light', 400], ['dark', 400]]) {
  const { page, troubles, close } = await open(browser, store.url, { theme, width });
  for (const [name, route] of Object.entries(await routes(store))) {
    if (only && !name.includes(only)) continue;
    await visit(page, store.url, route);
    await page.waitForTimeout(300);
    await page.screenshot({ path: join(folder, `${name}-${theme}-${width}.png`), fullPage: true });
  }
  if (troubles.length) console.log(theme, width, troubles);
  await close();
}
await browser.close();
await store.stop();
