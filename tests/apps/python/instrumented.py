"""PORT COLLECTOR: a server that exports its own spans, as an SDK does: OTLP over HTTP once a request."""
import http.client, http.server, sys

collector = int(sys.argv[2])


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        c = http.client.HTTPConnection("127.0.0.1", collector)
        c.request("POST", "/v1/traces", b"\n\0", {"Content-Type": "application/x-protobuf"})
        c.getresponse().read()
        c.close()
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"ok")

    def log_message(self, *args):
        pass


http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
