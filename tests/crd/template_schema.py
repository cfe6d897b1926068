"""What the CRD of templates says about ``template.spec``: AppConnectivity's own schema, in which texts may be put in.

Made from the other CRD, so that both can't drift apart. Set TESTS_GOLDEN=write to write the file anew.
"""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from typing import Any

from appconnectivity.core.expressions import MAX_EXPRESSION

Node = dict[str, Any]

_WHEN = {
    "description": (
        "when is an expression (without braces) that must be true or false, such as 'public' in namespace.labels; where"
        " it is false the flow is left out."
    ),
    "type": "string",
    "minLength": 1,
    "maxLength": MAX_EXPRESSION,
}
_FOR_EACH = {
    "description": (
        "forEach is an expression (without braces) that makes a list, such as namespace.annotations['partners'] |"
        " split; the flow is there once for each, which is called item in its texts."
    ),
    "type": "string",
    "minLength": 1,
    "maxLength": MAX_EXPRESSION,
}


def template_spec(spec: Mapping[str, Any]) -> Node:
    """The schema of ``template.spec`` for the schema of an AppConnectivity's ``spec``."""
    made = _opened(deepcopy(dict(spec)))
    made["description"] = (
        "spec is that of the AppConnectivity that each selected namespace gets. Any text may have expressions in it,"
        " such as {{ namespace.labels['team'] }} or {{ parameters.monitoring }}."
    )
    flow = made["properties"]["flows"]["items"]["properties"]
    made["properties"]["flows"]["items"]["properties"] = {"when": _WHEN, "forEach": _FOR_EACH, **flow}
    return made


def _opened(node: Node) -> Node:
    """The node with room for expressions in every text below it."""
    made = {key: _opened(value) if isinstance(value, dict) else value for key, value in node.items()}
    if node.get("type") == "string":
        return _text(made)
    if node.get("x-kubernetes-int-or-string"):
        return made | {"maxLength": MAX_EXPRESSION, "x-kubernetes-validations": _guarded(made, at="string(self)")}
    if "cidr" in node.get("properties", {}):
        return made | {"x-kubernetes-validations": _guarded(made, at="self.cidr")}
    return made


def _text(node: Node) -> Node:
    kept = {key: node[key] for key in ("description", "type", "minLength", "nullable", "default") if key in node}
    made = kept | {"maxLength": MAX_EXPRESSION}
    plain = f"^({'|'.join(node['enum'])})$" if "enum" in node else node.get("pattern")
    if plain:
        made["pattern"] = f"{plain}|[{{][{{]"
    if "x-kubernetes-validations" in node and node.get("format") != "date-time":
        made["x-kubernetes-validations"] = _guarded(node, at="self")
    return made


def _guarded(node: Node, *, at: str) -> list[Node]:
    """The first two rules, each only for what has no expression in it: that can be judged once it is rendered.

    All of them would cost more than the API server allows for texts as long as expressions may be.
    """
    guard = f"{at}.contains('{{{{')"
    if at == "string(self)":
        guard = f"(type(self) != int && {guard})"
    return [rule | {"rule": f"{guard} || ({rule['rule']})"} for rule in node["x-kubernetes-validations"][:2]]
