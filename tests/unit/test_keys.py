"""Private keys as people paste them, and what is said about those that cannot work."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed448
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from deployer.errors import InvalidInput
from deployer.secret import Secret
from deployer.transports.keys import PrivateKey, mend, read_private_key, read_private_key_file
from tests.conftest import need
from tests.sshd import make_key

PASSPHRASE = "a secret: ß"
KINDS = {"ed25519": (), "ecdsa": ("-b", "256"), "ecdsa-521": ("-b", "521"), "rsa": ("-b", "2048")}
FORMATS = {"OpenSSH": "RFC4716", "PKCS8": "PKCS8", "PEM": "PEM"}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Keys of every type in every format, by ssh-keygen; and ed25519 in PKCS #8, which only others make."""
    need("ssh-keygen", "to make keys")
    folder = tmp_path_factory.mktemp("keys")
    texts = {}
    for kind, options in KINDS.items():
        for form, flag in FORMATS.items():
            for passphrase in ("", PASSPHRASE):
                name = f"{kind} {form}{' encrypted' if passphrase else ''}"
                path = folder / name.replace(" ", "-")
                make_key(path, kind.partition("-")[0], passphrase=passphrase, options=(*options, "-m", flag))
                texts[name] = path.read_text()
    plain = read(texts["ed25519 OpenSSH"])
    texts["ed25519 PKCS8"] = pkcs8(plain)
    texts["ed25519 PKCS8 encrypted"] = pkcs8(plain, PASSPHRASE)
    return texts


def read(text: str, passphrase: str = "") -> PrivateKey:
    return read_private_key(Secret(text), Secret(passphrase) if passphrase else None)


def pkcs8(key: PrivateKey | dsa.DSAPrivateKey | ed448.Ed448PrivateKey, passphrase: str = "") -> str:
    encryption = BestAvailableEncryption(passphrase.encode()) if passphrase else NoEncryption()
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption).decode()


def refusal(text: str) -> InvalidInput | None:
    try:
        read(text)
    except InvalidInput as error:
        return error
    return None


def public(key: PrivateKey) -> str:
    return key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()


def is_leaked(text: str, message: str) -> bool:
    """Whether eight characters of the key's body stand in the message."""
    body = "".join(line for line in text.splitlines() if re.fullmatch(r"[A-Za-z0-9+/=]{40,}", line))
    return any(body[start : start + 8] in message for start in range(len(body) - 7))


NAMES = [f"{kind} {form}" for kind in KINDS for form in FORMATS]
DAMAGES: dict[str, Callable[[str], str]] = {
    "CRLF": lambda text: text.replace("\n", "\r\n"),
    "no final newline": lambda text: text.rstrip("\n"),
    "white space around": lambda text: f"\n\n  \t{text}\n \n",
    "indentation": lambda text: "".join(f"      {line}  \n" for line in text.splitlines()),
    "one line with \\n": lambda text: text.replace("\n", "\\n"),
    "one line with \\r\\n": lambda text: text.replace("\n", "\\r\\n"),
    "one line with spaces": lambda text: text.replace("\n", " "),
    "double newlines": lambda text: text.replace("\n", "\n\n"),
    "a byte order mark": lambda text: "\ufeff" + text,
    "quotes": lambda text: f'"{text.strip()}"',
    "other line lengths": lambda text: re.sub(r"(?m)^([A-Za-z0-9+/]{30})([A-Za-z0-9+/=]{4,})$", r"\1\n\2", text),
    "text around it": lambda text: f"deploy key:\n{text}\nend of key\n",
}


@pytest.mark.parametrize("name", NAMES)
def test_every_type_and_format_is_read(name: str, made: dict[str, str]) -> None:
    """ed25519, ECDSA and RSA; OpenSSH, PKCS #8 and the older PEM; with a passphrase or without."""
    key = read(made[name])
    assert public(read(made[name], "not needed")) == public(key)
    assert read(made[f"{name} encrypted"], PASSPHRASE) is not None


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize(
    "name", ["ed25519 OpenSSH", "rsa PEM", "rsa PEM encrypted", "ecdsa PKCS8 encrypted", "rsa OpenSSH"]
)
def test_what_copy_and_paste_did_is_mended(name: str, damage: str, made: dict[str, str]) -> None:
    """White space, line ends, quotes and text around the key change nothing about the key."""
    text = DAMAGES[damage](made[name])
    passphrase = PASSPHRASE if "encrypted" in name else ""
    assert public(read(text, passphrase)) == public(read(made[name], passphrase))
    assert mend(text) == mend(made[name])


@pytest.mark.parametrize("name", ["ed25519 OpenSSH encrypted", "rsa PEM encrypted", "ecdsa PKCS8 encrypted"])
def test_a_missing_and_a_wrong_passphrase_are_told_apart(name: str, made: dict[str, str]) -> None:
    """Both name the variable to look at, and neither shows the passphrase."""
    with pytest.raises(InvalidInput, match="protected by a passphrase, and none was given") as missing:
        read(made[name])
    assert "DEPLOYER_KEY_PASSPHRASE" in str(missing.value)
    with pytest.raises(InvalidInput, match="the passphrase does not open the key in DEPLOYER_KEY") as wrong:
        read(made[name], "wrong one")
    assert "wrong one" not in str(wrong.value)


@pytest.mark.parametrize("name", [*NAMES, "ed25519 OpenSSH encrypted", "rsa PEM encrypted"])
@pytest.mark.parametrize("keep", [0.3, 0.6, 0.9])
def test_a_key_that_was_cut_off_is_said_to_be(name: str, keep: float, made: dict[str, str]) -> None:
    """With its last line missing, or with that line but without some in between."""
    lines = made[name].splitlines()
    kept = lines[: max(2, int(len(lines) * keep))]
    for text in ("\n".join(kept[:-1] if kept == lines else kept), "\n".join([*kept[:-1], lines[-1]])):
        with pytest.raises(InvalidInput, match="cut off|passphrase") as caught:
            read(text, "x" * ("encrypted" in name))
        assert not is_leaked(made[name], str(caught.value))


@pytest.mark.parametrize("name", ["ed25519 OpenSSH", "rsa PEM", "ecdsa PKCS8"])
def test_a_damaged_key_never_shows_itself(name: str, made: dict[str, str]) -> None:
    """A changed letter at any place gives one message without a traceback's chain, and without the key."""
    text = made[name]
    start = text.index("\n") + 1
    for position in range(start, text.rindex("\n-----END"), 37):
        damaged = text[:position] + ("A" if text[position] != "A" else "B") + text[position + 1 :]
        error = refusal(damaged)
        # Where the letter is in the comment or the padding, the key is still the key.
        assert error is None or ("damaged" in str(error) and error.__cause__ is None)
        assert not is_leaked(damaged, str(error))
    with pytest.raises(InvalidInput, match="not Base64"):
        read(text[:start] + "%" + text[start:])


def test_other_things_than_private_keys_are_recognised(made: dict[str, str]) -> None:
    """Each common mistake has its own message that says what to do."""
    key = read(made["ed25519 OpenSSH"])
    ppk = "PuTTY-User-Key-File-3: ssh-ed25519\nEncryption: none\nPrivate-Lines: 1\nAAAAIBdamn"
    spki = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
    mistakes = {
        "": "is empty",
        " \n": "is empty",
        public(key): "is a public key",
        f"{public(key)} me@laptop": "is a public key",
        spki: "is a public key",
        "---- BEGIN SSH2 PUBLIC KEY ----\nAAAA\n": "is a public key",
        "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----": "is a public key",
        ppk: "PuTTY's own format",
        "-----BEGIN DSA PRIVATE KEY-----\nAAAA\n-----END DSA PRIVATE KEY-----": "DSA PRIVATE KEY, which is not supported",
        "~/.ssh/id_ed25519": "name of a file",
        "hunter2": "is not a private key",
        made["ed25519 OpenSSH"].splitlines()[1]: "is not a private key",
    }
    for text, reason in mistakes.items():
        with pytest.raises(InvalidInput, match=reason) as caught:
            read(text)
        assert "hunter2" not in str(caught.value)
        assert not is_leaked(made["ed25519 OpenSSH"], str(caught.value))


def test_key_types_that_ssh_does_not_know_are_named() -> None:
    """A key that is right but of no use here is no damaged key."""
    with pytest.raises(InvalidInput, match="curve secp256k1"):
        read(pkcs8(ec.generate_private_key(ec.SECP256K1())))
    with pytest.raises(InvalidInput, match="Ed448 key, which is not supported"):
        read(pkcs8(ed448.Ed448PrivateKey.generate()))


def test_a_puttygen_key_is_recognised(tmp_path: Path, made: dict[str, str]) -> None:
    """The real tool's file, and the conversion that the message tells works."""
    tool = need("puttygen", "to make keys in PuTTY's format")
    plain, ppk, back = (tmp_path / name for name in ("plain", "key.ppk", "back"))
    plain.write_text(made["ed25519 OpenSSH"])
    subprocess.run([tool, plain, "-o", ppk], check=True)
    with pytest.raises(InvalidInput, match=r"\.ppk") as caught:
        read_private_key_file(ppk)
    assert "puttygen KEY.ppk -O private-openssh -o KEY" in str(caught.value)
    subprocess.run([tool, ppk, "-O", "private-openssh", "-o", back], check=True)
    assert public(read_private_key_file(back)) == public(read(made["ed25519 OpenSSH"]))


def test_a_file_is_read_as_windows_saves_it(tmp_path: Path, made: dict[str, str]) -> None:
    """UTF-16 with its mark, or UTF-8 with a mark, both with CRLF."""
    text = made["ed25519 OpenSSH"].replace("\n", "\r\n")
    for encoding in ("utf-16", "utf-8-sig", "ascii"):
        (tmp_path / encoding).write_bytes(text.encode(encoding))
        assert public(read_private_key_file(tmp_path / encoding)) == public(read(text))


def test_files_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    """Missing, a directory, forbidden, binary: the path stands in the message."""
    with pytest.raises(InvalidInput, match=f"the key file {tmp_path}/none does not exist"):
        read_private_key_file(tmp_path / "none")
    with pytest.raises(InvalidInput, match=f"cannot read the key file {tmp_path}: Is a directory"):
        read_private_key_file(tmp_path)
    (tmp_path / "binary").write_bytes(os.urandom(4000))
    with pytest.raises(InvalidInput, match="binary is not a private key"):
        read_private_key_file(tmp_path / "binary")
    if os.geteuid() != 0:
        (tmp_path / "closed").touch(mode=0)
        with pytest.raises(InvalidInput, match="Permission denied"):
            read_private_key_file(tmp_path / "closed")
