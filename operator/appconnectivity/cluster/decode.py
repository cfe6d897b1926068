"""Live objects as the API server returns them, turned into the facts that the compiler takes."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping
from typing import Any

from appconnectivity.core.facts import EndpointPort, Endpoints, Isolation, Service, ServicePort
from appconnectivity.core.selectors import Selector

SERVICE_NAME_LABEL = "kubernetes.io/service-name"

Body = Mapping[str, Any]


def service(body: Body, *, endpoint_slices: Iterable[Body] = ()) -> Service:
    """A Service with what its EndpointSlices say."""
    metadata, spec = body["metadata"], body.get("spec") or {}
    selector = spec.get("selector")
    return Service(
        namespace=metadata["namespace"],
        name=metadata["name"],
        selector=Selector.of_labels(selector) if selector else None,
        ports=tuple(_service_port(port) for port in spec.get("ports") or ()),
        is_external_name=spec.get("type") == "ExternalName",
        endpoints=tuple(endpoints(entry) for entry in sorted(endpoint_slices, key=_name)),
    )


def needs_endpoints(body: Body) -> bool:
    """True where the Service alone does not say where its connections end: no selector, or a port's name as target."""
    spec = body.get("spec") or {}
    if not spec.get("selector"):
        return True
    return any(isinstance(port.get("targetPort"), str) for port in spec.get("ports") or ())


def endpoints(body: Body) -> Endpoints:
    """The addresses of an EndpointSlice; ready or not, since a pod may get ready at any moment. FQDN ones are none."""
    is_ip = body.get("addressType") in ("IPv4", "IPv6")
    said = [address for entry in body.get("endpoints") or () for address in entry["addresses"]] if is_ip else []
    found = {address for text in said if (address := _address(text))}
    ports = body.get("ports") or ()
    return Endpoints(
        addresses=tuple(sorted(found)),
        ports=tuple(
            EndpointPort(port.get("name") or "", port.get("protocol") or "TCP", port["port"])
            for port in ports
            if port.get("port")
        ),
    )


def isolation(body: Body) -> Isolation:
    """What a NetworkPolicy isolates (the API server has filled in policyTypes)."""
    spec = body["spec"]
    return Isolation(Selector.of_dict(spec.get("podSelector") or {}), frozenset(spec.get("policyTypes") or ()))


def node_local_addresses(daemon_set: Body) -> tuple[str, ...]:
    """The addresses on which NodeLocal DNSCache listens, from its ``-localip`` argument."""
    containers = daemon_set["spec"]["template"]["spec"]["containers"]
    words = [word for c in containers for word in (*(c.get("command") or ()), *(c.get("args") or ()))]
    values = [after for word, after in zip(words, [*words[1:], ""], strict=True) if word in ("-localip", "--localip")]
    values += [word.split("=", 1)[1] for word in words if word.startswith(("-localip=", "--localip="))]
    return tuple(sorted({text for value in values for text in value.split(",") if _address(text)}))


def _service_port(port: Body) -> ServicePort:
    return ServicePort(
        name=port.get("name") or "",
        protocol=port.get("protocol") or "TCP",
        number=port["port"],
        target=port.get("targetPort") or port["port"],
    )


def _address(text: str) -> str:
    """The address; empty for what is none. Leading zeros mean nothing, as for kube-proxy (netutils.ParseIPSloppy)."""
    plain = ".".join(part.lstrip("0") or "0" for part in text.split(".")) if ":" not in text else text
    try:
        return str(ipaddress.ip_address(plain))
    except ValueError:
        return ""


def _name(body: Body) -> str:
    return str(body["metadata"]["name"])
