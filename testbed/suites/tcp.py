"""Opaque connections to real servers through a `TCPRoute`: PostgreSQL, MQTT (mosquitto), memcached, and SMTP, whose
server speaks first."""

import os
import pwd
import smtplib
import socket
import subprocess
import tempfile
import threading
from pathlib import Path

from bed import HOST, Gateway, Story, free_port, run, wait_for_port

story = Story()


def as_user(name):
    """In front of a command: for root, who it is run as."""
    if os.getuid() != 0:
        return []
    user = pwd.getpwnam(name)
    return ["setpriv", f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups"]


class Program:
    """A server as a process of its own; for root as another user, because most refuse to be root's."""

    def __init__(self, *command, user):
        self.said = tempfile.TemporaryFile("w+")
        self.process = subprocess.Popen([*as_user(user), *command], stdout=self.said, stderr=self.said, cwd="/")

    def __enter__(self):
        return self

    def __exit__(self, *failed):
        self.process.terminate()
        self.process.wait(30)
        self.said.seek(0)
        if failed[0] is not None:
            print(self.said.read())


def postgres(directory):
    binaries = sorted(Path("/usr/lib/postgresql").glob("*/bin"))[-1]
    data, port = Path(directory) / "data", free_port()
    data.mkdir(mode=0o700)
    if os.getuid() == 0:
        owner = pwd.getpwnam("postgres")
        os.chown(data, owner.pw_uid, owner.pw_gid)
    code, said, error = run([*as_user("postgres"), binaries / "initdb", "-D", data, "-A", "trust", "-U", "suite", "--no-sync"])
    story.check("PostgreSQL: a database", code == 0, said + error)
    command = [binaries / "postgres", "-D", data, "-p", str(port), "-h", HOST, "-k", data, "-F"]
    with Program(*command, user="postgres"):
        wait_for_port(port)
        with Gateway(port, "tcp", ("TCP",)) as gateway:
            to = f"host={HOST} port={gateway.ports['TCP']} user=suite dbname=postgres sslmode=prefer"
            code, said, error = run(["psql", to, "-Atc", "select sum(n) from generate_series(1, 1000) as n"])
            story.equal("PostgreSQL: a query", (code, said.strip()), (0, "500500"))
            code, said, error = run(["psql", to, "-Atc", "select repeat('x', 3000000)"])
            story.equal("PostgreSQL: 3 MB", (code, len(said.strip())), (0, 3_000_000))


def mqtt(directory):
    port = free_port()
    config = Path(directory) / "mosquitto.conf"
    config.write_text(f"listener {port} {HOST}\nallow_anonymous true\npersistence false\n")
    config.chmod(0o644)
    with Program("mosquitto", "-c", config, user="nobody"):
        wait_for_port(port)
        with Gateway(port, "tcp", ("TCP",)) as gateway:
            to = ["-h", HOST, "-p", str(gateway.ports["TCP"]), "-t", "suite"]
            retained = run(["mosquitto_pub", *to, "-m", "hello", "-r", "-q", "1"])
            story.equal("MQTT: published", retained[0], 0)
            code, said, error = run(["mosquitto_sub", *to, "-C", "1", "-W", "30"])
            story.equal("MQTT: received", (code, said.strip()), (0, "hello"))


def memcached():
    port = free_port()
    with Program("memcached", "-l", HOST, "-p", str(port), user="nobody"):
        wait_for_port(port)
        with Gateway(port, "tcp", ("TCP",)) as gateway:
            with socket.create_connection((HOST, gateway.ports["TCP"]), timeout=30) as to:
                to.sendall(b"set a 0 60 5\r\nhello\r\nget a\r\n")
                lines = to.makefile("rb")
                said = [lines.readline().strip() for _ in range(4)]
                story.equal("memcached", said, [b"STORED", b"VALUE a 0 5", b"hello", b"END"])


def smtp():
    listener = socket.create_server((HOST, 0))
    received = []

    def serve(connection):
        lines = connection.makefile("rw", newline="")

        def say(text):
            lines.write(f"{text}\r\n")
            lines.flush()

        say("220 suite ESMTP")
        while line := lines.readline().strip():
            word = line.split()[0].upper()
            if word == "DATA":
                say("354 go on")
                while (text := lines.readline()) != ".\r\n":
                    received.append(text)
            say("221 bye" if word == "QUIT" else "250 good")
            if word == "QUIT":
                break
        connection.close()

    def accept():
        while True:
            threading.Thread(target=serve, args=listener.accept()[:1], daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    with Gateway(listener.getsockname()[1], "tcp", ("TCP",)) as gateway:
        with smtplib.SMTP(HOST, gateway.ports["TCP"], timeout=30) as client:
            client.sendmail("a@suite", ["b@suite"], "subject: hello\n\nhello\n")
        story.check("SMTP: a message", any("subject: hello" in line for line in received), received)


with tempfile.TemporaryDirectory(prefix="leno-suite-") as made:
    os.chmod(made, 0o755)
    postgres(made)
    mqtt(made)
    memcached()
    smtp()
story.end()
