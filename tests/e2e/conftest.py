"""The operator on a real API server, under its own service account, and words to talk to both."""

from __future__ import annotations

import itertools
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from appconnectivity.cluster.kinds import APP_CONNECTIVITY, ENDPOINT_SLICE, EVENT, NETWORK_POLICY, Kind
from cluster import processes
from cluster.controlplane import ControlPlane
from cluster.operator import Operator, install
from e2e.platform import Platform

_KINDS = {
    "appconn": APP_CONNECTIVITY,
    "configmap": Kind("/api/v1", "configmaps"),
    "endpointslice": ENDPOINT_SLICE,
    "networkpolicy": NETWORK_POLICY,
}
_NUMBERS = itertools.count(1)
WAIT_SECONDS = 15.0


@pytest.fixture(scope="session")
def installed() -> Iterator[ControlPlane]:
    """A control plane of their own: other tests' one has no operator, whichever of them come first."""
    with ControlPlane() as plane:
        install(plane)
        yield plane


@pytest.fixture(scope="session")
def shared_operator(installed: ControlPlane) -> Iterator[Operator]:
    running = Operator(installed)
    running.wait_ready()
    yield running
    code, _ = running.stop()

    assert code == 0, processes.tail(running.log)


@pytest.fixture
def operator(shared_operator: Operator) -> Operator:
    """The session's operator. A test that stops or kills one starts its own with ``stopped`` in between."""
    assert shared_operator.process.poll() is None, processes.tail(shared_operator.log)
    return shared_operator


@dataclass(frozen=True)
class Team:
    """A namespace of its own for one test, as its owner uses it."""

    plane: ControlPlane
    namespace: str

    def apply(self, *bodies: dict[str, Any], check: bool = True, namespace: str = "") -> str:
        """Applies objects with kubectl into this namespace (or another); returns what kubectl said."""
        text = yaml.safe_dump_all(bodies)
        done = self.plane.kubectl("apply", "-n", namespace or self.namespace, "-f", "-", input=text, check=check)
        return done.stdout + done.stderr

    def connect(self, name: str = "shop", *flows: dict[str, Any], **spec: Any) -> None:
        """Applies an AppConnectivity object with these flows."""
        self.apply(appconn(name, *flows, **spec))

    def get(self, kind: str, name: str, *, namespace: str = "") -> dict[str, Any]:
        """The object; empty where there is none."""
        return self.plane.rest.get(_KINDS[kind], namespace=namespace or self.namespace, name=name)

    def policies(self) -> dict[str, dict[str, Any]]:
        """The namespace's NetworkPolicies by name."""
        found = self.plane.rest.list(NETWORK_POLICY, namespace=self.namespace)
        return {body["metadata"]["name"]: body for body in found}

    def owners(self, policy: str) -> list[tuple[str, str]]:
        """Names and uids of a policy's owners; none where there is no such policy."""
        found = self.get("networkpolicy", policy).get("metadata", {}).get("ownerReferences", [])
        return [(owner["name"], owner["uid"]) for owner in found]

    def condition(self, name: str, kind: str) -> dict[str, Any]:
        body = self.get("appconn", name)
        found = [c for c in body.get("status", {}).get("conditions", []) if c["type"] == kind]
        return found[0] if found else {}

    def row(self, name: str, flow: str) -> dict[str, Any]:
        rows = self.get("appconn", name).get("status", {}).get("flows", [])
        return next((row for row in rows if row["name"] == flow), {})

    def delete(self, kind: str, name: str, *options: str) -> None:
        self.plane.kubectl("delete", kind, name, "-n", self.namespace, *options)

    def wait_ready(self, name: str = "shop") -> None:
        """As a user waits: this also demands that the present generation was observed."""
        self.plane.kubectl("wait", "-n", self.namespace, "--for=condition=Ready", f"appconn/{name}", "--timeout=15s")

    def events(self, reason: str) -> list[dict[str, Any]]:
        return [event for event in self.plane.rest.list(EVENT, namespace=self.namespace) if event["reason"] == reason]


@pytest.fixture
def new_team(installed: ControlPlane) -> Iterator[Callable[..., Team]]:
    made: list[str] = []

    def make(**labels: str) -> Team:
        name = f"team-{next(_NUMBERS)}"
        metadata = {"name": name, "labels": labels}
        installed.kubectl(
            "create", "-f", "-", input=yaml.safe_dump({"apiVersion": "v1", "kind": "Namespace", "metadata": metadata})
        )
        made.append(name)
        return Team(plane=installed, namespace=name)

    yield make
    if made:
        installed.kubectl("delete", "namespace", *made, "--wait=false")


@pytest.fixture
def team(new_team: Callable[..., Team]) -> Team:
    return new_team()


def appconn(name: str, *flows: dict[str, Any], **spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": "appconnectivity.io/v1alpha1",
        "kind": "AppConnectivity",
        "metadata": {"name": name},
        "spec": {"flows": list(flows), **spec},
    }


def flow(source: Any, destination: Any, *ports: int | str, **more: Any) -> dict[str, Any]:
    """A flow; a plain string is an app."""
    ends = [{"app": end} if isinstance(end, str) else end for end in (source, destination)]
    return {"from": ends[0], "to": ends[1], **({"ports": list(ports)} if ports else {}), **more}


def eventually(check: Callable[[], Any], *, within: float = WAIT_SECONDS, what: str = "") -> Any:
    """The first true answer of ``check``; fails with the last one after ``within`` seconds."""
    end = time.monotonic() + within
    while True:
        found = check()
        if found:
            return found
        assert time.monotonic() < end, f"not within {within} s: {what or check} (last: {found!r})"
        time.sleep(0.05)


@pytest.fixture
def nobody_at_work(shared_operator: Operator) -> Iterator[None]:
    """The session's operator is held still (SIGSTOP)."""
    shared_operator.process.send_signal(signal.SIGSTOP)
    yield
    shared_operator.process.send_signal(signal.SIGCONT)


@pytest.fixture
def installed_operator(nobody_at_work: None, installed: ControlPlane) -> Iterator[Callable[..., Operator]]:
    """Starts an operator of the test's own, with options, while the session's one is held still."""
    started: list[Operator] = []

    def start(*options: str, by: Callable[[Path], Path] = lambda path: path) -> Operator:
        running = Operator(installed, *options, name="own", by=by)
        started.append(running)
        running.wait_ready()
        return running

    yield start
    for running in started:
        if running.process.poll() is None:
            running.stop()


@pytest.fixture
def new_platform(installed: ControlPlane, operator: Operator) -> Iterator[Callable[[], Platform]]:
    """Makes templates of this test's own; they are gone when it ends."""
    made: list[Platform] = []

    def make() -> Platform:
        made.append(Platform(plane=installed, name=f"standard-{next(_NUMBERS)}"))
        return made[-1]

    yield make
    for platform in made:
        platform.delete("--ignore-not-found")


@pytest.fixture
def platform(new_platform: Callable[[], Platform]) -> Platform:
    return new_platform()
