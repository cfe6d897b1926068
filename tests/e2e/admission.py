"""Admission policies, as objects of the API server: what is refused or changed in one namespace."""

from __future__ import annotations

from typing import Any

Body = dict[str, Any]

_GROUPS = {"networkpolicies": ("networking.k8s.io", "v1"), "appconnectivities": ("appconnectivity.io", "v1alpha1")}


def refusing(name: str, namespace: str, plural: str, *, unless: str, message: str) -> list[Body]:
    """Refuses what is created or updated there, ``unless`` a CEL expression holds, with this message."""
    validation = {"expression": unless, "message": message}
    specs = {"validations": [validation]}, {"validationActions": ["Deny"]}
    return _bodies("ValidatingAdmissionPolicy", name, namespace, plural, *specs)


def removing(name: str, namespace: str, plural: str, *, path: str, where: str) -> list[Body]:
    """Takes a field, by its JSON pointer, out of what is created or updated there ``where`` a CEL expression holds."""
    patch = {"expression": f'[JSONPatch{{op: "remove", path: "{path}"}}]'}
    spec = {
        "matchConditions": [{"name": "where", "expression": where}],
        "failurePolicy": "Fail",
        "reinvocationPolicy": "Never",
        "mutations": [{"patchType": "JSONPatch", "jsonPatch": patch}],
    }
    return _bodies("MutatingAdmissionPolicy", name, namespace, plural, spec, {})


def _bodies(kind: str, name: str, namespace: str, plural: str, spec: Body, binding: Body) -> list[Body]:
    """The policy and its binding."""
    group, version = _GROUPS[plural]
    rule = {
        "apiGroups": [group],
        "apiVersions": [version],
        "operations": ["CREATE", "UPDATE"],
        "resources": [plural],
    }
    only = {"matchLabels": {"kubernetes.io/metadata.name": namespace}}
    constraints = {"matchConstraints": {"namespaceSelector": only, "resourceRules": [rule]}}
    said = {kind: {**constraints, **spec}, f"{kind}Binding": {"policyName": name, **binding}}
    return [
        {"apiVersion": "admissionregistration.k8s.io/v1", "kind": kind, "metadata": {"name": name}, "spec": spec}
        for kind, spec in said.items()
    ]
