"""Every sample on the real API server: the operator writes what ``render`` prints, and cleans up after it."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from cluster.controlplane import ADVERTISED, ControlPlane
from cluster.operator import ROOT, Operator, install
from e2e.conftest import eventually

SAMPLES = ROOT / "manifests" / "samples"
GOLDEN = ROOT / "tests" / "golden"
NAMES = sorted(path.stem for path in SAMPLES.glob("*.yaml"))
PROGRAM = Path(sys.executable).with_name("appconnectivity")

# What the API server adds to every object.
_ADDED = ("creationTimestamp", "generation", "managedFields", "ownerReferences", "resourceVersion", "uid")
# As every cluster has it, and as ``render`` assumes it.
_DNS = """
apiVersion: v1
kind: Service
metadata: {name: kube-dns, namespace: kube-system}
spec:
  selector: {k8s-app: kube-dns}
  ports: [{name: dns, port: 53, protocol: UDP}, {name: dns-tcp, port: 53, protocol: TCP}]
"""

# Flows whose point is that they are not open.
NOT_ACTIVE = {"audit": {"frontend-to-api": "NotWritten"}, "expiring-flow": {"auditor": "Expired"}}

Body = dict[str, Any]


@pytest.fixture(scope="module")
def plane() -> Iterator[ControlPlane]:
    """One of its own: the samples share namespaces with each other, and with nobody else."""
    with ControlPlane() as own:
        install(own)
        own.kubectl("apply", "-f", "-", input=_DNS)
        running = Operator(own)
        running.wait_ready()
        yield own
        assert running.stop()[0] == 0


@pytest.fixture(params=NAMES)
def sample(request: pytest.FixtureRequest, plane: ControlPlane) -> Iterator[str]:
    """The name of a sample that is applied now; afterwards its objects are gone, and its policies with them."""
    name = str(request.param)
    plane.kubectl("apply", "-f", SAMPLES / f"{name}.yaml")
    yield name
    for kind in ("appconn", "endpointslices,services"):
        places = {body["metadata"]["namespace"] for body in of_sample(name) if "namespace" in body["metadata"]}
        for place in places:
            plane.kubectl("delete", kind, "--all", "-n", place)
    eventually(lambda: not policies(plane), what="the policies are gone")


def of_sample(name: str, *, kind: str = "") -> list[Body]:
    bodies: list[Body] = list(yaml.safe_load_all((SAMPLES / f"{name}.yaml").read_text()))
    return [body for body in bodies if kind in ("", body["kind"])]


def listed(plane: ControlPlane, kind: str, *options: str) -> list[Body]:
    items: list[Body] = json.loads(plane.kubectl("get", kind, *options, "-o", "json").stdout)["items"]
    return items


def policies(plane: ControlPlane) -> list[Body]:
    """All policies of the operator as they stand, without what the API server adds."""
    bodies = listed(plane, "networkpolicies", "-A", "-l", "app.kubernetes.io/managed-by=appconnectivity")
    return [bare(body) for body in bodies]


def not_active(plane: ControlPlane) -> dict[str, str]:
    """The states of flows that are not open, by name."""
    rows = [row for body in listed(plane, "appconn", "-A") for row in body["status"]["flows"]]
    return {row["name"]: row["state"] for row in rows if row["state"] != "Active"}


def bare(body: Body) -> Body:
    return body | {"metadata": {key: value for key, value in body["metadata"].items() if key not in _ADDED}}


def in_order(bodies: list[Body]) -> list[Body]:
    return sorted(bodies, key=lambda body: (body["metadata"]["namespace"], body["metadata"]["name"]))


def expected(plane: ControlPlane, name: str, tmp_path: Path) -> list[Body]:
    """The golden policies; where the API server's own address is part of them, what ``render`` says of this one's."""
    if name != "api-server":
        return [body for body in yaml.safe_load_all((GOLDEN / name / "policies.yaml").read_text()) if body]
    slices = tmp_path / "slices.yaml"
    slices.write_text(plane.kubectl("get", "endpointslice", "kubernetes", "-n", "default", "-o", "yaml").stdout)
    printed = render("-f", str(SAMPLES / f"{name}.yaml"), "-f", str(slices)).stdout
    assert f"cidr: {ADVERTISED}/32" in printed
    return list(yaml.safe_load_all(printed))


def render(*words: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run([PROGRAM, "render", *words], input=stdin, capture_output=True, text=True, check=False)


def test_the_operator_writes_what_render_prints(plane: ControlPlane, sample: str, tmp_path: Path) -> None:
    for body in of_sample(sample, kind="AppConnectivity"):
        name, namespace = (body["metadata"][key] for key in ("name", "namespace"))
        plane.kubectl("wait", "--for=condition=Ready", f"appconn/{name}", "-n", namespace, "--timeout=15s")

    assert in_order(policies(plane)) == in_order(expected(plane, sample, tmp_path))
    # An object may be Ready before the one whose grant its flow waits for.
    eventually(lambda: not_active(plane) == NOT_ACTIVE.get(sample, {}))


@pytest.mark.parametrize("name", [name for name in NAMES if name != "api-server"])
def test_the_program_renders_a_sample_as_it_stands_in_the_golden_file(name: str) -> None:
    done = render("-f", str(SAMPLES / f"{name}.yaml"))

    assert done.returncode == 0, done.stderr
    assert done.stdout == (GOLDEN / name / "policies.yaml").read_text()


def test_what_needs_the_cluster_is_named_on_stderr() -> None:
    lines = render("-f", str(SAMPLES / "api-server.yaml")).stderr.splitlines()

    assert [line.partition(":")[0] for line in lines] == ["needs the cluster"] * 3
    assert "its DNS Service; the conventional one (kube-system, k8s-app=kube-dns, 53) is assumed" in lines[0]
    assert "metadata.ownerReferences" in lines[1]
    assert "shop/shop flow controller-to-kube-api-server: Service default/kubernetes has no endpoints" in lines[2]


def test_json_says_the_same_as_yaml() -> None:
    printed = [render("-f", str(SAMPLES / "shop.yaml"), "-o", form).stdout for form in ("json", "yaml")]

    assert json.loads(printed[0])["items"] == list(yaml.safe_load_all(printed[1]))


def test_files_may_come_from_stdin() -> None:
    done = render("-f", "-", stdin=(SAMPLES / "shop.yaml").read_text())

    assert (done.returncode, done.stdout) == (0, (GOLDEN / "shop" / "policies.yaml").read_text())


def test_a_directory_is_all_of_its_files(tmp_path: Path) -> None:
    for name, text in (("a.yaml", _object("a", namespace="one")), ("b.json", _object("b", namespace="two"))):
        (tmp_path / name).write_text(text)
    (tmp_path / "notes.txt").write_text("not read: [")

    done = render("-f", str(tmp_path))

    assert done.returncode == 0, done.stderr
    assert {body["metadata"]["namespace"] for body in yaml.safe_load_all(done.stdout)} == {"one", "two"}


def _object(name: str, *, namespace: str = "shop", flows: str = "[]", more: str = "") -> str:
    """As JSON, which is YAML too; ``more`` is text of the spec."""
    header = '"apiVersion": "appconnectivity.io/v1alpha1", "kind": "AppConnectivity"'
    metadata = f'"metadata": {{"name": "{name}", "namespace": "{namespace}"}}'
    return f'{{{header},\n{metadata},\n"spec": {{"flows": {flows}{more}}}}}\n'


_FLOW = '[\n{"from": {"app": "web"},\n"to": {"app": "api"},\n"ports": [%s]}]'


@pytest.mark.parametrize(
    ("text", "line", "said"),
    [
        pytest.param(
            _object("shop", flows=_FLOW % 70000), 6, "spec.flows[0].ports[0]: '70000': a port must be", id="port"
        ),
        pytest.param(_object("shop", flows=_FLOW % '"a\\n"'), 6, "spec.flows[0].ports[0]: ", id="newline"),
        pytest.param(_object("shop", more=',\n"mod": "Audit"'), 4, "spec.mod: ", id="unknown-field"),
        pytest.param(_object("shop", more=',\n"mode": "audit"'), 4, "spec.mode: ", id="unknown-value"),
        pytest.param(_object("appconnectivity"), 2, "metadata.name: must be 1 to 63 characters", id="reserved-name"),
        pytest.param(
            _object("a") + "---\n" + _object("a"), 6, "metadata.name: AppConnectivity shop/a stands", id="twice"
        ),
        pytest.param(_object("a").replace("v1alpha1", "v2"), 1, "apiVersion: must be", id="unknown-version"),
        pytest.param("kind: AppConnectivity\nspec: [", 2, "not YAML: ", id="no-yaml"),
    ],
)
def test_bad_input_ends_with_1_and_file_line_and_field(tmp_path: Path, text: str, line: int, said: str) -> None:
    file = tmp_path / "shop.yaml"
    file.write_text(text)

    done = render("-f", str(file))

    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(f"{file}:{line}: {said}")
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    "words",
    [
        pytest.param((), id="no-file"),
        pytest.param(("-f", "x", "-o", "xml"), id="unknown-form"),
        pytest.param(("-f", "x", "--nope"), id="unknown-option"),
    ],
)
def test_wrong_usage_ends_with_2_and_says_how(words: tuple[str, ...]) -> None:
    done = render(*words)

    assert (done.returncode, done.stdout) == (2, "")
    assert "usage: appconnectivity render" in done.stderr
