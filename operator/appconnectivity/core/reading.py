"""Reading NetworkPolicies as the API server would: anything that it would refuse is refused here, with the path.

A part of ``reachability``: it imports nothing of the package but ``rules``.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from ipaddress import IPv6Network, ip_address, ip_network
from itertools import groupby
from typing import Any

from appconnectivity.core.rules import (
    DIRECTIONS,
    EGRESS,
    INGRESS,
    MAX_PORT,
    PROTOCOLS,
    Address,
    Block,
    Network,
    Pods,
    Policy,
    Port,
    Requirement,
    Rule,
    Selector,
    Span,
)

_PORT_NAME = re.compile(r"(?=.*[a-z])(?!.*--)[a-z0-9]([a-z0-9-]{0,13}[a-z0-9])?")
_CIDR = re.compile(r"[0-9A-Fa-f:.]+/[0-9]{1,3}")


def read_policies(policies: Iterable[Mapping[str, Any]], *, namespaces: Collection[str]) -> list[Policy]:
    """Sorted by namespace and name. Raises ValueError for an invalid one, two of one name, or an unknown namespace."""
    parsed = sorted(map(_read_policy, policies), key=lambda policy: policy.ref)
    refuse_twins(f"NetworkPolicy {policy.ref}" for policy in parsed)
    for policy in parsed:
        if policy.namespace not in namespaces:
            raise invalid(f"NetworkPolicy {policy.ref}", f"there is no namespace {policy.namespace!r}")
    return parsed


def _read_policy(body: Mapping[str, Any]) -> Policy:
    _object(body, where="NetworkPolicy", fields="apiVersion kind metadata spec status")
    for key, value in (("apiVersion", "networking.k8s.io/v1"), ("kind", "NetworkPolicy")):
        if body.get(key, value) != value:
            raise invalid(f"NetworkPolicy: {key}", f"must be {value}, not {body[key]!r}")
    metadata = _object(body.get("metadata"), where="NetworkPolicy: metadata")
    namespace = _string(metadata.get("namespace"), where="NetworkPolicy: metadata.namespace")
    name = _string(metadata.get("name"), where=f"NetworkPolicy in {namespace}: metadata.name")
    where = f"NetworkPolicy {namespace}/{name}: spec"
    spec = _object(body.get("spec"), where=where, fields="podSelector policyTypes ingress egress")
    rules = {direction: _read_rules(spec, direction, namespace, where) for direction in DIRECTIONS}
    return Policy(
        ref=f"{namespace}/{name}",
        namespace=namespace,
        selector=_read_selector(spec.get("podSelector"), where=f"{where}.podSelector") or (),
        rules={direction: rules[direction] for direction in _read_types(spec, where)},
    )


def _read_types(spec: Mapping[str, Any], where: str) -> list[str]:
    types = [value for _, value in _items(spec, "policyTypes", where)]
    if wrong := [value for value in types if value not in DIRECTIONS]:
        raise invalid(f"{where}.policyTypes", f"must be Ingress or Egress, not {wrong[0]!r}")
    return types or [INGRESS, *([EGRESS] if spec.get("egress") else [])]


def _read_rules(spec: Mapping[str, Any], direction: str, namespace: str, where: str) -> tuple[Rule, ...]:
    peers_field = "from" if direction == INGRESS else "to"
    rules = []
    for path, body in _items(spec, direction.lower(), where):
        _object(body, where=path, fields=f"{peers_field} ports")
        peers = tuple(_read_peer(peer, namespace, at) for at, peer in _items(body, peers_field, path))
        ports = tuple(_read_port(port, at) for at, port in _items(body, "ports", path))
        rules.append(Rule(peers=peers or None, ports=ports or None))
    return tuple(rules)


def _read_peer(body: Any, namespace: str, where: str) -> Pods | Block:
    _object(body, where=where, fields="podSelector namespaceSelector ipBlock")
    pods = _read_selector(body.get("podSelector"), where=f"{where}.podSelector")
    namespaces = _read_selector(body.get("namespaceSelector"), where=f"{where}.namespaceSelector")
    selects, block = not (pods is None and namespaces is None), body.get("ipBlock")
    if selects == (block is not None):
        raise invalid(where, "must have either selectors or an ipBlock")
    if block is not None:
        return _read_block(block, where=f"{where}.ipBlock")
    return Pods(own_namespace=namespace, namespaces=namespaces, pods=pods or ())


def _read_block(body: Any, *, where: str) -> Block:
    _object(body, where=where, fields="cidr except")
    network = _cidr(body.get("cidr"), where=f"{where}.cidr")
    excepted = []
    for path, text in _items(body, "except", where):
        inner = _cidr(text, where=path)
        if inner.prefixlen <= network.prefixlen or inner.network_address not in network:
            raise invalid(path, f"{text} must be a strict part of {network}")
        excepted.append(inner)
    return Block(network=network, excepted=tuple(excepted))


def _read_port(body: Any, where: str) -> Port:
    _object(body, where=where, fields="protocol port endPort")
    protocol, port, end = (body.get(key) for key in ("protocol", "port", "endPort"))
    span = Span("TCP" if protocol is None else read_protocol(protocol, where=f"{where}.protocol"))
    if end is not None and (port is None or isinstance(port, str)):
        raise invalid(f"{where}.endPort", "needs a port that is a number")
    if port is None:
        return Port(span)
    if isinstance(port, str):
        if not _PORT_NAME.fullmatch(port):
            raise invalid(f"{where}.port", f"{port!r} is no port name")
        return Port(span, name=port)
    first = read_number(port, where=f"{where}.port")
    last = first if end is None else read_number(end, where=f"{where}.endPort")
    if last < first:
        raise invalid(f"{where}.endPort", f"{last} is below port {first}")
    return Port(span._replace(first=first, last=last))


def _read_selector(body: Any, *, where: str) -> Selector | None:
    if body is None:
        return None
    _object(body, where=where, fields="matchLabels matchExpressions")
    labels = body.get("matchLabels")
    entries = [
        {"key": key, "operator": "In", "values": [value]}
        for key, value in _object({} if labels is None else labels, where=f"{where}.matchLabels").items()
    ]
    equal = (_read_requirement(entry, f"{where}.matchLabels") for entry in entries)
    return (*equal, *(_read_requirement(entry, at) for at, entry in _items(body, "matchExpressions", where)))


def _read_requirement(body: Any, where: str) -> Requirement:
    _object(body, where=where, fields="key operator values")
    key, operator = _string(body.get("key"), where=f"{where}.key"), body.get("operator")
    values = tuple(_string(value, where=path, empty=True) for path, value in _items(body, "values", where))
    if operator not in ("In", "NotIn", "Exists", "DoesNotExist"):
        raise invalid(f"{where}.operator", f"must be In, NotIn, Exists or DoesNotExist, not {operator!r}")
    if (operator in ("In", "NotIn")) != bool(values):
        raise invalid(f"{where}.values", f"{operator} {'must have none' if values else 'needs at least one'}")
    return Requirement(key, operator, values)


def refuse_twins(refs: Iterable[str]) -> None:
    for ref, group in groupby(sorted(refs)):
        if len(list(group)) > 1:
            raise invalid(ref, "there is more than one of this name")


def _object(value: Any, *, where: str, fields: str | None = None) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise invalid(where, f"must be an object, not {value!r}")
    if fields is not None and (unknown := sorted(set(map(str, value)) - set(fields.split()))):
        raise invalid(where, f"unknown field {unknown[0]!r}")
    return value


def _items(body: Mapping[str, Any], name: str, where: str) -> list[tuple[str, Any]]:
    """The entries of a list with the path of each. Absent, null and empty are the same thing to the API."""
    value = body.get(name)
    if value is not None and not isinstance(value, list | tuple):
        raise invalid(f"{where}.{name}", f"must be a list, not {value!r}")
    return [(f"{where}.{name}[{index}]", entry) for index, entry in enumerate(value or ())]


def _string(value: Any, *, where: str, empty: bool = False) -> str:
    if not isinstance(value, str) or not (value or empty):
        raise invalid(where, f"must be a string, not {value!r}")
    return value


def read_protocol(value: Any, *, where: str) -> str:
    if value not in PROTOCOLS:
        raise invalid(where, f"must be TCP, UDP or SCTP, not {value!r}")
    return str(value)


def read_number(value: Any, *, where: str) -> int:
    # bool is an int to Python, and YAML writes true easily.
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= MAX_PORT:
        raise invalid(where, f"must be 1..{MAX_PORT}, not {value!r}")
    return value


def read_address(value: str, *, where: str) -> Address:
    try:
        return ip_address(value)
    except ValueError as error:
        raise invalid(where, f"{value!r} is no IP address") from error


def _cidr(value: Any, *, where: str) -> Network:
    # Python's reader takes more than the API does: bare addresses, netmasks, zones, numbers.
    if not _CIDR.fullmatch(_string(value, where=where)):
        raise invalid(where, f"{value!r} is no CIDR")
    try:
        network = ip_network(value, strict=False)
    except ValueError as error:
        raise invalid(where, f"{value!r} is no CIDR") from error
    if isinstance(network, IPv6Network) and network.network_address.ipv4_mapped:
        raise invalid(where, f"{value!r} is IPv4 written as IPv6")
    return network


def invalid(where: str, problem: str) -> ValueError:
    return ValueError(f"{where}: {problem}")
