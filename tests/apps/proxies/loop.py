"""PORT BACKEND: one asyncio loop for everything."""
import asyncio, sys

port, backend = int(sys.argv[1]), int(sys.argv[2])


async def head_of(reader):
    return await reader.readuntil(b"\r\n\r\n")


async def handle(reader, writer):
    try:
        while True:
            request = await head_of(reader)
            path = request.split(b" ")[1].replace(b"/up/", b"/down/")
            back_reader, back = await asyncio.open_connection("127.0.0.1", backend)
            back.write(b"GET %s HTTP/1.1\r\nHost: b\r\n\r\n" % path)
            head = await head_of(back_reader)
            length = int(head.lower().split(b"content-length: ")[1].split(b"\r")[0])
            body = await back_reader.readexactly(length)
            back.close()
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))
            await writer.drain()
            if b"Connection: close" in request:
                writer.close()
                return
    except (asyncio.IncompleteReadError, ConnectionError):
        writer.close()


async def main():
    server = await asyncio.start_server(handle, "127.0.0.1", port, backlog=512)
    await server.serve_forever()


asyncio.run(main())
