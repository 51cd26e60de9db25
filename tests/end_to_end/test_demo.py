"""The demo as a newcomer runs it, and its two servers, which other tests may borrow."""

from __future__ import annotations

import contextlib
import http.client
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import paramiko
import pytest

from demo.ssh_server import SSHServer, generate_key
from demo.web_server import WebServer
from tests.conftest import need
from tests.end_to_end.site import wait_until

REPOSITORY = Path(__file__).resolve().parents[2]
PRIVATE, PUBLIC = generate_key()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[SSHServer]:
    """An SSH server whose commands start in the test's folder."""
    with SSHServer(PUBLIC, directory=str(tmp_path)) as running:
        yield running


def save(text: str, path: Path) -> Path:
    path.touch(mode=0o600)
    path.write_text(text, "ascii")
    return path


@contextlib.contextmanager
def connected(server: SSHServer, folder: Path, key: str = PRIVATE) -> Iterator[paramiko.SSHClient]:
    with paramiko.SSHClient() as client:
        client.load_host_keys(str(save(server.known_hosts_line + "\n", folder / "known_hosts")))
        client.set_missing_host_key_policy(paramiko.RejectPolicy())
        pkey = paramiko.Ed25519Key.from_private_key_file(str(save(key, folder / "key")))
        client.connect("127.0.0.1", server.port, "anyone", pkey=pkey, look_for_keys=False, allow_agent=False)
        yield client


def wait_for(path: Path, text: str) -> str:
    """The file's text once it holds ``text``; what it holds after a minute otherwise."""
    wait_until(lambda: path.exists() and text in path.read_text(), 60)
    return path.read_text()


def test_ssh_server_serves_the_real_client(server: SSHServer, tmp_path: Path) -> None:
    """OpenSSH's own client gets output, errors and status, binary data both ways, and the end of its input through."""
    ssh = [need("ssh", "to show that the demo's server speaks the protocol"), "-F", "none"]
    ssh += ["-i", str(save(PRIVATE, tmp_path / "key")), "-o", "IdentitiesOnly=yes", "-o", "StrictHostKeyChecking=yes"]
    ssh += ["-o", f"UserKnownHostsFile={save(server.known_hosts_line, tmp_path / 'known')}", "-p", str(server.port)]
    short = subprocess.run([*ssh, "x@127.0.0.1", "pwd; echo e >&2; exit 7"], capture_output=True, check=False)
    assert (short.returncode, short.stdout, short.stderr) == (7, f"{tmp_path}\n".encode(), b"e\n")
    data = os.urandom(5_000_000)
    echoed = subprocess.run([*ssh, "x@127.0.0.1", "cat"], input=data, capture_output=True, check=True)
    assert echoed.stdout == data
    shell = subprocess.run([*ssh, "-T", "x@127.0.0.1"], input=b"", capture_output=True, check=False)
    assert shell.returncode == 255
    assert b"shell request failed" in shell.stderr


def test_ssh_server_lets_in_one_key_only(server: SSHServer, tmp_path: Path) -> None:
    """Another key is refused, and so are passwords."""
    with (
        pytest.raises(paramiko.AuthenticationException),
        connected(server, tmp_path, key=generate_key()[0]),
    ):
        pass
    with socketless(server) as transport, pytest.raises(paramiko.BadAuthenticationType):
        transport.auth_password("anyone", "guess")


@contextlib.contextmanager
def socketless(server: SSHServer) -> Iterator[paramiko.Transport]:
    transport = paramiko.Transport(("127.0.0.1", server.port))
    try:
        transport.start_client(timeout=60)
        yield transport
    finally:
        transport.close()


def test_ssh_server_refuses_what_a_deploy_does_not_need(server: SSHServer, tmp_path: Path) -> None:
    """No PTY, no SFTP, no forwarding: a deploy that needed one would fail here."""
    with connected(server, tmp_path) as client:
        transport = client.get_transport()
        assert transport is not None
        with pytest.raises(paramiko.SSHException):
            transport.open_session().get_pty()
        with pytest.raises(paramiko.SSHException):
            client.open_sftp()
        with pytest.raises(paramiko.ChannelException):
            transport.open_channel("direct-tcpip", ("127.0.0.1", 1), ("127.0.0.1", 1))


def test_ssh_server_runs_many_commands_at_once(server: SSHServer, tmp_path: Path) -> None:
    """Many channels of one connection work side by side, and a very short command's answer is never lost."""
    with connected(server, tmp_path) as client, ThreadPoolExecutor(8) as pool:

        def run(number: int) -> tuple[bytes, int]:
            _, output, _ = client.exec_command(f"echo {number}; exit {number}")
            return output.read(), output.channel.recv_exit_status()

        assert list(pool.map(run, range(40))) == [(f"{number}\n".encode(), number) for number in range(40)]


def test_ssh_server_closes_the_input_of_a_lost_client(server: SSHServer, tmp_path: Path) -> None:
    """When the connection is gone, a command sees the end of its input and can undo its work, as with sshd."""
    with connected(server, tmp_path) as client:
        streams = client.exec_command("echo begun >mark; cat >/dev/null; echo undone >>mark")
        assert wait_for(tmp_path / "mark", "begun") == "begun\n"
        assert not streams[0].closed  # and they are held till here: paramiko ends the input that nobody holds
    assert wait_for(tmp_path / "mark", "undone") == "begun\nundone\n"


def test_ssh_server_kills_what_still_runs_when_it_closes(tmp_path: Path) -> None:
    """Closing cuts connections and ends commands that would wait for ever, and frees the port."""
    with SSHServer(PUBLIC, directory=str(tmp_path)) as server, connected(server, tmp_path) as client:
        _, output, _ = client.exec_command("echo $$; exec sleep 1000")
        process = int(output.readline())
        server.close()
        wait_until(lambda: not Path(f"/proc/{process}").exists(), 60)
    with pytest.raises(ProcessLookupError):
        os.kill(process, 0)
    with SSHServer(PUBLIC, directory=str(tmp_path), port=server.port) as again:
        assert again.port == server.port


def test_web_server_resolves_links_per_request(tmp_path: Path) -> None:
    """On one kept connection, a page comes from where the link points now; dot folders are hidden."""
    for name in ("one", "two"):
        (tmp_path / ".hidden" / name).mkdir(parents=True)
        (tmp_path / ".hidden" / name / "index.html").write_text(name)
    (tmp_path / "site").symlink_to(".hidden/one")

    def get(connection: http.client.HTTPConnection, path: str) -> tuple[int, bytes]:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read()

    with WebServer(tmp_path) as web, contextlib.closing(http.client.HTTPConnection("127.0.0.1", web.port)) as kept:
        assert get(kept, "/site/") == (200, b"one")
        socket = kept.sock
        (tmp_path / "new").symlink_to(".hidden/two")
        (tmp_path / "new").replace(tmp_path / "site")
        assert get(kept, "/site/") == (200, b"two")
        assert kept.sock is socket
        assert get(kept, "/.hidden/one/index.html")[0] == 404


def environment(folder: Path) -> dict[str, str]:
    """What the demo may see of this machine; its temporary folder becomes ``folder``."""
    return {"PATH": os.environ["PATH"], "TMPDIR": str(folder), "LANG": "C.UTF-8"}


def left_over(folder: Path) -> list[str]:
    """Processes whose temporary folder is ``folder`` and that do not end by themselves within half a minute.

    The host's program renews its lease from a loop; the loop's last short ``sleep`` may outlive it.
    """
    wanted = f"TMPDIR={folder}\0".encode()
    wait_until(lambda: not any(processes(wanted)), 30, step=0.1)
    return list(processes(wanted))


def processes(variable: bytes) -> Iterator[str]:
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if variable in (process / "environ").read_bytes():
                yield (process / "cmdline").read_text().replace("\0", " ")


@pytest.mark.timeout(300)
def test_demo_runs_to_its_end(tmp_path: Path) -> None:
    """Every act happens, no page is dropped, and neither a process nor a file is left."""
    done = subprocess.run(
        [sys.executable, "-m", "demo"],
        cwd=REPOSITORY,
        env=environment(tmp_path),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=290,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    for said in ("$ deployer run", "$ deployer plan", "$ deployer releases", "$ deployer rollback", "probe: "):
        assert said in done.stdout
    assert ": 0 dropped" in done.stdout
    assert "\x1b" not in done.stdout
    assert list(tmp_path.iterdir()) == []
    assert left_over(tmp_path) == []


@pytest.mark.timeout(150)
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_demo_can_be_interrupted(tmp_path: Path, number: signal.Signals) -> None:
    """Ctrl-C or SIGTERM in the middle of a deploy ends the demo within seconds, with nothing left behind."""
    demo = subprocess.Popen(
        [sys.executable, "-m", "demo"],
        cwd=REPOSITORY,
        env=environment(tmp_path),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert demo.stdout
    killer = threading.Timer(110, demo.kill)
    killer.start()
    try:
        for line in demo.stdout:
            if "$ deployer run" in line:
                break
        time.sleep(0.3)
        demo.send_signal(number)
        rest = demo.stdout.read()
        assert demo.wait() == 130, rest
    finally:
        killer.cancel()
        demo.kill()
        demo.stdout.close()
    assert "Traceback" not in rest
    assert list(tmp_path.iterdir()) == []
    assert left_over(tmp_path) == []
