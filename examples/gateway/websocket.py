#!/usr/bin/env python3
"""websocket.py HOST PORT TEXT: says TEXT over a WebSocket in TLS at this port of loopback, and prints what comes back."""
import base64, os, socket, ssl, sys

host, port, text = sys.argv[1], int(sys.argv[2]), sys.argv[3].encode()
context = ssl.create_default_context(cafile="ca.crt")
with context.wrap_socket(socket.create_connection(("127.0.0.1", port), 5), server_hostname=host) as tls:
    key = base64.b64encode(os.urandom(16)).decode()
    tls.sendall(f"GET / HTTP/1.1\r\nhost: {host}\r\nconnection: upgrade\r\nupgrade: websocket\r\n"
                f"sec-websocket-version: 13\r\nsec-websocket-key: {key}\r\n\r\n".encode())
    stream = tls.makefile("rb")
    print(stream.readline().decode().strip())
    while stream.readline().strip():
        pass
    mask = os.urandom(4)
    tls.sendall(bytes([0x81, 0x80 | len(text)]) + mask + bytes(byte ^ mask[at % 4] for at, byte in enumerate(text)))
    print(stream.read(stream.read(2)[1]).decode())
