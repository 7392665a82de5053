"""PORT BACKEND: an acceptor thread reads the requests, a pool passes them on and answers, a timer thread calls by itself."""
import http.client, queue, socket, sys, threading, time

port, backend = int(sys.argv[1]), int(sys.argv[2])
work = queue.Queue()


def call(path):
    c = http.client.HTTPConnection("127.0.0.1", backend)
    c.request("GET", path)
    body = c.getresponse().read()
    c.close()
    return body


def answer():
    while True:
        s, path = work.get()
        body = call(path.replace("/up/", "/down/"))
        s.sendall(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))
        s.close()


def timer():
    n = 0
    while True:
        time.sleep(0.02)
        n += 1
        call(f"/timer/{n}")


for _ in range(32):
    threading.Thread(target=answer, daemon=True).start()
threading.Thread(target=timer, daemon=True).start()
listener = socket.create_server(("127.0.0.1", port), backlog=512)
n = 0
while True:
    s = listener.accept()[0]
    head = b""
    while b"\r\n\r\n" not in head:
        more = s.recv(65536)
        if not more:
            break
        head += more
    if not head:
        s.close()
        continue
    work.put((s, head.split(b" ")[1].decode()))
    n += 1
    if n % 10 == 0:
        # The acceptor also calls for itself, with the request that it read last in other hands.
        call(f"/acceptor/{n}")
