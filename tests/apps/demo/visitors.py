"""People who look around and buy. Usage: visitors.py PORT [REQUESTS_A_SECOND]"""

import http.client
import math
import random
import secrets
import sys
import threading
import time

PORT = int(sys.argv[1])
RATE = float(sys.argv[2]) if len(sys.argv) > 2 else 10.0
WORDS = ["lamp", "chair", "table", "shelf", "vase", "clock", "lamp", "chair", "a", "everything"]


def visit():
    dice = random.random()
    if dice < 0.28:
        return "GET", "/", None
    if dice < 0.52:
        return "GET", f"/products/{random.randrange(1, 62)}", None
    if dice < 0.68:
        return "GET", f"/search?q={random.choice(WORDS)}", None
    if dice < 0.82:
        return "PUT", f"/cart/carts/{random.randrange(1, 500)}", '{"product": 7}'
    if dice < 0.90:
        return "GET", f"/cart/vouchers/{secrets.token_hex(8)}", None
    return "POST", "/orders", '{"pay": true}'


def person(share):
    connection = http.client.HTTPConnection("127.0.0.1", PORT, timeout=10)
    while True:
        # More in some minutes than in others.
        wave = 1.0 + 0.4 * math.sin(time.time() / 120)
        time.sleep(random.expovariate(RATE * share * wave))
        method, path, body = visit()
        trace = f"00-{secrets.token_hex(16)}-{secrets.token_hex(8)}-01"
        try:
            connection.request(method, path, body=body, headers={"traceparent": trace})
            connection.getresponse().read()
        except (OSError, http.client.HTTPException):
            connection.close()
            time.sleep(1)


PEOPLE = 4
for _ in range(PEOPLE):
    threading.Thread(target=person, args=(1 / PEOPLE,), daemon=True).start()
while True:
    time.sleep(3600)
