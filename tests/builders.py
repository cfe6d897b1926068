"""Short ways to say what a test is about: objects, facts, policies and compilations, with defaults for all the rest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from appconnectivity.core import api
from appconnectivity.core.compile import Compiled, Compiler, FlowResult, ObjectResult
from appconnectivity.core.facts import (
    EndpointPort,
    Endpoints,
    Facts,
    Isolation,
    Options,
    Peer,
    Service,
    ServicePort,
)
from appconnectivity.core.intent import Intent, parse
from appconnectivity.core.isolation import Want
from appconnectivity.core.policy import FIELD_MANAGER, Policy
from appconnectivity.core.selectors import EVERYTHING, Selector

NOW = datetime(2026, 6, 1, 12, 0, tzinfo=UTC)
OPTIONS = Options()

Body = dict[str, Any]

KUBE_DNS = Service(
    namespace="kube-system",
    name="kube-dns",
    selector=Selector.of_labels({"k8s-app": "kube-dns"}),
    ports=(ServicePort("dns", "UDP", 53, 53), ServicePort("dns-tcp", "TCP", 53, 53)),
)


def flow(source: Any = "a", target: Any = "b", *ports: int | str, **more: Any) -> Body:
    """A flow between apps (given as text) or other ends (given as mappings), on 8080 unless said."""
    body = {"from": _end(source), "to": _end(target), "ports": list(ports or [8080])}
    return {key: value for key, value in (body | more).items() if value is not None}


def obj(*flows: Any, name: str = "shop", namespace: str = "shop", generation: int = 1, **spec: Any) -> Body:
    """An AppConnectivity object as the API server holds it."""
    return {
        "apiVersion": api.API_VERSION,
        "kind": api.KIND,
        "metadata": {"name": name, "namespace": namespace, "uid": f"uid-{name}", "generation": generation},
        "spec": {"flows": list(flows), **spec},
    }


def intent(*flows: Any, **rest: Any) -> Intent:
    return parse(obj(*flows, **rest), default_app_label="app")


def service(name: str = "db", *ports: ServicePort, namespace: str = "shop", **more: Any) -> Service:
    """A Service for the app of its own name, on 5432 unless said."""
    selector = more.pop("selector", Selector.of_labels({"app": name}))
    return Service(namespace, name, selector, ports or (ServicePort("sql", "TCP", 5432, 5432),), **more)


def endpoints(*addresses: str, **ports: int) -> Endpoints:
    return Endpoints(tuple(addresses), tuple(EndpointPort(name, "TCP", number) for name, number in ports.items()))


def facts(*services: Service, namespace: str = "shop", **more: Any) -> Facts:
    """The facts of namespace ``shop``: kube-dns and the Services that are given."""
    found: dict[str, Any] = {"dns_services": (KUBE_DNS,), "labels": {api.NAMESPACE_NAME_LABEL: namespace}}
    return Facts(namespace=namespace, services={(s.namespace, s.name): s for s in services}, **(found | more))


def peer(*bodies: Body, name: str = "finance", is_isolated: bool = True, **labels: str) -> Peer:
    """Another namespace; isolated as a whole unless said."""
    deny = Isolation(EVERYTHING, frozenset({"Ingress", "Egress"}))
    return Peer(
        labels={api.NAMESPACE_NAME_LABEL: name, **labels},
        intents=tuple(parse(body, default_app_label="app") for body in bodies),
        isolations=(deny,) if is_isolated else (),
    )


def compile_(
    *bodies: Body,
    facts: Facts | None = None,
    standing: Mapping[str, Body] | Sequence[Body] = (),
    now: datetime = NOW,
    options: Options = OPTIONS,
    others: Sequence[Want] = (),
) -> Compiled:
    """Compiles objects of one namespace; ``standing`` are live policies, ``others`` what further objects ask for."""
    live = standing if isinstance(standing, Mapping) else {body["metadata"]["name"]: body for body in standing}
    known = facts if facts is not None else globals()["facts"]()
    compiler = Compiler(facts=known, options=options, now=now, standing=live, others=others)
    return compiler.compile([parse(body, default_app_label=options.app_label) for body in bodies])


class Clock:
    """Stands still until somebody sets it."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now

    def leap(self, seconds: float) -> None:
        self.now += seconds


def observed(compiled: Compiled) -> list[Body]:
    """What the API server holds once the compiled policies have been applied."""
    return [live(policy) for policy in compiled.policies]


def live(policy: Policy, *, manager: str = FIELD_MANAGER) -> Body:
    body = policy.to_dict()
    marks = {
        "uid": f"uid-{policy.name}",
        "resourceVersion": "1",
        "managedFields": [{"manager": manager, "operation": "Apply", "time": "2026-06-01T00:00:00Z"}],
    }
    return body | {"metadata": body["metadata"] | marks}


def foreign(name: str, namespace: str = "shop", **spec: Any) -> Body:
    """A NetworkPolicy that somebody else has made."""
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {
            "name": name,
            "namespace": namespace,
            "uid": f"uid-{name}",
            "resourceVersion": "1",
            "managedFields": [{"manager": "kubectl", "operation": "Update", "time": "2026-06-01T00:00:00Z"}],
        },
        "spec": {"podSelector": {}, "policyTypes": ["Ingress"]} | spec,
    }


def result(compiled: Compiled, name: str = "shop") -> ObjectResult:
    return next(entry for entry in compiled.objects if entry.intent.name == name)


def row(compiled: Compiled, flow_name: str | None = None) -> FlowResult:
    """The result of one flow; of the only one unless named."""
    rows = [entry for found in compiled.objects for entry in found.flows]
    if flow_name is None:
        assert len(rows) == 1, [entry.name for entry in rows]
        return rows[0]
    return next(entry for entry in rows if entry.name == flow_name)


def spec_of(compiled: Compiled, name: str) -> Mapping[str, Any]:
    return next(policy.spec for policy in compiled.policies if policy.name == name)


def names(compiled: Compiled) -> list[str]:
    return [policy.name for policy in compiled.policies]


def without_dns(known: Facts) -> Facts:
    return replace(known, dns_services=())


def _end(value: Any) -> Any:
    return {"app": value} if isinstance(value, str) else value
