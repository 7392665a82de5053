// Searching, with what is in stock. Usage: node search.js PORT CATALOGUE_PORT CART_PORT

const http = require('http');

const [port, catalogue, cart] = process.argv.slice(2).map(Number);
const agent = new http.Agent({ keepAlive: true, maxSockets: 16 });

function get(to, path, trace) {
  const headers = trace ? { traceparent: trace } : {};
  return new Promise((resolve, reject) => {
    http.get({ host: '127.0.0.1', port: to, path, agent, headers }, (response) => {
      let body = '';
      response.on('data', (part) => { body += part; });
      response.on('end', () => resolve([response.statusCode, body]));
    }).on('error', reject);
  });
}

http.createServer(async (request, response) => {
  const answer = (status, value) => {
    const body = JSON.stringify(value);
    response.writeHead(status, { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) });
    response.end(body);
  };
  const url = new URL(request.url, 'http://localhost');
  if (url.pathname !== '/search') return answer(404, { error: 'no such page' });
  const word = url.searchParams.get('q') ?? '';
  if (word === 'everything') return answer(500, { error: 'that is too much to search for' });
  try {
    const trace = request.headers.traceparent;
    const [, found] = await get(catalogue, `/find?q=${encodeURIComponent(word)}`, trace);
    const products = JSON.parse(found).slice(0, 4);
    const stock = await Promise.all(products.map((p) => get(cart, `/stock/${p.id}`, trace)));
    return answer(200, products.map((p, i) => ({ ...p, stock: JSON.parse(stock[i][1]).left })));
  } catch (error) {
    return answer(502, { error: error.message });
  }
}).listen(port, '127.0.0.1');
