"""Unit, contract, integration and end-to-end tests, and the real parts that they run against."""

from __future__ import annotations
