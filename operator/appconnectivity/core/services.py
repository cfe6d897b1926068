"""Services as peers: which pods or addresses stand behind one, and on which of *their* ports (after DNAT)."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass

from appconnectivity.core.facts import Endpoints, Service, ServicePort
from appconnectivity.core.findings import Finding, Reason
from appconnectivity.core.policy import Addresses
from appconnectivity.core.ports import Port, Ports
from appconnectivity.core.selectors import Selector

# More /32 rules than this help nobody: enforcers slow down, and the Service wants a network of its own.
MAX_ADDRESSES = 256


@dataclass(frozen=True)
class Backend:
    """What a Service stands for: pods by ``selector``, or else ``addresses``; with the ports that they listen on."""

    ports: Ports
    selector: Selector | None = None
    addresses: tuple[Addresses, ...] = ()


def backends(service: Service, *, wanted: Ports | None) -> tuple[Backend, ...] | Finding:
    """What stands behind the Service, for ``wanted`` of its ports (None: all of them)."""
    if service.is_external_name:
        return Finding(
            Reason.SERVICE_IS_EXTERNAL,
            f"Service {service.name} is an ExternalName: a DNS alias without pods; use ipBlocks or entity: Internet",
        )
    chosen, lacking = _choose(service.ports, wanted=wanted)
    if lacking or not chosen:
        return _no_such_port(service, lacking=Ports.of(lacking))
    if service.selector is None:
        return _by_addresses(service, chosen=chosen)
    return (Backend(ports=_target_ports(service, chosen=chosen), selector=service.selector),)


def address_backends(endpoints: Iterable[Endpoints], *, wanted: Ports | None) -> tuple[Backend, ...]:
    """The addresses of EndpointSlices, each with the ports of its slice (or with ``wanted`` instead)."""
    found = [
        Backend(ports=wanted or _numbers(entry), addresses=single_addresses(entry.addresses)) for entry in endpoints
    ]
    return tuple(backend for backend in found if backend.addresses and not backend.ports.is_empty)


def single_addresses(addresses: Iterable[str]) -> tuple[Addresses, ...]:
    """Exactly these addresses, as few networks as say so: /32 and /128 where nothing can be joined."""
    parsed = [ipaddress.ip_network(address) for address in addresses]
    v4 = ipaddress.collapse_addresses(n for n in parsed if isinstance(n, ipaddress.IPv4Network))
    v6 = ipaddress.collapse_addresses(n for n in parsed if isinstance(n, ipaddress.IPv6Network))
    return tuple(Addresses(str(network)) for network in (*v4, *v6))


def _choose(ports: tuple[ServicePort, ...], *, wanted: Ports | None) -> tuple[tuple[ServicePort, ...], list[Port]]:
    """The Service's ports that are asked for, and what is asked for in vain."""
    if wanted is None or wanted.all:
        return ports, []
    chosen = tuple(port for port in ports if any(_is_asked(port, entry) for entry in wanted.listed))
    return chosen, [entry for entry in wanted.listed if not any(_is_asked(port, entry) for port in ports)]


def _is_asked(port: ServicePort, entry: Port) -> bool:
    if entry.protocol != port.protocol:
        return False
    return entry.name == port.name if entry.is_named else entry.first <= port.number <= entry.last


def _no_such_port(service: Service, *, lacking: Ports) -> Finding:
    has = ", ".join(f"{port.number}/{port.protocol} {port.name}".strip() for port in service.ports) or "none"
    if not service.ports:
        return Finding(
            Reason.SERVICE_PORT_NOT_FOUND,
            f"Service {service.name} has no ports; name its pods with app or podSelector, and their ports",
        )
    return Finding(Reason.SERVICE_PORT_NOT_FOUND, f"Service {service.name} has no port {lacking}; it has: {has}")


def _target_ports(service: Service, *, chosen: tuple[ServicePort, ...]) -> Ports:
    return Ports.of(port for entry in chosen for port in _target(service, entry))


def _target(service: Service, port: ServicePort) -> list[Port]:
    """Numbers wherever they can be known: pods may give one name different numbers, then all of them."""
    if isinstance(port.target, int):
        return [Port(protocol=port.protocol, first=port.target, last=port.target)]
    numbers = {
        found.number
        for endpoints in service.endpoints
        for found in endpoints.ports
        if (found.name, found.protocol) == (port.name, port.protocol)
    }
    if not numbers:
        return [Port(protocol=port.protocol, name=port.target)]
    return [Port(protocol=port.protocol, first=number, last=number) for number in numbers]


def _by_addresses(service: Service, *, chosen: tuple[ServicePort, ...]) -> tuple[Backend, ...] | Finding:
    asked = {(port.name, port.protocol) for port in chosen}
    slices = [
        Endpoints(entry.addresses, tuple(port for port in entry.ports if (port.name, port.protocol) in asked))
        for entry in service.endpoints
    ]
    found = address_backends(slices, wanted=None)
    if not found:
        return Finding(
            Reason.NO_ENDPOINTS,
            f"Service {service.name} has no selector and no EndpointSlice with addresses for its ports yet",
        )
    if sum(len(backend.addresses) for backend in found) > MAX_ADDRESSES:
        return Finding(
            Reason.TOO_MANY_ADDRESSES,
            f"Service {service.name} has over {MAX_ADDRESSES} addresses; name their networks with ipBlocks",
        )
    return found


def _numbers(endpoints: Endpoints) -> Ports:
    return Ports.of(Port(protocol=p.protocol, first=p.number, last=p.number) for p in endpoints.ports)
