"""How the operator does with very many objects, beside the same writes done bare."""

from __future__ import annotations

import asyncio
import json
import statistics
import time
from collections.abc import Iterable
from typing import Any

from appconnectivity.cluster.kinds import (
    APP_CONNECTIVITY,
    ENDPOINT_SLICE,
    NAMESPACE,
    NETWORK_POLICY,
    SERVICE,
    TEMPLATE,
)
from bench import churn, compiling
from bench.results import Results
from bench.tools import Bench, Body, bench, cpu_seconds, each, moved, rss_megabytes, timed
from cluster.controlplane import ControlPlane
from cluster.operator import USER, Operator, install

BULK, BULK_NAMESPACES = 1000, 20
# One by one, at rest: when what was written of the one before is over, its Events too.
ONE_BY_ONE, PAUSE_SECONDS = 200, 0.2
GROWTH, GROWTH_NAMESPACES = (100, 1000, 10_000), 500
GROWTH_TIMES, GROWTH_PAUSE_SECONDS, GROWTH_PAUSES, STARTS = 7, 4, 30, 3
BIG = 1000
PODS, PODS_OF_A_SLICE = 20_000, 100
REST_SECONDS = 600
_READ = (APP_CONNECTIVITY, NETWORK_POLICY, NAMESPACE, SERVICE, ENDPOINT_SLICE, TEMPLATE)

_FIRST, _FLOW = "o0000", "call"

Place = tuple[str, str]


def measure() -> Results:
    """On control planes of its own, with the operator as manifests/base lets it run."""
    results = Results()
    compiling.measure(results)
    with ControlPlane() as plane:
        _beside_bare_writes(plane, results)
    with ControlPlane() as plane:
        _grown(plane, results)
    return results


def obj(place: Place, *, port: int = 8080) -> Body:
    """An object of one flow."""
    name = place[1]
    flow = {"name": _FLOW, "from": {"app": f"{name}-frontend"}, "to": {"app": f"{name}-api"}, "ports": [port]}
    metadata = {"name": name, "namespace": place[0]}
    return {
        "apiVersion": "appconnectivity.io/v1alpha1",
        "kind": "AppConnectivity",
        "metadata": metadata,
        "spec": {"flows": [flow]},
    }


def places(prefix: str, *, objects: int, namespaces: int) -> list[Place]:
    """Spread over the namespaces in turn."""
    return [(f"{prefix}-{number % namespaces:03}", f"o{number // namespaces:04}") for number in range(objects)]


async def create(at: Bench, wanted: Iterable[Place]) -> None:
    """All at once, until each is Ready."""
    wanted = list(wanted)
    await each(wanted, lambda place: at.put(obj(place)))
    await at.ready.wait(wanted)


def _beside_bare_writes(plane: ControlPlane, results: Results) -> None:
    install(plane)
    running = Operator(plane)
    running.wait_ready()
    time.sleep(10)  # the sweeps of its start are over

    async def operated() -> tuple[float, list[float], list[Body]]:
        async with bench(plane) as at:
            cpu = cpu_seconds(running.process.pid)
            bulk = await _bulk(at)
            cpu = cpu_seconds(running.process.pid) - cpu
            results.limit(f"CPU of the operator for {BULK} objects at once", cpu, "s", at_most=5.5)
            results.limit("its memory (RSS) then", rss_megabytes(running.process.pid), "MB", at_most=125)
            like = await _like(at)
            await _big(plane, at, results)
            await _churn(plane, at, running, results)
        async with bench(plane, with_policies=True) as at:
            return bulk, await _one_by_one(at), like

    async def bare(like: list[Body]) -> tuple[float, list[float]]:
        async with bench(plane) as at:
            return await _bare_bulk(at, like), await _bare_one_by_one(at, like)

    bulk, one_by_one, like = asyncio.run(operated())
    running.stop()
    bare_bulk, bare_one_by_one = asyncio.run(bare(like))
    what = f"{BULK} objects in {BULK_NAMESPACES} namespaces, from the first create to {BULK} times Ready"
    results.ratio(what, bulk, bare_bulk, at_most=1.5)
    p50, bare_p50 = statistics.median(one_by_one), statistics.median(bare_one_by_one)
    results.ratio("create to the last policy of an object, p50 of 200", p50, bare_p50, at_most=3)
    p99, bare_p99 = _p99(one_by_one), _p99(bare_one_by_one)
    results.ratio("the same, p99", p99, bare_p99, at_most=6)


async def _bulk(at: Bench) -> float:
    wanted = places("bulk", objects=BULK, namespaces=BULK_NAMESPACES)
    await at.make_namespaces({namespace for namespace, _ in wanted})
    return await timed(create(at, wanted))


async def _bare_bulk(at: Bench, like: list[Body]) -> float:
    """The same number of the same writes, each object's after one another as far as one needs the other."""
    wanted = places("bare", objects=BULK, namespaces=BULK_NAMESPACES)
    await at.make_namespaces({namespace for namespace, _ in wanted})
    return await timed(each(wanted, lambda place: _write_bare(at, place, like)))


async def _one_by_one(at: Bench) -> list[float]:
    """Into namespaces in which much stands already; the first is not counted, while the watches begin."""
    found, policies = [], at.policies
    assert policies is not None
    for number in range(ONE_BY_ONE + 1):
        place = (f"bulk-{number % BULK_NAMESPACES:03}", f"one-{number:03}")
        start = time.perf_counter()
        await at.put(obj(place))
        await policies.wait([(place[0], f"{place[1]}.{_FLOW}.{half}") for half in ("ingress", "egress")])
        found.append(time.perf_counter() - start)
        await at.ready.wait([place])
        await asyncio.sleep(PAUSE_SECONDS)
    return found[1:]


async def _bare_one_by_one(at: Bench, like: list[Body]) -> list[float]:
    found = []
    for number in range(ONE_BY_ONE):
        place = (f"bare-{number % BULK_NAMESPACES:03}", f"one-{number:03}")
        mine = [_renamed(moved(body, place[0]), place[1]) for body in like]
        start = time.perf_counter()
        await at.put(obj(place))
        await each([body for body in mine if body["kind"] == "NetworkPolicy"], at.put)
        found.append(time.perf_counter() - start)
        await asyncio.sleep(PAUSE_SECONDS)
    return found


async def _like(at: Bench) -> list[Body]:
    """All that was written for the first object of a namespace."""
    return [body for body in await at.written("bulk-001") if _is_of(body, _FIRST)]


async def _write_bare(at: Bench, place: Place, like: list[Body]) -> None:
    mine = [_renamed(moved(body, place[0]), place[1]) for body in like]
    await at.put(obj(place))
    await each([body for body in mine if body["kind"] == "NetworkPolicy"], at.put)
    await each([body for body in mine if body["kind"] == "AppConnectivity"], at.write_status)
    await each([body for body in mine if body["kind"] == "Event"], at.write_event)


async def _big(plane: ControlPlane, at: Bench, results: Results) -> None:
    """One change in a namespace with many objects."""
    wanted = places("big", objects=BIG, namespaces=1)
    await at.make_namespaces({"big-000"})
    await create(at, wanted)
    await asyncio.sleep(5)
    before = len(plane.writes(user=USER))
    changed = ("big-000", _FIRST)
    start = time.perf_counter()
    await at.put(obj(changed, port=9090))
    await at.wait_until_current(changed)
    results.limit(f"one change among {BIG} objects of a namespace", time.perf_counter() - start, "s", at_most=1)
    await asyncio.sleep(3)
    results.limit("writes for it", len(plane.writes(user=USER)) - before, "writes", at_most=5)


async def _churn(plane: ControlPlane, at: Bench, running: Operator, results: Results) -> None:
    """First as many as the API server takes beside the operator, then as many as are wanted, behind its back."""
    names = [f"churn-{number:03}" for number in range(churn.NAMESPACES)]
    await at.make_namespaces(names)
    await create(at, [(name, _FIRST) for name in names])
    through = await churn.churn(
        at, running, names, _FIRST, lambda name, port: at.change_port(obj((name, _FIRST)), port)
    )
    async with churn.etcd(plane, _FIRST) as behind:
        put = await churn.churn(at, running, names, _FIRST, behind.change)
    for said, found in (("put into etcd", put), ("that the API server took", through)):
        what = f"until all is Ready after {churn.SECONDS} s of {found.a_second:.0f} changes/s {said}"
        results.limit(what, found.drained, "s", at_most=10)
        results.limit("passes for each of these changes", found.passes, "passes", at_most=1)


def _grown(plane: ControlPlane, results: Results) -> None:
    install(plane)
    running = Operator(plane)
    running.wait_ready()
    asyncio.run(_grow(plane, running, results))
    least = results.growth[GROWTH[0]]
    for count in GROWTH[1:]:
        what = f"an object, where there are {count} of them, beside {GROWTH[0]}"
        results.ratio(what, results.growth[count], least, at_most=1.3)
    before = len(plane.writes(user=USER))
    running = _started_anew(plane, running, results)
    _at_rest(running, results)
    results.limit("writes since the starts", len(plane.writes(user=USER)) - before, "writes", at_most=0)
    resident = rss_megabytes(running.process.pid)
    results.limit(f"memory (RSS) with {GROWTH[-1]} objects", resident, "MB", at_most=250)
    asyncio.run(_add_pods(plane))
    time.sleep(30)  # all was heard of
    more = rss_megabytes(running.process.pid) - resident
    results.limit(f"more of it with {PODS} Pods behind Services", more, "MB", at_most=5)
    running.stop()


def _started_anew(plane: ControlPlane, running: Operator, results: Results) -> Operator:
    """The last one that was started."""
    listed, took = [], []
    for _ in range(STARTS):
        running.stop()
        listed.append(asyncio.run(_list_everything(plane)))
        running = Operator(plane)
        took.append(_start(running))
    what = f"start on {GROWTH[-1]} objects, from its first answer until each is judged, beside listing them"
    results.ratio(what, statistics.median(took), statistics.median(listed), at_most=2)
    return running


def _at_rest(running: Operator, results: Results) -> None:
    time.sleep(90)  # the watches have begun, and the second sweep is over
    cpu = cpu_seconds(running.process.pid)
    time.sleep(REST_SECONDS)
    used = 100 * (cpu_seconds(running.process.pid) - cpu) / REST_SECONDS
    results.limit(f"CPU in {REST_SECONDS} s of rest, sweeps included", used, "% of a core", at_most=2)


async def _add_pods(plane: ControlPlane) -> None:
    """All that the operator hears of Pods: EndpointSlices."""
    async with bench(plane) as at:
        await each(range(PODS // PODS_OF_A_SLICE), lambda number: _add_slice(at, number))


async def _add_slice(at: Bench, number: int) -> None:
    addresses = (f"10.{number // 256}.{number % 256}.{pod}" for pod in range(PODS_OF_A_SLICE))
    name = f"pods-{number}"
    body = {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {"name": name, "namespace": "default", "labels": {"kubernetes.io/service-name": name}},
        "addressType": "IPv4",
        "endpoints": [{"addresses": [address]} for address in addresses],
        "ports": [{"name": "http", "port": 8080, "protocol": "TCP"}],
    }
    await at.client.create(ENDPOINT_SLICE, body)


async def _grow(plane: ControlPlane, running: Operator, results: Results) -> None:
    """Timed are some times so many objects, at rest, beside all that are there already."""
    async with bench(plane) as at:
        left = places("grow", objects=GROWTH[-1] + GROWTH_TIMES * GROWTH[0], namespaces=GROWTH_NAMESPACES)
        await at.make_namespaces({namespace for namespace, _ in left})
        done = 0
        for count in GROWTH:
            await _create_in_turn(at, [left.pop(0) for _ in range(count - GROWTH[0] - done)])
            batches = [[left.pop(0) for _ in range(GROWTH[0])] for _ in range(GROWTH_TIMES)]
            results.growth[count] = statistics.median([await _cost(at, batch, running) for batch in batches])
            done = count + (GROWTH_TIMES - 1) * GROWTH[0]


async def _cost(at: Bench, wanted: list[Place], running: Operator) -> float:
    """Seconds an object, while the operator asks for nothing else: no sweep is under way."""
    for _ in range(GROWTH_PAUSES):
        asked = running.metric("appconnectivity_api_requests_total")
        await asyncio.sleep(GROWTH_PAUSE_SECONDS)
        if asked == running.metric("appconnectivity_api_requests_total"):
            break
    return await timed(create(at, wanted)) / len(wanted)


async def _create_in_turn(at: Bench, wanted: list[Place]) -> None:
    for start in range(0, len(wanted), 500):
        await create(at, wanted[start : start + 500])


async def _list_everything(plane: ControlPlane) -> float:
    async with bench(plane) as at:
        return await timed(each(_READ, lambda kind: _listed(at, kind)))


async def _listed(at: Bench, kind: Any) -> None:
    await at.client.list(kind)


def _start(running: Operator) -> float:
    """Seconds from when its probes answer to when each namespace has been passed over."""
    while not running.get("/readyz")[0]:
        time.sleep(0.01)
    begin = time.perf_counter()
    running.wait_ready()
    while running.metric("appconnectivity_reconciles_total", result="ok") < GROWTH_NAMESPACES:
        time.sleep(0.05)
    return time.perf_counter() - begin


def _renamed(body: Body, name: str) -> Body:
    found: Body = json.loads(json.dumps(body).replace(_FIRST, name))
    return found


def _is_of(body: Body, name: str) -> bool:
    if body["kind"] == "Event":
        return bool(body["involvedObject"]["name"] == name)
    return bool(body["metadata"]["name"].partition(".")[0] == name)


def _p99(values: list[float]) -> float:
    return sorted(values)[int(len(values) * 0.99)]
