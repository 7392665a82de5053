"""Products, and searching them. Usage: catalogue.py PORT"""

import json
import random
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

NAMES = ["lamp", "chair", "table", "shelf", "carpet", "mirror", "clock", "vase"]
PRODUCTS = {n: {"id": n, "name": f"{NAMES[n % len(NAMES)]} {n}", "price": 5 + n % 90} for n in range(1, 60)}


class Catalogue(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def answer(self, status, value):
        body = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        url = urlsplit(self.path)
        parts = url.path.strip("/").split("/")
        if parts[0] == "find":
            word = parse_qs(url.query).get("q", [""])[0]
            # A short word fits nearly everything.
            time.sleep(random.uniform(0.2, 0.5) if len(word) < 2 else random.uniform(0.002, 0.012))
            return self.answer(200, [p for p in PRODUCTS.values() if word in p["name"]][:20])
        time.sleep(random.uniform(0.001, 0.004))
        product = PRODUCTS.get(int(parts[-1])) if parts[-1].isdigit() else None
        return self.answer(200, product) if product else self.answer(404, {"error": "no such product"})

    def log_message(self, *_):
        pass


ThreadingHTTPServer.request_queue_size = 128
ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Catalogue).serve_forever()
