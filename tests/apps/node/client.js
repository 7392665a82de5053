// PORT REQUESTS CONNECTIONS keep|new LOG
const http = require('node:http');
const fs = require('node:fs');
const [port, requests, connections, mode, log] = process.argv.slice(2);
const METHODS = ['GET', 'POST', 'PUT', 'DELETE', 'PATCH', 'HEAD', 'OPTIONS'];
const STATUSES = [200, 201, 204, 304, 404, 500];
const agent = new http.Agent({ keepAlive: mode === 'keep', maxSockets: Number(connections) });
const lines = [];

function one(i) {
  return new Promise((resolve, reject) => {
    const method = METHODS[i % 7];
    const path = `/s/${STATUSES[i % 6]}/${i * 7919 % 4000}/${i % 5 === 0 ? 'c' : 'l'}/${i}`;
    const body = ['POST', 'PUT', 'PATCH'].includes(method) ? 'b'.repeat(i % 300) : '';
    const headers = body ? { 'Content-Length': body.length } : {};
    const start = process.hrtime.bigint();
    const request = http.request({ host: '127.0.0.1', port, method, path, agent, headers }, (response) => {
      let size = 0;
      response.on('data', (d) => { size += d.length; });
      response.on('end', () => {
        const seconds = Number(process.hrtime.bigint() - start) / 1e9;
        lines.push(`${method} ${path} ${response.statusCode} ${size} ${seconds.toFixed(6)}\n`);
        resolve();
      });
    });
    request.on('error', reject);
    request.end(body || undefined);
  });
}

async function main() {
  const n = Number(connections);
  await Promise.all(Array.from({ length: n }, async (_, first) => {
    for (let i = first; i < Number(requests); i += n) await one(i);
  }));
  fs.writeFileSync(log, lines.join(''));
  agent.destroy();
}
main();
