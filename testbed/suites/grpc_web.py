"""gRPC-Web in front of a real server of gRPC: both forms, over HTTP/1.1 and HTTP/2, streams, errors and pages of
another origin."""

import base64
import http.client
import struct
import threading
from concurrent import futures

import grpc

from bed import HOST, Gateway, Story, run

ORIGIN = "https://page.example"
CORS = (
    "{type: CORS, cors: {allowOrigins: ['https://page.example'], allowMethods: [POST], "
    "allowHeaders: [content-type, x-grpc-web, x-user-agent, grpc-timeout], "
    "exposeHeaders: [grpc-status, grpc-message]}}"
)

story = Story()


class Service(grpc.GenericRpcHandler):
    """Methods on plain bytes."""

    def __init__(self):
        self.go_on = threading.Event()

    def service(self, details):
        name = details.method.rsplit("/", 1)[-1]
        make = grpc.unary_stream_rpc_method_handler if name == "stream" else grpc.unary_unary_rpc_method_handler
        return make(getattr(self, name)) if hasattr(self, name) else None

    def echo(self, message, context):
        context.set_trailing_metadata([("x-trailing", "last")])
        return message

    def fail(self, _, context):
        context.abort(grpc.StatusCode.NOT_FOUND, "none")

    def sleep(self, _, context):
        threading.Event().wait(context.time_remaining())
        context.abort(grpc.StatusCode.DEADLINE_EXCEEDED, "slept")

    def stream(self, _, __):
        yield b"first"
        # The second one comes once the caller has told that it has the first.
        self.go_on.wait(60)
        yield b"second"


def frame(message):
    return b"\0" + struct.pack(">I", len(message)) + message


def frames(data):
    """Messages and trailers."""
    messages, trailers = [], None
    while data:
        kind, length = data[0], struct.unpack(">I", data[1:5])[0]
        payload, data = data[5 : 5 + length], data[5 + length :]
        if kind & 0x80:
            trailers = dict(line.split(":", 1) for line in payload.decode().split("\r\n") if line)
        else:
            messages.append(payload)
    return messages, trailers


def decode(text):
    """Base64, whose pieces may each have their padding."""
    return b"".join(base64.b64decode(text[at : at + 4]) for at in range(0, len(text), 4))


service = Service()
server = grpc.server(futures.ThreadPoolExecutor(8), handlers=[service])
port = server.add_insecure_port(f"{HOST}:0")
server.start()
with Gateway(port, "grpc", filters=CORS) as gateway:
    to = http.client.HTTPConnection(HOST, gateway.ports["HTTP"], timeout=60)

    def post(method, body, kind, **fields):
        fields = {name.replace("_", "-"): value for name, value in fields.items()}
        fields |= {"content-type": kind, "origin": ORIGIN, "x-grpc-web": "1"}
        to.request("POST", f"/a/{method}", body, fields)
        return to.getresponse()

    answer = post("echo", frame(b"hello"), "application/grpc-web+proto")
    story.equal("binary: content type", answer.getheader("content-type"), "application/grpc-web+proto")
    story.equal("binary: a page may read it", answer.getheader("access-control-allow-origin"), ORIGIN)
    messages, trailers = frames(answer.read())
    story.equal("binary: message", messages, [b"hello"])
    story.equal("binary: trailers", (trailers["grpc-status"], trailers["x-trailing"]), ("0", "last"))

    text = "application/grpc-web-text"
    answer = post("echo", base64.b64encode(frame(b"hello")), text, accept=text)
    story.equal("text: content type", answer.getheader("content-type"), f"{text}+proto")
    messages, trailers = frames(decode(answer.read()))
    story.equal("text: message and status", (messages, trailers["grpc-status"]), ([b"hello"], "0"))
    pieces = base64.b64encode(frame(b"hello")[:4]) + base64.b64encode(frame(b"hello")[4:])
    messages, _ = frames(decode(post("echo", pieces, text).read()))
    story.equal("text: pieces with their own padding", messages, [b"hello"])
    answer = post("echo", b"%%%%", text)
    story.equal("text: no base64", (answer.status, answer.getheader("grpc-status"), answer.read()), (200, "3", b""))

    for method, status in [("fail", "5"), ("none", "12")]:
        answer = post(method, frame(b""), "application/grpc-web")
        _, trailers = frames(answer.read())
        seen = answer.getheader("grpc-status") or (trailers or {}).get("grpc-status")
        story.equal(f"status of {method}", (answer.status, seen), (200, status))
    answer = post("sleep", frame(b""), "application/grpc-web", grpc_timeout="100m")
    _, trailers = frames(answer.read())
    seen = answer.getheader("grpc-status") or (trailers or {}).get("grpc-status")
    story.equal("time-out", seen, "4")

    for kind, take in [("application/grpc-web", frame(b"first")), (text, base64.b64encode(frame(b"first")))]:
        service.go_on.clear()
        answer = post("stream", frame(b"") if take[0] == 0 else base64.b64encode(frame(b"")), kind)
        story.equal(f"{kind}: the first message comes by itself", answer.read(len(take)), take)
        service.go_on.set()
        rest = answer.read()
        messages, trailers = frames(rest if take[0] == 0 else decode(rest))
        story.equal(f"{kind}: the rest of the stream", (messages, trailers["grpc-status"]), ([b"second"], "0"))

    to.request("OPTIONS", "/a/echo", headers={
        "origin": ORIGIN, "access-control-request-method": "POST",
        "access-control-request-headers": "content-type,x-grpc-web"})  # fmt: skip
    answer = to.getresponse()
    story.equal("preflight", (answer.status // 100, answer.getheader("access-control-allow-origin")), (2, ORIGIN))
    answer.read()

    body = f"{gateway.directory.name}/message"
    with open(body, "wb") as file:
        file.write(frame(b"hello"))
    code, _, said = run(["curl", "-s", "--http2-prior-knowledge", "-H", "content-type: application/grpc-web",
                         "--data-binary", f"@{body}", "-o", f"{body}.answer", gateway.url(path="/a/echo")])  # fmt: skip
    with open(f"{body}.answer", "rb") as file:
        messages, trailers = frames(file.read())
    story.equal("over HTTP/2", (code, messages, trailers["grpc-status"]), (0, [b"hello"], "0"))
server.stop(None)
story.end()
