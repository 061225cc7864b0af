"""The service's figures, as Prometheus reads them: what happens in this process, and how far behind the store is."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext
from datetime import datetime
from importlib.metadata import version
from typing import Protocol

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from domain.watch import Facts, Watch
from store import vitals
from store.session import Database, StoreUnavailable

DURATIONS_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class Span(Protocol):
    def __call__(self, name: str, /, *, traces: Collection[str] = ()) -> AbstractContextManager[Facts]: ...


def no_span(name: str, /, *, traces: Collection[str] = ()) -> AbstractContextManager[Facts]:
    return nullcontext({})


class Figures(Watch):
    """Counts what this process does. `span`: what makes traces of it."""

    def __init__(self, db: Database, *, rulebase: str, clock: Callable[[], datetime], span: Span = no_span) -> None:
        self.registry = CollectorRegistry()
        self.last_tick: datetime | None = None
        self._clock = clock
        self._span = span
        self._evaluations = self._counter("evaluations", "Customers that were evaluated, by outcome.", "outcome")
        self._sends = self._counter("sends", "Attempts to send a message.", "channel", "outcome")
        self._webhooks = self._counter("webhook_attempts", "Attempts to post to a subscriber.", "outcome")
        self._requests = Histogram(
            "relance_http_request_duration_seconds",
            "Requests that were answered, by route.",
            ("method", "route", "status"),
            buckets=DURATIONS_S,
            registry=self.registry,
        )
        self.registry.register(Stored(db, rulebase=rulebase, clock=clock))

    def page(self) -> bytes:
        """All of them, in Prometheus' text format."""
        return generate_latest(self.registry)

    def ticked(self) -> None:
        self.last_tick = self._clock()

    def evaluated(self, *, decided: int, failed: int) -> None:
        self._evaluations.labels("decided").inc(decided)
        self._evaluations.labels("failed").inc(failed)

    def sent(self, channel: str, outcome: str) -> None:
        self._sends.labels(channel, outcome).inc()

    def posted(self, outcome: str) -> None:
        self._webhooks.labels(outcome).inc()

    def answered(self, *, method: str, route: str, status: int, duration_s: float) -> None:
        self._requests.labels(method, route, str(status)).observe(duration_s)

    def span(self, name: str, *, traces: Collection[str] = ()) -> AbstractContextManager[Facts]:
        return self._span(name, traces=traces)

    def _counter(self, name: str, says: str, *labels: str) -> Counter:
        return Counter(f"relance_{name}", says, labels, registry=self.registry)


class Stored(Collector):
    """What the store knows, read when it is asked for. Where it cannot be read, that is the one fact left."""

    def __init__(self, db: Database, *, rulebase: str, clock: Callable[[], datetime]) -> None:
        self._db, self._rulebase, self._clock = db, rulebase, clock

    def describe(self) -> Iterable[Metric]:
        return ()  # else registering would read the store

    def collect(self) -> Iterator[Metric]:
        build = GaugeMetricFamily("relance_build_info", "What runs here.", labels=("version", "rulebase"))
        build.add_metric((version("relance"), self._rulebase), 1)
        yield build
        now = self._clock()
        try:
            found = vitals.read(self._db, now=now)
        except StoreUnavailable:
            yield GaugeMetricFamily("relance_store_up", "Whether the database can be read.", 0)
            return
        yield GaugeMetricFamily("relance_store_up", "Whether the database can be read.", 1)
        yield from _gauges(found, now)


def _gauges(found: vitals.Vitals, now: datetime) -> Iterator[Metric]:
    def age(since: datetime | None) -> float:
        return max(0.0, (now - since).total_seconds()) if since else 0.0

    yield GaugeMetricFamily("relance_customers_due", "Customers to be evaluated.", found.customers.depth)
    lag = "Since when the first of them has been due, in seconds."
    yield GaugeMetricFamily("relance_due_lag_seconds", lag, age(found.customers.oldest))
    depth = GaugeMetricFamily("relance_deliveries", "Messages that are not settled.", labels=("state",))
    oldest = GaugeMetricFamily(
        "relance_delivery_age_seconds", "How long the first of them has been due.", labels=("state",)
    )
    for state, queue in found.deliveries.items():
        depth.add_metric((state,), queue.depth)
        oldest.add_metric((state,), age(queue.oldest))
    yield from (depth, oldest)
    yield GaugeMetricFamily("relance_webhook_deliveries", "Events to be posted.", found.webhooks.depth)
    waits = "How long the first of them has been due."
    yield GaugeMetricFamily("relance_webhook_delivery_age_seconds", waits, age(found.webhooks.oldest))
    breakers = GaugeMetricFamily(
        "relance_webhook_breaker_open", "1: everything to this subscriber is held back.", labels=("subscription",)
    )
    for subscription, is_open in found.breakers.items():
        breakers.add_metric((subscription,), is_open)
    yield breakers
    unsealed = "How long the first entry of the audit has been waiting to be sealed."
    yield GaugeMetricFamily("relance_audit_unsealed_seconds", unsealed, age(found.unsealed_since))
