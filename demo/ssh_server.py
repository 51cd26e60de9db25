"""A throw-away SSH server for loopback: one fresh host key, one client key, commands and nothing else.

It serves the demo, and tests on machines that have no ``sshd``. Like OpenSSH it starts each command in a shell with
pipes, closes the command's standard input when the client ends its own or goes away, and answers with the exit status
once the command has ended and its output has drained. No PTY, no subsystem, no forwarding.
"""

from __future__ import annotations

import contextlib
import io
import json
import logging
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

import paramiko
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from paramiko.common import MSG_CHANNEL_REQUEST

__all__ = ["SSHServer", "generate_key"]

WINDOW = 8 << 20
PACKET = 1 << 15
PIPE_READ = 1 << 16


def generate_key() -> tuple[str, str]:
    """A fresh ed25519 key pair in OpenSSH's forms: the private key file's text and the public line, without comment."""
    private = Ed25519PrivateKey.generate()
    text = private.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.OpenSSH, serialization.NoEncryption()
    )
    line = private.public_key().public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)
    return text.decode("ascii"), line.decode("ascii")


class SSHServer:
    """Listens on loopback from its construction until ``close``; each connection and command has its own threads.

    ``authorized_key`` is the public line that may log in, under any user name. Commands run as this process's user
    with ``environment`` (default: this process's) in ``directory`` (default: the environment's HOME).
    """

    def __init__(
        self,
        authorized_key: str,
        *,
        environment: Mapping[str, str] | None = None,
        directory: str | None = None,
        port: int = 0,
    ) -> None:
        private, public = generate_key()
        self._authorized = authorized_key.split()[:2]
        self._host_key = paramiko.Ed25519Key.from_private_key(io.StringIO(private))
        self._environment = dict(os.environ if environment is None else environment)
        self._directory = directory or self._environment.get("HOME", "/")
        self._listener = socket.create_server(("127.0.0.1", port), backlog=64)
        self.address = "127.0.0.1"
        self.port: int = self._listener.getsockname()[1]
        self.host_key = public
        self._closing = False
        self._lock = threading.Lock()
        self._connections: set[_Connection] = set()
        self._commands: set[_Command] = set()
        self._accepting = threading.Thread(target=self._accept, name="ssh-accept", daemon=True)
        self._accepting.start()

    @property
    def known_hosts_line(self) -> str:
        """The line that pins this server in a known_hosts file."""
        return f"[{self.address}]:{self.port} {self.host_key}"

    def close(self) -> None:
        """Stop listening, cut every connection and kill the commands that still run. May be called twice."""
        if self._closing:
            return
        self._closing = True
        with contextlib.suppress(OSError):  # wakes the accepting thread, which closing the socket alone does not
            socket.create_connection((self.address, self.port), timeout=1).close()
        self._accepting.join(timeout=5)
        self._listener.close()
        with self._lock:
            connections, commands = list(self._connections), list(self._commands)
        for connection in connections:
            connection.close()
        for command in commands:
            command.kill()

    def __enter__(self) -> SSHServer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _accept(self) -> None:
        while True:
            try:
                connected, _ = self._listener.accept()
            except OSError:
                return
            if self._closing:
                connected.close()
                return
            self._serve(connected)

    def _serve(self, connected: socket.socket) -> None:
        connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection = _Connection(connected, default_window_size=WINDOW, default_max_packet_size=PACKET)
        connection.add_server_key(self._host_key)
        with self._lock:
            self._connections = {known for known in self._connections if known.is_alive()} | {connection}
        with contextlib.suppress(paramiko.SSHException, EOFError):
            connection.start_server(event=threading.Event(), server=_Policy(self, connection))

    def admits(self, key: paramiko.PKey) -> bool:
        """Whether this public key is the authorized one."""
        return [key.get_name(), key.get_base64()] == self._authorized

    def execute(self, channel: paramiko.Channel, line: bytes) -> None:
        """Start ``line`` in a shell and connect it with the channel."""
        try:
            process = self._start(line)
        except (OSError, ValueError) as error:  # no such directory, a NUL in the line
            with contextlib.suppress(OSError, EOFError, paramiko.SSHException):
                channel.sendall_stderr(f"cannot start a shell: {error}\n".encode())
                channel.send_exit_status(127)
                channel.close()
            return
        command = _Command(channel, process)
        with self._lock:
            self._commands.add(command)
        try:
            command.run()
        finally:
            with self._lock:
                self._commands.discard(command)

    def _start(self, line: bytes) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            ["sh", "-c", line],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            bufsize=0,
            cwd=self._directory,
            env=self._environment,
            start_new_session=True,
        )


class _Command:
    """One command and the channel that it talks over."""

    def __init__(self, channel: paramiko.Channel, process: subprocess.Popen[bytes]) -> None:
        self._channel = channel
        self._process = process

    def run(self) -> None:
        """Carry bytes both ways until the command has ended, then send its status and close the channel."""
        process, channel = self._process, self._channel
        assert process.stdout and process.stderr
        feeding = threading.Thread(target=self._feed, daemon=True)
        complaining = threading.Thread(target=_drain, args=(process.stderr, channel.sendall_stderr), daemon=True)
        feeding.start()
        complaining.start()
        _drain(process.stdout, channel.sendall)
        complaining.join()
        status = process.wait()
        with contextlib.suppress(OSError, EOFError, paramiko.SSHException):
            channel.send_exit_status(status if status >= 0 else 128 - status)
            channel.shutdown_write()
        with contextlib.suppress(OSError, EOFError, paramiko.SSHException):
            channel.close()

    def kill(self) -> None:
        """End the command and its children at once."""
        if self._process.poll() is None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, signal.SIGKILL)

    def _feed(self) -> None:
        """Write what the client sends to standard input; its end, or the connection's, closes standard input."""
        target = self._process.stdin
        assert target
        with contextlib.suppress(OSError):
            while data := self._channel.recv(WINDOW):
                _write_all(target.fileno(), data)
        with contextlib.suppress(OSError):
            target.close()
        with contextlib.suppress(OSError):
            while self._channel.recv(WINDOW):  # a command that reads no further must not block its client
                pass


def _write_all(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


def _drain(source: Any, send: Any) -> None:
    """Pass output on until it ends; when the client is gone, close it, so that the command notices when it writes."""
    with source, contextlib.suppress(OSError, EOFError, paramiko.SSHException):
        while data := os.read(source.fileno(), PIPE_READ):
            send(data)


def _answer_then_start(channel: paramiko.Channel, message: paramiko.Message) -> None:
    """Start a command only after its request was answered: a very short one could close the channel before."""
    channel._handle_request(message)
    channel.get_transport().server_object.start_requested()


class _Connection(paramiko.Transport):  # type: ignore[misc]
    """One client's connection; paramiko runs it in a thread of its own."""

    _channel_handler_table = {  # noqa: RUF012 - paramiko's own hook for what a message does
        **paramiko.Transport._channel_handler_table,
        MSG_CHANNEL_REQUEST: _answer_then_start,
    }


class _Policy(paramiko.ServerInterface):  # type: ignore[misc]
    """What one client may ask for: to log in with the one key, sessions, commands. Everything else is refused."""

    def __init__(self, server: SSHServer, connection: _Connection) -> None:
        self._server = server
        self._connection = connection
        self._waiting: dict[int, paramiko.Channel] = {}
        self._requested: tuple[paramiko.Channel, bytes] | None = None

    def get_allowed_auths(self, username: str) -> str:
        return "publickey"

    def check_auth_publickey(self, username: str, key: paramiko.PKey) -> int:
        return int(paramiko.AUTH_SUCCESSFUL if self._server.admits(key) else paramiko.AUTH_FAILED)

    def check_channel_request(self, kind: str, chanid: int) -> int:
        session = kind == "session"
        return int(paramiko.OPEN_SUCCEEDED if session else paramiko.OPEN_FAILED_ADMINISTRATIVELY_PROHIBITED)

    def check_channel_exec_request(self, channel: paramiko.Channel, command: bytes) -> bool:
        self._requested = (channel, command)
        return True

    def start_requested(self) -> None:
        """Start the command that was just accepted, if any."""
        if self._requested:
            channel, line = self._requested
            self._requested = None
            # Else paramiko keeps every channel for as long as the connection lasts; one that has no command yet must be
            # held by somebody, or it would be closed.
            while accepted := self._connection.accept(0):
                self._waiting[accepted.get_id()] = accepted
            self._waiting.pop(channel.get_id(), None)
            threading.Thread(target=self._server.execute, args=(channel, line), daemon=True).start()


def _main() -> None:
    """Serve until standard input ends: ``python -m demo.ssh_server AUTHORIZED_KEY_FILE``.

    The first line of standard output is a JSON object with ``port`` and ``host_key``.
    """
    logging.getLogger("paramiko").setLevel(logging.CRITICAL)  # a client that goes away is no news
    with SSHServer(Path(sys.argv[1]).read_text("ascii")) as server:
        print(json.dumps({"port": server.port, "host_key": server.host_key}), flush=True)
        sys.stdin.read()


if __name__ == "__main__":
    _main()
