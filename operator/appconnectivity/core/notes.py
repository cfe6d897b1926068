"""Notes on flows that work and yet may surprise: said in the flow's row, never in the way of Ready."""

from __future__ import annotations

import ipaddress

from appconnectivity.core import api
from appconnectivity.core.facts import Facts
from appconnectivity.core.policy import Addresses
from appconnectivity.core.resolve import Resolved
from appconnectivity.core.selectors import EVERYTHING

# Names that a port may have, and that mostly were meant otherwise.
_LIKE_EVERY_PORT = frozenset({"all", "any"})
_METADATA_SERVER = ipaddress.ip_address("169.254.169.254")


def notes(flow: api.Flow, resolved: Resolved, *, facts: Facts, dns: api.Dns) -> tuple[str, ...]:
    """Sentences for the person who wrote the flow; empty where there is nothing to say."""
    found = [*_wide_blocks(flow, resolved), *_service_ports(resolved, facts=facts), *_port_names(resolved)]
    if dns is api.Dns.NONE and flow.to.service is not None:
        found.append("dns is None, so the Service's name does not resolve for these pods")
    return tuple(found)


def _wide_blocks(flow: api.Flow, resolved: Resolved) -> list[str]:
    blocks = [
        peer
        for side in (resolved.source, resolved.destination)
        for peer, _ in side.reaches
        if isinstance(peer, Addresses)
    ]
    found = [f"{b.cidr} is every address of its family" for b in blocks if b.cidr.endswith("/0") and not b.excluded]
    if flow.to.ip_blocks is not None and any(_holds_metadata_server(block) for block in blocks):
        found.append(f"this includes the cloud's metadata server: add {_METADATA_SERVER}/32 to except")
    return found


def _holds_metadata_server(block: Addresses) -> bool:
    if _METADATA_SERVER not in ipaddress.ip_network(block.cidr):
        return False
    return not any(_METADATA_SERVER in ipaddress.ip_network(text) for text in block.excluded)


def _service_ports(resolved: Resolved, *, facts: Facts) -> list[str]:
    """The commonest mistake: the Service's port where the pods listen on another one."""
    subject = resolved.destination.subject
    if subject is None or subject == EVERYTHING:
        return []
    return [
        f"Service {service.name} maps port {port.number} to {port.target}: flows name the pods' port;"
        f" write {port.target}, or to: {{service: {service.name}}}"
        for service in facts.local_services
        if service.selector is not None and service.selector.implies(subject)
        for port in service.ports
        if port.target != port.number and _names_number(resolved, protocol=port.protocol, number=port.number)
        if not _names_number(resolved, protocol=port.protocol, number=port.target)
    ]


def _names_number(resolved: Resolved, *, protocol: str, number: int | str) -> bool:
    return any(
        entry.protocol == protocol and entry.first == entry.last == number
        for _, ports in resolved.destination.reaches
        for entry in ports.listed
    )


def _port_names(resolved: Resolved) -> list[str]:
    names = sorted({p.name for _, ports in resolved.destination.reaches for p in ports.listed if p.is_named})
    hint = '; for every port write "*"' if _LIKE_EVERY_PORT.intersection(names) else ""
    return (
        [f"port {', '.join(names)} stays a name, which some CNIs get wrong; a number is safer{hint}"] if names else []
    )
