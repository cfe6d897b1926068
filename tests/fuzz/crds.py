"""The CRDs as they might have been once: of the right types alone, or without any schema."""

from __future__ import annotations

import copy
import json
from contextlib import ExitStack, closing
from typing import Any

import yaml

from cluster.controlplane import ControlPlane
from cluster.operator import ROOT
from cluster.rest import Rest
from e2e.conftest import eventually

Crd = dict[str, Any]

TODAY: tuple[Crd, ...] = tuple(
    yaml.safe_load((ROOT / "crds" / f"{kind}.yaml").read_text())
    for kind in ("appconnectivity", "appconnectivitytemplate")
)
_PATH = "/apis/appconnectivity.io/v1alpha1"
_TYPES = ("type", "properties", "required", "items", "additionalProperties", "nullable", "x-kubernetes-int-or-string")


def of_types_alone(crd: Crd) -> Crd:
    """No bounds, patterns, words or rules."""
    made = copy.deepcopy(crd)
    schema = made["spec"]["versions"][0]["schema"]
    schema["openAPIV3Schema"] = _types(schema["openAPIV3Schema"])
    return made


def of_anything(crd: Crd) -> Crd:
    """Whatever is written is kept."""
    made = copy.deepcopy(crd)
    version = made["spec"]["versions"][0]
    version.pop("selectableFields", None)  # they have to be in the schema
    version["schema"] = {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}}
    return made


def _types(node: Crd) -> Crd:
    kept = {key: node[key] for key in _TYPES if key in node}
    if "properties" in node:
        kept["properties"] = {name: _types(child) for name, child in node["properties"].items()}
    return kept | {key: _types(node[key]) for key in ("items", "additionalProperties") if key in node}


def put(plane: ControlPlane, rest: Rest, *crds: Crd) -> None:
    """Replaces the CRDs, and waits until the API server goes by them, which watches do that begin from then on: those
    that were open it ends a second later."""
    wanted = 422 if crds == TODAY else 201

    def are_in_force() -> bool:
        return all(_answer(rest, crd) == wanted for crd in crds)

    if are_in_force():
        return
    with ExitStack() as stack:
        for crd in crds:
            own = stack.enter_context(closing(Rest(plane)))
            stack.enter_context(own.watching(f"{_PATH}/{crd['spec']['names']['plural']}"))
        text = "\n---\n".join(map(json.dumps, crds))
        plane.kubectl("apply", "--server-side", "--force-conflicts", "-f", "-", input=text)
        eventually(are_in_force, what="the CRDs are in force")


def _answer(rest: Rest, crd: Crd) -> int:
    """To an object with a word that only today's schema knows to be none."""
    names = crd["spec"]["names"]
    spec: Crd = {"mode": "Sometimes"}
    where = "namespaces/default/" if crd["spec"]["scope"] == "Namespaced" else ""
    if not where:
        spec = {"namespaceSelector": {"matchLabels": {"a": "b"}}, "template": {"spec": spec}}
    body = {"apiVersion": "appconnectivity.io/v1alpha1", "kind": names["kind"], "metadata": {"name": "x"}, "spec": spec}
    return rest.ask("POST", f"{_PATH}/{where}{names['plural']}?dryRun=All", body).status
