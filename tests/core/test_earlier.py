"""What compilations came to before: used while the facts are the same, and kept for a limited number of objects."""

from __future__ import annotations

import pytest

from appconnectivity.core import compile as compile_module
from appconnectivity.core import earlier as earlier_module
from appconnectivity.core import resolve as resolve_module
from appconnectivity.core.earlier import Earlier
from builders import NOW, compile_, facts, flow, obj, peer, service

BODY = obj(flow("frontend", "api", 8080))
ELSEWHERE = obj(flow("frontend", {"namespace": "ops", "app": "api"}, 8080))
THERE = facts(peers={"ops": peer(name="ops", is_isolated=False)})
EXPIRING = obj(flow("frontend", "api", 8080, expirationTime="2036-06-01T00:00:00Z"))


@pytest.fixture
def resolved(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A mark for each flow that is looked up."""
    found: list[str] = []
    real = resolve_module.resolve

    def counting(*flows: object, **more: object) -> object:
        found.append("flow")
        return real(*flows, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(compile_module, "resolve", counting)
    return found


@pytest.mark.parametrize(
    ("body", "first", "then", "times"),
    [
        pytest.param(BODY, facts(), facts(), 1, id="the-same"),
        pytest.param(BODY, facts(), facts(service("db")), 2, id="a-service-more"),
        pytest.param(EXPIRING, facts(), facts(), 2, id="it-depends-on-the-time"),
        pytest.param(BODY, facts(peers={"ops": peer()}), facts(), 1, id="others-do-not-matter-to-it"),
        pytest.param(ELSEWHERE, THERE, THERE, 2, id="others-matter-to-it"),
    ],
)
def test_flows_are_looked_up_anew_where_it_may_matter(
    resolved: list[str], body: object, first: object, then: object, times: int
) -> None:
    earlier = Earlier()
    compile_(body, facts=first, earlier=earlier, now=NOW)  # type: ignore[arg-type]
    compile_(body, facts=then, earlier=earlier, now=NOW)  # type: ignore[arg-type]

    assert len(resolved) == times


def test_the_namespaces_that_came_last_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each has two policies."""
    monkeypatch.setattr(earlier_module, "_MOST", 4)
    earlier = Earlier()
    for name in ("one", "two", "one", "three"):
        compile_(obj(flow("frontend", "api", 8080), namespace=name), facts=facts(namespace=name), earlier=earlier)

    assert {name: len(earlier.results(facts(namespace=name))) for name in ("one", "two", "three")} == {
        "one": 1,
        "two": 0,
        "three": 1,
    }
