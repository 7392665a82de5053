"""MODE PORT BACKEND: a request goes through the hands of two processes; each is passed on, /up/TAG as /down/TAG.

read    one process accepts and reads, another calls and answers: the socket is handed over with what was read
unread  one process accepts, another reads, calls and answers
fork    a child for every connection, which reads, calls and answers
late    a child for every request that was read, which calls and answers
share   two processes listen on one port (SO_REUSEPORT)
"""
import os, signal, socket, sys, threading

import passing

mode, port, backend = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
signal.signal(signal.SIGCHLD, signal.SIG_IGN)


def answer(s, path):
    passing.answer(s, path, backend) if path else s.close()


def serve(s):
    answer(s, passing.read(s))


def worker(box):
    """Takes sockets out of `box`, four at a time."""
    def take():
        while True:
            text, fds, _, _ = socket.recv_fds(box, 4096, 1)
            if not fds:
                os._exit(0)
            s = socket.socket(fileno=fds[0])
            answer(s, text.decode()) if mode == "read" else serve(s)

    for _ in range(3):
        threading.Thread(target=take, daemon=True).start()
    take()


def listen(reuse=False):
    s = socket.socket()
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if reuse:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    s.bind(("127.0.0.1", port))
    s.listen(512)
    return s


def share():
    child = os.fork()
    if child:
        def end(*_):
            os.kill(child, signal.SIGTERM)
            os._exit(0)
        signal.signal(signal.SIGTERM, end)
    listener = listen(reuse=True)
    while True:
        threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()


if mode == "share":
    share()
box = None
if mode in ("read", "unread"):
    box, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    if os.fork() == 0:
        box.close()
        worker(theirs)
    theirs.close()
listener = listen()
while True:
    s = listener.accept()[0]
    path = passing.read(s) if mode in ("read", "late") else "?"
    if path and box:
        socket.send_fds(box, [path.encode()], [s.fileno()])
    elif path and os.fork() == 0:
        # Only the child that was made for it has the socket.
        listener.close()
        serve(s) if mode == "fork" else answer(s, path)
        os._exit(0)
    s.close()
