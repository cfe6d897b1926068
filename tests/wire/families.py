"""Worlds of one address family, made to have both: what is promised of IPv4 alone must be shut in IPv6."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from dataclasses import replace

from appconnectivity.core.reachability import Host, Pod, World


def in_both(world: World, lines: Iterable[str]) -> tuple[World, list[str]]:
    """Every pod with a second address, and a twin beside every host; and what is to be open then.

    A host's twin is open where the host is for the sole reason that nothing closes the pod (``ALL``). Whatever else is
    open to a host is so by its address, which its twin does not have. A world that has both families stays as it is.
    """
    if any(":" in ip for pod in world.pods for ip in pod.ips):
        return world, [*lines]
    said = [*lines]
    pods = tuple(_dual(pod) for pod in world.pods)
    twins = tuple(Host(f"{host.name}-six", f"2001:db8:5::{n:x}") for n, host in enumerate(world.hosts, start=1))
    more = [
        " ".join(f"{word}-six" if word.startswith("host:") else word for word in line.split(" "))
        for line in said
        if "host:" in line and line.endswith(" : ALL")
    ]
    return replace(world, pods=pods, hosts=(*world.hosts, *twins)), [*said, *more]


def _dual(pod: Pod) -> Pod:
    number = int(ipaddress.IPv4Address(pod.ips[0]))
    return replace(pod, ips=(*pod.ips, f"fd00:10:244::{number >> 16:x}:{number & 0xFFFF:x}"))
