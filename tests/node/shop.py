"""A sample application of real pods, and words to see who reaches whom in it."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from subprocess import PIPE, Popen
from typing import Any

import yaml

from cluster.realnode import layout
from cluster.realnode.node import RealNode

NAMESPACE, ELSEWHERE = "shop", "elsewhere"
PODS = {"frontend": NAMESPACE, "api": NAMESPACE, "db": NAMESPACE, "stranger": ELSEWHERE}
PORTS = (8080, 9090)
# Where a Service has its port, and who answers there.
SERVICES = {f"api.{NAMESPACE}:80": "api", f"db.{NAMESPACE}:5432": "db"}
OUTSIDE = f"{layout.OUTSIDE_ADDRESS}:{layout.OUTSIDE_PORT}"
API_SERVER = "10.96.0.1:443"
_OBJECTS = Path(__file__).with_name("shop.yaml")
_SECURITY = {
    "allowPrivilegeEscalation": False,
    "readOnlyRootFilesystem": True,
    "runAsNonRoot": True,
    "capabilities": {"drop": ["ALL"]},
    "seccompProfile": {"type": "RuntimeDefault"},
}
# The one connection where what answers can't be told by name: TLS, where plain HTTP was spoken.
_TLS_ANSWER = "Client sent an HTTP request to an HTTPS server."

CONNECTIVITY = {
    "apiVersion": "appconnectivity.io/v1alpha1",
    "kind": "AppConnectivity",
    "metadata": {"name": "shop", "namespace": NAMESPACE},
    "spec": {
        "flows": [
            {"from": {"app": "frontend"}, "to": {"service": "api"}},
            {"from": {"app": "api"}, "to": {"service": "db"}},
        ]
    },
}


@dataclass(frozen=True)
class Load:
    """What came of connections that were opened every few milliseconds."""

    tried: int
    failed: int
    longest_ms: int
    answers: dict[str, int]
    failures: dict[str, int]


@dataclass(frozen=True)
class Shop:
    node: RealNode

    def install(self) -> None:
        """Returns when all its pods are ready."""
        bodies = [*yaml.safe_load_all(_OBJECTS.read_text()), *(_deployment(app) for app in PODS)]
        self.node.kubectl("apply", "-f", "-", input=yaml.safe_dump_all(bodies))
        for app, namespace in PODS.items():
            self.node.kubectl("rollout", "status", f"deployment/{app}", "-n", namespace, "--timeout=60s")

    def connect(self) -> None:
        """Declares who talks to whom; returns when the operator has made it so."""
        self.node.kubectl("apply", "-f", "-", input=yaml.safe_dump(CONNECTIVITY))
        self.node.kubectl("wait", "--for=condition=Ready", "appconn/shop", "-n", NAMESPACE, "--timeout=30s")

    def disconnect(self) -> None:
        self.node.kubectl("delete", "appconn", "--all", "-n", NAMESPACE)

    def pods(self, app: str) -> list[dict[str, Any]]:
        done = self.node.kubectl("get", "pods", "-n", PODS[app], "-l", f"app={app}", "-o", "json")
        bodies: list[dict[str, Any]] = json.loads(done.stdout)["items"]
        return [body for body in bodies if "deletionTimestamp" not in body["metadata"]]

    def ask(self, app: str, addresses: Iterable[str]) -> dict[str, str]:
        """What each address (host:port) answers a pod of ``app``: a name, or ``refused``, ``timeout``, ..."""
        done = self.node.kubectl("exec", "-n", PODS[app], f"deployment/{app}", "--", "/agent", "probe", *addresses)
        found: dict[str, str] = json.loads(done.stdout)
        return found

    def reachable(self) -> dict[tuple[str, str], str]:
        """Everything asked of everybody at once: (app, address) and what answered."""
        addresses = self.addresses()
        with ThreadPoolExecutor() as pool:
            answers = pool.map(lambda app: self.ask(app, addresses[app]), PODS)
            by_app = dict(zip(PODS, answers, strict=True))
        return {(app, address): said for app, all_said in by_app.items() for address, said in all_said.items()}

    def addresses(self) -> dict[str, dict[str, str]]:
        """For each app the addresses of all others, and who is to answer there."""
        everywhere = {OUTSIDE: layout.OUTSIDE, API_SERVER: _TLS_ANSWER}
        places = {
            f"{pod['status']['podIP']}:{port}": app for app in PODS for pod in self.pods(app) for port in PORTS
        } | SERVICES
        return {app: everywhere | {place: of for place, of in places.items() if of != app} for app in PODS}

    def load(self, app: str, address: str) -> LoadInProgress:
        """Connections from a pod of ``app``, a new one every few milliseconds."""
        command = self.node.kubectl_command(
            "exec", "-i", "-n", PODS[app], f"deployment/{app}", "--", "/agent", "load", address
        )
        return LoadInProgress(Popen(command, stdin=PIPE, stdout=PIPE, stderr=PIPE, text=True))


class LoadInProgress:
    """Opens connections until ``end``."""

    def __init__(self, process: Popen[str]) -> None:
        self._process = process

    def end(self) -> Load:
        stdout, stderr = self._process.communicate(timeout=30)
        assert self._process.returncode == 0, stderr
        return Load(**json.loads(stdout))


def eventually(check: Callable[[], Any], *, expected: Any, within: float = 20) -> None:
    """Enforcers and proxies follow after a moment. Fails with the difference after ``within`` seconds."""
    end = time.monotonic() + within
    while (found := check()) != expected and time.monotonic() < end:
        time.sleep(0.2)
    assert found == expected


def _deployment(app: str) -> dict[str, Any]:
    labels = {"app": app}
    probe = {"httpGet": {"path": "/", "port": PORTS[0]}, "periodSeconds": 1, "timeoutSeconds": 2}
    container = {
        "name": "agent",
        "image": "local/agent:1",
        "imagePullPolicy": "Never",
        "args": ["serve", app, *map(str, PORTS)],
        "securityContext": _SECURITY,
        "readinessProbe": probe,
        "livenessProbe": probe,
        # A pod that ends is still asked until kube-proxy has heard of it: it goes on answering that long.
        "lifecycle": {"preStop": {"exec": {"command": ["/agent", "sleep", "3s"]}}},
    }
    spec = {"containers": [container], "automountServiceAccountToken": False, "terminationGracePeriodSeconds": 10}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": app, "namespace": PODS[app]},
        "spec": {
            "replicas": 2 if app == "api" else 1,
            "strategy": {"rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1}},
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": spec},
        },
    }
