"""Specs as Hypothesis draws them: valid, small, and of a vocabulary in which things meet, clash and repeat."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from appconnectivity.core.facts import ServicePort
from appconnectivity.core.selectors import Selector
from builders import endpoints, flow, obj, service

Body = dict[str, Any]

APPS = ("a", "b", "c")
OTHER_NAMESPACES = ("data", "ops")
TEAMS = ("red", "blue")

# The Services of that vocabulary, and what grants shop everything in data.
DB = service("db", ServicePort("sql", "TCP", 5432, "sql"), endpoints=(endpoints("10.0.0.5", sql=5433),))
EXT = service("ext", ServicePort("http", "TCP", 80, 80), selector=None, endpoints=(endpoints("192.0.2.1", http=8080),))
THERE = service("db", ServicePort("http", "TCP", 80, 8080), namespace="data", selector=Selector.of_labels({"app": "b"}))
GRANT = obj(flow({"namespace": "shop"}, {"podSelector": {}}, "*"), name="all", namespace="data")

_labels: st.SearchStrategy[Body] = st.one_of(
    st.just({}),
    st.sampled_from(APPS).map(lambda app: {"app": app}),
    st.sampled_from(("web", "")).map(lambda tier: {"tier": tier}),
)
_expressions = st.one_of(
    st.builds(
        lambda operator, values: {"key": "app", "operator": operator, "values": sorted(values)},
        st.sampled_from(("In", "NotIn")),
        st.sets(st.sampled_from(APPS), min_size=1),
    ),
    st.builds(
        lambda key, operator: {"key": key, "operator": operator},
        st.sampled_from(("app", "tier")),
        st.sampled_from(("Exists", "DoesNotExist")),
    ),
)


def _selector(labels: Body, expressions: list[Body]) -> Body:
    body: Body = {"matchLabels": labels} if labels else {}
    return body | ({"matchExpressions": expressions} if expressions else {})


selectors = st.builds(_selector, _labels, st.lists(_expressions, max_size=1))
_what = st.one_of(
    st.sampled_from(APPS).map(lambda app: {"app": app}), selectors.map(lambda selector: {"podSelector": selector})
)
_elsewhere = st.one_of(
    st.sampled_from(OTHER_NAMESPACES).map(lambda name: {"namespace": name}),
    st.sampled_from(TEAMS).map(lambda team: {"namespaceSelector": {"matchLabels": {"team": team}}}),
)
local_ends = st.one_of(_what, _what.map(lambda what: what | {"namespace": "shop"}))
pod_ends = st.one_of(local_ends, _elsewhere, st.builds(lambda what, where: what | where, _what, _elsewhere))
_blocks = st.sampled_from(
    (
        {"cidr": "203.0.113.0/24"},
        {"cidr": "203.0.113.0/24", "except": ["203.0.113.7/32"]},
        {"cidr": "10.0.0.0/8", "except": ["10.0.1.0/24", "10.0.2.0/24"]},
        {"cidr": "2001:db8::/32"},
        {"cidr": "0.0.0.0/0"},
        {"cidr": "::/0"},
        {"cidr": "::/0", "except": ["2001:db8::/48", "fc00::/7"]},
    )
)
_addresses = st.one_of(
    st.lists(_blocks, min_size=1, max_size=2, unique_by=str).map(lambda blocks: {"ipBlocks": blocks}),
    st.sampled_from(("Internet", "Cluster", "Any")).map(lambda entity: {"entity": entity}),
)
services = st.builds(
    lambda name, where: {"service": name} | where,
    st.sampled_from(("db", "ext", "missing")),
    st.sampled_from(({}, {"namespace": "shop"}, {"namespace": "data"})),
)

NUMBERS = (80, 443, 8080, "8080", "53/UDP", "8000-8100", "80/SCTP")
_numbers = st.sampled_from(NUMBERS)
ports = st.lists(st.one_of(_numbers, st.sampled_from(("web", "web/UDP", "*"))), min_size=1, max_size=3, unique_by=str)
numbered_ports = st.lists(_numbers, min_size=1, max_size=3, unique_by=str)

_moments = st.sampled_from(("2026-05-31T00:00:00Z", "2026-06-01T20:00:00Z", "2030-01-01T00:00:00Z"))


def _flow(source: Body, target: Body, flow_ports: list[Any] | None, extra: Body) -> Body:
    return {"from": source, "to": target} | ({"ports": flow_ports} if flow_ports else {}) | extra


_extras = st.fixed_dictionaries({}, optional={"description": st.just("why"), "expirationTime": _moments})
flows = st.one_of(
    st.builds(_flow, pod_ends, local_ends, ports, _extras),
    st.builds(_flow, local_ends, pod_ends, ports, _extras),
    st.builds(_flow, local_ends, _addresses, numbered_ports, _extras),
    st.builds(_flow, _addresses, local_ends, ports, _extras),
    st.builds(_flow, local_ends, services, st.none() | numbered_ports, _extras),
)
headers = st.fixed_dictionaries(
    {},
    optional={
        "defaultDeny": st.sampled_from(("Namespace", "Endpoints", "None")),
        "policyTypes": st.sampled_from((["Ingress"], ["Egress"], ["Egress", "Ingress"])),
        "dns": st.sampled_from(("Cluster", "None")),
        "mode": st.sampled_from(("Enforce", "Enforce", "Audit")),
        "appLabel": st.sampled_from(("app", "tier")),
    },
)
lists_of_flows = st.lists(flows, max_size=4)
