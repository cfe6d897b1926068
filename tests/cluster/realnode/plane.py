"""A control plane for a cluster with a node, and that node's programs. To be run inside the node's namespaces."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from cluster import binaries, processes
from cluster.controlplane import ControlPlane
from cluster.realnode import images, layout, settings

_ADDONS = Path(__file__).with_name("addons.yaml")
_READY_SECONDS = 90
# Clients of the API server: the name and the group that Kubernetes' own roles are bound to.
_CLIENTS = {
    "kube-scheduler": ("system:kube-scheduler", ""),
    "kube-proxy": ("system:kube-proxy", ""),
    "kubelet": (f"system:node:{layout.NODE}", "system:nodes"),
    "kube-router": ("kube-router", ""),
}


class ClusterWithNode(ControlPlane):
    """Ready for pods when constructed: the node is Ready, the enforcer and the DNS run."""

    def __init__(self) -> None:
        self._programs = {
            name: path for group in ("node", "enforcer", "agent") for name, path in binaries.programs(group).items()
        }
        super().__init__(advertised=layout.NODE_ADDRESS, api_port=layout.API_PORT)
        try:
            self._start_node()
        except BaseException:
            self.close()
            raise

    def watch(self) -> None:
        """Returns never; raises StartFailed when a program ends."""
        while True:
            self._require_all_running()
            time.sleep(1)

    def _start_node(self) -> None:
        settings.write_all(self.directory, client_ca=self.ca_file)
        self._start_program("containerd", "--config", self.directory / "containerd.toml")
        self._wait(lambda: self._ctr("version").returncode == 0, what="containerd answers")
        self._import_images()
        self.kubectl("apply", "-f", _ADDONS)
        self._start_program("kube-scheduler", self._kubeconfig("kube-scheduler"), "--leader-elect=false")
        self._start_program("kubelet", *self._kubelet_flags())
        self._wait(self._node_is_ready, what="the node is Ready")
        self._start_program("kube-proxy", f"--config={self.directory / 'kube-proxy.yaml'}")
        self._start_program("kube-router", *self._enforcer_flags())
        self._wait(self._dns_is_available, what="the DNS is available")

    def _start_program(self, name: str, *flags: str | Path) -> None:
        places = [str(self._programs["containerd"].parent), os.environ["PATH"]]
        self._processes[name] = processes.start(
            [self._programs[name], *flags],
            log=self.directory / f"{name}.log",
            environment=os.environ | {"PATH": os.pathsep.join(places)},
        )

    def _import_images(self) -> None:
        agent = {"pause": self._programs["agent"], "agent": self._programs["agent"]}
        for name, program in (agent | {"coredns": self._programs["coredns"]}).items():
            archive = self.directory / f"{name}.tar"
            config = {"Cmd": ["pause"]} if name == "pause" else {}
            images.of_program(archive, name=f"local/{name}:1", program=program, config=config)
            done = self._ctr("--namespace=k8s.io", "images", "import", "--local", str(archive))
            if done.returncode:
                raise RuntimeError(f"importing the image {name}: {done.stderr.strip()}")

    def _ctr(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        command = [str(self._programs["ctr"]), f"--address={layout.CONTAINERD_SOCKET}", *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    def _node_is_ready(self) -> bool:
        path = '{.status.conditions[?(@.type=="Ready")].status}'
        return self._jsonpath("node", layout.NODE, path=path) == "True"

    def _dns_is_available(self) -> bool:
        path = "{.status.availableReplicas}"
        return self._jsonpath("deployment/coredns", "--namespace=kube-system", path=path) == "1"

    def _jsonpath(self, *arguments: str, path: str) -> str:
        return self.kubectl("get", *arguments, "-o", f"jsonpath={path}", check=False).stdout

    def _wait(self, check: Callable[[], bool], *, what: str) -> None:
        end = time.monotonic() + _READY_SECONDS
        while not check():
            self._require_all_running()
            if time.monotonic() > end:
                raise RuntimeError(f"not within {_READY_SECONDS} s: {what}; the logs are in {self.directory}")
            time.sleep(0.1)

    def _kubeconfig(self, client: str) -> str:
        return f"--kubeconfig={self.directory / client}.kubeconfig"

    def _prepare(self) -> None:
        super()._prepare()
        self._kubelet_client = self._authority.issue("kube-apiserver-kubelet-client", group="system:masters")

    def _start(self) -> None:
        super()._start()
        for program, (name, group) in _CLIENTS.items():
            certificate, key = self._authority.issue(name, group=group)
            user = {"client-certificate": str(certificate), "client-key": str(key)}
            self._write_kubeconfig(self.directory / f"{program}.kubeconfig", user=user)

    def _apiserver_flags(self) -> list[str]:
        certificate, key = self._kubelet_client
        return _replaced(
            super()._apiserver_flags(),
            {
                "--bind-address": "0.0.0.0",
                "--authorization-mode": "Node,RBAC",
                "--disable-admission-plugins": None,
                "--enable-admission-plugins": "NodeRestriction",
                "--kubelet-client-certificate": str(certificate),
                "--kubelet-client-key": str(key),
                # Else it asks a DNS for the node's name, and waits.
                "--kubelet-preferred-address-types": "InternalIP",
            },
        )

    def _controller_flags(self) -> list[str]:
        return _replaced(
            super()._controller_flags(),
            {
                "--controllers": "*",
                "--use-service-account-credentials": "true",
                "--service-account-private-key-file": str(self._signing_key),
                "--root-ca-file": str(self.ca_file),
                "--allocate-node-cidrs": "true",
                "--cluster-cidr": layout.POD_NETWORK,
            },
        )

    def _kubelet_flags(self) -> list[str]:
        return [
            self._kubeconfig("kubelet"),
            f"--config={self.directory / 'kubelet.yaml'}",
            f"--hostname-override={layout.NODE}",
            f"--node-ip={layout.NODE_ADDRESS}",
        ]

    def _enforcer_flags(self) -> list[str]:
        return [
            self._kubeconfig("kube-router"),
            "--run-router=false",
            "--run-service-proxy=false",
            "--run-loadbalancer=false",
            "--run-firewall=true",
            "--enable-cni=false",
            f"--hostname-override={layout.NODE}",
            f"--service-cluster-ip-range={layout.SERVICE_NETWORK}",
            "--health-port=0",
            "--metrics-port=0",
            "-v=1",
        ]


def _replaced(flags: list[str], changes: dict[str, str | None]) -> list[str]:
    """The flags with others' values; None takes a flag away."""
    kept = [flag for flag in flags if flag.partition("=")[0] not in changes]
    return [*kept, *(f"{name}={value}" for name, value in changes.items() if value is not None)]
