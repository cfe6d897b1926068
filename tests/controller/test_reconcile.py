"""What a pass remembers of its own writes, and how new its reads are.

What it does to a cluster is tested on a real API server, in tests/e2e.
"""

from __future__ import annotations

import time
from typing import Any, cast

import pytest

from appconnectivity.cluster.apply import Applied, Applier
from appconnectivity.cluster.observe import Observation, Observer
from appconnectivity.cluster.report import Reporter
from appconnectivity.controller.brake import Brake
from appconnectivity.controller.metrics import Metrics
from appconnectivity.controller.reconcile import Reconciler
from appconnectivity.controller.telling import Teller
from appconnectivity.controller.triggers import Triggers
from appconnectivity.core import api
from appconnectivity.core.compile import Compiled
from appconnectivity.core.plan import Plan
from appconnectivity.core.references import References
from builders import OPTIONS, compile_, facts, flow, intent, obj, observed


class FakeReporter:
    """Answers as the API server where the object is of this generation by now."""

    def __init__(self, generation: int) -> None:
        self.generation = generation

    async def status(self, _: Any, status: Any) -> dict[str, Any]:
        return {"metadata": {"resourceVersion": "8", "generation": self.generation}, "status": status}

    async def event(self, *_: Any, **__: Any) -> None:
        return


@pytest.mark.parametrize(
    ("generation", "concerned"),
    [
        pytest.param(1, set(), id="nothing-but-our-own-status"),
        pytest.param(2, {"shop"}, id="the-spec-has-changed-meanwhile-and-the-watch-may-have-missed-it"),
    ],
)
async def test_the_event_of_an_own_status_is_news_only_if_it_tells_of_another_spec(
    generation: int, concerned: set[str]
) -> None:
    triggers = Triggers()
    teller = Teller(cast("Reporter", FakeReporter(generation)), triggers, Metrics())
    body = obj(generation=1)
    await teller.status(body, {})

    event = body | {"metadata": body["metadata"] | {"resourceVersion": "8"}}
    assert triggers.concerned(api.PLURAL, event) == concerned


class FakeObserver:
    """A namespace with the policies of two flows; what was heard of its object, and what it is now, may differ."""

    recent, now = "recent", "now"

    def __init__(self, *, heard: dict[str, Any] | None, now: dict[str, Any], policies: list[dict[str, Any]]) -> None:
        self.bodies = {"recent": heard, "now": now}
        self.policies = policies
        self.reads: list[str] = []

    async def observe(self, namespace: str, reads: str, **_: Any) -> Observation | None:
        self.reads.append(reads)
        body = self.bodies[reads]
        if body is None:
            return None
        return Observation(
            namespace=namespace,
            bodies=(body,),
            policies=tuple(self.policies),
            intents=(intent(*body["spec"]["flows"]),),
            references=References(),
            facts=facts(),
        )


class FakeApplier:
    def __init__(self) -> None:
        self.plans: list[Plan] = []

    async def apply(self, plan: Plan, _: Compiled) -> Applied:
        self.plans.append(plan)
        return Applied()


ONE, BOTH, THREE = (obj(*(flow("a", f"b{n}") for n in range(count))) for count in (1, 2, 3))


def reconciler(observer: FakeObserver, applier: FakeApplier) -> Reconciler:
    return Reconciler(
        observer=cast("Observer", observer),
        applier=cast("Applier", applier),
        teller=Teller(cast("Reporter", FakeReporter(1)), Triggers(), Metrics()),
        triggers=Triggers(),
        metrics=Metrics(),
        options=OPTIONS,
        brake=Brake(is_gone=lambda _: True),
        monotonic=time.monotonic,
    )


async def test_a_namespace_is_not_opened_by_what_was_only_heard() -> None:
    """Somebody's policy may have come meanwhile, and nothing is opened beside that."""
    observer, applier = FakeObserver(heard=BOTH, now=BOTH, policies=[]), FakeApplier()
    await reconciler(observer, applier).reconcile("shop")

    assert observer.reads == ["recent", "now"]
    assert applier.plans[0].transitions


@pytest.mark.parametrize(
    ("heard", "now", "reads", "deletions"),
    [
        pytest.param(BOTH, BOTH, ["recent"], 0, id="nothing-to-do"),
        pytest.param(THREE, ONE, ["recent"], 0, id="what-adds-waits-for-its-event-where-it-comes-too-late"),
        pytest.param(ONE, ONE, ["recent", "now"], 2, id="what-takes-away-is-looked-at-once-more"),
        pytest.param(ONE, BOTH, ["recent", "now"], 0, id="and-left-where-that-was-old-news"),
        pytest.param(None, BOTH, ["recent", "now"], 0, id="a-namespace-that-is-not-known-yet-is-looked-for"),
    ],
)
async def test_nothing_is_taken_away_by_what_was_only_heard(
    heard: dict[str, Any] | None, now: dict[str, Any], reads: list[str], deletions: int
) -> None:
    observer, applier = FakeObserver(heard=heard, now=now, policies=observed(compile_(BOTH))), FakeApplier()
    await reconciler(observer, applier).reconcile("shop")

    assert observer.reads == reads
    assert [len([step for step in plan.steps if step.action == "delete"]) for plan in applier.plans] == [deletions]
