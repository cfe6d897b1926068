"""What a sweep has seen can be read again, as if it were the API server."""

from __future__ import annotations

from typing import Any, cast

import pytest

from appconnectivity.cluster.client import Client
from appconnectivity.cluster.kinds import ENDPOINT_SLICE, NAMESPACE, SERVICE, Kind
from appconnectivity.cluster.reads import MANY, Live, Reads, Snapshot


def named(name: str, namespace: str = "") -> dict[str, Any]:
    return {"metadata": {"name": name} | ({"namespace": namespace} if namespace else {})}


class FakeClient:
    """Has an object of each kind in each namespace; tells which LISTs and GETs were made."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str]] = []

    async def get(self, kind: Kind, *, name: str, namespace: str = "", **_: Any) -> dict[str, Any] | None:
        self.asked.append((kind.plural, namespace))
        return named(name, namespace)

    async def list(self, kind: Kind, *, namespace: str = "", **_: Any) -> list[dict[str, Any]]:
        self.asked.append((kind.plural, namespace))
        return [named("a", namespace)] if namespace else [named("a", f"n{number}") for number in range(20)]


@pytest.fixture
def client() -> FakeClient:
    return FakeClient()


@pytest.fixture
def live(client: FakeClient) -> Live:
    return Live(cast("Client", client), recent=True)


@pytest.fixture
def snapshot(live: Live) -> Reads:
    services = [named("a", "one"), named("b", "one"), named("a", "two")]
    return Snapshot({NAMESPACE: [named("one"), named("two")], SERVICE: services}, otherwise=live)


async def test_a_snapshot_answers_by_itself_of_the_kinds_that_it_has(snapshot: Reads, client: FakeClient) -> None:
    assert await snapshot.get(NAMESPACE, name="one") == named("one")
    assert await snapshot.get(NAMESPACE, name="three") is None
    assert await snapshot.get(SERVICE, name="b", namespace="two") is None
    assert await snapshot.list(SERVICE, namespace="one") == [named("a", "one"), named("b", "one")]
    assert await snapshot.list(SERVICE, namespace="three") == []
    assert len(await snapshot.list(SERVICE)) == 3
    assert await snapshot.within(SERVICE, ["two", "three"]) == {"two": [named("a", "two")], "three": []}
    assert client.asked == []


async def test_of_others_it_asks(snapshot: Reads, client: FakeClient) -> None:
    await snapshot.get(ENDPOINT_SLICE, name="a", namespace="one")
    await snapshot.list(ENDPOINT_SLICE, namespace="two")
    await snapshot.within(ENDPOINT_SLICE, ["three"])
    await snapshot.list(SERVICE, namespace="four", label_selector="a=b")

    assert [namespace for _, namespace in client.asked] == ["one", "two", "three", "four"]


@pytest.mark.parametrize(("count", "lists"), [(MANY, MANY), (MANY + 1, 1)])
async def test_of_many_namespaces_all_are_listed_at_once(
    live: Live, client: FakeClient, count: int, lists: int
) -> None:
    names = [f"n{number}" for number in range(count)]
    found = await live.within(SERVICE, names)

    assert found == {name: [named("a", name)] for name in names}
    assert len(client.asked) == lists
