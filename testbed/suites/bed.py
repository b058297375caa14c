"""What the suites have in common: `leno gateway -f DIR` in front of backends of their own, on loopback alone."""

import os
import resource
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

LENO = os.environ["LENO"]
PARTS = Path(os.environ["SUITES_PARTS"])
START_SECONDS_MAX = 60
HOST = "127.0.0.1"


def free_port():
    with socket.socket() as found:
        found.bind((HOST, 0))
        return found.getsockname()[1]


def wait_for_port(port):
    """Until somebody listens there."""
    end = time.monotonic() + START_SECONDS_MAX
    while time.monotonic() < end:
        try:
            socket.create_connection((HOST, port), timeout=1).close()
            return
        except OSError:
            time.sleep(0.05)
    raise SystemExit(f"nobody listens on port {port}")


def run(command, seconds=240):
    """A command to its end; its output as text."""
    done = subprocess.run(command, text=True, capture_output=True, timeout=seconds, errors="replace")
    return done.returncode, done.stdout, done.stderr


def raise_descriptors(count):
    """As many as `count`, or as the system lets us; how many that is."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (count, max(hard, count)))
    except (ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]


class Story:
    """Counts what was as it should be."""

    def __init__(self):
        self.good, self.bad = 0, []

    def check(self, what, is_so, seen=""):
        print(f"{'ok  ' if is_so else 'BAD '} {what}{'' if is_so else f': {str(seen)[-300:]}'}", flush=True)
        if is_so:
            self.good += 1
        else:
            self.bad.append(what)

    def equal(self, what, seen, expected):
        self.check(what, seen == expected, f"{seen!r}, not {expected!r}")

    def end(self):
        """Ends the program: with 0 if something was looked at, and all of it was good."""
        print(f"{self.good} good, {len(self.bad)} bad")
        sys.exit(0 if self.good and not self.bad else 1)


class Gateway:
    """A gateway with a listener of each kind that is asked for, all in front of one backend."""

    def __init__(self, backend_port, protocol="", kinds=("HTTP",), filters="", settings=""):
        self.directory = tempfile.TemporaryDirectory(prefix="leno-suite-")
        self.ports = {kind: free_port() for kind in kinds}
        self.certificate = Path(self.directory.name) / "ca.pem"
        path = Path(self.directory.name) / "conf"
        path.mkdir(mode=0o700)
        (path / "documents.yaml").write_text(self._documents(backend_port, protocol, filters, settings))
        (path / "documents.yaml").chmod(0o600)
        self.log = open(Path(self.directory.name) / "log", "w+")
        self.process = subprocess.Popen(
            [LENO, "gateway", "-f", str(path), "--admin-port", "0"], stdout=self.log, stderr=self.log
        )
        for port in self.ports.values():
            wait_for_port(port)

    def _documents(self, backend_port, protocol, filters, settings):
        listeners, routes = [], []
        for kind, port in self.ports.items():
            tls = ", tls: {certificateRefs: [{name: cert}]}" if kind == "HTTPS" else ""
            listeners.append(f"  - {{name: {kind.lower()}, port: {port}, protocol: {kind}{tls}}}")
            route = "TCPRoute" if kind == "TCP" else "HTTPRoute"
            version = "v1alpha2" if kind == "TCP" else "v1"
            of_rule = f", filters: [{filters}]" if filters and kind != "TCP" else ""
            routes.append(
                f"""---
apiVersion: gateway.networking.k8s.io/{version}
kind: {route}
metadata: {{name: of-{kind.lower()}}}
spec:
  parentRefs: [{{name: edge, sectionName: {kind.lower()}}}]
  rules: [{{backendRefs: [{{group: leno.dev, kind: Backend, name: site, port: {backend_port}}}]{of_rule}}}]
"""
            )
        spoken = f", protocol: {protocol}" if protocol else ""
        documents = [
            "apiVersion: gateway.networking.k8s.io/v1\nkind: Gateway\nmetadata: {name: edge}\n"
            "spec:\n  gatewayClassName: leno\n  listeners:\n" + "\n".join(listeners) + "\n",
            *routes,
            f"""---
apiVersion: leno.dev/v1alpha1
kind: Backend
metadata: {{name: site}}
spec: {{type: Static, addresses: [{{host: {HOST}, port: {backend_port}}}]{spoken}}}
""",
        ]
        if "HTTPS" in self.ports:
            documents.append(self._secret())
        if settings:
            documents.append(
                "---\napiVersion: leno.dev/v1alpha1\nkind: MeshSettings\nmetadata: {name: default}\n"
                f"spec: {settings}\n"
            )
        return "".join(documents)

    def _secret(self):
        key = Path(self.directory.name) / "key.pem"
        code, _, said = run(
            ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
            + ["-days", "2", "-subj", "/CN=suite", "-addext", f"subjectAltName=IP:{HOST},DNS:localhost"]
            + ["-keyout", str(key), "-out", str(self.certificate)]
        )
        if code != 0:
            raise SystemExit(said)
        import base64

        data = {"tls.crt": self.certificate.read_bytes(), "tls.key": key.read_bytes()}
        data = {name: base64.b64encode(value).decode() for name, value in data.items()}
        lines = "".join(f"  {name}: {value}\n" for name, value in data.items())
        return f"---\napiVersion: v1\nkind: Secret\nmetadata: {{name: cert}}\ntype: kubernetes.io/tls\ndata:\n{lines}"

    def url(self, kind="HTTP", path="/"):
        scheme = "https" if kind == "HTTPS" else "http"
        return f"{scheme}://{HOST}:{self.ports[kind]}{path}"

    def memory_kib(self):
        """What is resident."""
        for line in Path(f"/proc/{self.process.pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1])
        raise SystemExit("no VmRSS")

    def __enter__(self):
        return self

    def __exit__(self, *failed):
        is_alive = self.process.poll() is None
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            self.process.kill()
        self.log.seek(0)
        if failed[0] is not None or not is_alive:
            print(self.log.read())
        if not is_alive:
            raise SystemExit("the gateway ended by itself")


class Pages(BaseHTTPRequestHandler):
    """Answers everything with a page, once it has read what it was sent."""

    protocol_version = "HTTP/1.1"
    page = b"x" * 2000

    def do_GET(self):
        self.read_body()
        self.send_response(200)
        self.send_header("content-length", str(len(self.page)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(self.page)

    do_POST = do_PUT = do_HEAD = do_OPTIONS = do_GET

    def read_body(self):
        """The body, whichever way its end is told."""
        if length := int(self.headers.get("content-length") or 0):
            return self.rfile.read(length)
        body = b""
        if self.headers.get("transfer-encoding"):
            while size := int(self.rfile.readline().split(b";")[0] or b"0", 16):
                body += self.rfile.read(size)
                self.rfile.readline()
            while self.rfile.readline().strip():
                pass
        return body

    def log_message(self, *_):
        pass


class Server(ThreadingHTTPServer):
    # With the usual 5 the kernel drops connections that come at once.
    request_queue_size = 4096


def serve_pages(handler=Pages):
    """The port of a server of HTTP/1.1."""
    server = Server((HOST, 0), handler)
    server.handle_error = lambda *_: None
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server.server_address[1]
