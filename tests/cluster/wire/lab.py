"""The lab: one node with a control plane and a real enforcer (kube-router), and pods that are network namespaces.

Everything is inside one network namespace: the host's iptables and interfaces are not touched, and nothing gets out.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from appconnectivity.core.reachability import Pod, World
from cluster import binaries, processes
from cluster.administrator import Administrator
from cluster.controlplane import ControlPlane
from cluster.wire.ends import End, plug
from cluster.wire.netns import Netns
from cluster.wire.traffic import Knock, Traffic

NODE = "node1"
NODE_IPS = ("172.31.0.2", "fd00:31::2")
PROGRAMS = ("ip", "iptables", "ip6tables", "ipset", "conntrack")
# Refusals must not be rationed: they are what tells a closed port at once. And no path filter knows our one-armed ends.
_SYSCTLS = {
    "net/ipv4/ip_forward": "1",
    "net/ipv6/conf/all/forwarding": "1",
    "net/ipv4/conf/all/rp_filter": "0",
    "net/ipv4/conf/default/rp_filter": "0",
    "net/ipv4/icmp_ratelimit": "0",
    "net/ipv4/icmp_msgs_per_sec": "1000000",
    "net/ipv4/icmp_msgs_burst": "1000000",
    "net/ipv6/icmp/ratelimit": "0",
}
# Touched in each of the three things that the enforcer watches: what was written before has then been seen, too.
_MARK = Pod("default", "lab-tick", {}, ("192.0.2.250",))
_SEEN = (
    "Received update for namespace: default\n",
    "Received update to pod: default/lab-tick\n",
    "Received update for network policy: default/lab-tick\n",
)
_POLICY = ("networking.k8s.io/v1", "NetworkPolicy")
_APP_CONNECTIVITY = ("appconnectivity.io/v1alpha1", "AppConnectivity")
_MADE_BY_TESTS = (
    ("appconnectivity.io/v1alpha1", "AppConnectivityTemplate"),
    _APP_CONNECTIVITY,
    _POLICY,
    ("v1", "Service"),
    ("v1", "Pod"),
)
_STAYING = {(_MARK.namespace, _MARK.name), ("default", "kubernetes"), ("kube-system", "kube-dns")}
_SYNC_STARTS, _SYNC_ENDS = "Starting sync of iptables", "sync iptables took"
_QUIET_SECONDS = 0.1
_SETTLE_SECONDS = 60


class WireLab:
    """Up when constructed; whoever uses it works within ``node.entered()``. Raises RuntimeError where that can't be."""

    def __init__(self) -> None:
        self._stack = ExitStack()
        self._count = self._ticks = self.second_looks = 0
        self.ends: dict[str, End] = {}
        refusal = unable()
        if refusal:
            raise RuntimeError(refusal)
        binaries.find()  # what has to be built is built while there is still a network to fetch it from
        self._router = binaries.programs("enforcer")["kube-router"]
        try:
            self.node = Netns()
            self._stack.callback(self.node.close)
            self.traffic = self._stack.enter_context(Traffic())
            with self.node.entered():
                self._start()
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        if self.ends:
            self._unplug([*self.ends])
        self._stack.close()

    def apply(self, *bodies: Mapping[str, Any], subresource: str = "") -> None:
        """As an administrator, by server-side apply."""
        for body in bodies:
            self.administrator.apply(body, subresource=subresource)

    def build(self, world: World, *, ports: Sequence[int]) -> None:
        """Makes the world's namespaces, pods and hosts, which answer on these ports."""
        self.label_namespaces(world.namespaces)
        self.add(*world.pods, ports=ports)
        self.plug([(host.ref, (host.ip,)) for host in world.hosts], ports=ports)

    def label_namespaces(self, labels: Mapping[str, Mapping[str, str]]) -> None:
        """Makes namespaces, by name, or gives those that are there these labels instead of earlier ones."""
        self.apply(
            *(
                {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": dict(given)}}
                for name, given in labels.items()
            )
        )

    def add(self, *pods: Pod, ports: Sequence[int]) -> None:
        """Pods that run and answer on these ports."""
        self.label(*pods)
        self.apply(*(_pod(pod) | {"status": _status(pod)} for pod in pods), subresource="status")
        self.plug([(pod.ref, pod.ips) for pod in pods], ports=ports)

    def label(self, *pods: Pod) -> None:
        """Gives pods the labels that are said here; new ones wait for an address."""
        self.apply(*(_pod(pod) for pod in pods))

    def remove(self, pod: Pod) -> None:
        """The pod ends, and nobody answers at its addresses."""
        self.administrator.delete("v1", "Pod", name=pod.name, namespace=pod.namespace)
        self._unplug([pod.ref])

    def clear(self) -> None:
        """Takes all away that a test may have made: objects, policies, Services, pods and hosts; namespaces stay."""
        self._unplug([*self.ends])
        for kind in _MADE_BY_TESTS:
            for metadata in self._made(*kind):
                self.administrator.delete(*kind, name=metadata["name"], namespace=metadata.get("namespace"))
        # The operator keeps a namespace open for a moment when its last policies go; this goes by itself.
        _await(lambda: not self._made(*_POLICY), complaint=lambda: "policies that nobody wants stay")
        self.settle()

    def rename_policies(self, namespace: str, *, prefix: str) -> list[str]:
        """The operator's policies under other names, as another version might have written them; returns the names."""
        found = self.administrator.list(*_POLICY, namespace=namespace)
        kept = ("annotations", "labels", "namespace", "ownerReferences")
        renamed = [
            body
            | {"metadata": {key: body["metadata"][key] for key in kept} | {"name": prefix + body["metadata"]["name"]}}
            for body in found
        ]
        self.apply(*renamed)
        self.settle()
        for body in found:
            self.administrator.delete(*_POLICY, name=body["metadata"]["name"], namespace=namespace)
        self.settle()
        return [body["metadata"]["name"] for body in renamed]

    def await_gone(self, namespace: str, policies: Sequence[str]) -> None:
        """Until none of these policies is there any more, and the enforcer knows."""
        _await(lambda: not self.policies(namespace) & {*policies}, complaint=lambda: "the policies stay")
        self.settle()

    def await_open(self, namespace: str) -> None:
        """Until the namespace has no policies any more, and the enforcer knows."""
        _await(lambda: not self.policies(namespace), complaint=lambda: "policies stay")
        self.settle()

    def policies(self, namespace: str) -> set[str]:
        """The names of the NetworkPolicies that stand in a namespace."""
        return {body["metadata"]["name"] for body in self.administrator.list(*_POLICY, namespace=namespace)}

    def wait_ready(self, name: str, *, namespace: str) -> None:
        """Until an AppConnectivity object is Ready as it is now."""
        _await(lambda: self._is_ready(name, namespace), complaint=lambda: f"{namespace}/{name} does not become Ready")

    def plug(self, ends: list[tuple[str, tuple[str, ...]]], *, ports: Sequence[int]) -> None:
        """Adds ends, which answer on these ports."""
        first, self._count = self._count, self._count + len(ends)
        made = plug(self.node, ends, first=first)
        self.ends |= {end.ref: end for end in made}
        self.traffic.serve(made, ports=ports)

    def knock(self, knocks: Collection[Knock]) -> frozenset[Knock]:
        """Tries all at once, each as a new connection; returns those that the right end has answered.

        What came from the same port a minute ago, by chance, would be let through as a part of that connection.
        """
        subprocess.run(["conntrack", "-F"], capture_output=True, check=True)
        return frozenset(self.traffic.knock(knocks))

    def settle(self) -> None:
        """Waits until the enforcer has done all that was written before: a sync that began when it had seen it all, and
        then quiet. Its watches are not in step, so a mark is seen in each."""
        start = self._log_size()
        self._ticks += 1
        self.apply(*_marks(tick=str(self._ticks)))
        _await(
            lambda: self._is_quiet(since=start),
            complaint=lambda: f"the enforcer does not settle:\n{processes.tail(self._log)}",
        )

    def _start(self) -> None:
        for line in (*(f"addr add {ip} dev lo" for ip in NODE_IPS), "link set lo up"):
            subprocess.run(["ip", *line.split()], check=True)
        for name, value in _SYSCTLS.items():
            if Path("/proc/sys", name).exists():  # not every kernel has all of them
                Path("/proc/sys", name).write_text(value)
        self.plane = self._stack.enter_context(ControlPlane(advertised="172.18.0.2", api_port=6443))
        self.administrator = Administrator(self.plane.kubeconfig, cache=self.plane.directory / "kinds.json")
        self.apply({"apiVersion": "v1", "kind": "Node", "metadata": {"name": NODE}})
        addresses = [{"type": "InternalIP", "address": ip} for ip in NODE_IPS]
        status = json.dumps({"status": {"addresses": addresses}})  # two of one type: more than apply can tell apart
        self.plane.kubectl("patch", "node", NODE, "--subresource=status", "--type=merge", "-p", status)
        self._log = self.plane.directory / "kube-router.log"
        router = processes.start([self._router, *_router_flags(self.plane.kubeconfig)], log=self._log)
        self._stack.callback(processes.stop, router, grace=3)
        self.apply(_pod(_MARK))
        self.apply(_pod(_MARK) | {"status": _status(_MARK)}, subresource="status")
        self.settle()

    def _is_ready(self, name: str, namespace: str) -> bool:
        body = self.administrator.get(*_APP_CONNECTIVITY, name=name, namespace=namespace)
        conditions = body.get("status", {}).get("conditions", ())
        wanted = {"type": "Ready", "status": "True", "observedGeneration": body["metadata"]["generation"]}
        return any(wanted.items() <= condition.items() for condition in conditions)

    def _unplug(self, refs: Iterable[str]) -> None:
        gone = [self.ends.pop(ref) for ref in refs]
        self.traffic.forget(end.ref for end in gone)
        for end in gone:
            end.netns.close()

    def _made(self, api_version: str, kind: str) -> list[dict[str, Any]]:
        """The metadata of all of this kind but what belongs to the lab."""
        found = [body["metadata"] for body in self.administrator.list(api_version, kind)]
        return [metadata for metadata in found if (metadata.get("namespace"), metadata["name"]) not in _STAYING]

    def _log_size(self) -> int:
        return self._log.stat().st_size if self._log.exists() else 0

    def _is_quiet(self, *, since: int) -> bool:
        """True where a whole sync stands in the log behind ``since`` and no other is under way or was a moment ago."""
        if time.time() - self._log.stat().st_mtime < _QUIET_SECONDS:
            return False
        with self._log.open("rb") as file:
            file.seek(since)
            text = file.read().decode(errors="replace")
        if not all(mark in text for mark in _SEEN):
            return False
        syncs = re.findall(rf"{_SYNC_STARTS}|{_SYNC_ENDS}", text[max(map(text.index, _SEEN)) :])
        return _SYNC_STARTS in syncs and syncs[-1] == _SYNC_ENDS


def unable() -> str:
    """Why the lab can't run here, in a sentence; empty where it can."""
    if os.uname().sysname != "Linux" or os.geteuid() != 0:
        return "the wire lab needs root on Linux, to make network namespaces"
    missing = [name for name in PROGRAMS if shutil.which(name) is None]
    if missing:
        return f"the wire lab needs {', '.join(missing)}: on Debian, apt-get install iproute2 iptables ipset conntrack"
    try:
        Netns().close()
    except OSError as error:
        return f"the wire lab can't make network namespaces: {error}"
    return ""


def _await(is_done: Callable[[], bool], *, complaint: Callable[[], str]) -> None:
    end = time.monotonic() + _SETTLE_SECONDS
    while not is_done():
        if time.monotonic() > end:
            raise RuntimeError(complaint())
        time.sleep(0.02)


def _router_flags(kubeconfig: Path) -> Iterable[str]:
    return (
        "--run-router=false",
        "--run-service-proxy=false",
        "--run-loadbalancer=false",
        "--run-firewall=true",
        "--enable-cni=false",
        f"--kubeconfig={kubeconfig}",
        f"--hostname-override={NODE}",
        "--service-cluster-ip-range=10.96.0.0/16",
        "--service-node-port-range=30000-32767",
        "--enable-ipv4=true",
        "--enable-ipv6=true",
        "--service-cluster-ip-range=fd00:96::/112",
        "--health-port=0",
        "--iptables-sync-period=5m",
        "-v=2",
    )


def _marks(*, tick: str) -> Iterable[dict[str, Any]]:
    metadata = {"name": _MARK.name, "namespace": _MARK.namespace, "labels": {"lab-tick": tick}}
    yield {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "default", "labels": {"lab-tick": tick}}}
    yield _pod(replace(_MARK, labels={"lab-tick": tick}))
    spec = {"podSelector": {"matchLabels": {"lab": "nobody"}}, "policyTypes": ["Ingress"]}
    yield {"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": metadata, "spec": spec}


def _pod(pod: Pod) -> dict[str, Any]:
    ports = [
        {"name": name, "protocol": protocol, "containerPort": number} for name, (protocol, number) in pod.ports.items()
    ]
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"namespace": pod.namespace, "name": pod.name, "labels": dict(pod.labels)},
        "spec": {"nodeName": NODE, "containers": [{"name": "main", "image": "none", "ports": ports}]},
    }


def _status(pod: Pod) -> dict[str, Any]:
    """As a kubelet reports a pod that runs; without hostIP kube-router would silently leave it alone."""
    return {
        "phase": "Running",
        "hostIP": NODE_IPS[0],
        "hostIPs": [{"ip": ip} for ip in NODE_IPS],
        "podIP": pod.ips[0],
        "podIPs": [{"ip": ip} for ip in pod.ips],
        "conditions": [{"type": "Ready", "status": "True"}],
    }
