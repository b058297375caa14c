"""The Autobahn cases of WebSocket (kosoku), compression among them, against an echo behind the gateway."""

import asyncio
import collections
import json
import logging
import sys
import threading
import time
from pathlib import Path

import websockets.asyncio.messages
from websockets.asyncio.server import serve
from websockets.extensions.permessage_deflate import ServerPerMessageDeflateFactory

from bed import HOST, Gateway, Story, run

# All but the largest messages of compression, which take an echo of Python an hour: of those a group each.
SECTIONS = ["1.*", "2.*", "3.*", "4.*", "5.*", "6.*", "7.*", "9.*", "10.*", "12.1.*", "13.1.*"]
SMALL = [f"12.{group}.{case}" for group in range(2, 6) for case in range(1, 7)]
SMALL += [f"13.{group}.{case}" for group in range(2, 8) for case in range(1, 7)]
CASES = 397
GOOD = ("OK", "NON-STRICT", "INFORMATIONAL")

story = Story()
logging.getLogger("websockets").setLevel(logging.CRITICAL)
# Some cases have more.
websockets.asyncio.messages.MAX_FRAGMENTS = 1 << 20


def serve_echo():
    """The port of an echo, which takes messages of any size and compresses."""
    ready, found = threading.Event(), []

    async def echo(connection):
        async for message in connection:
            await connection.send(message)

    async def main():
        deflate = [ServerPerMessageDeflateFactory()]
        async with serve(echo, HOST, 0, max_size=None, extensions=deflate, compression=None, ping_interval=None) as server:
            found.append(server.sockets[0].getsockname()[1])
            ready.set()
            await asyncio.get_running_loop().create_future()

    threading.Thread(target=lambda: asyncio.run(main()), daemon=True).start()
    ready.wait(30)
    return found[0]


def verdicts(directory):
    """What the report says of each case."""
    report = json.loads((Path(directory) / "index.json").read_text())
    return {case: (of["behavior"], of["behaviorClose"]) for agent in report.values() for case, of in agent.items()}


def fuzz(port, directory, cases):
    """Runs cases against whoever listens at `port`."""
    kosoku = Path(sys.executable).parent / "kosoku"
    which = [word for case in cases for word in ("-i", case)]
    begun = time.monotonic()
    _, said, error = run([kosoku, "-p", "64", *which, "-o", directory, f"{HOST}:{port}"], seconds=900)
    print(round(time.monotonic() - begun), "s;", *(said.strip().splitlines()[-1:] or [error]))
    return verdicts(directory)


port = serve_echo()
with Gateway(port) as gateway:
    through = fuzz(gateway.ports["HTTP"], f"{gateway.directory.name}/through", SECTIONS + SMALL)
    bad = [case for case, verdict in through.items() if verdict[0] not in GOOD]
    # Whether it is the echo that is wrong.
    straight = fuzz(port, f"{gateway.directory.name}/straight", bad) if bad else {}
counts = collections.Counter(verdict[0] for verdict in through.values())
print(len(through), "cases:", ", ".join(f"{count} {verdict}" for verdict, count in sorted(counts.items())))
story.equal("cases", len(through), CASES)
for case in bad:
    what = f"case {case} is {through[case]} straight too"
    story.check(what, straight.get(case) == through[case], straight.get(case))
compressed = [case for case in through if case.startswith(("12.", "13."))]
story.check("compression passes through", compressed and all(through[case][0] == "OK" for case in compressed))
story.end()
