"""docs/reference/api.md is made from the CRD. ``UPDATE_REFERENCE=1 make test`` writes it anew."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator

from crd.schema import OBJECT, ROOT, SPEC, STATUS, Node, rules, walk

PAGE = ROOT / "docs" / "reference" / "api.md"

_HEAD = """# AppConnectivity, field by field

`apiVersion: appconnectivity.io/v1alpha1`, `kind: AppConnectivity`, namespaced. This page is made from
[crds/appconnectivity.yaml](../../crds/appconnectivity.yaml), which `kubectl explain appconn.spec` reads too; do not edit it
(`tests/crd/test_reference.py` says how to make it anew).

"""
_NULLS = """
A field without a value (`app:` and nothing after it, as a template may leave it) is a field left out: the API server
drops it before anything looks. **So `{namespace: monitoring, app: }` is the whole namespace.** In `matchLabels` a label
without a value is refused.
"""


def page() -> str:
    """The whole page."""
    spec, status = list(_shown(SPEC, "spec")), list(_shown(STATUS, "status"))
    return "".join(
        (
            _HEAD,
            f"{OBJECT['description']}\n\n## Spec\n\n",
            "`END` is `spec.flows[].from` and `spec.flows[].to`: both have the same fields. **Bold** is required.\n\n",
            _table(spec),
            _NULLS,
            "\n## What is refused\n\nBesides types, limits and patterns, `kubectl apply` refuses with these words:\n\n",
            _list_of_rules([("metadata", OBJECT), *spec]),
            "\n## Status\n\n",
            _table(status),
        )
    )


def _shown(top: Node, name: str) -> Iterator[tuple[str, Node]]:
    """Every schema once, with its path: what is inside ``to`` is what is inside ``from``."""
    required = {f"{path}.{field}" for path, node in walk(top, name) for field in node.get("required", ())}
    for path, node in walk(top, name):
        if "flows[].to." not in path:
            yield path.replace("spec.flows[].from.", "END."), node | {"isRequired": path in required}


def _table(nodes: Iterable[tuple[str, Node]]) -> str:
    rows = [_row(path, node) for path, node in nodes if "description" in node and "." in path]
    return "\n".join(["| field | type | default | meaning |", "|---|---|---|---|", *rows]) + "\n"


def _row(path: str, node: Node) -> str:
    mark = "**" if node["isRequired"] else ""
    default = f"`{json.dumps(node['default'])}`" if "default" in node else ""
    cells = (f"{mark}`{path}`{mark}", _type(node), default, node["description"])
    return f"| {' | '.join(cell.replace('|', '&#124;') for cell in cells)} |"


def _type(node: Node) -> str:
    """The type and its limits in words."""
    if "items" in node:
        return f"list of ({_type(node['items'])}){_limit(node, 'Items')}"
    if "additionalProperties" in node:
        return f"map of ({_type(node['additionalProperties'])}){_limit(node, 'Properties')}"
    if node.get("x-kubernetes-int-or-string"):
        return "integer or string"
    if "enum" in node:
        return " or ".join(f"`{value}`" for value in node["enum"])
    return f"{node.get('format', node['type'])}{_limit(node, 'Length')}"


def _limit(node: Node, what: str) -> str:
    least, most = node.get(f"min{what}"), node.get(f"max{what}")
    if most is None:
        return ""
    return f", {least} to {most}" if least else f", at most {most}"


def _list_of_rules(nodes: Iterable[tuple[str, Node]]) -> str:
    shown = [(path.replace("spec.flows[].from", "END"), node) for path, node in nodes if path != "spec.flows[].to"]
    lines = [f"- `{path}`: {rule['message']}" for path, node in shown for rule in rules(node)]
    return "\n".join(dict.fromkeys(lines)) + "\n"


def test_the_reference_says_what_the_crd_says() -> None:
    if os.environ.get("UPDATE_REFERENCE"):
        PAGE.parent.mkdir(parents=True, exist_ok=True)
        PAGE.write_text(page())
    assert PAGE.read_text() == page(), "run: UPDATE_REFERENCE=1 .venv/bin/python -m pytest tests/crd/test_reference.py"
