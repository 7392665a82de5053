"""REQUESTS: one connection whose sequence numbers wrap in the middle, in both directions; both ends are this process.

The kernel chooses sequence numbers; TCP_REPAIR, made for moving connections between machines, sets them.
"""
import socket, struct, sys, threading

REPAIR, QUEUE, SEQ = 19, 20, 21
RECEIVE, SEND = 1, 2
requests = int(sys.argv[1])
HEAD = b"GET /wrap/%05d HTTP/1.1\r\nHost: h\r\n\r\n"
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
half = lambda size: (2**32 - size * requests // 2) % 2**32


def end(send, receive):
    s = socket.socket()
    s.setsockopt(socket.IPPROTO_TCP, REPAIR, 1)
    for queue, seq in ((SEND, send), (RECEIVE, receive)):
        s.setsockopt(socket.IPPROTO_TCP, QUEUE, queue)
        s.setsockopt(socket.IPPROTO_TCP, SEQ, struct.pack("=I", seq))
    s.bind(("127.0.0.1", 0))
    return s


try:
    client = end(half(len(HEAD % 0)), half(len(ANSWER)))
    server = end(half(len(ANSWER)), half(len(HEAD % 0)))
except OSError as error:
    print(f"SKIPPED sequence numbers that wrap: {error}")
    sys.exit(0)
addresses = client.getsockname(), server.getsockname()
client.connect(addresses[1])
server.connect(addresses[0])
for s in (client, server):
    s.setsockopt(socket.IPPROTO_TCP, REPAIR, 0)


def serve():
    for _ in range(requests):
        got = b""
        while not got.endswith(b"\r\n\r\n"):
            got += server.recv(4096)
        server.sendall(ANSWER)


thread = threading.Thread(target=serve)
thread.start()
for i in range(requests):
    client.sendall(HEAD % i)
    got = b""
    while not got.endswith(b"ok"):
        got += client.recv(4096)
thread.join()
