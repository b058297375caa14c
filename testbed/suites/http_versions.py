"""curl, and bytes by hand, over each version of HTTP: pages, uploads, trailers, interim responses, streams that are
flushed at once."""

import socket
import subprocess
import threading

from bed import HOST, Gateway, Pages, Story, run, serve_pages

story = Story()
go_on = threading.Event()


class Kinds(Pages):
    """What `/trailers`, `/hints`, `/events` and `/refused` say; anything else is an echo."""

    def do_GET(self):
        kind = self.path.strip("/")
        if kind == "refused":
            # Without a look at the body.
            self.send_response(401)
            self.send_header("content-length", "2")
            self.end_headers()
            self.wfile.write(b"no")
            self.close_connection = True
            return
        if kind == "hints":
            self.wfile.write(b"HTTP/1.1 103 Early Hints\r\nlink: </style.css>\r\n\r\n")
        body = self.read_body() if self.command == "POST" else Pages.page
        self.send_response(200)
        self.send_header("x-version", self.request_version)
        if kind == "trailers":
            self.send_header("transfer-encoding", "chunked")
            self.send_header("trailer", "x-last")
            self.end_headers()
            self.wfile.write(b"4\r\nbody\r\n0\r\nx-last: word\r\n\r\n")
        elif kind == "events":
            self.send_header("content-type", "text/event-stream")
            self.send_header("transfer-encoding", "chunked")
            self.end_headers()
            self.wfile.write(b"d\r\ndata: first\n\n\r\n")
            # The second one comes once the caller has told that it has the first.
            go_on.wait(60)
            self.wfile.write(b"e\r\ndata: second\n\n\r\n0\r\n\r\n")
        else:
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

    do_POST = do_HEAD = do_GET

    def send_header(self, name, value):
        if name not in ("Server", "Date"):
            super().send_header(name, value)

    def handle_expect_100(self):
        # `/refused` answers before.
        return self.path == "/refused" or super().handle_expect_100()


VERSIONS = {
    "HTTP/1.0": ("HTTP", ["--http1.0"]),
    "HTTP/1.1": ("HTTP", ["--http1.1"]),
    "h2c, prior knowledge": ("HTTP", ["--http2-prior-knowledge"]),
    "h2c, asked by upgrade": ("HTTP", ["--http2"]),
    "HTTP/1.1 in TLS 1.2": ("HTTPS", ["--http1.1", "--tls-max", "1.2"]),
    "HTTP/1.1 in TLS 1.3": ("HTTPS", ["--http1.1", "--tlsv1.3"]),
    "HTTP/2 in TLS": ("HTTPS", ["--http2"]),
}


def by_hand(gateway, request, until=b""):
    """Sends bytes; what comes to the end, or until `until` has come."""
    with socket.create_connection((HOST, gateway.ports["HTTP"]), timeout=60) as to:
        to.sendall(request)
        said = b""
        while not (until and until in said) and (piece := to.recv(65536)):
            said += piece
        return said


def curl(gateway, kind, options, path="/"):
    ca = ["--cacert", str(gateway.certificate)] if kind == "HTTPS" else []
    return run(["curl", "-sS", "-i", "--max-time", "60", *ca, *options, gateway.url(kind, path)])


with Gateway(serve_pages(Kinds), kinds=("HTTP", "HTTPS")) as gateway:
    upload = f"{gateway.directory.name}/upload"
    with open(upload, "w") as file:
        file.write("y" * 200_000)
    for what, (kind, options) in VERSIONS.items():
        code, said, error = curl(gateway, kind, options)
        story.check(f"{what}: a page", code == 0 and said.endswith("x" * 2000) and " 200" in said, said + error)
        story.check(f"{what}: asked in HTTP/1.1", "x-version: HTTP/1.1" in said, said)
        code, said, error = curl(gateway, kind, [*options, "--data-binary", f"@{upload}"])
        story.check(f"{what}: an upload", code == 0 and said.endswith("y" * 200_000), said[:500] + error)
        waits = [*options, "-H", "expect: 100-continue", "--data-binary", f"@{upload}"]
        code, said, error = curl(gateway, kind, waits)
        is_old = what == "HTTP/1.0"
        is_invited = is_old or " 100" in said.split("\n", 1)[0]
        story.check(f"{what}: an upload that waits", code == 0 and is_invited and said.endswith("y" * 200_000), said[:500])
        if what in ("h2c, prior knowledge", "HTTP/2 in TLS"):
            # curl 7.88 takes an answer for none where the reset behind it (RFC 9113 section 8.1) comes in one piece.
            url = gateway.url(kind, "/refused")
            _, said, error = run(["nghttp", "-v", "--expect-continue", "-d", upload, url])
            is_refused = ":status: 401" in said and "NO_ERROR" in said and ":status: 100" not in said
        else:
            code, said, error = curl(gateway, kind, waits, "/refused")
            is_refused = " 401" in said and said.endswith("no")
        story.check(f"{what}: an upload that is refused", is_refused, said + error)
        code, said, error = curl(gateway, kind, options, "/hints")
        story.check(f"{what}: 103", (" 103" in said) == (not is_old) and " 200" in said, said[:500])
        code, said, error = curl(gateway, kind, [*options, "-I"])
        story.check(f"{what}: HEAD", code == 0 and "content-length: 2000" in said.lower(), said + error)

    get = "GET {} HTTP/1.{}\r\nhost: a\r\nte: trailers\r\nconnection: close, te\r\n\r\n"
    said = by_hand(gateway, get.format("/trailers", 1).encode())
    story.check("trailers over HTTP/1.1", b"4\r\nbody\r\n0\r\nx-last: word\r\n\r\n" in said, said)
    code, said, error = run(["nghttp", "-v", "-n", gateway.url(path="/trailers")])
    story.check("trailers over HTTP/2", "x-last: word" in said, said + error)
    said = by_hand(gateway, b"GET / HTTP/1.0\r\nhost: a\r\n\r\n")
    story.check("HTTP/1.0 ends with the connection", said.endswith(Pages.page) and b"chunked" not in said, said)
    twice = b"GET / HTTP/1.0\r\nhost: a\r\nconnection: keep-alive\r\n\r\n"
    said = by_hand(gateway, twice + b"GET / HTTP/1.0\r\nhost: a\r\n\r\n")
    story.equal("HTTP/1.0 that is kept alive", said.count(b" 200 "), 2)
    said = by_hand(gateway, b"GET / HTTP/1.0\r\n\r\n")
    story.check("HTTP/1.0 without a host is refused", b" 400 " in said, said)

    for what, options in [("HTTP/1.1", ["--http1.1"]), ("HTTP/2", ["--http2-prior-knowledge"])]:
        go_on.clear()
        command = ["curl", "-sN", "--max-time", "60", *options, gateway.url(path="/events")]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as events:
            story.equal(f"{what}: an event comes at once", events.stdout.read(13), b"data: first\n\n")
            go_on.set()
            story.equal(f"{what}: and the next", events.stdout.read(), b"data: second\n\n")
story.end()
