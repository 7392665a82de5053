"""What the proxies of bare sockets share: a request read, passed on, and answered."""
import http.client


def read(s):
    """Path of the request that comes next; None when the client is gone."""
    head = b""
    while b"\r\n\r\n" not in head:
        more = s.recv(65536)
        if not more:
            return None
        head += more
    return head.split(b" ")[1].decode()


def call(backend, path):
    c = http.client.HTTPConnection("127.0.0.1", backend)
    c.request("GET", path)
    body = c.getresponse().read()
    c.close()
    return body


def answer(s, path, backend):
    """Passes /up/TAG on as /down/TAG, answers with what came, and closes."""
    body = call(backend, path.replace("/up/", "/down/"))
    s.sendall(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))
    s.close()
