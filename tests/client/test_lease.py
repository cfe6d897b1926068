"""The Lease by the seconds: who may take it when, and when its holder stops writing."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest

from appconnectivity.cluster import errors, lease
from appconnectivity.cluster.client import Client
from appconnectivity.cluster.lease import LEASE_SECONDS, RENEW_SECONDS, Lease

Body = dict[str, Any]


class FakeClient:
    """One Lease, kept as the API server keeps it: with a version, and refusing what was read before another's write."""

    def __init__(self) -> None:
        self.body: Body | None = None
        self.refusal: Exception | None = None
        self.is_silent = False

    async def get(self, *_: Any, **__: Any) -> Body | None:
        await self._answer()
        return self.body

    async def create(self, _: Any, body: Body) -> Body:
        if self.body is not None:
            raise errors.Conflict("already exists")
        return self._keep(body["spec"])

    async def patch(self, _: Any, body: Body, operations: list[Body], *, if_unchanged: bool) -> Body:
        await self._answer()
        (operation,) = operations
        assert self.body is not None
        assert if_unchanged
        if body["metadata"]["resourceVersion"] != self.body["metadata"]["resourceVersion"]:
            raise errors.Conflict("the object has been modified")
        return self._keep(operation["value"])

    async def _answer(self) -> None:
        if self.refusal:
            raise self.refusal
        if self.is_silent:
            await asyncio.sleep(60)

    def _keep(self, spec: Body) -> Body:
        before = int(self.body["metadata"]["resourceVersion"]) if self.body else 0
        self.body = {"metadata": {"name": "x", "namespace": "n", "resourceVersion": str(before + 1)}, "spec": spec}
        return self.body


class Election:
    """Replicas with one clock."""

    def __init__(self) -> None:
        self.client, self.now = FakeClient(), 1000.0

    def replica(self, name: str) -> Lease:
        client = cast("Client", self.client)
        return Lease(client, namespace="n", name="x", identity=name, clock=lambda: self.now)

    async def attempt(self, replica: Lease, *, at: float) -> bool:
        self.now = at
        return await replica._attempt()

    @property
    def spec(self) -> Body:
        assert self.client.body is not None
        return cast("Body", self.client.body["spec"])


@pytest.fixture
def election() -> Election:
    return Election()


async def test_the_first_to_ask_gets_it_and_nobody_else(election: Election) -> None:
    first, second = election.replica("first"), election.replica("second")

    assert await election.attempt(first, at=0)
    assert not await election.attempt(second, at=1)
    assert (first.is_held, second.is_held) == (True, False)
    assert (election.spec["holderIdentity"], election.spec["leaseTransitions"]) == ("first", 0)


async def test_its_holder_keeps_it_by_renewing(election: Election) -> None:
    first, second = election.replica("first"), election.replica("second")
    await election.attempt(first, at=0)
    began = election.spec["acquireTime"]
    for at in range(2, 60, 2):
        assert not await election.attempt(second, at=at)
        assert await election.attempt(first, at=at)

    assert (election.spec["acquireTime"], election.spec["leaseTransitions"]) == (began, 0)


async def test_who_does_not_renew_stops_writing_before_another_may_begin(election: Election) -> None:
    first, second = election.replica("first"), election.replica("second")
    await election.attempt(first, at=0)
    await election.attempt(second, at=1)

    assert not await election.attempt(second, at=LEASE_SECONDS)
    assert not first.is_held, "since it was to renew the Lease by then"
    assert await election.attempt(second, at=1 + LEASE_SECONDS)
    assert (election.spec["holderIdentity"], election.spec["leaseTransitions"]) == ("second", 1)
    assert not await election.attempt(first, at=2 + LEASE_SECONDS)


async def test_a_lease_counts_from_when_it_was_seen_whatever_its_times_say(election: Election) -> None:
    """Clocks of machines differ."""
    await election.attempt(election.replica("first"), at=0)
    election.spec["renewTime"] = "1999-01-01T00:00:00.000000Z"
    late = election.replica("late")

    assert not await election.attempt(late, at=100)
    assert not await election.attempt(late, at=100 + LEASE_SECONDS - 1)
    assert await election.attempt(late, at=100 + LEASE_SECONDS)


async def test_of_two_that_take_it_at_once_one_gets_it(election: Election, monkeypatch: pytest.MonkeyPatch) -> None:
    await election.attempt(election.replica("gone"), at=0)
    rivals = [election.replica(name) for name in ("a", "b")]
    for rival in rivals:
        await election.attempt(rival, at=1)
    election.now = 1 + LEASE_SECONDS
    read = election.client.body
    assert await rivals[0]._attempt()
    current = election.client.body

    async def before(*_: Any, **__: Any) -> Body | None:
        return read

    monkeypatch.setattr(election.client, "get", before)
    assert not await rivals[1]._attempt()
    assert election.client.body == current


@pytest.mark.parametrize("refusal", [errors.Unavailable("down"), errors.Forbidden("no"), errors.Conflict("late")])
async def test_a_failed_renewal_is_no_renewal(election: Election, refusal: Exception) -> None:
    first = election.replica("first")
    await election.attempt(first, at=0)
    election.client.refusal = refusal

    assert not await election.attempt(first, at=5)
    assert first.is_held
    election.now = RENEW_SECONDS
    assert not first.is_held


async def test_silence_is_no_answer(election: Election, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lease, "_CALL_SECONDS", 0.01)
    election.client.is_silent = True

    assert not await election.attempt(election.replica("first"), at=0)


async def test_renewing_ends_when_it_is_lost(election: Election, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lease, "RETRY_SECONDS", 0.001)
    first = election.replica("first")
    await first.acquire()
    losing = asyncio.create_task(first.lost())
    await asyncio.sleep(0.02)
    assert not losing.done()

    election.client.refusal = errors.Unavailable("down")
    election.now += RENEW_SECONDS
    await asyncio.wait_for(losing, 1)


async def test_what_is_released_is_free_at_once(election: Election) -> None:
    first, second = election.replica("first"), election.replica("second")
    await election.attempt(first, at=0)
    await first.release()

    assert not first.is_held
    assert await election.attempt(second, at=0.1)
    assert election.spec["leaseTransitions"] == 1


async def test_a_lease_that_somebody_deletes_is_taken_anew_by_its_holder_and_by_others_only_later(
    election: Election,
) -> None:
    """Its holder may not have noticed yet, and writes."""
    first, second = election.replica("first"), election.replica("second")
    await election.attempt(first, at=0)
    await election.attempt(second, at=1)
    election.client.body = None

    assert not await election.attempt(second, at=2)
    assert await election.attempt(first, at=3)
    election.client.body = None
    assert not await election.attempt(second, at=4)
    assert await election.attempt(second, at=4 + LEASE_SECONDS)
    assert not first.is_held


async def test_a_lease_of_which_somebody_has_taken_the_spec_is_free(election: Election) -> None:
    election.client.body = {"metadata": {"name": "x", "namespace": "n", "resourceVersion": "1"}}
    await election.replica("other").release()

    assert await election.attempt(election.replica("first"), at=0)


async def test_what_was_taken_without_an_answer_is_released_too(election: Election) -> None:
    first = election.replica("first")
    await first._take()

    assert not first.is_held, "since nobody has told it"
    await first.release()
    assert election.spec["holderIdentity"] == ""


async def test_who_gets_no_answer_is_not_ready_to_take_over(election: Election) -> None:
    first, second = election.replica("first"), election.replica("second")
    assert not first.is_answered
    await election.attempt(first, at=0)
    await election.attempt(second, at=1)
    assert first.is_answered
    assert second.is_answered

    election.client.refusal = errors.Forbidden("no")
    await election.attempt(second, at=1 + LEASE_SECONDS)
    assert not second.is_answered


async def test_what_another_holds_is_not_released(election: Election) -> None:
    first, second = election.replica("first"), election.replica("second")
    await election.attempt(first, at=0)
    await election.attempt(second, at=1)
    await second.release()

    assert election.spec["holderIdentity"] == "first"
