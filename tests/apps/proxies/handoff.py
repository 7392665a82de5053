"""PORT BACKEND: an acceptor thread reads the requests, a pool passes them on and answers, a timer thread calls by itself."""
import queue, socket, sys, threading, time

import passing

port, backend = int(sys.argv[1]), int(sys.argv[2])
work = queue.Queue()


def answer():
    while True:
        passing.answer(*work.get(), backend)


def timer():
    n = 0
    while True:
        time.sleep(0.02)
        n += 1
        passing.call(backend, f"/timer/{n}")


for _ in range(32):
    threading.Thread(target=answer, daemon=True).start()
threading.Thread(target=timer, daemon=True).start()
listener = socket.create_server(("127.0.0.1", port), backlog=512)
n = 0
while True:
    s = listener.accept()[0]
    path = passing.read(s)
    if not path:
        s.close()
        continue
    work.put((s, path))
    n += 1
    if n % 10 == 0:
        # The acceptor also calls for itself, with the request that it read last in other hands.
        passing.call(backend, f"/acceptor/{n}")
