"""The composite action's side: a workflow step's inputs in, its log, outputs and summary out."""

from __future__ import annotations

from deployer.action.step import main

__all__ = ["main"]
