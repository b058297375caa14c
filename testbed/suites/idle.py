"""10,000 WebSockets that are open and say nothing: what each costs in the gateway's memory, and that all still work."""

import asyncio
import base64
import contextlib
import hashlib
import multiprocessing
import os

from bed import HOST, Gateway, Story, raise_descriptors

SOCKETS = 10_000
# Resident memory of the gateway for each, in KiB; it is two connections there.
EACH_KIB_MAX = 64
GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"

story = Story()
SOFT = raise_descriptors(4 * SOCKETS)


async def echo(reader, writer):
    """Takes the handshake, then gives every byte back."""
    head = await reader.readuntil(b"\r\n\r\n")
    key = next(line.split(b":")[1].strip() for line in head.split(b"\r\n") if line.lower().startswith(b"sec-websocket-key"))
    accept = base64.b64encode(hashlib.sha1(key + GUID).digest())
    answer = b"HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\nsec-websocket-accept: "
    writer.write(answer + accept + b"\r\n\r\n")
    while data := await reader.read(1024):
        writer.write(data)
    writer.close()


def serve_echo(tell):
    """A process of its own: descriptors are counted for each."""

    async def main():
        server = await asyncio.start_server(echo, HOST, 0, backlog=4096, limit=4096)
        tell.send(server.sockets[0].getsockname()[1])
        await server.serve_forever()

    asyncio.run(main())


async def open_one(port, turns):
    async with turns:
        reader, writer = await asyncio.open_connection(HOST, port, limit=4096)
        key = base64.b64encode(os.urandom(16)).decode()
        writer.write(
            f"GET /idle HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: websocket\r\n"
            f"sec-websocket-version: 13\r\nsec-websocket-key: {key}\r\n\r\n".encode()
        )
        head = await reader.readuntil(b"\r\n\r\n")
        assert b" 101 " in head, head
        return reader, writer


async def still_works(reader, writer, turns):
    """A masked message comes back as it went."""
    async with turns:
        message = b"\x81\x85" + b"\0\0\0\0" + b"hello"
        writer.write(message)
        return await reader.readexactly(len(message)) == message


async def tell(gateways):
    turns = asyncio.Semaphore(200)
    ports = [gateway.ports["HTTP"] for gateway in gateways]
    for port in ports:
        (await open_one(port, turns))[1].close()
    before = sum(gateway.memory_kib() for gateway in gateways)
    opened = await asyncio.gather(*(open_one(ports[which % len(ports)], turns) for which in range(SOCKETS)))
    each = (sum(gateway.memory_kib() for gateway in gateways) - before) / SOCKETS
    print(f"{SOCKETS} WebSockets at {len(ports)} gateways: {each:.1f} KiB each")
    story.check(f"at most {EACH_KIB_MAX} KiB each", each <= EACH_KIB_MAX, each)
    worked = await asyncio.gather(*(still_works(*one, turns) for one in opened))
    story.equal("all still work", sum(worked), SOCKETS)
    for _, writer in opened:
        writer.close()


hear, say = multiprocessing.Pipe()
backend = multiprocessing.Process(target=serve_echo, args=(say,), daemon=True)
backend.start()
port = hear.recv()
# A gateway keeps three of eight descriptors for callers; where it may not have enough, there are several.
available = SOFT * 3 // 8 - 500
count = -(-SOCKETS // available)
with contextlib.ExitStack() as stack:
    asyncio.run(tell([stack.enter_context(Gateway(port)) for _ in range(count)]))
story.end()
