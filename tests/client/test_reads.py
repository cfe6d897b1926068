"""What was heard of is remembered, and read as if it were the API server."""

from __future__ import annotations

from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appconnectivity.cluster.client import Client, Listing
from appconnectivity.cluster.kinds import ENDPOINT_SLICE, NAMESPACE, SERVICE, Kind
from appconnectivity.cluster.reads import MANY, Memory, Now, Recent
from appconnectivity.cluster.store import Store


def named(name: str, namespace: str = "", version: int = 1, **more: Any) -> dict[str, Any]:
    metadata = {"name": name, "uid": f"uid-{name}", "resourceVersion": str(version), "managedFields": [], **more}
    return {"metadata": metadata | ({"namespace": namespace} if namespace else {})}


class FakeClient:
    """Has an object of each kind in each namespace; tells which were asked for."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str]] = []

    async def get(self, kind: Kind, *, name: str, namespace: str = "", **_: Any) -> dict[str, Any] | None:
        self.asked.append((kind.plural, namespace))
        return named(name, namespace)

    async def list(self, kind: Kind, *, namespace: str = "", **_: Any) -> list[dict[str, Any]]:
        self.asked.append((kind.plural, namespace))
        return [named("a", namespace)] if namespace else [named("a", f"n{number}") for number in range(20)]

    async def everything(self, kind: Kind, *, namespace: str = "") -> Listing:
        return Listing(Store(await self.list(kind, namespace=namespace)), 30)


@pytest.fixture
def client() -> FakeClient:
    return FakeClient()


@pytest.fixture
def memory(client: FakeClient) -> Memory:
    """As of version 10."""
    made = Memory(otherwise=Recent(cast("Client", client)))
    made.settle(NAMESPACE, Listing(Store([named("one"), named("two")]), 10))
    made.settle(SERVICE, Listing(Store([named("a", "one"), named("b", "one"), named("a", "two")]), 10))
    return made


async def test_it_answers_by_itself_of_the_kinds_of_which_a_list_was_seen(memory: Memory, client: FakeClient) -> None:
    assert await memory.get(NAMESPACE, name="one") == named("one")
    assert await memory.get(NAMESPACE, name="three") is None
    assert await memory.get(SERVICE, name="b", namespace="two") is None
    assert await memory.list(SERVICE, namespace="one") == [named("a", "one"), named("b", "one")]
    assert await memory.list(SERVICE, namespace="three") == []
    assert len(await memory.list(SERVICE)) == 3
    assert await memory.within(SERVICE, ["two", "three"]) == {"two": [named("a", "two")], "three": []}
    assert client.asked == []


async def test_of_others_it_asks(memory: Memory, client: FakeClient) -> None:
    await memory.get(ENDPOINT_SLICE, name="a", namespace="one")
    await memory.list(ENDPOINT_SLICE, namespace="two")
    await memory.within(ENDPOINT_SLICE, ["three"])
    await memory.list(SERVICE, namespace="four", label_selector="a=b")

    assert [namespace for _, namespace in client.asked] == ["one", "two", "three", "four"]


async def test_what_is_read_is_a_copy_without_the_fields_of_managers(memory: Memory) -> None:
    managed = named("c", "one", version=11, managedFields=[{"manager": "kubectl", "fieldsV1": {"f:spec": {}}}])
    memory.note("services", "ADDED", managed)
    found = cast("dict[str, Any]", await memory.get(SERVICE, name="c", namespace="one"))
    assert found["metadata"]["managedFields"] == [{"manager": "kubectl"}]

    found.clear()
    assert await memory.get(SERVICE, name="c", namespace="one")
    assert "fieldsV1" in managed["metadata"]["managedFields"][0]


@pytest.mark.parametrize(
    ("event_type", "version", "known"),
    [
        pytest.param("MODIFIED", 12, 12, id="changed"),
        pytest.param("DELETED", 12, None, id="deleted"),
        pytest.param("MODIFIED", 10, 11, id="late-after-our-own-write"),
        pytest.param("DELETED", 10, 11, id="late-after-it-was-made-anew"),
        pytest.param(None, 12, 12, id="listed-anew"),
        pytest.param(None, 10, 11, id="late-on-a-page-of-a-list"),
    ],
)
async def test_an_event_counts_unless_it_is_late(
    memory: Memory, event_type: str | None, version: int, known: int | None
) -> None:
    memory.note("services", "MODIFIED", named("a", "one", version=11))
    memory.note("services", event_type, named("a", "one", version=version))
    found = await memory.get(SERVICE, name="a", namespace="one")

    assert (found and int(found["metadata"]["resourceVersion"])) == known


@pytest.mark.parametrize("version", [11, 12])
@pytest.mark.parametrize("event_type", ["MODIFIED", None])
async def test_an_answer_that_comes_after_the_end_brings_nothing_back(
    memory: Memory, event_type: str | None, version: int
) -> None:
    memory.note("services", "DELETED", named("a", "one", version=12))
    memory.note("services", event_type, named("a", "one", version=version))
    assert await memory.get(SERVICE, name="a", namespace="one") is None

    memory.settle(SERVICE, Listing(Store(), 20))
    memory.note("services", event_type, named("a", "one", version=version))
    assert await memory.get(SERVICE, name="a", namespace="one") is None

    memory.note("services", "ADDED", named("a", "one", version=21))
    assert await memory.get(SERVICE, name="a", namespace="one")


async def test_what_a_look_has_shown_is_known_afterwards(memory: Memory, client: FakeClient) -> None:
    """The LIST is as of version 30: of namespace one it shows ``a`` alone."""
    memory.note("services", "ADDED", named("newer", "one", version=31))
    now = Now(cast("Client", client), memory)
    assert await now.list(SERVICE, namespace="one") == [named("a", "one")]

    names = {body["metadata"]["name"] for body in await memory.list(SERVICE, namespace="one")}
    assert names == {"a", "newer"}
    assert len(await memory.list(SERVICE, namespace="two")) == 1
    memory.note("services", "MODIFIED", named("b", "one", version=29))
    assert await memory.get(SERVICE, name="b", namespace="one") is None


async def test_what_a_look_has_not_found_is_gone(memory: Memory, client: FakeClient) -> None:
    async def nothing(*_: Any, **__: Any) -> None:
        return None

    client.get = nothing  # type: ignore[method-assign]
    now = Now(cast("Client", client), memory)
    assert await now.get(NAMESPACE, name="one") is None
    assert await memory.get(NAMESPACE, name="one") is None
    assert await memory.get(NAMESPACE, name="two")


@pytest.mark.parametrize("value", [2**70, "\ud800"])
async def test_whatever_the_api_server_took_is_kept(memory: Memory, value: Any) -> None:
    body = named("a", "one", version=11) | {"status": {"x": value}}
    memory.note("services", "MODIFIED", body)

    assert await memory.get(SERVICE, name="a", namespace="one") == body


async def test_what_is_newer_than_a_list_stays_and_all_else_is_as_listed(memory: Memory) -> None:
    memory.note("services", "MODIFIED", named("a", "one", version=25))
    memory.note("services", "DELETED", named("b", "one", version=26))
    memory.note("services", "ADDED", named("c", "one", version=15))
    memory.settle(SERVICE, Listing(Store([named("a", "one"), named("b", "one"), named("d", "one")]), 20))

    found = await memory.list(SERVICE, namespace="one")
    assert {body["metadata"]["name"]: body["metadata"]["resourceVersion"] for body in found} == {"a": "25", "d": "1"}
    memory.settle(SERVICE, Listing(Store([named("b", "one", version=28)]), 30))
    assert [body["metadata"]["name"] for body in await memory.list(SERVICE)] == ["b"]


async def test_a_store_that_was_put_back_is_believed(memory: Memory) -> None:
    memory.note("services", "MODIFIED", named("a", "one", version=25))
    memory.settle(SERVICE, Listing(Store([named("b", "one", version=3)]), 5))
    assert await memory.list(SERVICE) == [named("b", "one", version=3)]

    memory.note("services", "MODIFIED", named("b", "one", version=6))
    assert await memory.list(SERVICE) == [named("b", "one", version=6)]


@given(
    history=st.lists(st.tuples(st.sampled_from("abc"), st.booleans()), max_size=12),
    listed=st.integers(0, 12),
    heard=st.integers(0, 12),
)
async def test_whenever_a_list_is_made_what_is_known_is_what_there_is(
    history: list[tuple[str, bool]], listed: int, heard: int
) -> None:
    """Changes come as events in their order; the LIST shows the first ``listed`` of them, and its answer comes after
    the first ``heard`` events."""
    memory = Memory(otherwise=Recent(cast("Client", None)))
    memory.settle(SERVICE, Listing(Store(), 1))

    def tell(number: int, name: str, is_there: bool) -> None:
        memory.note("services", "MODIFIED" if is_there else "DELETED", named(name, "one", version=number))

    changes = [(number, name, is_there) for number, (name, is_there) in enumerate(history, start=2)]
    for change in changes[:heard]:
        tell(*change)
    memory.settle(SERVICE, Listing(Store(_after(changes[:listed])), 1 + min(listed, len(changes))))
    for change in changes[heard:]:
        tell(*change)

    by_name = sorted(await memory.list(SERVICE), key=lambda body: str(body["metadata"]["name"]))
    assert by_name == sorted(_after(changes), key=lambda body: str(body["metadata"]["name"]))


def _after(changes: list[tuple[int, str, bool]]) -> list[dict[str, Any]]:
    last = {name: (number, is_there) for number, name, is_there in changes}
    return [named(name, "one", version=number) for name, (number, is_there) in last.items() if is_there]


@pytest.mark.parametrize(("count", "lists"), [(MANY, MANY), (MANY + 1, 1)])
async def test_of_many_namespaces_all_are_listed_at_once(
    memory: Memory, client: FakeClient, count: int, lists: int
) -> None:
    names = [f"n{number}" for number in range(count)]
    found = await Now(cast("Client", client), memory).within(SERVICE, names)

    assert found == {name: [named("a", name)] for name in names}
    assert len(client.asked) == lists
