// How soon the page is there: `node paint.mjs [LOOKS]`. Each look is a browser context of its own, so nothing is cached.

import { browse, open, serve } from './harness.mjs';

const looks = Number(process.argv[2] ?? 20);
const store = await serve('demo');
const browser = await browse();
const times = { 'first paint': [], 'first rows': [] };
for (let i = 0; i <= looks; i += 1) {
  const { page, close } = await open(browser, store.url);
  await page.addInitScript(() => {
    new MutationObserver((_, observer) => {
      if (!document.querySelector('tbody tr')) return;
      window.rowsAt = performance.now();
      observer.disconnect();
    }).observe(document, { childList: true, subtree: true });
  });
  await page.goto(`${store.url}#/services`);
  await page.waitForFunction(() => window.rowsAt && performance.getEntriesByName('first-contentful-paint').length);
  const [paint, rows] = await page.evaluate(() => [performance.getEntriesByName('first-contentful-paint')[0].startTime, window.rowsAt]);
  // The first look also starts the browser's own parts.
  if (i > 0) {
    times['first paint'].push(paint);
    times['first rows'].push(rows);
  }
  await close();
}
console.log('what          median     worst');
for (const [what, all] of Object.entries(times)) {
  all.sort((a, b) => a - b);
  const ms = (v) => `${v.toFixed(0)} ms`.padStart(9);
  console.log(what.padEnd(12), ms(all[Math.floor(all.length / 2)]), ms(all.at(-1)));
}
await browser.close();
await store.stop();
