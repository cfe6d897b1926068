"""Every sample on the wire: what its first lines promise is what a real enforcer lets through, to the port.

The world of pods and hosts and the expected lines are those of tests/golden, which were written by hand; what has only
IPv4 there is given IPv6 as well.
"""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from cluster.wire import truth
from cluster.wire.lab import WireLab
from golden.test_golden import HERE, NAMES, SAMPLES, build, world_of
from wire.families import in_both

Body = dict[str, Any]


@pytest.mark.parametrize("name", NAMES)
def test_a_sample_lets_through_what_it_promises_and_nothing_else(name: str, lab: WireLab) -> None:
    bodies = of_sample(name)
    world, lines = in_both(build(world_of(name)), (HERE / name / "expect.txt").read_text().splitlines())
    ports = truth.ports_of(lines, more=service_ports(bodies))
    wanted = truth.expected(world, lines, ports=ports)
    assert {":" in probe.ip for probe in wanted.probes} == {False, True}
    lab.build(world, ports=ports)
    truth.prove(lab, truth.Table(probes=wanted.probes, open=wanted.probes))  # or the lab itself shuts doors

    lab.plane.kubectl("apply", "-f", SAMPLES / f"{name}.yaml")
    for body in bodies:
        if body["kind"] == "AppConnectivity":
            lab.wait_ready(body["metadata"]["name"], namespace=body["metadata"]["namespace"])
    lab.settle()

    truth.prove(lab, wanted)


def of_sample(name: str) -> list[Body]:
    return [body for body in yaml.safe_load_all((SAMPLES / f"{name}.yaml").read_text()) if body]


def service_ports(bodies: list[Body]) -> list[int]:
    """The Services' own ports, which must not be what is open where the pods' are others."""
    return [port["port"] for body in bodies if body["kind"] == "Service" for port in body["spec"].get("ports", ())]
