"""The ``receiver`` command's program: every error is one clear message and a documented exit code."""

from __future__ import annotations

import sys

import click

from receiver.cli import command
from receiver.errors import ReceiverError

__all__ = ["main"]


def main() -> int:
    """Run the command line. Returns the exit code: 0, 1 (failed) or 2 (wrong usage, configuration or input)."""
    try:
        command.main(standalone_mode=False)
    except click.ClickException as error:
        error.show()
        return 2
    except click.Abort:
        return 130
    except ReceiverError as error:
        print(f"receiver: {error}", file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
