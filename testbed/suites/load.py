"""h2load: every request of many is answered well, over each version."""

import re

from bed import Gateway, Story, run, serve_pages

REQUESTS = 5_000

story = Story()
with Gateway(serve_pages(), kinds=("HTTP", "HTTPS")) as gateway:
    for what, kind, options in [
        ("HTTP/1.1", "HTTP", ["--h1", "-c", "20"]),
        ("HTTP/1.1 in TLS", "HTTPS", ["--h1", "-c", "20"]),
        ("h2c", "HTTP", ["-c", "10", "-m", "20"]),
        ("HTTP/2 in TLS", "HTTPS", ["-c", "10", "-m", "20"]),
    ]:
        code, said, _ = run(["h2load", "-n", str(REQUESTS), *options, gateway.url(kind)])
        requests = re.search(r"requests: .*", said)
        statuses = re.search(r"status codes: .*", said)
        print(what, re.search(r"finished in .*", said).group(0))
        expected = f"{REQUESTS} done, {REQUESTS} succeeded, 0 failed, 0 errored, 0 timeout"
        story.check(f"{what}: all succeed", requests and expected in requests.group(0), said)
        story.check(f"{what}: all are 2xx", statuses and f"{REQUESTS} 2xx, 0 3xx" in statuses.group(0), said)
story.end()
