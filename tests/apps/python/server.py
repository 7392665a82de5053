"""http.server with keep-alive and a thread a connection: PORT LOG [ADDRESS]."""
import sys, threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

log = open(sys.argv[2], "w", buffering=1)
lock = threading.Lock()


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def answer(self):
        size = int(self.headers.get("Content-Length") or 0)
        self.rfile.read(size)
        _, _, status, size, mode, _ = self.path.split("/")
        status, size = int(status), int(size)
        body = b"x" * size
        self.send_response(status)
        bare = status in (204, 304)
        if not bare:
            if mode == "c" and self.command != "HEAD":
                self.send_header("Transfer-Encoding", "chunked")
            else:
                self.send_header("Content-Length", str(size))
        self.end_headers()
        sent = 0
        if not bare and self.command != "HEAD":
            if mode == "c":
                for i in range(0, size, 1000):
                    part = body[i:i + 1000]
                    self.wfile.write(b"%x\r\n" % len(part) + part + b"\r\n")
                self.wfile.write(b"0\r\n\r\n")
            else:
                self.wfile.write(body)
            sent = size
        with lock:
            log.write(f"{self.command} {self.path} {status} {sent}\n")

    do_GET = do_POST = do_PUT = do_DELETE = do_PATCH = do_HEAD = do_OPTIONS = answer

    def log_message(self, *args):
        pass


class Server(ThreadingHTTPServer):
    request_queue_size = 256
    daemon_threads = True


Server((sys.argv[3] if len(sys.argv) > 3 else "127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
