"""PORT BACKEND [timeout]: a thread a connection; each request is passed on, /up/TAG as /down/TAG."""
import http.client, http.server, sys

port, backend = int(sys.argv[1]), int(sys.argv[2])
timeout = 30 if "timeout" in sys.argv[3:] else None


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        c = http.client.HTTPConnection("127.0.0.1", backend, timeout=timeout)
        c.request("GET", self.path.replace("/up/", "/down/"))
        body = c.getresponse().read()
        c.close()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args):
        pass


class Server(http.server.ThreadingHTTPServer):
    request_queue_size = 512
    daemon_threads = True


Server(("127.0.0.1", port), Handler).serve_forever()
