"""Ends of the wire: pods and outside hosts, each a network namespace on a routed veth behind the node."""

from __future__ import annotations

import ipaddress
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass

from cluster.wire.netns import Netns

# Every end has the same gateway. Nobody has these addresses: the neighbour entry alone leads to the node.
_GATEWAYS = {4: "169.254.1.1", 6: "fe80::1"}
_NODE_MAC = "ee:ee:ee:ee:ee:ee"


@dataclass(frozen=True)
class End:
    """One pod or host, by its reference (``shop/api``, ``host:payment``) and its addresses."""

    ref: str
    ips: tuple[str, ...]
    netns: Netns


def plug(node: Netns, ends: Iterable[tuple[str, tuple[str, ...]]], *, first: int) -> list[End]:
    """Makes ends and connects them to the node; ``first`` numbers their interfaces."""
    made = [End(ref=ref, ips=ips, netns=Netns()) for ref, ips in ends]
    numbered = list(enumerate(made, start=first))
    with node.entered():
        _ip(line for number, end in numbered for line in _outside(number, end))
    for _, end in numbered:
        with end.netns.entered():
            _ip(_inside(end))
    return made


def _outside(number: int, end: End) -> list[str]:
    """On the node: the pair itself, and a route to each address of the end. The kernel may still be taking away an
    earlier end that had the same address."""
    port = f"end{number}"
    lines = [
        f"link add {port} address {_NODE_MAC} type veth peer name eth0 address {_mac(end)} netns {end.netns.path}",
        f"link set {port} up",
    ]
    for ip in end.ips:
        lines += [f"route replace {ip} dev {port}", f"neigh replace {ip} lladdr {_mac(end)} dev {port} nud permanent"]
    return lines


def _inside(end: End) -> list[str]:
    lines = ["link set lo up", "link set eth0 up"]
    for ip in end.ips:
        version = ipaddress.ip_address(ip).version
        gateway = _GATEWAYS[version]
        lines.append(f"addr add {ip} dev eth0 nodad" if version == 6 else f"addr add {ip} dev eth0")
        lines.append(f"neigh replace {gateway} lladdr {_NODE_MAC} dev eth0 nud permanent")
        lines.append(f"route replace default via {gateway} dev eth0 onlink")
    return lines


def _mac(end: End) -> str:
    """Derived from the first address, so that it is the same on both sides and for nobody else."""
    packed = ipaddress.ip_address(end.ips[0]).packed[-4:]
    return "0a:00:" + ":".join(f"{byte:02x}" for byte in packed)


def _ip(lines: Iterable[str]) -> None:
    text = "\n".join(lines)
    done = subprocess.run(["ip", "-batch", "-"], input=text, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"ip: {done.stderr.strip()}\n{text}")
