"""The test bed itself: it starts, does what tests rely on, and leaves nothing behind, however it ends."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from cluster import binaries, processes
from cluster.controlplane import ADVERTISED, ControlPlane, StartFailed
from cluster.wire import lab

TESTS = Path(__file__).parent
PROGRAMS = {"etcd", "kube-apiserver", "kube-controller-manager"}
OWNER = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: owner}"
OWNED = """
apiVersion: v1
kind: ConfigMap
metadata:
  name: owned
  ownerReferences: [{apiVersion: v1, kind: ConfigMap, name: owner, uid: UID}]
"""


def is_running(pid: int) -> bool:
    """A zombie has ended: in a container without an init nobody may collect it."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def wait_for(check: Callable[[], bool], *, seconds: float = 20) -> bool:
    end = time.monotonic() + seconds
    while not check():
        if time.monotonic() > end:
            return False
        time.sleep(0.05)
    return True


def children(pid: int) -> list[int]:
    text = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    return [int(word) for word in text.split()]


@contextmanager
def plane_of_another_process() -> Iterator[tuple[subprocess.Popen[str], Path, list[int]]]:
    """``python -m cluster up``: the process, its folder, and the processes that it started."""
    environment = os.environ | {"PYTHONPATH": str(TESTS)}
    command = [sys.executable, "-m", "cluster", "up"]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            kubeconfig = Path(process.stdout.readline().removeprefix("export KUBECONFIG=").strip())
            yield process, kubeconfig.parent, children(process.pid)
        finally:
            process.kill()


def test_the_api_server_is_ready_and_its_endpoint_is_not_loopback(control_plane: ControlPlane) -> None:
    shown = control_plane.kubectl("get", "endpointslice", "kubernetes", "-o", "jsonpath={.endpoints[*].addresses}")

    assert set(control_plane.pids) == PROGRAMS
    assert control_plane.kubectl("get", "--raw", "/readyz").stdout == "ok"
    assert shown.stdout == f'["{ADVERTISED}"]'


def test_an_object_goes_with_its_owner(control_plane: ControlPlane, namespace: str) -> None:
    control_plane.kubectl("apply", "-n", namespace, "-f", "-", input=OWNER)
    uid = control_plane.kubectl("get", "configmap", "owner", "-n", namespace, "-o", "jsonpath={.metadata.uid}").stdout
    control_plane.kubectl("apply", "-n", namespace, "-f", "-", input=OWNED.replace("UID", uid))

    control_plane.kubectl("delete", "configmap", "owner", "-n", namespace)

    control_plane.kubectl("wait", "--for=delete", "configmap/owned", "-n", namespace, "--timeout=30s")


def test_a_deleted_namespace_goes_away(control_plane: ControlPlane) -> None:
    control_plane.kubectl("create", "namespace", "short-lived")

    control_plane.kubectl("delete", "namespace", "short-lived", "--timeout=30s")

    assert control_plane.kubectl("get", "namespace", "short-lived", check=False).returncode == 1


def test_a_service_account_has_only_its_own_rights(control_plane: ControlPlane, namespace: str) -> None:
    control_plane.kubectl("create", "serviceaccount", "nobody", "-n", namespace)
    kubeconfig = control_plane.kubeconfig_for_service_account(namespace, "nobody")

    refused = control_plane.kubectl("get", "pods", "-n", namespace, kubeconfig=kubeconfig, check=False)

    assert f'User "system:serviceaccount:{namespace}:nobody" cannot list resource "pods"' in refused.stderr


def test_writes_are_counted_at_the_api_server_for_each_user(control_plane: ControlPlane, namespace: str) -> None:
    control_plane.kubectl("create", "serviceaccount", "writer", "-n", namespace)
    control_plane.kubectl(
        *("create", "rolebinding", "writer", "--clusterrole=edit", "-n", namespace),
        f"--serviceaccount={namespace}:writer",
    )
    kubeconfig = control_plane.kubeconfig_for_service_account(namespace, "writer")
    control_plane.kubectl("get", "configmaps", "-n", namespace, kubeconfig=kubeconfig)

    control_plane.kubectl("create", "configmap", "mine", "-n", namespace, kubeconfig=kubeconfig)

    user = f"system:serviceaccount:{namespace}:writer"
    writes = [(event["verb"], event["objectRef"]["name"]) for event in control_plane.writes(user=user)]
    assert writes == [("create", "mine")]
    assert control_plane.writes(user=user, since=1) == []
    assert "list" in {event["verb"] for event in control_plane.audit_events(user=user)}


def test_two_at_once_do_not_clash_and_nothing_is_left_of_a_closed_one(control_plane: ControlPlane) -> None:
    with ControlPlane() as second:
        pids = second.pids.values()
        second.kubectl("create", "namespace", "only-in-the-second")

        assert second.url != control_plane.url
        assert control_plane.kubectl("get", "namespace", "only-in-the-second", check=False).returncode == 1
    assert not second.directory.exists()
    assert not any(is_running(pid) for pid in pids)
    assert control_plane.kubectl("get", "--raw", "/readyz").stdout == "ok"


def test_the_api_server_comes_back_with_its_data_on_the_same_address() -> None:
    with ControlPlane() as plane:
        plane.kubectl("create", "namespace", "kept")
        url = plane.url

        plane.stop_apiserver()
        assert plane.kubectl("get", "namespace", "kept", check=False).returncode == 1
        plane.start_apiserver()

        assert plane.url == url
        assert plane.kubectl("get", "namespace", "kept", "-o", "name").stdout == "namespace/kept\n"
        assert set(plane.pids) == PROGRAMS


def test_a_failure_inside_leaves_nothing() -> None:
    plane = ControlPlane()
    pids = plane.pids.values()

    with pytest.raises(ZeroDivisionError), plane:
        raise ZeroDivisionError

    assert not plane.directory.exists()
    assert not any(is_running(pid) for pid in pids)


@pytest.mark.parametrize(
    ("ended_by", "cleans_up"),
    [
        pytest.param(signal.SIGINT, True, id="Ctrl-C"),
        pytest.param(signal.SIGTERM, True, id="terminated"),
        pytest.param(signal.SIGKILL, False, id="killed"),
    ],
)
def test_no_process_outlives_its_owner(ended_by: signal.Signals, cleans_up: bool) -> None:
    with plane_of_another_process() as (process, directory, pids):
        process.send_signal(ended_by)
        process.wait(timeout=30)

    assert len(pids) == len(PROGRAMS)
    assert wait_for(lambda: not any(is_running(pid) for pid in pids), seconds=5)
    assert directory.exists() is not cleans_up
    subprocess.run(["rm", "-rf", directory], check=True)


def test_a_port_that_was_taken_meanwhile_is_chosen_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    free_ports, asked = processes.free_ports, []
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()

        def with_a_taken_port_at_first(count: int) -> list[int]:
            asked.append(count)
            first = [taken.getsockname()[1]] if len(asked) == 1 else []
            return (first + free_ports(count))[:count]

        monkeypatch.setattr(processes, "free_ports", with_a_taken_port_at_first)
        with ControlPlane() as plane:
            assert plane.kubectl("get", "--raw", "/readyz").stdout == "ok"

    assert len(asked) == 2


def test_a_program_that_ends_at_start_is_shown_with_its_log(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ControlPlane, "_controller_flags", lambda _: ["--controllers=no-such-controller"])

    with pytest.raises(StartFailed, match=r"kube-controller-manager has ended:\n(.|\n)*no-such-controller"):
        ControlPlane()


def test_without_programs_and_go_one_sentence_says_what_to_do(tmp_path: Path) -> None:
    environment = {"PATH": str(tmp_path), "HOME": str(tmp_path), "PYTHONPATH": str(TESTS)}
    command = [sys.executable, "-m", "cluster", "build"]

    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=30, check=False)

    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr == (
        "etcd, kube-apiserver, kube-controller-manager, kubectl: not there, and no Go to build them: install Go 1.26 or"
        " newer, or set KUBEBUILDER_ASSETS to a folder that has them (setup-envtest fetches the control plane's)\n"
    )


def test_programs_of_kubebuilder_assets_come_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for tool in binaries.GROUPS["control-plane"]:
        (tmp_path / tool.name).touch(mode=0o755)
    monkeypatch.setenv("KUBEBUILDER_ASSETS", str(tmp_path))

    found = binaries.find()

    assert found.etcd == tmp_path / "etcd"
    assert found.kube_controller_manager == tmp_path / "kube-controller-manager"


def test_a_program_that_the_assets_lack_comes_from_the_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = binaries.find().kube_controller_manager
    for name in ("etcd", "kube-apiserver", "kubectl"):
        (tmp_path / name).touch(mode=0o755)
    monkeypatch.setenv("KUBEBUILDER_ASSETS", str(tmp_path))

    found = binaries.find()

    assert found.kube_apiserver == tmp_path / "kube-apiserver"
    assert found.kube_controller_manager == expected


def test_what_the_lab_needs_is_built_before_it_leaves_the_network(monkeypatch: pytest.MonkeyPatch) -> None:
    built: list[str] = []

    def programs(group: str) -> dict[str, Path]:
        built.append(group)
        return {tool.name: Path(tool.name) for tool in binaries.GROUPS[group]}

    def left() -> None:
        raise RuntimeError("left")

    monkeypatch.setattr(lab, "unable", lambda: "")
    monkeypatch.setattr(binaries, "programs", programs)
    monkeypatch.setattr(lab, "Netns", left)
    with pytest.raises(RuntimeError, match="left"):
        lab.WireLab()

    assert set(built) == {"control-plane", "enforcer"}
