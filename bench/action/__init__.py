"""What the composite action costs in a workflow, beside the recipe that people use: `python -m bench.action`."""

from __future__ import annotations
