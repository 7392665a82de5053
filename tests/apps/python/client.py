"""PORT REQUESTS CONNECTIONS keep|new LOG."""
import http.client, sys, threading, time

port, requests, connections, mode, log = int(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), sys.argv[4], sys.argv[5]
METHODS = ["GET", "POST", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS"]
STATUSES = [200, 201, 204, 304, 404, 500]
lines = []
lock = threading.Lock()


def work(first):
    mine = []
    c = http.client.HTTPConnection("127.0.0.1", port)
    for i in range(first, requests, connections):
        method, status = METHODS[i % 7], STATUSES[i % 6]
        path = f"/s/{status}/{i * 7919 % 4000}/{'c' if i % 5 == 0 else 'l'}/{i}"
        body = b"b" * (i % 300) if method in ("POST", "PUT", "PATCH") else None
        start = time.monotonic()
        c.request(method, path, body)
        answer = c.getresponse()
        data = answer.read()
        mine.append(f"{method} {path} {answer.status} {len(data)} {time.monotonic() - start:.6f}\n")
        if mode == "new":
            c.close()
    c.close()
    with lock:
        lines.extend(mine)


threads = [threading.Thread(target=work, args=(n,)) for n in range(connections)]
[t.start() for t in threads]
[t.join() for t in threads]
open(log, "w").writelines(lines)
