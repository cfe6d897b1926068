"""Sweep, probes and metrics: what makes the operator call itself deaf or stuck, and what must not."""

from __future__ import annotations

import asyncio
import time
from typing import Any, cast

import aiohttp
import pytest

from appconnectivity.cluster import errors
from appconnectivity.cluster.client import Client, Listing
from appconnectivity.cluster.kinds import APP_CONNECTIVITY, NAMESPACE
from appconnectivity.cluster.reads import Memory, Recent
from appconnectivity.cluster.store import Store
from appconnectivity.controller import garbage
from appconnectivity.controller import sweep as sweep_module
from appconnectivity.controller.metrics import Metrics
from appconnectivity.controller.probes import OLDEST_QUEUED_SECONDS, WATCHER_GRACE_SECONDS, Probes, Watchdog
from appconnectivity.controller.queue import WorkQueue
from appconnectivity.controller.sweep import Ledger, Sweeper
from appconnectivity.core import api, naming, template
from builders import Clock, compile_, flow, foreign, obj, observed

POLICIES = "networkpolicies"


def body(uid: str = "u", version: str = "1", **more: Any) -> dict[str, Any]:
    return {"metadata": {"uid": uid, "name": uid, "resourceVersion": version, **more}}


class FakeClient:
    """Lists what it was given, by plural, ``once`` or always; fails where it was given an error."""

    def __init__(self) -> None:
        self.found: dict[str, Any] = {api.PLURAL: [], POLICIES: [], template.PLURAL: []}
        self.once: dict[str, Any] = {}

    async def everything(self, kind: Any, **_: Any) -> Listing:
        answer = self.once.pop(kind.plural, self.found.get(kind.plural, []))
        if isinstance(answer, Exception):
            raise answer
        return Listing(Store(answer), 7)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def client() -> FakeClient:
    return FakeClient()


@pytest.fixture
def sweeper(clock: Clock, client: FakeClient, monkeypatch: pytest.MonkeyPatch) -> Sweeper:
    monkeypatch.setattr(sweep_module, "GRACE_SECONDS", 0.01)
    monkeypatch.setattr(garbage, "give_back", lambda: None)  # of all tests' objects: longer than these tests wait
    monkeypatch.setattr(sweep_module, "AGAIN_SECONDS", 0.01)
    return Sweeper(
        client=cast("Client", client),
        queue=WorkQueue(),
        templates=WorkQueue(),
        metrics=Metrics(),
        interval=300.0,
        clock=clock,
        ledgers={kind: Ledger() for kind in (api.PLURAL, POLICIES, template.PLURAL)},
        memory=Memory(otherwise=Recent(cast("Client", client))),
        before_passes=lambda: None,
    )


@pytest.fixture
def watchdog(sweeper: Sweeper) -> Watchdog:
    return Watchdog(queue=sweeper.queue, templates=sweeper.templates, sweeper=sweeper, watched=())


# The ledger.


def test_what_was_told_of_is_not_missing() -> None:
    ledger = Ledger()
    ledger.note(None, body("a", "1"))
    ledger.note("ADDED", body("b", "1"))
    ledger.note("MODIFIED", body("b", "2"))

    assert ledger.missing(Store([body("a", "1"), body("b", "2")])) == {}


@pytest.mark.parametrize(
    ("there", "missing"),
    [
        pytest.param(body("new"), {"new": "1"}, id="never-told-of"),
        pytest.param(body("a", "2"), {"a": "2"}, id="a-change-was-not-told-of"),
    ],
)
def test_what_was_not_told_of_is_missing(there: Any, missing: dict[str, str]) -> None:
    ledger = Ledger()
    ledger.note("ADDED", body("a", "1"))

    assert ledger.missing(Store([there])) == missing


def test_what_was_deleted_is_forgotten_after_two_lists() -> None:
    ledger = Ledger()
    ledger.note("ADDED", body("a"))
    ledger.note("DELETED", body("a"))
    ledger.note("DELETED", body("never-seen"))
    ledger.forget(Store())
    ledger.note("ADDED", body("came-after-the-list"))
    ledger.forget(Store())

    assert ledger.versions.keys() == {"came-after-the-list"}


def test_what_came_and_went_after_the_list_was_not_missed() -> None:
    ledger = Ledger()
    suspects = ledger.missing(Store([body("a", "1")]))
    ledger.note("ADDED", body("a", "1"))
    ledger.note("DELETED", body("a", "2"))

    assert ledger.still_missing(suspects, before={}) == 0


def test_a_late_event_clears_the_suspicion() -> None:
    ledger = Ledger()
    suspects = ledger.missing(Store([body("a", "1"), body("b", "1")]))
    before: dict[str, str] = {}
    ledger.note("ADDED", body("a", "1"))

    assert ledger.still_missing(suspects, before=before) == 1


def test_an_object_that_is_being_deleted_has_ended_and_is_not_missing() -> None:
    """Its finalizers may keep it for long, but somebody has asked for its end."""
    ledger, ending = Ledger(), body("a", "5", deletionTimestamp="2026-06-01T00:00:00Z")
    ledger.note("MODIFIED", ending)

    assert ledger.has_heard_end("a")
    assert ledger.missing(Store([ending])) == {}


# The sweep.


async def test_a_sweep_queues_every_namespace_with_objects_or_policies_of_ours(
    sweeper: Sweeper, client: FakeClient
) -> None:
    ours = observed(compile_(obj(flow("a", "b"))))[0]
    client.found |= {
        api.PLURAL: [body("o", namespace="one")],
        POLICIES: [
            ours | {"metadata": ours["metadata"] | {"namespace": "left-over"}},
            foreign("theirs", namespace="stranger"),
        ],
    }
    await sweeper.sweep()

    assert sweeper.queue.depth == 2
    assert [await sweeper.queue.get(), await sweeper.queue.get()] == ["left-over", "one"]


async def test_what_passes_have_concluded_is_forgotten_before_a_sweep_asks_for_them(
    sweeper: Sweeper, client: FakeClient
) -> None:
    waiting: list[int] = []
    sweeper.before_passes = lambda: waiting.append(sweeper.queue.depth)
    client.found[api.PLURAL] = [body("one", "shop")]
    await sweeper.sweep()

    assert waiting == [0]
    assert sweeper.queue.depth == 1


async def test_a_sweep_puts_right_what_passes_go_by(sweeper: Sweeper, client: FakeClient) -> None:
    client.found["namespaces"] = [body("shop")]
    await sweeper.sweep()
    assert await sweeper.memory.get(NAMESPACE, name="shop")

    client.found["namespaces"] = []
    await sweeper.sweep()
    assert await sweeper.memory.get(NAMESPACE, name="shop") is None


async def test_a_list_that_lacks_what_no_event_has_told_the_end_of_is_not_believed_alone(
    sweeper: Sweeper, client: FakeClient
) -> None:
    client.found[api.PLURAL] = [body("shop", namespace="one")]
    await sweeper.sweep()
    client.once[api.PLURAL] = []
    await sweeper.sweep()

    assert await sweeper.memory.get(APP_CONNECTIVITY, namespace="one", name="shop")


async def test_an_end_that_events_have_told_of_needs_no_second_list(sweeper: Sweeper, client: FakeClient) -> None:
    client.found[api.PLURAL] = [body("shop", namespace="one")]
    await sweeper.sweep()
    sweeper.memory.note(api.PLURAL, "DELETED", body("shop", "3", namespace="one"))
    client.once[api.PLURAL] = []
    client.found[api.PLURAL] = errors.Unavailable("a second list")

    await sweeper.sweep()


async def test_the_watches_begin_when_the_passes_that_the_first_sweep_asked_for_are_done(
    sweeper: Sweeper, client: FakeClient
) -> None:
    client.found[api.PLURAL] = [body("o", namespace="one")]
    running = asyncio.create_task(sweeper.run())
    assert await sweeper.queue.get() == "one"
    await asyncio.sleep(0.01)
    assert sweeper.completed
    assert not sweeper.first.is_set()

    sweeper.queue.done("one")
    await asyncio.wait_for(sweeper.first.wait(), 1)
    running.cancel()


async def test_a_sweep_that_follows_a_list_judges_no_watch(sweeper: Sweeper, client: FakeClient) -> None:
    client.found[api.PLURAL] = [body("o", namespace="one")]
    await sweeper.sweep()
    await sweeper.sweep(judges=False)
    await asyncio.sleep(0.05)

    assert (sweeper.completed, sweeper.judged, sweeper.deaf_rounds[api.PLURAL]) == (2, 1, 1)


async def test_what_the_first_two_sweeps_have_seen_is_no_news_until_the_third(sweeper: Sweeper) -> None:
    """Their LISTs are of version 7."""
    assert not sweeper.has_shown(POLICIES, body(version="7"))
    await sweeper.sweep()
    await sweeper.sweep()
    seen = [sweeper.has_shown(POLICIES, body(version=version)) for version in ("6", "7", "8", "no number")]
    assert seen == [True, True, False, False]

    await sweeper.sweep()
    assert not sweeper.has_shown(POLICIES, body(version="6"))


async def test_a_sweep_queues_every_template_also_one_that_has_left_an_object(
    sweeper: Sweeper, client: FakeClient
) -> None:
    client.found |= {
        api.PLURAL: [body("o", namespace="one", labels={naming.TEMPLATE_LABEL: "gone"})],
        template.PLURAL: [body("t", name="standard")],
    }

    await sweeper.sweep()

    assert [await sweeper.templates.get(), await sweeper.templates.get()] == ["gone", "standard"]


async def test_without_the_kind_of_templates_the_rest_is_swept(sweeper: Sweeper, client: FakeClient) -> None:
    client.found |= {api.PLURAL: [body("o", namespace="one")], template.PLURAL: errors.NotFound("no such kind")}

    await sweeper.sweep()

    assert (sweeper.completed, sweeper.queue.depth, sweeper.templates.depth) == (1, 1, 0)


@pytest.mark.parametrize("plural", [api.PLURAL, POLICIES])
async def test_a_sweep_that_could_not_read_everything_concludes_nothing(
    sweeper: Sweeper, client: FakeClient, plural: str
) -> None:
    client.found[api.PLURAL] = [body("o", namespace="one")]
    client.found[plural] = errors.Unavailable("down")
    with pytest.raises(errors.Unavailable):
        await sweeper.sweep()

    assert (sweeper.completed, sweeper.queue.depth, sweeper.deaf_rounds) == (0, 0, {})


async def test_a_change_that_no_watch_tells_of_makes_a_deaf_round(sweeper: Sweeper, client: FakeClient) -> None:
    client.found[api.PLURAL] = [body("o", namespace="one")]
    await sweeper.sweep()
    await asyncio.sleep(0.05)
    assert sweeper.deaf_rounds[api.PLURAL] == 1

    sweeper.ledgers[api.PLURAL].note("ADDED", body("o"))
    await sweeper.sweep()
    assert sweeper.deaf_rounds[api.PLURAL] == 0
    assert b'appconnectivity_missed_events_total{kind="appconnectivities"} 1.0' in sweeper.metrics.text()


async def test_a_change_that_is_told_of_within_the_grace_makes_none(sweeper: Sweeper, client: FakeClient) -> None:
    client.found[api.PLURAL] = [body("o", namespace="one")]
    await sweeper.sweep()
    sweeper.ledgers[api.PLURAL].note("ADDED", body("o"))
    await asyncio.sleep(0.05)

    assert sweeper.deaf_rounds[api.PLURAL] == 0


async def test_a_watch_that_lists_anew_makes_a_sweep_soon(sweeper: Sweeper, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sweep_module, "GRACE_SECONDS", 60)
    monkeypatch.setattr(sweep_module, "GAP_SECONDS", 0.01)
    running = asyncio.create_task(sweeper.run())
    await asyncio.sleep(0.02)
    assert sweeper.completed == 1
    sweeper.expect_gap()
    sweeper.expect_gap()
    await asyncio.sleep(0.05)
    running.cancel()

    assert sweeper.completed == 2


async def test_watches_are_judged_when_that_is_due_however_often_one_lists_anew(
    sweeper: Sweeper, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sweep_module, "GRACE_SECONDS", 60)
    monkeypatch.setattr(sweep_module, "GAP_SECONDS", 0.01)
    sweeper.interval = 0.1
    running = asyncio.create_task(sweeper.run())
    for _ in range(60):
        sweeper.expect_gap()
        await asyncio.sleep(0.005)
    running.cancel()

    assert sweeper.judged >= 2
    assert sweeper.completed > 2 * sweeper.judged


async def test_what_is_gone_is_forgotten_by_each_sweep(sweeper: Sweeper) -> None:
    sweeper.ledgers[api.PLURAL].note("DELETED", body("gone"))
    await sweeper.sweep(judges=False)
    await sweeper.sweep(judges=False)

    assert not sweeper.ledgers[api.PLURAL].versions


async def test_who_takes_long_to_look_at_everything_does_so_less_often(
    sweeper: Sweeper, client: FakeClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sweep_module, "GRACE_SECONDS", 60)
    monkeypatch.setattr(sweep_module, "GAP_SECONDS", 0.001)
    looks = sweeper._look

    async def slow() -> Any:
        await asyncio.sleep(0.02)
        return await looks()

    monkeypatch.setattr(sweeper, "_look", slow)
    began, running = time.monotonic(), asyncio.create_task(sweeper.run())
    for _ in range(20):
        sweeper.expect_gap()
        await asyncio.sleep(0.01)
    running.cancel()

    assert sweeper.completed <= 1 + (time.monotonic() - began) / (0.02 * sweep_module.GAP_TIMES)


async def test_sweeps_go_on_after_one_has_failed(
    sweeper: Sweeper, client: FakeClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    sweeper.interval = 0.005
    client.found[POLICIES] = errors.Unavailable("down")
    running = asyncio.create_task(sweeper.run())
    await asyncio.sleep(0.02)
    assert sweeper.api_is_down
    client.found[POLICIES] = []
    await asyncio.sleep(0.05)
    running.cancel()

    assert sweeper.completed > 1
    assert not sweeper.api_is_down


async def test_sweeps_go_on_after_an_error_that_nobody_foresaw(sweeper: Sweeper, client: FakeClient) -> None:
    sweeper.interval = 0.005
    client.found[POLICIES] = ValueError("a token file that is no token")
    running = asyncio.create_task(sweeper.run())
    await asyncio.sleep(0.02)
    client.found[POLICIES] = []
    await asyncio.sleep(0.05)
    assert sweeper.completed > 1
    assert not sweeper.has_ended
    running.cancel()
    await asyncio.wait([running])

    assert sweeper.has_ended


# The watchdog.


async def test_a_sweeper_that_has_ended_is_a_complaint(watchdog: Watchdog) -> None:
    watchdog.sweeper.has_ended = True

    assert watchdog.complaints() == ["no more sweeps: their task has ended"]


async def test_a_quiet_operator_has_no_complaints(watchdog: Watchdog) -> None:
    assert watchdog.complaints() == []


async def test_one_deaf_round_is_chance_and_two_are_not(watchdog: Watchdog) -> None:
    watchdog.sweeper.deaf_rounds["services"] = 1
    assert watchdog.complaints() == []
    watchdog.sweeper.deaf_rounds["services"] = 2

    assert watchdog.complaints() == ["deaf to services"]


async def test_a_namespace_that_waits_for_too_long_is_a_complaint(watchdog: Watchdog) -> None:
    watchdog.queue.add("shop")
    watchdog.queue._urgent["shop"] -= OLDEST_QUEUED_SECONDS + 1

    assert watchdog.complaints() == ["a namespace has been waiting for 901 s"]


@pytest.mark.parametrize(
    ("later", "is_down", "complaints"),
    [
        pytest.param(900.0, False, [], id="three-intervals"),
        pytest.param(961.0, False, ["no sweep has been completed for three intervals"], id="and-the-grace"),
        pytest.param(9999.0, True, [], id="the-api-server-is-down-and-a-restart-would-not-help"),
    ],
)
async def test_sweeps_that_do_not_end_are_a_complaint(
    watchdog: Watchdog, clock: Clock, later: float, is_down: bool, complaints: list[str]
) -> None:
    await watchdog.sweeper.sweep()
    clock.now += later
    watchdog.sweeper.api_is_down = is_down

    assert watchdog.complaints() == complaints


async def test_a_dead_watcher_is_a_complaint_after_the_grace(watchdog: Watchdog, clock: Clock) -> None:
    watchdog.watched = ("services", "namespaces")
    await watchdog.sweeper.sweep()
    watcher = asyncio.create_task(asyncio.sleep(5), name="watcher for namespaces.v1@None")
    assert watchdog.complaints() == []
    clock.now += WATCHER_GRACE_SECONDS + 1
    assert watchdog.complaints() == ["no watcher for services"]
    watcher.cancel()


async def test_a_watcher_that_comes_back_resets_the_grace(watchdog: Watchdog, clock: Clock) -> None:
    watchdog.watched = ("services",)
    await watchdog.sweeper.sweep()
    watchdog.complaints()
    clock.now += WATCHER_GRACE_SECONDS - 1
    watcher = asyncio.create_task(asyncio.sleep(5), name="watcher for services.v1@None")
    assert watchdog.complaints() == []
    watcher.cancel()
    await asyncio.sleep(0)
    clock.now += 2

    assert watchdog.complaints() == []


async def test_watchers_are_not_asked_for_before_the_first_sweep(watchdog: Watchdog, clock: Clock) -> None:
    watchdog.watched = ("services",)
    watchdog.complaints()
    clock.now += 9999

    assert watchdog.complaints() == []


async def test_the_probes_say_it_over_http(watchdog: Watchdog) -> None:
    probes = Probes(watchdog=watchdog, queue=watchdog.queue, sweeper=watchdog.sweeper, metrics=watchdog.sweeper.metrics)
    port = await probes.start(host="127.0.0.1", port=0)
    watchdog.queue.add("shop")

    async def get(path: str) -> tuple[int, str]:
        async with aiohttp.ClientSession() as session, session.get(f"http://127.0.0.1:{port}/{path}") as answer:
            return answer.status, await answer.text()

    try:
        assert await get("healthz") == (200, "ok")
        assert await get("readyz") == (503, "the first sweep is not complete")
        await watchdog.sweeper.sweep()
        assert await get("readyz") == (200, "ok")
        watchdog.sweeper.deaf_rounds["services"] = 2
        assert await get("healthz") == (500, "deaf to services")
        status, text = await get("metrics")
        assert status == 200
        assert "appconnectivity_queue_depth 1.0" in text
    finally:
        await probes.stop()


# Metrics.


def test_requests_are_counted_and_only_writes_that_were_taken_are_writes() -> None:
    metrics = Metrics()
    for verb, code in (("get", 200), ("patch", 200), ("patch", 409), ("delete", 200), ("create", 0)):
        metrics.observe_request(verb, POLICIES, code)
    lines = metrics.text().decode().splitlines()

    assert 'appconnectivity_api_requests_total{code="0",kind="networkpolicies",verb="create"} 1.0' in lines
    writes = [line for line in lines if line.startswith("appconnectivity_writes_total{")]
    assert writes == [
        'appconnectivity_writes_total{kind="networkpolicies",verb="patch"} 1.0',
        'appconnectivity_writes_total{kind="networkpolicies",verb="delete"} 1.0',
    ]


def gauges(metrics: Metrics) -> list[str]:
    return [line for line in metrics.text().decode().splitlines() if 'namespace="shop"' in line]


def test_states_that_are_no_more_have_no_series() -> None:
    metrics = Metrics()
    metrics.observe_namespace("shop", policies=4, conflicts=1, states=["Active", "Active", "Invalid"])
    metrics.observe_namespace("shop", policies=3, conflicts=0, states=["Active"])

    assert gauges(metrics) == [
        'appconnectivity_managed_policies{namespace="shop"} 3.0',
        'appconnectivity_name_conflicts{namespace="shop"} 0.0',
        'appconnectivity_flows{namespace="shop",state="Active"} 1.0',
    ]


def test_a_namespace_that_is_gone_leaves_no_series() -> None:
    metrics = Metrics()
    metrics.observe_namespace("shop", policies=4, conflicts=1, states=["Active"])
    metrics.forget_namespace("shop")

    assert gauges(metrics) == []


def test_every_metric_has_a_help_text_and_our_prefix() -> None:
    for family in Metrics().registry.collect():
        assert family.name.startswith("appconnectivity_")
        assert family.documentation.endswith(".")
