"""What a worker has done beside its jobs, each time in a child of its own, whose memory goes with it."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass

from receiver.config import ReceiverConfig, Secrets
from receiver.errors import ReceiverError
from receiver.logs import remove_old_logs
from receiver.store import Database
from receiver.store.upkeep import forget_old, is_steady

__all__ = ["ERRANDS", "Errand", "make_up", "tidy"]

HOUR = 3_600
_log = logging.getLogger("receiver.worker")


def tidy(config: ReceiverConfig, _secrets: Secrets) -> None:
    """Forget what is older than the configuration keeps."""
    kept = config.retention
    database = Database.open(config.database_url)
    if not is_steady(database):
        return
    rows = forget_old(database, kept.deliveries_days)
    files = remove_old_logs(config.log_folder, kept.logs_days, time.time())
    if rows or files:
        _log.info("forgot %d old rows and %d old logs", rows, files)


def make_up(config: ReceiverConfig, secrets: Secrets) -> None:
    """Look for deliveries and commits that were lost."""
    from receiver.catchup import catch_up
    from receiver.github import connect

    if trouble := catch_up(config, secrets, Database.open(config.database_url), connect(config, secrets)):
        _log.warning("catch-up: %s", trouble)


@dataclass(frozen=True, slots=True)
class Errand:
    """``every`` says how many seconds after its last beginning it begins again (0: never)."""

    name: str
    perform: Callable[[ReceiverConfig, Secrets], None]
    every: Callable[[ReceiverConfig], int]
    seconds: float

    def carry_out(self, config: ReceiverConfig, secrets: Secrets) -> None:
        """Never raises what is only a trouble of today."""
        try:
            self.perform(config, secrets)
        except ReceiverError as error:
            _log.warning("%s: %s", self.name, error.message)


ERRANDS = (
    Errand("catch-up", make_up, lambda config: config.github.catch_up, 600),
    Errand("retention", tidy, lambda _config: HOUR, 600),
)
