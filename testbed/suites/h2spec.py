"""HTTP/2 as a server: h2spec's strict cases, without TLS (prior knowledge) and with it."""

import re

from bed import HOST, PARTS, Gateway, Story, run, serve_pages

# What is open, with the reason in docs/conformance.md.
OPEN = {"HTTP": {"Sends invalid connection preface"}, "HTTPS": set()}

story = Story()
with Gateway(serve_pages(), kinds=("HTTP", "HTTPS")) as gateway:
    for kind, port in gateway.ports.items():
        # The default length is below what we take in a frame.
        command = [PARTS / "h2spec", "-h", HOST, "-p", str(port), "--strict", "--max-header-length", "16000"]
        _, said, _ = run(command + (["-t", "-k"] if kind == "HTTPS" else []))
        summary = re.search(r"(\d+) tests, (\d+) passed, (\d+) skipped, (\d+) failed", said)
        failed = set(re.findall(r"× \d+: (.*)", said))
        print(summary and summary.group(0))
        story.check(f"{kind}: all cases were run", bool(summary) and summary.group(1, 3) == ("146", "0"), said)
        story.equal(f"{kind}: cases that fail", failed, OPEN[kind])
story.end()
