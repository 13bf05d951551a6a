"""What the server counts, as Prometheus reads it. Labels are names of models, versions and stages: never a client's."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator
from functools import cache
from typing import final

_SECONDS = (5e-4, 1e-3, 2e-3, 5e-3, 1e-2, 2e-2, 5e-2, 0.1, 0.2, 0.5, 1, 2, 5)
_ROWS = (1, 2, 4, 8, 16, 32, 64, 128)
_KEPT = 2048
_RECENT = 30.0
"""What was answered so many seconds ago is no longer news."""


@final
class Metrics:
    """Counters, histograms and gauges of one server."""

    def __init__(self) -> None:
        from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

        self.registry = CollectorRegistry()
        of_model = ("model", "version")
        self.requests = Counter(
            "throughline_requests", "Requests answered", (*of_model, "protocol"), registry=self.registry
        )
        self.errors = Counter(
            "throughline_errors", "Requests refused or failed, by kind", ("kind", "protocol"), registry=self.registry
        )
        self.seconds = Histogram(
            "throughline_seconds", "Seconds of a request by stage", (*of_model, "stage"),
            buckets=_SECONDS, registry=self.registry,
        )  # fmt: skip
        self.rows = Histogram(
            "throughline_batch_rows", "Rows of a batch", of_model, buckets=_ROWS, registry=self.registry
        )
        self.batch_seconds = Histogram(
            "throughline_batch_seconds", "Seconds of a batch in the model", of_model,
            buckets=_SECONDS, registry=self.registry,
        )  # fmt: skip
        self.queue = Gauge("throughline_queue_rows", "Rows that wait", of_model, registry=self.registry)
        self.in_flight = Gauge("throughline_in_flight", "Requests being answered", registry=self.registry)
        self.serving = Gauge("throughline_version_serving", "Share of the traffic", of_model, registry=self.registry)
        self.observed = Gauge(
            "throughline_observed", "What monitoring says: drift and accuracy", ("model", "what"),
            registry=self.registry,
        )  # fmt: skip
        self._recent: dict[str, _Ring] = {}
        # found once: what is refused, and what is answered, must cost as little as can be
        self._answer: Callable[..., Counter] = cache(self.requests.labels)
        self._stage: Callable[..., Histogram] = cache(self.seconds.labels)
        self._failure: Callable[..., Counter] = cache(self.errors.labels)

    def answered(self, model: str, version: str, protocol: str, stages: dict[str, float]) -> None:
        """Count an answer, and where its time went."""
        self._answer(model, version, protocol).inc()
        for stage, seconds in stages.items():
            self._stage(model, version, stage).observe(seconds)
        self._recent.setdefault(model, _Ring()).add(stages.get("all", 0.0))

    def batch(self, model: str, version: str, rows: int, seconds: float) -> None:
        """Count a batch."""
        self.rows.labels(model, version).observe(rows)
        self.batch_seconds.labels(model, version).observe(seconds)

    def failed(self, kind: str, protocol: str) -> None:
        """Count a request that got no answer."""
        self._failure(kind, protocol).inc()

    def latency(self, model: str) -> dict[str, float]:
        """Percentiles of the last answers, in milliseconds."""
        ring = self._recent.get(model)
        return ring.percentiles() if ring is not None else {}

    def forget(self, model: str, version: str) -> None:
        """A version that is gone has no queue and no traffic."""
        for gauge in (self.queue, self.serving):
            gauge.remove(model, version)

    def totals(self) -> Iterator[tuple[str, dict[str, str], float]]:
        """Every counter's name, labels and value."""
        for family in self.registry.collect():
            for sample in family.samples:
                yield sample.name, sample.labels, sample.value

    def text(self) -> bytes:
        """All of it, as Prometheus scrapes it."""
        from prometheus_client.exposition import generate_latest

        return generate_latest(self.registry)


@final
class _Ring:
    """The last so many answers."""

    def __init__(self) -> None:
        self._kept: deque[tuple[float, float]] = deque(maxlen=_KEPT)

    def add(self, seconds: float) -> None:
        self._kept.append((time.monotonic(), seconds))

    def percentiles(self) -> dict[str, float]:
        since = time.monotonic() - _RECENT
        ordered = sorted(seconds for when, seconds in self._kept if when > since)
        return {
            f"p{share}": round(ordered[min(len(ordered) - 1, len(ordered) * share // 100)] * 1e3, 3)
            for share in (50, 90, 99)
            if ordered
        }
