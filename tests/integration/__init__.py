"""One part of deployer against a real part: a shell, sshd, nginx, a disk."""

from __future__ import annotations
