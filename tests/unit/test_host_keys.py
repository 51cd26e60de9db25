"""Pinned host keys: which lines count for a host, and what is said about the others."""

from __future__ import annotations

import base64
import hmac
import subprocess
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from deployer.errors import ConnectionRefused, InvalidInput
from deployer.transports.host_keys import Pins, PublicKey, read_pins

NAME = "example.org"


def public(private: ed25519.Ed25519PrivateKey | ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey) -> PublicKey:
    kind, text = private.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode().split()
    return PublicKey(kind, base64.b64decode(text))


ED25519 = public(ed25519.Ed25519PrivateKey.generate())
OTHER = public(ed25519.Ed25519PrivateKey.generate())
ECDSA = public(ec.generate_private_key(ec.SECP256R1()))
RSA = public(rsa.generate_private_key(65537, 2048))


def pins(*lines: str, address: str = NAME, port: int = 22) -> Pins:
    return read_pins(address, port, lines)


def hashed(name: str) -> str:
    salt = bytes(range(20))
    return f"|1|{base64.b64encode(salt).decode()}|{base64.b64encode(hmac.digest(salt, name.encode(), 'sha1')).decode()}"


@pytest.mark.parametrize(
    ("names", "address", "port"),
    [
        ("", NAME, 2222),
        (NAME, NAME, 22),
        (NAME.upper(), NAME.title(), 22),
        (f"a.example,{NAME},192.0.2.1", "192.0.2.1", 22),
        (f"[{NAME}]:2222", NAME, 2222),
        (NAME, NAME, 2222),
        ("*.org,!www.example.org", NAME, 22),
        ("exampl?.org", NAME, 22),
        ("[*]:2222", NAME, 2222),
        (hashed(NAME), NAME, 22),
        (hashed(f"[{NAME}]:2222"), NAME, 2222),
        ("[2001:db8::1]:2222", "2001:db8::1", 2222),
    ],
)
def test_a_line_counts_for_its_hosts(names: str, address: str, port: int) -> None:
    """Names in every form of sshd(8), and bare keys, accept the key for the host."""
    pins(f"{names} {ED25519.line} a comment", address=address, port=port).check(ED25519)


@pytest.mark.parametrize(
    ("names", "port"),
    [
        ("example.com", 22),
        ("*.org,!example.org", 22),
        (f"[{NAME}]:2222", 22),
        ("exampleXorg", 22),
        (hashed("a"), 22),
        ("|1|x|", 22),
    ],
)
def test_a_line_for_another_host_does_not_count(names: str, port: int) -> None:
    """A key that is pinned for somebody else is an unknown one here."""
    with pytest.raises(ConnectionRefused, match="is not known"):
        pins(f"{names} {ED25519.line}", port=port).check(ED25519)


def test_a_line_for_the_port_beats_the_plain_name() -> None:
    """The plain name counts for another port only where no line names that port, as in OpenSSH."""
    both = pins(f"{NAME} {OTHER.line}", f"[{NAME}]:2222 {ED25519.line}", port=2222)
    both.check(ED25519)
    with pytest.raises(ConnectionRefused):
        both.check(OTHER)


def test_several_keys_are_pinned_by_one_text() -> None:
    """What ssh-keyscan prints, with its comments and several types, can be pasted as it is."""
    text = f"# {NAME}:22 SSH-2.0-OpenSSH_9.2\n{NAME} {RSA.line}\r\n\n{NAME} {ED25519.line}\n"
    for several in (pins(text), pins(text.replace("\r", "").replace("\n", "\\n"))):
        several.check(RSA)
        several.check(ED25519)
        assert several.accepted == (RSA, ED25519)


def test_pinned_types_are_asked_for_first() -> None:
    """An RSA key is asked for by its SHA-2 algorithms; SHA-1 is never."""
    assert pins(ECDSA.line, RSA.line, ED25519.line).algorithms == (
        "ecdsa-sha2-nistp256",
        "rsa-sha2-512",
        "rsa-sha2-256",
        "ssh-ed25519",
    )


def test_an_unknown_key_is_shown_with_what_to_do() -> None:
    """The message has the type, the fingerprint, how to check it, and the line to pin."""
    with pytest.raises(ConnectionRefused) as caught:
        pins(port=2222).check(ECDSA)
    text = str(caught.value)
    assert caught.value.exit_code == 4
    assert f"{NAME}:2222 is not known: it shows ecdsa-sha2-nistp256 {ECDSA.fingerprint}" in text
    assert "ssh-keygen -lf /etc/ssh/ssh_host_ecdsa_key.pub" in text
    assert f"[{NAME}]:2222 {ECDSA.line}" in text


def test_a_wrong_key_is_shown_beside_the_pinned_one() -> None:
    """Both fingerprints, because the reader has to compare them."""
    with pytest.raises(ConnectionRefused) as caught:
        pins(f"{NAME} {ED25519.line}").check(OTHER)
    text = str(caught.value)
    assert "is not the pinned one" in text
    assert ED25519.fingerprint in text
    assert OTHER.fingerprint in text
    assert "ssh_host_ed25519_key.pub" in text


def test_the_fingerprint_is_ssh_keygens(tmp_path: Path) -> None:
    """The same text as the command that the message tells to run, so that comparing is easy."""
    path = tmp_path / "key.pub"
    path.write_text(RSA.line)
    output = subprocess.run(["ssh-keygen", "-lf", str(path)], capture_output=True, text=True, check=True).stdout
    assert output.split()[1] == RSA.fingerprint


def test_a_revoked_key_is_refused_even_when_pinned() -> None:
    """@revoked beats everything, for whichever of the host's names it is given."""
    with pytest.raises(ConnectionRefused, match="revoked"):
        pins(ED25519.line, f"@revoked * {ED25519.line}", port=2222).check(ED25519)
    pins(ED25519.line, f"@revoked * {OTHER.line}").check(ED25519)


def test_a_certificate_authority_is_not_supported(tmp_path: Path) -> None:
    """As a pin it is an error; in a file it is only in the way where nothing else is known."""
    with pytest.raises(InvalidInput, match="host key 2, line 1 is a @cert-authority line"):
        pins(ED25519.line, f"@cert-authority * {OTHER.line}")
    file = tmp_path / "known_hosts"
    file.write_text(f"@cert-authority *.org {OTHER.line}\n")
    with pytest.raises(ConnectionRefused, match="certificates are not supported"):
        read_pins(NAME, 22, (), [(file, True)]).check(ED25519)
    read_pins(NAME, 22, (ED25519.line,), [(file, True)]).check(ED25519)


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("example.org", "no key type"),
        ("SHA256:abc", "no key type"),
        ("ssh-ed25519", "is missing"),
        (f"{NAME} ssh-ed25519", "is missing"),
        (f"{NAME} {NAME} ssh-ed25519", "no key type"),
        (ED25519.line[:-9], "cut off"),
        (ED25519.line.replace("AAAAC3", "AAAAC4", 1), "cut off|not of the type"),
        (f"ssh-rsa {ED25519.line.split()[1]}", "not of the type"),
        ("ssh-ed25519 AAAA%%%", "not Base64"),
        ("ssh-dss AAAAB3NzaC1kc3MAAACB", "ssh-dss are not supported"),
        (f"@unknown * {ED25519.line}", "unknown marker"),
        ("-----BEGIN OPENSSH PRIVATE KEY-----", "no key type"),
    ],
    ids=str.split(
        "name hash type-only named-type two-names short-key wrong-start wrong-type percent dss marker private"
    ),
)
def test_a_line_that_is_no_key_is_named(line: str, reason: str) -> None:
    """The message says which line, and why; it never shows the line, which may be a misplaced secret."""
    with pytest.raises(InvalidInput, match=rf"host key 1, line 2: .*({reason})") as caught:
        pins(f"# comment\n{line}")
    assert "AAAAC" not in str(caught.value)


def test_a_named_file_must_be_right(tmp_path: Path) -> None:
    """A file that the user named has to exist and be readable; the line is told by number."""
    file = tmp_path / "known_hosts"
    with pytest.raises(InvalidInput, match="No such file"):
        read_pins(NAME, 22, (), [(file, True)])
    file.write_text(f"\n{NAME} {ED25519.line}\nnonsense\n")
    with pytest.raises(InvalidInput, match=f"{file}:3: .*no key type"):
        read_pins(NAME, 22, (), [(file, True)])


def test_the_users_own_file_is_taken_as_it_is(tmp_path: Path) -> None:
    """Nobody is stopped by an old line in ~/.ssh/known_hosts, or by the lack of that file."""
    file = tmp_path / "known_hosts"
    read_pins(NAME, 22, (), [(file, False)])
    file.write_bytes(b"nonsense\n\xff\xfe\nexample.net 1024 35 123\n" + f"{NAME} {ED25519.line}".encode())
    read_pins(NAME, 22, (), [(file, False)]).check(ED25519)


def test_a_bare_key_in_the_users_own_file_speaks_for_nobody(tmp_path: Path) -> None:
    """A line without a host there is a mistake, and no host is trusted by mistake; ssh does not count it either."""
    file = tmp_path / "known_hosts"
    file.write_text(f"{ED25519.line}\n")
    assert read_pins(NAME, 22, (), [(file, False)]).accepted == ()
    assert read_pins(NAME, 22, (), [(file, True)]).accepted == (ED25519,)


def test_where_several_servers_are_pinned_each_line_names_its_own(tmp_path: Path) -> None:
    """A bare key for the host would be good for its jump host, too: it is refused, in a text and in a named file."""
    file = tmp_path / "known_hosts"
    file.write_text(f"{NAME} {OTHER.line}\n{ED25519.line}\n")
    with pytest.raises(InvalidInput, match="host key 2, line 1 is a bare key"):
        read_pins(NAME, 22, (f"{NAME} {OTHER.line}", ED25519.line), bare=False)
    with pytest.raises(InvalidInput, match=f"{file}:2 is a bare key"):
        read_pins(NAME, 22, (), [(file, True)], bare=False)
    assert read_pins(NAME, 22, (f"{NAME} {OTHER.line}",), bare=False).accepted == (OTHER,)


def test_the_message_says_which_server_on_the_way_it_is() -> None:
    """A jump host as such, and what it is reached through; IPv6 addresses in brackets."""
    unknown = read_pins("2001:db8::1", 22, (), role="jump host ", way=" through gate:2222")
    with pytest.raises(ConnectionRefused) as caught:
        unknown.check(ED25519)
    name = "jump host [2001:db8::1]:22 through gate:2222"
    assert caught.value.message.startswith(f"the host key of {name} is not known: it shows ssh-ed25519 SHA256:")
    assert caught.value.hint.splitlines()[-1] == f"2001:db8::1 {ED25519.line}"
