// PORT LOG
const http = require('node:http');
const fs = require('node:fs');
const [port, log] = process.argv.slice(2);
const out = fs.openSync(log, 'w');

http.createServer((request, response) => {
  request.resume();
  request.on('end', () => {
    const [, , status, size, mode] = request.url.split('/');
    const bare = status === '204' || status === '304';
    const head = {};
    if (!bare && (mode !== 'c' || request.method === 'HEAD')) head['Content-Length'] = size;
    response.writeHead(Number(status), head);
    const silent = bare || request.method === 'HEAD';
    const body = 'x'.repeat(Number(size));
    if (!silent && mode === 'c') {
      for (let i = 0; i < body.length; i += 1000) response.write(body.slice(i, i + 1000));
      response.end();
    } else {
      response.end(silent ? undefined : body);
    }
    fs.writeSync(out, `${request.method} ${request.url} ${status} ${silent ? 0 : size}\n`);
  });
}).listen(Number(port), '127.0.0.1');
