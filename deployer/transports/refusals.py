"""Why a server that could be reached gives no session: for each way, the error that a person should read."""

from __future__ import annotations

import paramiko

from deployer.errors import ConnectionRefused
from deployer.transports.dial import Passing
from deployer.transports.hop import Hop, place
from deployer.transports.ssh import LoginRefused
from deployer.transports.ssh_session import Login, TunnelRefused

__all__ = ["explain"]

_PROHIBITED = 1  # RFC 4254, section 5.1: administratively prohibited
_WHILE_BUSY = 4.0
"""Seconds: what sshd does when too many are logging in (MaxStartups), which is over when they are."""


def explain(error: Exception, hop: Hop, login: Login, greeting: bytes, timeout: float) -> Exception:
    """The error for ``hop``; Passing, where another try may go better. ``greeting`` is what the server said first."""
    if login.accepted:
        return _explain_channel(error, hop, timeout)
    if login.offered:
        return _explain_login(error, hop, login, timeout)
    if isinstance(error, paramiko.ssh_exception.IncompatiblePeer):
        hint = "Its SSH server is very old or very strict; update it, or allow the usual algorithms in its sshd_config."
        return ConnectionRefused(f"{hop.name} and deployer have no algorithm in common: {error}", hint=hint)
    said = _printable(greeting.partition(b"\n")[0].decode("ascii", "replace"))
    if said.startswith("SSH-"):
        why = str(error) or "end of the connection"
        return Passing(ConnectionRefused(f"{hop.name} hung up before the login ({why})"))
    hint = (
        f"It said: {said!r}"
        if said
        else "It may be starting, have too many visitors (MaxStartups), or be no SSH server."
    )
    reason = ConnectionRefused(f"{hop.name} hung up without the greeting of an SSH server", hint=hint)
    return Passing(reason, longest_pause=_WHILE_BUSY)


def _explain_channel(error: Exception, hop: Hop, timeout: float) -> Exception:
    if hop.onward is None:
        return ConnectionRefused(f"{hop.name} lets us in, but opens no session: {str(error) or 'it hung up'}")
    onward = place(hop.onward.address, hop.onward.port)
    match error:
        case TunnelRefused() if error.code == _PROHIBITED:
            hint = (
                "In its sshd_config, AllowTcpForwarding must be yes or local, and PermitOpen, if it is there, name\n"
                f"  {onward}; in its authorized_keys, a key with `restrict` also needs `port-forwarding`."
            )
            text = f"{hop.name} does not let this user through to {onward}: {_printable(str(error))}"
            return ConnectionRefused(text, hint=hint)
        case TunnelRefused():
            hint = "Check address and port as that jump host sees them, and that sshd runs there."
            return Passing(ConnectionRefused(f"{hop.name} cannot reach {onward}: {_printable(str(error))}", hint=hint))
        case _ if "timeout" in str(error).lower():
            hint = "Check address and port, and that no firewall is in between; --connect-timeout waits longer."
            return Passing(ConnectionRefused(f"{hop.name} did not reach {onward} within {timeout:g} s", hint=hint))
    return Passing(ConnectionRefused(f"{hop.name} hung up while it connected to {onward}"))


def _explain_login(error: Exception, hop: Hop, login: Login, timeout: float) -> ConnectionRefused:
    host, user = hop.name, hop.server.user
    offered = ", ".join(str(key) for key in login.offered)
    match error:
        case paramiko.ssh_exception.PartialAuthentication():
            needs = ", ".join(error.allowed_types)
            hint = "A deploy cannot answer questions: let this user in by key alone (AuthenticationMethods in sshd_config)."
            return LoginRefused(f"{host} took the key but asks for more: {needs}", hint=hint)
        case paramiko.BadAuthenticationType():
            ways = ", ".join(error.allowed_types)
            hint = "Set `PubkeyAuthentication yes` in its sshd_config."
            return LoginRefused(f"{host} takes no keys for this user, only: {ways}", hint=hint)
        case paramiko.AuthenticationException() if "timeout" in str(error).lower():
            text = f"{host} did not answer the login within {timeout:g} s"
            return ConnectionRefused(text, hint="--connect-timeout waits longer.")
    lines = "\n".join(f"  {key.public.line}" for key in login.offered[:1])
    hint = (
        f"Is {user!r} the right user? The key's public line must be in ~{user}/.ssh/authorized_keys on the server,\n"
        f"  and neither that file nor a directory above it writable by others:\n{lines}"
    )
    return LoginRefused(f"{host} refused the login; offered: {offered}", hint=hint)


def _printable(text: str) -> str:
    return "".join(char if char.isprintable() else "?" for char in text[:100].rstrip("\r"))
