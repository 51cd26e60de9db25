"""What people see: reporters for terminals and for logs, and the ends and tables of every command.

Rich is imported only when a terminal's live display is really used.
"""

from __future__ import annotations

from deployer.reporting.findings import print_finding, print_sum
from deployer.reporting.plain import Display, PlainReporter, RecordingReporter, choose
from deployer.reporting.plans import print_plan
from deployer.reporting.results import (
    print_error,
    print_host,
    print_logs,
    print_outcome,
    print_releases,
    print_status,
    print_unseen,
)

__all__ = [
    "Display",
    "PlainReporter",
    "RecordingReporter",
    "choose",
    "print_error",
    "print_finding",
    "print_host",
    "print_logs",
    "print_outcome",
    "print_plan",
    "print_releases",
    "print_status",
    "print_sum",
    "print_unseen",
]
