"""A WSGI application under wsgiref: one request a connection: PORT LOG."""
import sys
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

log = open(sys.argv[2], "w", buffering=1)


class Quiet(WSGIRequestHandler):
    def log_message(self, *args):
        pass


class Server(WSGIServer):
    request_queue_size = 256


def app(environ, start_response):
    path, method = environ["PATH_INFO"], environ["REQUEST_METHOD"]
    environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
    _, _, status, size, _, _ = path.split("/")
    status, size = int(status), int(size)
    bare = status in (204, 304)
    start_response(f"{status} X", [] if bare else [("Content-Length", str(size))])
    sent = 0 if bare or method == "HEAD" else size
    log.write(f"{method} {path} {status} {sent}\n")
    return [b"x" * sent] if sent else []


make_server("127.0.0.1", int(sys.argv[1]), app, server_class=Server, handler_class=Quiet).serve_forever()
