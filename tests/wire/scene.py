"""Words for tests on the wire: a small world, what is declared in it, and what must be open then."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from appconnectivity.core.reachability import Host, Pod, World
from builders import flow, obj
from cluster.wire import truth
from cluster.wire.lab import WireLab

Body = dict[str, Any]
Labels = Mapping[str, str]


@dataclass
class Scene:
    """A world on the wire, in which every door was seen open before anything was declared."""

    lab: WireLab
    world: World
    ports: tuple[int, ...]

    def declare(self, *bodies: Body) -> None:
        """Applies objects of any kind; returns when the operator has done its part, and the enforcer its own."""
        self.lab.apply(*bodies)
        for body in bodies:
            if body["kind"] == "AppConnectivity":
                self.lab.wait_ready(body["metadata"]["name"], namespace=body["metadata"]["namespace"])
        self.lab.settle()

    def prove(self, *lines: str) -> None:
        """These doors are open, and no others: for every pair, address, protocol and probed port."""
        truth.prove(self.lab, truth.expected(self.world, lines, ports=self.ports))

    def prove_all_open(self) -> None:
        wanted = truth.expected(self.world, (), ports=self.ports)
        truth.prove(self.lab, truth.Table(probes=wanted.probes, open=wanted.probes))

    def with_pod(self, pod: Pod) -> None:
        """The world has this pod, in the place of the one of that name if there is one."""
        pods = (*(other for other in self.world.pods if other.ref != pod.ref), pod)
        self.world = replace(self.world, pods=pods)


def stage(lab: WireLab, world: World, *, ports: Iterable[int]) -> Scene:
    """Builds the world. The first look shows that it is policies that shut doors later on, and not the lab."""
    scene = Scene(lab, world, tuple(sorted(set(ports))))
    lab.build(world, ports=scene.ports)
    scene.prove_all_open()
    return scene


def world_of(
    namespaces: Mapping[str, Labels],
    pods: Mapping[str, Labels],
    *,
    hosts: Mapping[str, str] | None = None,
    dual: bool = False,
) -> World:
    """Pods by reference, with labels; the n-th has the address 10.244.1.n, and in ``dual`` fd00:10:244::n too."""
    made = [pod(ref, labels, number=number, dual=dual) for number, (ref, labels) in enumerate(pods.items(), start=1)]
    return World(namespaces, tuple(made), tuple(Host(name, ip) for name, ip in (hosts or {}).items()))


def pod(ref: str, labels: Labels, *, number: int, dual: bool = False) -> Pod:
    namespace, _, name = ref.partition("/")
    ips = (f"10.244.1.{number}", f"fd00:10:244::{number:x}")
    return Pod(namespace, name, labels, ips if dual else ips[:1])


def app(*refs: str) -> dict[str, Labels]:
    """Pods whose label ``app`` is their own name."""
    return {ref: {"app": ref.partition("/")[2]} for ref in refs}


def declares(namespace: str, *flows: Body, **spec: Any) -> Body:
    """The AppConnectivity object of a namespace, which bears its name, as its owner writes it."""
    body = obj(*flows, name=namespace, namespace=namespace, **spec)
    return body | {"metadata": {"name": namespace, "namespace": namespace}}


def each(sources: str, targets: str, what: str) -> list[str]:
    """A line from each of the sources to each of the targets, but to itself."""
    return [f"{a} -> {b} : {what}" for a in sources.split() for b in targets.split() if a != b]


__all__ = ["Body", "Scene", "app", "declares", "each", "flow", "pod", "stage", "world_of"]
