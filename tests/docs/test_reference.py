"""docs/reference is made from the code: set TESTS_GOLDEN=write to write it anew, and read the difference."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
import yaml

from appconnectivity.cli.main import main
from appconnectivity.controller.metrics import Metrics
from appconnectivity.core import status
from appconnectivity.core.compile import Compiler
from appconnectivity.core.facts import Facts, Options
from appconnectivity.core.findings import FlowState, Reason
from appconnectivity.core.intent import parse

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
NOW = "2026-01-01T00:00:00Z"

CONDITIONS = {
    "Ready": (
        "The summary. Every policy that the object asks for stands; in `Audit`: the spec is understood and resolved.",
        "One of the next three is False; the reason and the message are those of the first. (Unknown: not looked yet.)",
    ),
    "Accepted": (
        "The spec is understood.",
        "The object, or some of its flows, is not understood, or not allowed here.",
    ),
    "ResolvedRefs": ("What the flows name was found.", "Something that a flow names is not there (yet)."),
    "Programmed": (
        "Every policy of the object was written, and says what it should.",
        "A policy could not be written, or keeps being changed; in `Audit`: nothing is written.",
    ),
    "Connected": (
        "No flow waits for another namespace. It never holds up `Ready`. (Unknown: the own halves do not stand yet.)",
        "Another namespace has not declared its half of a flow; the message is what to add there.",
    ),
    "Stalled": (
        "Waiting does not help: the spec has to change, or the operator's version or settings. To Flux it has failed.",
        "(Never: the condition is only there while it is True.)",
    ),
}

STATES = {
    FlowState.ACTIVE: "Its policies stand, and it waits for nobody.",
    FlowState.EXPIRING: "As Active, and its `expirationTime` is near (`--expiry-warning-hours`).",
    FlowState.EXPIRED: "Its `expirationTime` has passed; its policies are gone.",
    FlowState.AWAITING_GRANT: "Another namespace has not declared its half. The own one is written, save to a Service.",
    FlowState.UNRESOLVED: "Something that it names is not there. Policies written for exactly this flow stay.",
    FlowState.INVALID: "It can't be understood, or can't mean anything here. The other flows go on.",
    FlowState.NOT_GOVERNED: "Its half in this namespace is in a direction that `policyTypes` leaves out.",
    FlowState.CONFLICT: "A NetworkPolicy that is not ours has the name of one of its policies.",
    FlowState.NOT_WRITTEN: "It could not be written, or the object is in `Audit`; the reason says which.",
}


def is_told_what_to_do(reason: Reason) -> bool:
    return f"\n### {reason.value}\n" in (DOCS / "troubleshooting.md").read_text()


def table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    cells = [[*head], ["---"] * len([*head]), *([cell.replace("|", "\\|") for cell in row] for row in rows)]
    return "".join(f"| {' | '.join(row)} |\n" for row in cells)


def conditions() -> str:
    reasons = [
        (
            f"[`{r.value}`](../troubleshooting.md#{r.value.lower()})" if is_told_what_to_do(r) else f"`{r.value}`",
            r.meaning,
        )
        for r in Reason
    ]
    return (
        "# Conditions, states and reasons\n\n"
        "Reasons are API: scripts and alerts may match on them. Messages are for people and may change.\n\n"
        "Each condition carries the `observedGeneration` that it was found for, so `kubectl wait` never takes an old\n"
        "answer for a new spec. `lastTransitionTime` changes only with the status.\n\n"
        "## Conditions\n\n"
        f"{table(('type', 'True', 'False'), ((f'`{t}`', *texts) for t, texts in CONDITIONS.items()))}\n"
        "## States of a flow\n\n"
        f"{table(('state', 'meaning'), ((f'`{s.value}`', text) for s, text in STATES.items()))}\n"
        "## Reasons\n\n"
        "Of conditions, of flows' rows, and of Events. Those with a link have a way out.\n\n"
        f"{table(('reason', 'meaning'), reasons)}"
    )


def metrics() -> str:
    rows = []
    collectors: list[Any] = [*Metrics().registry._collector_to_names]  # in the order of their registration
    for collector in collectors:
        found = next(iter(collector.describe()))
        name = found.name + ("_total" if found.type == "counter" else "")
        rows.append((f"`{name}`", found.type, ", ".join(collector._labelnames), found.documentation))
    return (
        "# Metrics\n\n"
        "At `/metrics`, on the same port as `/healthz` and `/readyz` (8080), in the Prometheus text format.\n\n"
        f"{table(('name', 'type', 'labels', 'meaning'), rows)}"
    )


def api() -> str:
    crd = yaml.safe_load((ROOT / "crds" / "appconnectivity.yaml").read_text())
    schema = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    spec, reported = schema["properties"]["spec"], schema["properties"]["status"]
    flow, row = spec["properties"]["flows"]["items"], reported["properties"]["flows"]["items"]
    end = flow["properties"]["to"]
    selector = end["properties"]["podSelector"]
    sections: dict[str, Mapping[str, Any]] = {
        "spec": spec,
        "spec.flows[]": flow,
        "An end: spec.flows[].from and .to": end,
        "ipBlocks[]": end["properties"]["ipBlocks"]["items"],
        "podSelector and namespaceSelector": selector,
        "matchExpressions[]": selector["properties"]["matchExpressions"]["items"],
        "status": reported,
        "status.flows[]": row,
        "status.conditions[]": reported["properties"]["conditions"]["items"],
    }
    group, names = crd["spec"]["group"], crd["spec"]["names"]
    head = (
        "# API\n\n"
        f"`{group}/{crd['spec']['versions'][0]['name']}`, kind `{names['kind']}`, "
        f"short names {', '.join(f'`{name}`' for name in names['shortNames'])}. "
        "In a cluster: `kubectl explain appconn.spec --recursive`.\n\n"
        f"{schema['description']}\n"
    )
    rules = "".join(f"- {rule['message']}\n" for rule in schema["x-kubernetes-validations"])
    whole = head + "".join(section(name, fields) for name, fields in sections.items()) + f"\n## The object\n\n{rules}"
    return whole + template_api()


def template_api() -> str:
    """The other kind, save for what it holds of the first."""
    crd = yaml.safe_load((ROOT / "crds" / "appconnectivitytemplate.yaml").read_text())
    schema = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    spec, reported, names = schema["properties"]["spec"], schema["properties"]["status"], crd["spec"]["names"]
    held = spec["properties"]["template"]["properties"]["spec"]
    flow = held["properties"]["flows"]["items"]
    own = {"properties": {name: flow["properties"][name] for name in ("when", "forEach")}}
    sections: dict[str, Mapping[str, Any]] = {
        "A template's spec": spec,
        "A template's spec.template": {"properties": {"spec": held}},
        "A template's spec.template.spec.flows[], beside the fields of a flow": own,
        "A template's status": reported,
        "A template's status.failures[]": reported["properties"]["failures"]["items"],
    }
    head = (
        f"\n# {names['kind']}\n\n"
        f"In no namespace; short names {', '.join(f'`{name}`' for name in names['shortNames'])}. "
        f"{schema['description']}\n"
    )
    return head + "".join(section(name, fields) for name, fields in sections.items())


def section(title: str, schema: Mapping[str, Any]) -> str:
    required = schema.get("required", ())
    rows = [
        (f"`{name}`" + (" (required)" if name in required else ""), values_of(field), described(field))
        for name, field in schema["properties"].items()
    ]
    rules = "".join(f"- {rule['message']}\n" for rule in schema.get("x-kubernetes-validations", ()))
    return f"\n## {title}\n\n{table(('field', 'values', 'meaning'), rows)}" + (f"\n{rules}" if rules else "")


def values_of(field: Mapping[str, Any]) -> str:
    if field.get("type") == "array":
        return f"list of {values_of(field['items'])}, at most {field['maxItems']}"
    if "enum" in field:
        return ", ".join(f"`{value}`" for value in field["enum"])
    return "number or string" if field.get("x-kubernetes-int-or-string") else field["type"]


def described(field: Mapping[str, Any]) -> str:
    default = field.get("default")
    said = "" if default is None or field["type"] == "object" else f" Default: `{yaml_inline(default)}`."
    return field["description"] + said


def yaml_inline(value: Any) -> str:
    return str(yaml.safe_dump(value, default_flow_style=True, width=1000)).removesuffix("\n").removesuffix("\n...")


def cli(capsys: pytest.CaptureFixture[str]) -> str:
    blocks = [
        f"## appconnectivity{f' {verb}' if verb else ''}\n\n```text\n{helped(verb, capsys)}```\n"
        for verb in ("", "run", "render")
    ]
    return "# Command line\n\n`kubectl-appconn` is the same program; kubectl finds it as `kubectl appconn`.\n\n" + (
        "\n".join(blocks)
    )


def helped(verb: str, capsys: pytest.CaptureFixture[str]) -> str:
    with contextlib.suppress(SystemExit):
        main([*([verb] if verb else []), "--help"])
    return capsys.readouterr().out.rstrip() + "\n"


def plain(text: str) -> str:
    """Without what differs between versions of argparse: breaks of lines, and a metavar said twice (before 3.13)."""
    return re.sub(r"(-\w) ([A-Z_]+|{[^}]*}), (--[\w-]+) \2", r"\1, \3 \2", " ".join(text.split()))


def agree(name: str, found: str, *, as_seen: Callable[[str], str] = str) -> None:
    path = DOCS / "reference" / name
    if os.environ.get("TESTS_GOLDEN") == "write":
        path.write_text(found)

    assert as_seen(path.read_text()) == as_seen(found)


@pytest.mark.parametrize(
    ("name", "made"),
    [
        pytest.param("api.md", api, id="the fields of the CRD"),
        pytest.param("conditions.md", conditions, id="conditions and reasons"),
        pytest.param("metrics.md", metrics, id="metrics"),
    ],
)
def test_the_reference_says_what_the_code_says(name: str, made: Callable[[], str]) -> None:
    agree(name, made())


def test_the_reference_of_the_command_line_is_what_help_prints(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.setenv("NO_COLOR", "1")

    agree("cli.md", cli(capsys), as_seen=plain)


def test_the_reference_has_every_condition_that_a_status_has() -> None:
    metadata = {"namespace": "shop", "name": "shop", "uid": "1", "generation": 1}
    intent = parse({"metadata": metadata, "spec": {"flows": "none"}}, default_app_label="app")
    compiled = Compiler(facts=Facts("shop"), options=Options(), now=datetime.fromisoformat(NOW), standing={}).compile(
        [intent]
    )
    built = status.build(compiled.objects[0], status.Outcome(), compiled=compiled, previous={}, now=NOW)

    assert [entry["type"] for entry in built["conditions"]] == [*CONDITIONS]


def test_the_reference_has_every_state_of_a_flow() -> None:
    assert [*STATES] == [*FlowState]


# Reasons of what is well, or was asked for.
NO_TROUBLE = {
    Reason.READY, Reason.AUDIT, Reason.ACCEPTED, Reason.RESOLVED, Reason.PROGRAMMED, Reason.CONNECTED, Reason.ACTIVE,
    Reason.EXPIRING, Reason.EXPIRED, Reason.NOT_GOVERNED, Reason.DRIFT_REPAIRED, Reason.ROLLED_OUT,
}  # fmt: skip


@pytest.mark.parametrize("reason", [pytest.param(r, id=r.value) for r in Reason if r not in NO_TROUBLE])
def test_for_every_trouble_there_is_a_way_out(reason: Reason) -> None:
    assert is_told_what_to_do(reason)


def test_the_table_of_rights_has_what_the_roles_give_and_nothing_else() -> None:
    roles = yaml.safe_load_all((ROOT / "manifests" / "base" / "rbac.yaml").read_text())
    rules = [rule for role in roles for rule in role.get("rules", ())]
    text = (DOCS / "security.md").read_text().split("## What the operator may do")[1].split("\n## ")[0]
    rows = {tuple(cell.strip() for cell in line.split("|")[1:4]) for line in text.splitlines() if line.startswith("| ")}

    assert rows - {("group", "resource", "verbs")} == {
        (f"`{group}`" if group else "core", f"`{resource}`", ", ".join(rule["verbs"]))
        for rule in rules
        for group in rule["apiGroups"]
        for resource in rule["resources"]
    }
