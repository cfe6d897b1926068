"""Prometheus metrics. Each has a unit in its name and a help text that says what it means and what to do with it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from appconnectivity import __version__

_PREFIX = "appconnectivity"
MAX_MANAGERS = 50


@dataclass
class Metrics:
    """All metrics of one operator, in a registry of its own."""

    registry: CollectorRegistry = field(default_factory=CollectorRegistry)

    def __post_init__(self) -> None:
        self.reconciles = self._counter(
            "reconciles", "Passes over a namespace or a template, by result (ok, error).", ["result"]
        )
        self.errors = self._counter("reconcile_errors", "Passes that failed, by reason.", ["reason"])
        self.duration = Histogram(
            f"{_PREFIX}_reconcile_duration_seconds", "How long a pass takes.", registry=self.registry
        )
        self.writes = self._counter("writes", "Writes that the API server took, by verb and kind.", ["verb", "kind"])
        self.requests = self._counter(
            "api_requests", "Requests by verb, kind and HTTP status (0: no answer).", ["verb", "kind", "code"]
        )
        self.policies = self._gauge("managed_policies", "NetworkPolicies that are ours, by namespace.", ["namespace"])
        self.drift = self._counter(
            "drift_repairs", "Policies changed or deleted by others and put back, by field manager.", ["manager"]
        )
        self.conflicts = self._gauge(
            "name_conflicts", "Names of ours that foreign policies hold, by namespace.", ["namespace"]
        )
        self.held = self._gauge(
            "deletions_held",
            "Policies whose objects have vanished without a word, and that stay until looked at twice.",
        )
        self.queue_depth = self._gauge("queue_depth", "Namespaces that wait for a pass.")
        self.queue_age = self._gauge("queue_oldest_seconds", "How long the first of them has been waiting.")
        self.flows = self._gauge("flows", "Flows, by namespace and state.", ["namespace", "state"])
        self.last_sweep = self._gauge("last_sweep_timestamp_seconds", "When the last complete sweep ended (Unix time).")
        self.missed = self._counter("missed_events", "Changes that a sweep found and no watch had told of.", ["kind"])
        self.event_failures = self._counter("event_failures", "Events (for people) that could not be written.")
        info = self._gauge("build_info", "1, labelled with the version.", ["version"])
        info.labels(__version__).set(1)
        self._flow_labels: dict[str, set[str]] = {}
        self._managers: set[str] = set()

    def observe_drift(self, manager: str) -> None:
        """A repair. Field managers are names that anybody may choose: past so many they are one."""
        self._managers |= {manager} if len(self._managers) < MAX_MANAGERS else set()
        self.drift.labels((manager or "unknown") if manager in self._managers else "other").inc()

    def observe_request(self, verb: str, kind: str, code: int) -> None:
        self.requests.labels(verb, kind, str(code)).inc()
        if verb in ("create", "patch", "delete") and 200 <= code < 300:
            self.writes.labels(verb, kind).inc()

    def observe_namespace(self, namespace: str, *, policies: int, conflicts: int, states: Iterable[str]) -> None:
        """The gauges of one namespace; series of states that are no more are dropped."""
        counts: dict[str, int] = {}
        for state in states:
            counts[state] = counts.get(state, 0) + 1
        for gone in self._flow_labels.get(namespace, set()) - counts.keys():
            self.flows.remove(namespace, gone)
        self._flow_labels[namespace] = set(counts)
        for state, count in counts.items():
            self.flows.labels(namespace, state).set(count)
        self.policies.labels(namespace).set(policies)
        self.conflicts.labels(namespace).set(conflicts)

    def forget_namespace(self, namespace: str) -> None:
        for state in self._flow_labels.pop(namespace, set()):
            self.flows.remove(namespace, state)
        for gauge in (self.policies, self.conflicts):
            gauge.remove(namespace)

    def text(self) -> bytes:
        """All of them in the Prometheus text format."""
        return generate_latest(self.registry)

    def _counter(self, name: str, text: str, labels: Iterable[str] = ()) -> Counter:
        return Counter(f"{_PREFIX}_{name}", text, labels, registry=self.registry)

    def _gauge(self, name: str, text: str, labels: Iterable[str] = ()) -> Gauge:
        return Gauge(f"{_PREFIX}_{name}", text, labels, registry=self.registry)
