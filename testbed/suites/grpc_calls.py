"""gRPC: Go's interop client and server, and Python's grpcio, through the gateway, without TLS and with it."""

import subprocess
import threading
from concurrent import futures

import grpc

from bed import HOST, PARTS, Gateway, Story, free_port, run, wait_for_port

GO_CASES = [
    "empty_unary", "large_unary", "client_streaming", "server_streaming", "ping_pong", "empty_stream",
    "timeout_on_sleeping_server", "cancel_after_begin", "cancel_after_first_response",
    "status_code_and_message", "special_status_message", "custom_metadata",
    "unimplemented_method", "unimplemented_service",
]  # fmt: skip

story = Story()


def of_go():
    port = free_port()
    server = subprocess.Popen([PARTS / "interop-server", "--port", str(port)], stderr=subprocess.DEVNULL)
    try:
        wait_for_port(port)
        with Gateway(port, "grpc", ("HTTP", "HTTPS")) as gateway:
            for kind, at in gateway.ports.items():
                tls = ["--use_tls", "--use_test_ca=true", f"--ca_file={gateway.certificate}"]
                tls = tls + ["--server_host_override=localhost"] if kind == "HTTPS" else []
                for case in GO_CASES:
                    to = [f"--server_host={HOST}", f"--server_port={at}", f"--test_case={case}"]
                    code, said, error = run([PARTS / "interop-client", *to, *tls])
                    story.check(f"Go, {kind}: {case}", code == 0, said + error)
    finally:
        server.kill()


class Service(grpc.GenericRpcHandler):
    """Methods on plain bytes: what they are called says what they do."""

    def __init__(self):
        self.cancelled = threading.Event()

    def service(self, details):
        name = details.method.rsplit("/", 1)[-1]
        method = getattr(self, name, None)
        if method is None:
            return None
        kind = "unary" if name in ("echo", "left", "fail") else "stream"
        make = getattr(grpc, f"{'stream' if name in ('collect', 'chat') else 'unary'}_"
                       f"{'unary' if kind == 'unary' or name == 'collect' else 'stream'}_rpc_method_handler")
        return make(method)

    def echo(self, message, context):
        context.send_initial_metadata([("x-initial", "first"), ("x-data-bin", b"\0\xff")])
        context.set_trailing_metadata([("x-trailing", "last")])
        return message

    def left(self, _, context):
        return str(context.time_remaining()).encode()

    def fail(self, _, context):
        context.abort(grpc.StatusCode.DATA_LOSS, "töte %")

    def count(self, message, _):
        for number in range(int(message)):
            yield str(number).encode()

    def collect(self, messages, _):
        return b",".join(messages)

    def chat(self, messages, _):
        yield from messages

    def forever(self, _, context):
        context.add_callback(self.cancelled.set)
        yield b"begun"
        self.cancelled.wait(60)


def of_python():
    service = Service()
    unlimited = [("grpc.max_receive_message_length", -1)]
    server = grpc.server(futures.ThreadPoolExecutor(8), handlers=[service], options=unlimited)
    port = server.add_insecure_port(f"{HOST}:0")
    server.start()
    with Gateway(port, "grpc") as gateway:
        channel = grpc.insecure_channel(f"{HOST}:{gateway.ports['HTTP']}", options=unlimited)
        call, info = channel.unary_unary("/a/echo").with_call(b"hello", metadata=[("x-a", "b")], timeout=30)
        story.equal("Python: unary", call, b"hello")
        initial = dict(info.initial_metadata())
        story.equal("Python: metadata", (initial.get("x-initial"), initial.get("x-data-bin")), ("first", b"\0\xff"))
        story.equal("Python: trailers", dict(info.trailing_metadata()).get("x-trailing"), "last")
        large = bytes(range(256)) * (4 << 12)
        story.check("Python: 4 MiB", channel.unary_unary("/a/echo")(large, timeout=60) == large)
        packed = channel.unary_unary("/a/echo")(b"a" * 100_000, timeout=30, compression=grpc.Compression.Gzip)
        story.check("Python: compression", packed == b"a" * 100_000)
        counted = list(channel.unary_stream("/a/count")(b"1000", timeout=30))
        story.equal("Python: server stream", (len(counted), counted[-1]), (1000, b"999"))
        collected = channel.stream_unary("/a/collect")(iter([b"a", b"b", b"c"]), timeout=30)
        story.equal("Python: client stream", collected, b"a,b,c")
        chat = channel.stream_stream("/a/chat")(iter([b"1", b"2"]), timeout=30)
        story.equal("Python: both ways", list(chat), [b"1", b"2"])
        left = float(channel.unary_unary("/a/left")(b"", timeout=20))
        story.check("Python: what is left of the time is told", 10 < left < 21, left)
        for method, timeout, code, details in [
            ("fail", 30, grpc.StatusCode.DATA_LOSS, "töte %"),
            ("none", 30, grpc.StatusCode.UNIMPLEMENTED, None),
        ]:
            try:
                channel.unary_unary(f"/a/{method}")(b"", timeout=timeout)
                story.check(f"Python: status of {method}", False, "none")
            except grpc.RpcError as error:
                seen = (error.code(), error.details() if details else None)
                story.equal(f"Python: status of {method}", seen, (code, details))
        endless = channel.unary_stream("/a/forever")(b"")
        story.equal("Python: begun", next(endless), b"begun")
        endless.cancel()
        story.check("Python: a cancelled call is cancelled at the server", service.cancelled.wait(30))
        channel.close()
    server.stop(None)


of_go()
of_python()
story.end()
