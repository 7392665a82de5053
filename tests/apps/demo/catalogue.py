"""Products, and searching them. Usage: catalogue.py PORT"""

import random
import sys
import time
from urllib.parse import parse_qs, urlsplit

from json_server import Handler, serve

NAMES = ["lamp", "chair", "table", "shelf", "carpet", "mirror", "clock", "vase"]
PRODUCTS = {n: {"id": n, "name": f"{NAMES[n % len(NAMES)]} {n}", "price": 5 + n % 90} for n in range(1, 60)}


class Catalogue(Handler):
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


serve(int(sys.argv[1]), Catalogue)
