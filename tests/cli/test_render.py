"""``render`` on files that people give it: what it refuses, where, and what it says that it can't know."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from appconnectivity.cli.render import arguments, render

HEAD = "apiVersion: appconnectivity.io/v1alpha1\nkind: AppConnectivity\nmetadata: {name: shop, namespace: shop}\n"


def run(tmp_path: Path, *texts: str, words: tuple[str, ...] = ()) -> tuple[int, str, str]:
    """Exit code, stdout and stderr for files with these texts."""
    for number, text in enumerate(texts):
        (tmp_path / f"{number}.yaml").write_text(text)
    output, errors = io.StringIO(), io.StringIO()
    code = render(arguments("render", ["-f", str(tmp_path), *words]), output=output, errors=errors)
    return code, output.getvalue(), errors.getvalue()


@pytest.mark.parametrize(
    ("text", "place", "message"),
    [
        pytest.param("spec:\n  mode: Enforced\n", "0.yaml:5:", "spec.mode", id="an-unknown-mode"),
        pytest.param(
            "spec:\n  flows:\n  - from: {app: a}\n    to: {app: b}\n    ports: [80/tcp]\n",
            "0.yaml:8:",
            "spec.flows[0].ports[0]: '80/tcp' is not a port",
            id="a-bad-port",
        ),
        pytest.param(
            "spec:\n  flows:\n  - from: {app: a}\n    to: {app: b}\n    prot: TCP\n    ports: [80]\n",
            "0.yaml:8:",
            "spec.flows[0].prot: this field is unknown",
            id="a-misspelled-field",
        ),
        pytest.param(
            "spec:\n  flows:\n  - from: {app: a}\n    to: {namespace: m, app: }\n    ports: [80]\n",
            "0.yaml:7:",
            "spec.flows[0].to.app: has no value",
            id="a-field-without-a-value-which-the-server-would-drop",
        ),
        pytest.param(
            "spec:\n  flows:\n  - form: {app: a}\n    to: {app: b}\n    ports: [80]\n",
            "0.yaml:6:",
            "spec.flows[0].form: this field is unknown",
            id="a-misspelled-field-that-is-needed",
        ),
        pytest.param("spec: [\n", "0.yaml:", "not YAML", id="no-yaml"),
    ],
)
def test_bad_input_is_named_with_file_line_and_field(tmp_path: Path, text: str, place: str, message: str) -> None:
    code, output, errors = run(tmp_path, HEAD + text)

    assert (code, output) == (1, "")
    assert place in errors
    assert message in errors


def test_a_file_without_an_object_is_refused(tmp_path: Path) -> None:
    code, _, errors = run(tmp_path, "kind: Service\nmetadata: {name: x}\n")

    assert code == 1
    assert "no AppConnectivity object" in errors


def test_what_needs_the_cluster_is_named_and_the_rest_is_printed(tmp_path: Path) -> None:
    flows = (
        "spec:\n  flows:\n  - {from: {app: a}, to: {service: db}}\n  - {from: {app: a}, to: {app: b}, ports: [80]}\n"
    )
    code, output, errors = run(tmp_path, HEAD + flows)

    assert code == 0
    assert "shop.a-to-b.egress" in output
    assert "shop.a-to-db" not in output
    assert "needs the cluster: shop/shop flow a-to-db: Service db is not there" in errors
    assert "its DNS Service" in errors


def test_services_of_the_same_files_are_used(tmp_path: Path) -> None:
    spec = "spec: {selector: {app: db}, ports: [{port: 80, targetPort: 5432}]}\n"
    service = f"apiVersion: v1\nkind: Service\nmetadata: {{name: db, namespace: shop}}\n{spec}"
    code, output, _ = run(tmp_path, HEAD + "spec:\n  flows:\n  - {from: {app: a}, to: {service: db}}\n", service)

    assert code == 0
    assert "port: 5432" in output
    assert "port: 80\n" not in output


def test_an_object_that_can_mean_nothing_is_bad_input(tmp_path: Path) -> None:
    flows = "spec:\n  flows:\n  - {from: {app: a, namespace: x}, to: {app: b, namespace: y}, ports: [80]}\n"
    code, _, errors = run(tmp_path, HEAD + flows)

    assert code == 1
    assert "neither end is in namespace shop" in errors


def test_json_is_one_list(tmp_path: Path) -> None:
    code, output, _ = run(tmp_path, HEAD + "spec: {}\n", words=("-o", "json"))

    assert code == 0
    assert output.startswith('{\n  "apiVersion": "v1"')
