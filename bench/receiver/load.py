"""``wrk`` that delivers as GitHub does."""

from __future__ import annotations

import hashlib
import hmac
import json
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Deliveries", "Rate"]

SCRIPT = Path(__file__).with_name("deliveries.lua")
_PLACE = "000000000000"


@dataclass(frozen=True, slots=True)
class Rate:
    """What ``wrk`` measured: answers a second, failed ones, and latencies in milliseconds."""

    per_second: float
    requests: int
    failed: int
    p50: float
    p99: float
    longest: float


class Deliveries:
    """Push events of ``size`` bytes about, each with another number in it and signed with ``secret``."""

    def __init__(self, folder: Path, secret: str, *, count: int, size: int = 7_500) -> None:
        payload = {
            "ref": "refs/heads/main",
            "before": "a" * 40,
            "after": "b" * 28 + _PLACE,
            "deleted": False,
            "repository": {"full_name": "octo/blog"},
            "commits": [{"message": "m" * 60, "url": "u" * 100}] * (size // 200),
        }
        before, after = json.dumps(payload).encode().split(_PLACE.encode(), 1)
        key = hmac.new(secret.encode(), before, hashlib.sha256)
        folder.mkdir(parents=True, exist_ok=True)
        self._files = [folder / name for name in ("before", "after", "signatures")]
        self._files[0].write_bytes(before)
        self._files[1].write_bytes(after)
        with self._files[2].open("w", encoding="ascii") as file:
            for number in range(1, count + 1):
                each = key.copy()
                each.update(b"%012d" % number + after)
                file.write(f"sha256={each.hexdigest()}\n")

    def run(self, url: str, *, seconds: int, connections: int, threads: int = 2) -> Rate:
        """Deliver for so long, each connection one after the other."""
        threads = min(threads, connections)
        command: Sequence[str] = [
            "wrk", "--threads", str(threads), "--connections", str(connections), "--duration", f"{seconds}s",
            "--timeout", "30s", "--script", str(SCRIPT), url, "--", *map(str, self._files), str(threads),
        ]  # fmt: skip
        done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=seconds + 60)
        found = json.loads(done.stdout.splitlines()[-1])
        return Rate(
            found["requests"] / found["seconds"], found["requests"], found["failed"],
            found["p50"] * 1e3, found["p99"] * 1e3, found["longest"] * 1e3,
        )  # fmt: skip
