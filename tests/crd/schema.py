"""The CRD as data, and ways to walk through it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]
FILE = ROOT / "crds" / "appconnectivity.yaml"

CRD: dict[str, Any] = yaml.safe_load(FILE.read_text())
VERSION: dict[str, Any] = CRD["spec"]["versions"][0]
OBJECT: dict[str, Any] = VERSION["schema"]["openAPIV3Schema"]
SPEC: dict[str, Any] = OBJECT["properties"]["spec"]
STATUS: dict[str, Any] = OBJECT["properties"]["status"]

Node = dict[str, Any]


def walk(node: Node, path: str = "") -> Iterator[tuple[str, Node]]:
    """Every schema in the schema with its path: ``.name`` for a field, ``[]`` for an item, ``{}`` for a map's value."""
    yield path, node
    for name, child in node.get("properties", {}).items():
        yield from walk(child, f"{path}.{name}")
    if "items" in node:
        yield from walk(node["items"], f"{path}[]")
    if "additionalProperties" in node:
        yield from walk(node["additionalProperties"], f"{path}{{}}")


def rules(node: Node) -> list[dict[str, str]]:
    """The CEL rules at this place."""
    return list(node.get("x-kubernetes-validations", ()))


def json_schema(node: Node) -> Node:
    """The OpenAPI part as JSON Schema 2020-12: without CEL, and strict about unknown fields."""
    if node.get("x-kubernetes-int-or-string"):
        return {"anyOf": [{"type": "integer"}, {"type": "string", "maxLength": node["maxLength"]}]}
    plain = {key: value for key, value in node.items() if not key.startswith("x-") and key != "nullable"}
    if "properties" in node:
        plain["properties"] = {name: json_schema(child) for name, child in node["properties"].items()}
        plain["additionalProperties"] = False
    for key in ("items", "additionalProperties"):
        if key in node:
            plain[key] = json_schema(node[key])
    return plain
