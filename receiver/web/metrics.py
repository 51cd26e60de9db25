"""``GET /metrics`` for Prometheus: from the database, so that all processes and receivers tell the same."""

from __future__ import annotations

import time
from collections.abc import Iterator

from flask import Blueprint, Response
from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_1_0_0, generate_latest
from prometheus_client.registry import Collector

from receiver.store import history
from receiver.store.counters import BUCKETS, all_counters
from receiver.web.world import World, world

__all__ = ["blueprint"]

blueprint = Blueprint("metrics", __name__)


@blueprint.get("/metrics")
def metrics() -> Response:
    """All of them."""
    registry = CollectorRegistry()
    registry.register(_Now(world()))
    return Response(generate_latest(registry), content_type=CONTENT_TYPE_PLAIN_1_0_0)


class _Now(Collector):
    """What the database says at this moment."""

    def __init__(self, here: World) -> None:
        self._here = here

    def collect(self) -> Iterator[Metric]:
        """Every metric with its samples."""
        with self._here.database.reading() as connection:
            counted = all_counters(connection)
            queue = history.queue(connection)
            live = history.live_apps(connection)
            seen = history.workers_seen(connection)
        now = time.time()
        yield _counter(counted, "deliveries", "Deliveries stored, by what became of them.", ("event", "verdict"))
        yield _counter(counted, "deploys", "Jobs that have ended, by how.", ("app", "status"))
        yield _counter(counted, "dropped", "Requests that probes have lost during deploys.", ("app",))
        yield _durations(counted)
        yield GaugeMetricFamily("receiver_jobs_waiting", "Jobs that wait.", queue.waiting)
        yield GaugeMetricFamily("receiver_jobs_running", "Jobs that run.", queue.running)
        age = max(0.0, now - queue.oldest) if queue.waiting else 0.0
        yield GaugeMetricFamily("receiver_queue_age_seconds", "How long the oldest waiting job waits.", age)
        idle = min((max(0.0, now - at) for at in seen.values()), default=float("inf"))
        yield GaugeMetricFamily("receiver_worker_seen_seconds", "How long ago a worker was seen.", idle)
        since = GaugeMetricFamily("receiver_live_since_seconds", "When what is live went live.", labels=["app"])
        for name, app in live.items():
            since.add_metric([name], app.since)
        yield since


def _counter(
    counted: dict[tuple[str, str, str], float], name: str, text: str, labels: tuple[str, ...]
) -> CounterMetricFamily:
    family = CounterMetricFamily(f"receiver_{name}", text, labels=labels)
    for (counter, *values), amount in sorted(counted.items()):
        if counter == name:
            family.add_metric(values[: len(labels)], amount)
    return family


def _durations(counted: dict[tuple[str, str, str], float]) -> HistogramMetricFamily:
    family = HistogramMetricFamily("receiver_deploy_seconds", "How long jobs ran.", labels=["app"])
    for (name, app, _), count in sorted(counted.items()):
        if name == "seconds_count":
            bounds = [(f"{bound:g}", counted.get(("seconds_bucket", app, f"{bound:g}"), 0.0)) for bound in BUCKETS]
            family.add_metric([app], [*bounds, ("+Inf", count)], counted.get(("seconds_sum", app, ""), 0.0))
    return family
