"""``python -m deployer.static.host`` prints the program, for linters and for reading."""

from __future__ import annotations

import sys

from deployer.host import FOR_LINTERS
from deployer.static.host import program

__all__: list[str] = []

sys.stdout.write(FOR_LINTERS + program())
