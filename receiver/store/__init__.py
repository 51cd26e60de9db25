"""The receiver's own tables: deliveries, jobs and what became of each ref.

They are the queue, too. Every function that changes something is one transaction and is durable when it returns.
"""

from __future__ import annotations

from receiver.store.database import Database
from receiver.store.rows import Delivery, Head, Job, LiveApp, Source, Status

__all__ = ["Database", "Delivery", "Head", "Job", "LiveApp", "Source", "Status"]
