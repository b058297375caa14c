#!/usr/bin/env python3
"""The backends of this example, each as small as it can be: Python's standard library alone, on loopback.

9001 HTTP, 9002 WebSocket (says back what it hears), 9003 gRPC (grpc.health.v1.Health/Check says SERVING),
9004 HTTP in TLS that it ends itself, 9005 datagrams (says back what it hears).
"""
import base64, hashlib, http.server, socketserver, ssl, struct, threading

LOOPBACK = "127.0.0.1"


def page(text):
    class Page(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.send_header("content-length", str(len(text) + 1))
            self.end_headers()
            self.wfile.write(text.encode() + b"\n")

        def log_message(self, *_):
            pass

    return Page


class WebSocket(socketserver.StreamRequestHandler):
    """RFC 6455, for messages of less than 126 bytes in one frame."""

    def handle(self):
        key = b""
        while (line := self.rfile.readline().strip()):
            if line.lower().startswith(b"sec-websocket-key:"):
                key = line.split(b":", 1)[1].strip()
        accept = base64.b64encode(hashlib.sha1(key + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest())
        self.wfile.write(b"HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\n"
                         b"sec-websocket-accept: " + accept + b"\r\n\r\n")
        while len(head := self.rfile.read(2)) == 2:
            mask, text = self.rfile.read(4), self.rfile.read(head[1] & 127)
            said = bytes(byte ^ mask[at % 4] for at, byte in enumerate(text))
            self.wfile.write(bytes([head[0], len(said)]) + said)


class Grpc(socketserver.StreamRequestHandler):
    """HTTP/2 (RFC 9113) without TLS, as much of it as one answer to every call needs."""

    DATA, HEADERS, SETTINGS, PING, ACK, END_STREAM, END_HEADERS = 0, 1, 4, 6, 1, 1, 4
    # HPACK (RFC 7541): `:status: 200` out of the static table, the other fields as literals.
    HEAD = b"\x88" + b"\x00\x0ccontent-type\x10application/grpc"
    TRAILERS = b"\x00\x0bgrpc-status\x010"
    # One message, not compressed, of two bytes: HealthCheckResponse{status: SERVING}.
    SERVING = b"\x00\x00\x00\x00\x02" + b"\x08\x01"

    def send(self, kind, flags, stream, content=b""):
        self.wfile.write(struct.pack(">I", len(content))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + content)

    def handle(self):
        self.rfile.read(24)
        self.send(self.SETTINGS, 0, 0)
        while len(head := self.rfile.read(9)) == 9:
            length, kind, flags = int.from_bytes(head[:3], "big"), head[3], head[4]
            stream, content = int.from_bytes(head[5:], "big"), self.rfile.read(length)
            if kind in (self.SETTINGS, self.PING) and not flags & self.ACK:
                self.send(kind, self.ACK, 0, content if kind == self.PING else b"")
            if kind in (self.DATA, self.HEADERS) and flags & self.END_STREAM:
                self.send(self.HEADERS, self.END_HEADERS, stream, self.HEAD)
                self.send(self.DATA, 0, stream, self.SERVING)
                self.send(self.HEADERS, self.END_HEADERS | self.END_STREAM, stream, self.TRAILERS)


class Echo(socketserver.DatagramRequestHandler):
    def handle(self):
        self.wfile.write(self.rfile.read())


socketserver.TCPServer.allow_reuse_address = True
http.server.ThreadingHTTPServer.daemon_threads = socketserver.ThreadingTCPServer.daemon_threads = True
vault = http.server.ThreadingHTTPServer((LOOPBACK, 9004), page("the vault: TLS ended here, not at the gateway"))
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain("vault.crt", "vault.key")
vault.socket = context.wrap_socket(vault.socket, server_side=True)
servers = [
    http.server.ThreadingHTTPServer((LOOPBACK, 9001), page("the shop")),
    socketserver.ThreadingTCPServer((LOOPBACK, 9002), WebSocket),
    socketserver.ThreadingTCPServer((LOOPBACK, 9003), Grpc),
    vault,
    socketserver.ThreadingUDPServer((LOOPBACK, 9005), Echo),
]
threads = [threading.Thread(target=server.serve_forever) for server in servers]
for thread in threads:
    thread.start()
