"""Statuses: applied, and where the API server can't apply to what it holds, put in."""

from __future__ import annotations

import pytest

from appconnectivity.cluster import errors
from appconnectivity.cluster.client import Client
from appconnectivity.cluster.report import Reporter
from client.test_client import Server, body, client, ok, seen, server, status

__all__ = ["client", "seen", "server"]  # fixtures
UNTYPED = "failed to create typed live object (shop/p; Kind=AppConnectivity): .spec: expected map, got &{x}"


async def test_a_status_is_applied(server: Server, client: Client) -> None:
    server.answers = [ok(body(resourceVersion="8") | {"status": {"policyCount": 2}})]

    applied = await Reporter(client).status(body(), {"policyCount": 2})

    assert applied["metadata"]["resourceVersion"] == "8"
    assert [method for method, *_ in server.requests] == ["PATCH"]


async def test_where_an_object_is_not_of_its_types_its_status_is_put_in(server: Server, client: Client) -> None:
    """As one may be that was written under an older CRD. Apply says so with a 500, which is not to be tried again."""
    server.answers = [status(500, UNTYPED), ok(body(resourceVersion="8") | {"status": {"policyCount": 2}})]

    await Reporter(client).status(body(), {"policyCount": 2})

    _, path, _, sent = server.requests[-1]
    assert len(server.requests) == 2
    assert path.endswith("/namespaces/shop/appconnectivities/p/status")
    assert sent == [
        {"op": "test", "path": "/metadata/uid", "value": "u"},
        {"op": "add", "path": "/status", "value": {"policyCount": 2}},
    ]


async def test_what_others_have_put_into_a_status_is_taken_out(server: Server, client: Client) -> None:
    """Apply leaves what another manager, or such a patch, owns: Stalled would stand for ever beside Ready."""
    mixed = {"policyCount": 2, "conditions": [{"type": "Stalled", "status": "True"}]}
    server.answers = [ok(body() | {"status": mixed}), ok(body(resourceVersion="9") | {"status": {"policyCount": 2}})]

    applied = await Reporter(client).status(body(), {"policyCount": 2})

    assert applied["metadata"]["resourceVersion"] == "9"
    assert server.requests[-1][3][-1] == {"op": "add", "path": "/status", "value": {"policyCount": 2}}


async def test_a_status_that_is_not_taken_in_any_way_is_rejected(server: Server, client: Client) -> None:
    server.answers = [status(500, UNTYPED), status(422, "invalid")]

    with pytest.raises(errors.Rejected, match="invalid"):
        await Reporter(client).status(body(), {})
