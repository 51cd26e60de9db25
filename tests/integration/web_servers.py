"""Loopback servers that misbehave on purpose, one rule for each request, and a certificate for one of them."""

from __future__ import annotations

import contextlib
import datetime
import ipaddress
import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec


@dataclass
class Exchange:
    """One request as the server read it: its number on the server and on its connection (from 0), and how to answer."""

    connection: socket.socket
    number: int
    turn: int
    target: str
    headers: dict[str, str]

    def send(self, data: bytes) -> None:
        self.connection.sendall(data)

    def answer(self, status: int = 200, body: bytes = b"hello", **headers: str) -> bool:
        """A whole answer that keeps the connection open, if the client wants that."""
        fields = {
            "Content-Length": str(len(body)),
            **{name.replace("_", "-"): value for name, value in headers.items()},
        }
        head = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
        self.send(f"HTTP/1.1 {status} Words\r\n{head}\r\n".encode() + body)
        return self.headers.get("connection") != "close"

    def reset(self) -> bool:
        """Close with RST instead of FIN."""
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        return False


Rule = Callable[[Exchange], bool]


@dataclass
class LoopbackServer:
    """Reads requests, and answers each by ``rule``; a rule that returns False closes the connection.

    ``seen`` are the requests that have come, ``open`` the connections.
    """

    rule: Rule
    tls: ssl.SSLContext | None = None
    port: int = 0
    seen: list[Exchange] = field(default_factory=list)
    open: set[socket.socket] = field(default_factory=set)

    def __post_init__(self) -> None:
        self._lock = threading.Lock()
        self.listen()

    @property
    def url(self) -> str:
        return f"{'https' if self.tls else 'http'}://127.0.0.1:{self.port}/"

    def listen(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", self.port), backlog=128)
        self.port = self._listener.getsockname()[1]
        self._acceptor = threading.Thread(target=self._accept, args=(self._listener,), daemon=True)
        self._acceptor.start()

    def close(self) -> None:
        """Stop listening (connections are refused from now on) and drop what is open."""
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._acceptor.join(30)
        with self._lock:
            for connection in self.open:
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)

    def __enter__(self) -> LoopbackServer:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _accept(self, listener: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = listener.accept()
                threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with contextlib.suppress(OSError):
            if self.tls:
                connection = self.tls.wrap_socket(connection, server_side=True)
            with self._lock:
                self.open.add(connection)
            turn = 0
            while (request := self._read(connection, turn)) and self.rule(request):
                turn += 1
        connection.close()
        with self._lock:
            self.open.discard(connection)

    def _read(self, connection: socket.socket, turn: int) -> Exchange | None:
        data = b""
        while b"\r\n\r\n" not in data:
            piece = connection.recv(65536)
            if not piece:
                return None
            data += piece
        first, *lines = data.decode("latin-1").split("\r\n\r\n")[0].split("\r\n")
        headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}
        with self._lock:
            exchange = Exchange(connection, len(self.seen), turn, first.split()[1], headers)
            self.seen.append(exchange)
        return exchange


class RealClock:
    """The clock of this machine."""

    def monotonic(self) -> float:
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds)


def self_signed(folder: Path, host: str = "site.test", days: int = 1) -> tuple[Path, ssl.SSLContext]:
    """A certificate for ``host`` and 127.0.0.1 that ends in ``days`` days, and a server's context that shows it."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, host)])
    now = datetime.datetime.now(datetime.UTC)
    names = [x509.DNSName(host), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=9))
        .not_valid_after(now + datetime.timedelta(days=days))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    public, private = folder / f"{host}.pem", folder / f"{host}.key"
    public.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    none = serialization.NoEncryption()
    private.write_bytes(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, none))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(public, private)
    return public, context
