"""Applying a plan: the order of writes, and what is left undone when a write that others depend on was refused."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, cast

import pytest

from appconnectivity.cluster import errors
from appconnectivity.cluster.apply import Applied, Applier
from appconnectivity.cluster.client import Client
from appconnectivity.core.api import PolicyType
from appconnectivity.core.compile import Compiled
from appconnectivity.core.findings import Reason
from appconnectivity.core.naming import ALLOW_DNS, DEFAULT_DENY, transition_policy
from appconnectivity.core.plan import plan
from appconnectivity.core.policy import FIELD_MANAGER
from appconnectivity.core.transition import transition
from builders import NOW, compile_, flow, foreign, obj, observed

EGRESS, INGRESS = "shop.a-to-b.egress", "shop.a-to-b.ingress"
NEW_EGRESS, NEW_INGRESS = "shop.new.egress", "shop.new.ingress"
KEEP_OPEN_EGRESS, KEEP_OPEN_INGRESS = map(transition_policy, (PolicyType.EGRESS, PolicyType.INGRESS))
A_TO_B = compile_(obj(flow("a", "b")))
RENAMED = compile_(obj(flow("a", "b", name="new")))
NOTHING = compile_()


class FakeClient:
    """Holds policies by name; refuses writes of those that it was told to."""

    def __init__(self, bodies: list[dict[str, Any]], refused: dict[str, Exception]) -> None:
        self.live = {body["metadata"]["name"]: body for body in bodies}
        self.refused = refused
        self.writes: list[str] = []
        self.forced: list[str] = []

    async def list(self, _: Any, **__: Any) -> list[dict[str, Any]]:
        return [*self.live.values()]

    async def apply(self, _: Any, body: dict[str, Any], *, force: bool) -> dict[str, Any]:
        name = body["metadata"]["name"]
        self._may_write(name)
        if "uid" in body["metadata"] and body["metadata"]["uid"] != self.live[name]["metadata"]["uid"]:
            raise errors.Conflict("another uid")
        self.forced += [name] if force else []
        marks = {"resourceVersion": "2", "managedFields": [{"manager": FIELD_MANAGER, "operation": "Apply"}]}
        self.live[name] = body | {"metadata": body["metadata"] | marks}
        return self.live[name]

    async def delete(self, _: Any, body: dict[str, Any]) -> None:
        self._may_write(body["metadata"]["name"])
        del self.live[body["metadata"]["name"]]

    def _may_write(self, name: str) -> None:
        if name in self.refused:
            raise self.refused[name]
        self.writes.append(name)


async def apply(wanted: Compiled, bodies: list[dict[str, Any]], **refused: Exception) -> tuple[FakeClient, Applied]:
    client = FakeClient(bodies, refused)
    return client, await Applier(cast("Client", client)).apply(plan(wanted, bodies), wanted)


async def apply_kept_open(
    wanted: Compiled, bodies: list[dict[str, Any]], **refused: Exception
) -> tuple[FakeClient, Applied]:
    """The same where the namespace is kept open meanwhile."""
    client = FakeClient(bodies, refused)
    half_a_minute = timedelta(seconds=30)
    beside = transition(wanted, bodies, namespace="shop", was_closed=False, now=NOW, lasting=half_a_minute)
    steps = plan(wanted, bodies, transition=beside.policies)
    return client, await Applier(cast("Client", client)).apply(steps, wanted)


REFUSED = [
    pytest.param(errors.Forbidden("no"), id="forbidden"),
    pytest.param(errors.Rejected("no"), id="rejected"),
    pytest.param(errors.Conflict("changed"), id="changed-meanwhile"),
]


async def test_what_isolates_comes_after_all_that_opens() -> None:
    client, _ = await apply(A_TO_B, [])

    assert client.writes == [EGRESS, INGRESS, ALLOW_DNS, DEFAULT_DENY]


async def test_that_shared_policies_get_one_more_owner_comes_after_what_opens() -> None:
    client, applied = await apply(compile_(obj(flow("a", "b")), obj(flow("c", "b"), name="other")), observed(A_TO_B))

    assert client.writes == ["other.c-to-b.egress", "other.c-to-b.ingress", ALLOW_DNS, DEFAULT_DENY]
    assert not applied.failures


async def test_policies_that_lose_all_their_owners_get_new_ones_though_something_can_not_be_written() -> None:
    """Else they would be collected."""
    body = obj(flow("a", "b"), flow("c", "d"))
    body["metadata"]["uid"] = "uid-second"
    client, wanted = FakeClient(observed(A_TO_B), {"shop.c-to-d.egress": errors.Unavailable("down")}), compile_(body)
    with pytest.raises(errors.Unavailable):
        await Applier(cast("Client", client)).apply(plan(wanted, observed(A_TO_B)), wanted)

    assert {EGRESS, INGRESS, ALLOW_DNS} <= set(client.writes)


async def test_what_keeps_a_namespace_open_stands_before_the_first_of_its_policies() -> None:
    client, applied = await apply_kept_open(A_TO_B, [])

    assert sorted(client.writes[:2]) == [KEEP_OPEN_EGRESS, KEEP_OPEN_INGRESS]
    assert client.writes[2:] == [EGRESS, INGRESS, ALLOW_DNS, DEFAULT_DENY]
    assert not applied.failures


async def test_what_keeps_a_namespace_open_stands_before_the_first_of_its_policies_goes() -> None:
    client, _ = await apply_kept_open(NOTHING, observed(A_TO_B))

    assert sorted(client.writes[:2]) == [KEEP_OPEN_EGRESS, KEEP_OPEN_INGRESS]
    assert client.writes[2:] == [DEFAULT_DENY, ALLOW_DNS, EGRESS, INGRESS]


async def test_where_nobody_may_open_everything_the_rest_goes_on_in_its_order() -> None:
    refused = {name: errors.Forbidden("no") for name in (KEEP_OPEN_EGRESS, KEEP_OPEN_INGRESS)}
    client, applied = await apply_kept_open(A_TO_B, [], **refused)

    assert client.writes == [EGRESS, INGRESS, ALLOW_DNS, DEFAULT_DENY]
    assert not applied.failures


async def test_only_what_is_ours_already_is_written_by_force() -> None:
    """A name that somebody else takes at the same moment must end in a conflict."""
    made, _ = await apply(A_TO_B, [])
    changed, _ = await apply(compile_(obj(flow("a", "b", 443))), observed(A_TO_B))

    assert made.forced == []
    assert changed.forced == [EGRESS, INGRESS]


async def test_what_has_taken_the_name_of_ours_since_we_looked_is_not_overwritten() -> None:
    edited = [body | {"spec": {"podSelector": {}}} for body in observed(A_TO_B)]
    theirs = foreign(EGRESS)
    client = FakeClient([theirs if body["metadata"]["name"] == EGRESS else body for body in edited], {})
    client.live[EGRESS]["metadata"]["uid"] = "another"
    applied = await Applier(cast("Client", client)).apply(plan(A_TO_B, edited), A_TO_B)

    assert client.live[EGRESS] == theirs
    assert applied.stale == [EGRESS]


async def test_what_isolates_goes_before_all_that_opens() -> None:
    client, _ = await apply(NOTHING, observed(A_TO_B))

    assert client.writes == [DEFAULT_DENY, ALLOW_DNS, EGRESS, INGRESS]


async def test_nothing_is_isolated_while_an_allow_could_not_be_written() -> None:
    client, applied = await apply(A_TO_B, [], **{EGRESS: errors.Rejected("by a webhook")})

    assert client.writes == [INGRESS]
    assert {name: finding.reason for name, finding in applied.failures.items()} == {
        EGRESS: Reason.WRITE_FAILED,
        ALLOW_DNS: Reason.WAITING_FOR_ALLOWS,
        DEFAULT_DENY: Reason.WAITING_FOR_ALLOWS,
    }
    assert applied.failures[DEFAULT_DENY].message == f"{DEFAULT_DENY} waits until {EGRESS} could be written"


async def test_no_deny_without_its_dns() -> None:
    client, applied = await apply(A_TO_B, [], **{ALLOW_DNS: errors.Rejected("by a webhook")})

    assert client.writes == [EGRESS, INGRESS]
    assert applied.failures[ALLOW_DNS].reason is Reason.WRITE_FAILED
    assert applied.failures[DEFAULT_DENY].message == f"{DEFAULT_DENY} waits until {ALLOW_DNS} could be written"


@pytest.mark.parametrize("error", REFUSED)
async def test_no_allow_goes_while_its_deny_stands_on(error: Exception) -> None:
    client, _ = await apply(NOTHING, observed(A_TO_B), **{DEFAULT_DENY: error})

    assert client.writes == []


@pytest.mark.parametrize("error", REFUSED)
async def test_no_allow_goes_while_its_deny_could_not_let_go_of_its_direction(error: Exception) -> None:
    ingress_only = compile_(obj(flow("a", "b"), policyTypes=["Ingress"]))
    client, _ = await apply(ingress_only, observed(A_TO_B), **{DEFAULT_DENY: error})

    assert EGRESS in client.live


@pytest.mark.parametrize("error", REFUSED)
async def test_the_old_policies_of_a_flow_stay_until_its_new_ones_stand(error: Exception) -> None:
    client, _ = await apply(RENAMED, observed(A_TO_B), **{NEW_EGRESS: error})

    assert {EGRESS, INGRESS} <= client.live.keys()


async def test_the_old_policies_of_a_flow_stay_while_somebody_else_has_its_new_name() -> None:
    client, _ = await apply(RENAMED, [*observed(A_TO_B), foreign(NEW_EGRESS)])

    assert {EGRESS, INGRESS, NEW_INGRESS} <= client.live.keys()


async def test_a_flow_that_was_taken_back_is_closed_whatever_else_could_not_be_written() -> None:
    before = observed(compile_(obj(flow("a", "b"), flow("c", "d"))))
    client, _ = await apply(RENAMED, before, **{NEW_EGRESS: errors.Rejected("no")})

    assert not {"shop.c-to-d.egress", "shop.c-to-d.ingress"} & client.live.keys()
