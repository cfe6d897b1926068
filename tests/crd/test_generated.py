"""Specs that nobody wrote: the OpenAPI part, CEL on the real API server and the types agree on all of them."""

from __future__ import annotations

from typing import Any

from hypothesis import HealthCheck, given, settings
from jsonschema import Draft202012Validator

from crd.schema import SPEC, json_schema
from crd.server import Server
from crd.strategies import specs, wild_specs
from crd.verdict import refusal

_OPENAPI = Draft202012Validator(json_schema(SPEC))

pure = settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
on_the_server = settings(pure, max_examples=150, suppress_health_check=[*HealthCheck])


def has_nulls(node: Any) -> bool:
    """The API server drops nulls before it looks; plain JSON Schema does not."""
    if isinstance(node, dict | list):
        return any(map(has_nulls, node.values() if isinstance(node, dict) else node))
    return node is None


@pure
@given(specs())
def test_valid_specs_are_accepted_by_the_openapi_part_and_the_types(spec: dict[str, Any]) -> None:
    assert not refusal(spec)
    assert [error.message for error in _OPENAPI.iter_errors(spec)] == []


@pure
@given(wild_specs().filter(lambda spec: not has_nulls(spec)))
def test_what_the_openapi_part_refuses_is_refused_by_the_types(spec: dict[str, Any]) -> None:
    assert refusal(spec) or _OPENAPI.is_valid(spec)


@on_the_server
@given(spec=specs())
def test_valid_specs_are_accepted_by_the_api_server(server: Server, spec: dict[str, Any]) -> None:
    answer = server.judge(spec)
    assert answer.is_accepted, answer.message


@on_the_server
@given(spec=wild_specs())
def test_the_api_server_and_the_types_agree_on_wild_specs(server: Server, spec: dict[str, Any]) -> None:
    answer, said = server.judge(spec), refusal(spec)
    assert answer.is_accepted == (not said), f"API server: {answer.message or 'accepted'}; types: {said or 'accepted'}"
