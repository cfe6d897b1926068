"""Specs for Hypothesis: ``specs()`` are valid, ``wild_specs()`` were, until something was done to them."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

from hypothesis import strategies as st

from appconnectivity.core import api

Spec = dict[str, Any]
Path = tuple[str | int, ...]

_DNS_LABELS = st.text("ab9-", max_size=5).map("a{}9".format) | st.sampled_from(["a", "0", "1-a", "n" * 63])
_APPS = st.text("aB9-_.", max_size=5).map("A{}9".format) | st.sampled_from(["a", "0", "v" * 63])
_LABEL_KEYS = st.builds("{}{}".format, st.sampled_from(["", "a/", "x.io/", "a.b-c.d/", "p" * 253 + "/"]), _APPS)
_LABEL_VALUES = st.just("") | _APPS
_PROTOCOLS = st.sampled_from(["", "/TCP", "/UDP", "/SCTP"])
_NUMBERS = st.integers(1, 65535)
_MOMENTS = st.datetimes().map(lambda moment: moment.isoformat(timespec="seconds") + "Z")

# What people, templates and other parsers leave behind.
_JUNK: tuple[Any, ...] = (
    *(None, True, 0, -1, 65536, 10**25, 8080.0, "", " ", "\n", [], {}, [None], {"a": None}, {"": "x"}, {"a/b/c": "x"}),
    *("a\n", "A", "-a", "a-", "a--b", "a.b", "a_b", "a" * 16, "a" * 64, "a" * 257, "a" * 254 + "/b", "x/y/z", "ü", "٣"),
    *("0", "80", "00080", "000080", "80\n", "99999", "90-80", "0-5", "1-2-3", "80/tcp", "80/ICMP", "*", "*/UDP", "1/2"),
    *("10.0.0.0/8", "10.0.0.0/08", "10.0.0.0/255.0.0.0", "10.0.0.1/8", "10.0.0.0", "010.0.0.0/8", "0.0.0.0/0", "::/0"),
    *("::ffff:10.0.0.0/104", "fe80::%eth0/64", "2001:DB8::/32", "1:2:3:4:5:6:7::/128", "10.0.0.0/33", "::1.2.3.4/128"),
    *("2027-01-31", "2027-01-31T00:00:00", "2027-02-30T00:00:00Z", "2027-01-31t00:00:00z", "2027-01-31T00:00:00+99:99"),
    *("In", "Exists", "Enforce", "None", "Cluster", "KubeAPIServer", ["Ingress"], ["Ingress", "Ingress"], {"app": "x"}),
)
_KEYS = (
    *("app", "podSelector", "service", "ipBlocks", "entity", "namespace", "namespaceSelector", "ports", "name", "from"),
    *("matchLabels", "matchExpressions", "values", "operator", "except", "mode", "flows", "pod_selector", "prot"),
)


def specs() -> st.SearchStrategy[Spec]:
    """Valid specs, of every kind of end and port; optional fields are there or not."""
    names = st.lists(st.none() | _DNS_LABELS, max_size=4, unique_by=lambda name: name or object())
    flows = names.flatmap(lambda given: st.tuples(*(_flow(name) for name in given)).map(list))
    return st.fixed_dictionaries(
        {},
        optional={
            "mode": st.sampled_from([*api.Mode]).map(str),
            "defaultDeny": st.sampled_from([*api.DefaultDeny]).map(str),
            "policyTypes": st.lists(st.sampled_from([*api.PolicyType]).map(str), min_size=1, unique=True),
            "dns": st.sampled_from([*api.Dns]).map(str),
            "appLabel": _LABEL_KEYS,
            "flows": flows,
        },
    )


@st.composite
def wild_specs(draw: st.DrawFn) -> Any:
    """Specs with one to three faults, or with changes that only look like faults."""
    spec: Any = copy.deepcopy(draw(specs().filter(lambda spec: spec.get("flows"))))
    for _ in range(draw(st.integers(1, 3))):
        if spec:
            _mutate(draw, spec)
    return spec


def _mutate(draw: st.DrawFn, spec: Spec) -> None:
    path = draw(st.sampled_from(sorted(_paths(spec), key=str)))
    parent: Any = spec
    for step in path[:-1]:
        parent = parent[step]
    target, last = parent[path[-1]], path[-1]
    action = draw(st.sampled_from(["replace", "remove", "add", "repeat"]))
    if action == "add" and isinstance(target, dict):
        target[draw(st.sampled_from(_KEYS))] = copy.deepcopy(draw(st.sampled_from(_JUNK)))
    elif action == "repeat" and isinstance(target, list) and target:
        target.extend(copy.deepcopy(target[:1]) * draw(st.sampled_from([1, 1, 1, 16, 64])))
    elif action == "remove":
        del parent[last]
    else:
        parent[last] = copy.deepcopy(draw(st.sampled_from(_JUNK)))


def _paths(node: Any, path: Path = ()) -> Iterator[Path]:
    if path:
        yield path
    steps = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    for step, child in steps:
        yield from _paths(child, (*path, step))


def _flow(name: str | None) -> st.SearchStrategy[Spec]:
    fixed = {} if name is None else {"name": st.just(name)}
    optional = {"description": st.text(max_size=20), "expirationTime": _MOMENTS}
    pods, others, services = _pods(), _ip_blocks() | _entities(), _services()
    return st.one_of(
        st.fixed_dictionaries({**fixed, "from": pods, "to": pods | others, "ports": _ports()}, optional=optional),
        st.fixed_dictionaries({**fixed, "from": others, "to": pods, "ports": _ports()}, optional=optional),
        st.fixed_dictionaries(
            {**fixed, "from": pods | others, "to": services}, optional=optional | {"ports": _ports()}
        ),
        st.fixed_dictionaries({**fixed, "from": pods, "to": st.just({"entity": "KubeAPIServer"})}, optional=optional),
    )


def _pods() -> st.SearchStrategy[Spec]:
    what = st.fixed_dictionaries({"app": _APPS}) | st.fixed_dictionaries({"podSelector": _selectors()})
    where = st.fixed_dictionaries({"namespace": _DNS_LABELS}) | st.fixed_dictionaries(
        {"namespaceSelector": _selectors()}
    )
    return what | where | st.builds(lambda a, b: a | b, what, where)


def _services() -> st.SearchStrategy[Spec]:
    return st.fixed_dictionaries({"service": _DNS_LABELS}, optional={"namespace": _DNS_LABELS})


def _entities() -> st.SearchStrategy[Spec]:
    return st.fixed_dictionaries({"entity": st.sampled_from([*api.Entity]).map(str)})


def _selectors() -> st.SearchStrategy[Spec]:
    values = st.lists(_LABEL_VALUES, min_size=1, max_size=3)
    compared = {"key": _LABEL_KEYS, "operator": st.sampled_from(["In", "NotIn"]), "values": values}
    present = {"key": _LABEL_KEYS, "operator": st.sampled_from(["Exists", "DoesNotExist"])}
    requirements = st.fixed_dictionaries(compared) | st.fixed_dictionaries(present)
    return st.fixed_dictionaries(
        {},
        optional={
            "matchLabels": st.dictionaries(_LABEL_KEYS, _LABEL_VALUES, max_size=3),
            "matchExpressions": st.lists(requirements, max_size=3),
        },
    )


def _ports() -> st.SearchStrategy[list[int | str]]:
    ranges = st.tuples(_NUMBERS, _NUMBERS).map(lambda pair: "{}-{}".format(*sorted(pair)))
    names = st.sampled_from(["http", "a", "80a", "grpc-web", "x-1-y", "a-name-of-fifte"])
    texts = st.tuples(_NUMBERS.map(str) | ranges | names, _PROTOCOLS).map("".join)
    return st.lists(_NUMBERS | texts | st.just("*"), min_size=1, max_size=4)


def _ip_blocks() -> st.SearchStrategy[Spec]:
    return st.fixed_dictionaries({"ipBlocks": st.lists(_ipv4_blocks() | _ipv6_blocks(), min_size=1, max_size=3)})


def _ipv4_blocks() -> st.SearchStrategy[Spec]:
    return st.builds(
        lambda a, b, inner: (
            {"cidr": f"{a}.{b}.0.0/16"} | ({"except": [f"{a}.{b}.{c}.0/24" for c in inner]} if inner else {})
        ),
        st.integers(1, 223),
        st.integers(0, 255),
        st.lists(st.integers(0, 255), max_size=3),
    )


def _ipv6_blocks() -> st.SearchStrategy[Spec]:
    return st.builds(
        lambda a, inner: (
            {"cidr": f"2001:{a:x}::/32"} | ({"except": [f"2001:{a:x}:{c:x}::/48" for c in inner]} if inner else {})
        ),
        st.integers(1, 0xFFFF),
        st.lists(st.integers(1, 0xFFFF), max_size=3),
    )
