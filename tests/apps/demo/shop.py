"""The shop's front: pages and orders. Usage: shop.py PORT CART_PORT PAYMENTS_PORT CATALOGUE_PORT"""

import http.client
import json
import random
import sys

from json_server import Handler, serve

PORT, CART, PAYMENTS, CATALOGUE = map(int, sys.argv[1:5])


def call(port, method, path, body=None):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request(method, path, body=body, headers={"content-type": "application/json"} if body else {})
        response = connection.getresponse()
        return response.status, response.read()
    finally:
        connection.close()


class Shop(Handler):
    def do_GET(self):
        parts = self.path.split("?")[0].strip("/").split("/")
        if parts == ["healthz"]:
            return self.answer(200, {"ok": True})
        if parts[0] == "products" and len(parts) == 2:
            status, product = call(CATALOGUE, "GET", f"/products/{parts[1]}")
            return self.answer(status, json.loads(product))
        if parts == [""]:
            products = [json.loads(call(CATALOGUE, "GET", f"/products/{n}")[1]) for n in random.sample(range(1, 60), 3)]
            return self.answer(200, {"products": products})
        return self.answer(404, {"error": "no such page"})

    def do_POST(self):
        length = int(self.headers.get("content-length", 0))
        self.rfile.read(length)
        parts = self.path.strip("/").split("/")
        if parts[0] != "orders":
            return self.answer(404, {"error": "no such page"})
        user = random.randrange(1, 500)
        _, cart = call(CART, "GET", f"/carts/{user}")
        status, paid = call(PAYMENTS, "POST", "/charge", json.dumps({"user": user, "cart": json.loads(cart)}))
        if status >= 500:
            return self.answer(502, {"error": "the payment was refused"})
        call(CART, "DELETE", f"/carts/{user}")
        return self.answer(201, {"paid": json.loads(paid)})


serve(PORT, Shop)
