"""``python -m deployer.rebuild.host`` prints the program, for linters and for reading."""

from __future__ import annotations

import sys

from deployer.rebuild.host import program

__all__: list[str] = []

# The three ask for if-then-else where `a && b || fail` is meant, and trip over the words done and mv as arguments;
# 2034, 2329: the shared part has what only some programs use. 2016, 2089, 2090: single quotes hold other languages' programs,
# and words with backslashes that are split on purpose.
sys.stdout.write("# shellcheck shell=sh disable=SC2015,SC1010,SC2209,SC2034,SC2086,SC2046,SC2329,SC2016,SC2089,SC2090\n" + program())
