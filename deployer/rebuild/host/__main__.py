"""``python -m deployer.rebuild.host`` prints the program, for linters and for reading."""

from __future__ import annotations

import sys

from deployer.host import FOR_LINTERS
from deployer.rebuild.host import program

__all__: list[str] = []

sys.stdout.write(FOR_LINTERS + program())
