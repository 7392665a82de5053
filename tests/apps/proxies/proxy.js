// PORT BACKEND
const http = require('node:http');
const [port, backend] = process.argv.slice(2).map(Number);
const agent = new http.Agent({ keepAlive: true, maxSockets: 512 });
http.createServer((request, response) => {
  http.get({ host: '127.0.0.1', port: backend, path: request.url.replace('/up/', '/down/'), agent }, (answer) => {
    const parts = [];
    answer.on('data', (part) => parts.push(part));
    answer.on('end', () => {
      const body = Buffer.concat(parts);
      response.writeHead(200, { 'Content-Length': body.length });
      response.end(body);
    });
  });
}).listen(port, '127.0.0.1', 512);
