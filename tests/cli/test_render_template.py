"""``render --template``: what a namespace would get, and what it says where it would get nothing."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
import yaml

from appconnectivity.cli.render import arguments, render

ROOT = Path(__file__).resolve().parents[2]
STANDARD = ROOT / "manifests" / "templates" / "standard.yaml"
LABEL = ("--label", "appconnectivity.io/baseline=standard")
HEAD = "apiVersion: appconnectivity.io/v1alpha1\nkind: AppConnectivityTemplate\nmetadata: {name: t}\nspec:\n"
SELECT = "  namespaceSelector: {matchLabels: {a: b}}\n"


def run(file: Path, *words: str) -> tuple[int, str, str]:
    """Exit code, stdout and stderr."""
    output, errors = io.StringIO(), io.StringIO()
    code = render(arguments("render", ["--template", str(file), "-n", "team-a", *words]), output=output, errors=errors)
    return code, output.getvalue(), errors.getvalue()


def written(tmp_path: Path, text: str) -> Path:
    (tmp_path / "t.yaml").write_text(text)
    return tmp_path / "t.yaml"


def test_the_object_is_printed(tmp_path: Path) -> None:
    code, output, errors = run(STANDARD, *LABEL)

    body = yaml.safe_load(output)
    assert code == 0
    assert (body["kind"], body["metadata"]["name"], body["metadata"]["namespace"]) == (
        *("AppConnectivity", "standard"),
        "team-a",
    )
    assert errors == "needs the cluster: metadata.ownerReferences, since the template has no uid yet\n"


def test_what_is_printed_can_be_rendered_further(tmp_path: Path) -> None:
    file = written(tmp_path, run(STANDARD, *LABEL)[1])
    output = io.StringIO()

    code = render(arguments("render", ["-f", str(file)]), output=output, errors=io.StringIO())

    assert code == 0
    assert "name: standard.metrics.ingress\n" in output.getvalue()


def test_a_namespace_that_is_not_selected_gets_nothing_and_that_is_said() -> None:
    code, output, errors = run(STANDARD)

    assert (code, output) == (0, "")
    assert errors.startswith(
        "standard does not select namespace team-a: it selects appconnectivity.io/baseline=standard"
    )


def test_a_namespace_has_its_name_as_a_label(tmp_path: Path) -> None:
    text = HEAD + "  namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: team-a}}\n  template: {spec: {}}\n"

    assert "name: t\n" in run(written(tmp_path, text))[1]


def test_labels_and_annotations_are_put_in(tmp_path: Path) -> None:
    text = (
        f"{HEAD}{SELECT}  template:\n    spec:\n      flows:\n"
        "      - from: {app: '{{ namespace.labels.a }}'}\n        to: {app: \"{{ namespace.annotations['x.y/z'] }}\"}\n"
        "        ports: [80]\n"
    )

    code, output, _ = run(written(tmp_path, text), "--label", "a=b", "--annotation", "x.y/z=q")

    assert code == 0
    assert yaml.safe_load(output)["spec"]["flows"] == [{"from": {"app": "b"}, "to": {"app": "q"}, "ports": [80]}]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        pytest.param(f"{HEAD}{SELECT}", "t.yaml:4: spec.template: is needed", id="no template"),
        pytest.param(
            f"{HEAD}{SELECT}  template:\n    spec:\n      flows:\n      - from: {{app: '{{{{ nope }}}}'}}\n",
            "t.yaml:9: spec.template.spec.flows[0].from.app: nope is not known here",
            id="an unknown variable",
        ),
        pytest.param(
            f"{HEAD}{SELECT}  template:\n    spec:\n      mode: '{{{{ namespace.labels.nope }}}}'\n",
            "t.yaml:8: spec.template.spec.mode: ",
            id="no value here",
        ),
        pytest.param(
            f"{HEAD}{SELECT}  template:\n    spec:\n      mode:\n",
            "t.yaml:8: spec.template.spec.mode: has no",
            id="blank",
        ),
        pytest.param(
            f"{HEAD}{SELECT}  template:\n    spec:\n      flows:\n"
            '      - when: "false"\n        from: {app: a}\n        to: {app: b}\n        ports: [80]\n'
            "      - from: {app: a}\n        to:\n          podSelector:\n            matchLabels:\n"
            "              x.y/z: x\n"
            "              app.kubernetes.io/name: '{{ namespace.labels.a }}/'\n        ports: [80]\n",
            "t.yaml:18: spec.template.spec.flows[1].to.podSelector.matchLabels.app.kubernetes.io/name: "
            "'{{ namespace.labels.a }}/' is 'b/' for team-a: ",
            id="a value that can't stand there, below a key with dots, in a flow after one that is left out",
        ),
        pytest.param(
            f"{HEAD}{SELECT}  template:\n    spec:\n      flows:\n      - from: {{app: {{{{ namespace.name }}}}}}\n",
            "t.yaml:9: spec.template.spec.flows[0].from.app: { begins a map here; write an expression in quotes",
            id="an expression without quotes",
        ),
        pytest.param(
            f"{HEAD}{SELECT}  template:\n    spec:\n      flows:\n"
            "      - form: {app: a}\n        to: {app: b}\n        ports: [80]\n",
            "t.yaml:9: spec.template.spec.flows[0].form: as rendered for team-a: this field is unknown",
            id="a misspelt field",
        ),
        pytest.param("kind: Service\n", "t.yaml: no AppConnectivityTemplate in this file", id="no template at all"),
        pytest.param(HEAD.replace("v1alpha1", "v2"), "t.yaml:1: apiVersion: must be", id="another version"),
        pytest.param(HEAD.replace("name: t", "name: appconnectivity"), "t.yaml:3: metadata.name: must", id="reserved"),
    ],
)
def test_bad_input_is_named_with_file_line_and_field(tmp_path: Path, text: str, said: str) -> None:
    code, output, errors = run(written(tmp_path, text), "--label", "a=b")

    assert (code, output) == (1, "")
    assert said in errors


@pytest.mark.parametrize(
    "words",
    [
        pytest.param(["--template", "t.yaml", "-f", "x"], id="both"),
        pytest.param([], id="neither"),
        pytest.param(["--template", "t.yaml", "--label", "novalue"], id="a label without a value"),
    ],
)
def test_wrong_usage_exits_with_2(words: list[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        arguments("render", words)

    assert ended.value.code == 2
