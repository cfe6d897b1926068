"""What a pass leaves out, and when it looks at all again: over an API server that is no more than a memory."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any, cast

import pytest

from appconnectivity.cluster import errors
from appconnectivity.cluster.apply import Applied, Applier
from appconnectivity.cluster.client import Listing
from appconnectivity.cluster.kinds import APP_CONNECTIVITY, NAMESPACE, NETWORK_POLICY, SERVICE, Kind
from appconnectivity.cluster.observe import Observer
from appconnectivity.cluster.reads import Memory, Reads
from appconnectivity.cluster.report import Reporter
from appconnectivity.cluster.store import Store
from appconnectivity.controller.brake import Brake
from appconnectivity.controller.metrics import Metrics
from appconnectivity.controller.reconcile import Reconciler
from appconnectivity.controller.telling import Teller
from appconnectivity.controller.triggers import Triggers
from appconnectivity.core.compile import Compiled, Compiler
from appconnectivity.core.drift import FREE_REPAIRS, QUIET_SECONDS
from appconnectivity.core.findings import Finding, Reason
from appconnectivity.core.plan import Action, Plan
from appconnectivity.core.status import condition
from builders import OPTIONS, Clock, flow, foreign, live, obj

DENY, DNS = "appconnectivity.default-deny", "appconnectivity.allow-dns"
KUBE_DNS = ("kube-system", "kube-dns")
NO_ONE = {"matchLabels": {"no": "one"}}


class Cluster:
    """Takes every write, but for names that are ``refused``. ``meanwhile`` is called with each plan that is applied;
    ``meddle`` is what admission makes of a status."""

    def __init__(self) -> None:
        self.memory = Memory(otherwise=cast("Reads", self))
        for kind in (APP_CONNECTIVITY, NETWORK_POLICY, NAMESPACE, SERVICE):
            self.memory.settle(kind, Listing(Store(), 1))
        self.version, self.refused = 1, set[str]()
        self.meanwhile: Callable[[], None] = lambda: None
        self.meddle: Callable[[Any], Any] = lambda status: status
        self.put(NAMESPACE, {"metadata": {"name": "shop"}})

    async def get(self, *_: Any, **__: Any) -> None:
        """Of other kinds there is nothing."""

    async def list(self, *_: Any, **__: Any) -> list[Any]:
        """EndpointSlices: one address behind each Service."""
        port = {"name": "dns", "port": 53, "protocol": "UDP"}
        endpoints = [{"addresses": ["10.0.0.5"]}]
        metadata = {"namespace": "shop", "name": "a-slice"}
        return [{"metadata": metadata, "addressType": "IPv4", "endpoints": endpoints, "ports": [port]}]

    def put(self, kind: Kind, body: Any) -> Any:
        self.version += 1
        written = body | {"metadata": body["metadata"] | {"resourceVersion": str(self.version)}}
        self.memory.note(kind.plural, "MODIFIED", written)
        return written

    def end(self, kind: Kind, name: str) -> None:
        self.version += 1
        metadata = {"name": name, "namespace": "shop", "resourceVersion": str(self.version)}
        self.memory.note(kind.plural, "DELETED", {"metadata": metadata})

    async def apply(self, plan: Plan, _: Compiled) -> Applied:
        applied = Applied(conflicts=set(plan.conflicts))
        self.meanwhile()
        for step in plan.steps:
            if step.name in self.refused:
                applied.failures[step.name] = Finding(Reason.WRITE_FAILED, "refused")
            elif step.action is Action.DELETE:
                self.end(NETWORK_POLICY, step.name)
                applied.written.append(step)
            elif step.policy is not None and step.action in (Action.CREATE, Action.UPDATE):
                body = self.put(NETWORK_POLICY, live(step.policy))
                applied.versions[step.name] = body["metadata"]["resourceVersion"]
                applied.written.append(step)
        return applied

    async def status(self, body: Any, status: Any) -> Any:
        if body["metadata"]["name"] in self.refused:
            raise errors.Rejected("refused")
        current = await self.memory.get(APP_CONNECTIVITY, name=body["metadata"]["name"], namespace="shop")
        return self.put(APP_CONNECTIVITY, {**(current or {}), "status": self.meddle(status)})

    async def event(self, *_: Any, **__: Any) -> None:
        return

    async def policy(self, name: str) -> Any:
        return await self.memory.get(NETWORK_POLICY, name=name, namespace="shop")

    def serve(self, name: str, namespace: str = "shop", **spec: Any) -> None:
        ports = [{"name": "dns", "port": 53, "protocol": "UDP"}]
        self.put(SERVICE, {"metadata": {"name": name, "namespace": namespace}, "spec": {"ports": ports, **spec}})

    async def ready(self, name: str) -> str:
        """The reason of its condition Ready."""
        body = await self.memory.get(APP_CONNECTIVITY, name=name, namespace="shop")
        return str(condition((body or {})["status"], "Ready")["reason"])

    def connect(self, name: str, port: int, **spec: Any) -> None:
        self.put(APP_CONNECTIVITY, obj(flow("a", "b", port), name=name, generation=port, **spec))


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def cluster() -> Cluster:
    return Cluster()


@pytest.fixture
def metrics() -> Metrics:
    return Metrics()


@pytest.fixture
def reconciler(cluster: Cluster, metrics: Metrics, clock: Clock) -> Reconciler:
    observer = Observer(
        now=cluster.memory, recent=cluster.memory, options=OPTIONS, dns_services=[KUBE_DNS], clock=lambda: 0.0
    )
    triggers = Triggers(dns_services=frozenset({KUBE_DNS}))
    return Reconciler(
        observer=observer,
        applier=cast("Applier", cluster),
        teller=Teller(cast("Reporter", cluster), triggers, metrics),
        triggers=triggers,
        metrics=metrics,
        options=replace(OPTIONS, adoption=timedelta(0)),
        brake=Brake(is_gone=lambda _: True),
        monotonic=clock,
    )


@pytest.fixture
def compiled(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """The objects that were compiled, by pass."""
    found: list[list[str]] = []
    real = Compiler.compile

    def noting(self: Compiler, intents: Any) -> Compiled:
        found.append(sorted(intent.name for intent in intents))
        return real(self, intents)

    monkeypatch.setattr(Compiler, "compile", noting)
    return found


@pytest.fixture
async def two(cluster: Cluster, reconciler: Reconciler, compiled: list[list[str]]) -> list[list[str]]:
    """Two objects that are as they should be; what is compiled from now on."""
    for name in ("one", "two"):
        cluster.connect(name, 8080)
    await reconciler.reconcile("shop")
    compiled.clear()
    return compiled


async def edit(cluster: Cluster, name: str) -> None:
    """By hand."""
    body = await cluster.policy(name)
    cluster.put(NETWORK_POLICY, {**body, "spec": {**body["spec"], "podSelector": NO_ONE}})


async def test_a_pass_leaves_out_what_is_as_it_was(cluster: Cluster, reconciler: Reconciler, two: Any) -> None:
    cluster.connect("three", 8080)
    await reconciler.reconcile("shop")
    cluster.connect("two", 9090)
    await reconciler.reconcile("shop")
    await reconciler.reconcile("shop")

    assert two == [["three"], ["two"], []]


async def test_what_is_left_out_is_counted(
    cluster: Cluster, reconciler: Reconciler, metrics: Metrics, two: Any
) -> None:
    cluster.connect("three", 8080)
    await reconciler.reconcile("shop")

    said = metrics.text().decode()
    assert 'appconnectivity_managed_policies{namespace="shop"} 8.0' in said
    assert 'appconnectivity_flows{namespace="shop",state="Active"} 3.0' in said


async def test_the_shared_policies_get_another_owner_and_keep_the_others(
    cluster: Cluster, reconciler: Reconciler, two: Any
) -> None:
    cluster.connect("three", 8080)
    await reconciler.reconcile("shop")

    owners = (await cluster.policy(DENY))["metadata"]["ownerReferences"]
    assert [owner["name"] for owner in owners] == ["one", "three", "two"]


@pytest.mark.parametrize(
    "happens",
    [
        pytest.param(lambda _, reconciler: reconciler.look_at_all(), id="a-sweep"),
        pytest.param(
            lambda cluster, _: cluster.put(NAMESPACE, {"metadata": {"name": "shop", "labels": {"team": "blue"}}}),
            id="the-namespace-has-another-label",
        ),
        pytest.param(
            lambda cluster, _: cluster.connect("three", 1, defaultDeny="Endpoints"), id="a-deny-depends-on-what-stands"
        ),
    ],
)
async def test_a_pass_looks_at_all_where_that_may_matter(
    cluster: Cluster, reconciler: Reconciler, two: Any, happens: Callable[[Cluster, Reconciler], None]
) -> None:
    happens(cluster, reconciler)
    await reconciler.reconcile("shop")

    assert {"one", "two"} <= set(two[-1])


async def test_a_sweep_while_a_pass_is_made_counts_too(cluster: Cluster, reconciler: Reconciler, two: Any) -> None:
    cluster.connect("three", 8080)
    cluster.meanwhile = reconciler.look_at_all
    await reconciler.reconcile("shop")
    await reconciler.reconcile("shop")

    assert two == [["three"], ["one", "three", "two"]]


@pytest.mark.parametrize("name", [DENY, DNS])
async def test_that_somebody_has_taken_the_name_of_a_shared_policy_each_object_tells(
    cluster: Cluster, reconciler: Reconciler, two: Any, name: str
) -> None:
    cluster.put(NETWORK_POLICY, foreign(name))
    await reconciler.reconcile("shop")
    told = [await cluster.ready(name) for name in ("one", "two")]
    cluster.end(NETWORK_POLICY, name)
    await reconciler.reconcile("shop")

    assert told == ["NameConflict"] * 2
    assert [await cluster.ready(name) for name in ("one", "two")] == ["Ready"] * 2


async def test_an_object_whose_status_could_not_be_written_is_not_left_out(
    cluster: Cluster, reconciler: Reconciler, two: Any
) -> None:
    cluster.refused = {"three"}
    cluster.connect("three", 8080)
    await reconciler.reconcile("shop")
    cluster.refused = set()
    await reconciler.reconcile("shop")

    assert two == [["three"], ["three"]]
    assert await cluster.ready("three") == "Ready"


async def test_an_object_whose_status_admission_has_changed_is_not_left_out(
    cluster: Cluster, reconciler: Reconciler, two: Any
) -> None:
    cluster.meddle = lambda status: {**status, "policyCount": 0}
    cluster.connect("three", 8080)
    await reconciler.reconcile("shop")
    cluster.meddle = lambda status: status
    await reconciler.reconcile("shop")
    await reconciler.reconcile("shop")

    assert two == [["three"], ["three"], []]


async def test_an_object_that_has_changed_in_the_middle_of_its_pass_is_not_left_out(
    cluster: Cluster, reconciler: Reconciler, two: Any
) -> None:
    """The answer to its status is of the newer one, of which nothing else may tell."""
    cluster.connect("three", 8080)
    cluster.meanwhile = lambda: cluster.connect("three", 9090)
    await reconciler.reconcile("shop")
    cluster.meanwhile = lambda: None
    await reconciler.reconcile("shop")

    assert two == [["three"], ["three"]]
    assert (await cluster.policy("three.a-to-b.ingress"))["spec"]["ingress"][0]["ports"][0]["port"] == 9090


async def test_a_policy_of_an_object_that_was_left_out_and_comes_back_is_kept_where_it_would_have_been(
    cluster: Cluster, reconciler: Reconciler, two: Any
) -> None:
    """Its Service has lost its selector: what isolates the pods behind it stays, if it is there."""
    cluster.serve("dns", selector={"app": "dns"})
    cluster.put(APP_CONNECTIVITY, obj(flow("a", {"service": "dns"}, ports=None), name="three", defaultDeny="Endpoints"))
    await reconciler.reconcile("shop")
    deny = await cluster.policy("three.dns.deny")
    cluster.serve("dns")
    cluster.end(NETWORK_POLICY, "three.dns.deny")
    cluster.end(NETWORK_POLICY, "three.dns.allow-dns")
    for _ in range(3):
        await reconciler.reconcile("shop")
    cluster.put(NETWORK_POLICY, deny)
    await reconciler.reconcile("shop")

    assert two[-3:] == [[], [], ["one", "three", "two"]]
    assert await cluster.policy("three.dns.deny")


async def test_a_namespace_is_not_taken_for_left_where_all_that_stay_were_left_out(
    cluster: Cluster, reconciler: Reconciler
) -> None:
    """One that is left is kept open for a while, as a whole."""
    for name in ("one", "two"):
        cluster.connect(name, 8080, defaultDeny="None", dns="None")
    await reconciler.reconcile("shop")
    reconciler.options = replace(OPTIONS, adoption=timedelta(seconds=10))
    cluster.end(APP_CONNECTIVITY, "two")
    await reconciler.reconcile("shop")

    standing = await cluster.memory.list(NETWORK_POLICY, namespace="shop")
    assert {body["metadata"]["name"] for body in standing} == {"one.a-to-b.egress", "one.a-to-b.ingress"}


async def test_what_those_refer_to_that_were_left_out_is_looked_up_and_listened_for(
    cluster: Cluster, reconciler: Reconciler, compiled: list[list[str]]
) -> None:
    cluster.serve("kube-dns", "kube-system", selector={"k8s-app": "kube-dns"})
    cluster.serve("db", selector={"app": "db"})
    cluster.put(APP_CONNECTIVITY, obj(flow("a", {"service": "db"}, ports=None), name="one"))
    cluster.connect("two", 8080)
    for port in (9090, 9091):
        await reconciler.reconcile("shop")
        cluster.connect("three", port, dns="None", policyTypes=["Ingress"])
    await reconciler.reconcile("shop")

    assert compiled[-1] == ["three"]
    slices = {"metadata": {"namespace": "shop", "name": "x", "labels": {"kubernetes.io/service-name": "db"}}}
    dns = {"metadata": {"namespace": KUBE_DNS[0], "name": KUBE_DNS[1]}}
    assert reconciler.triggers.concerned("endpointslices", slices) == {"shop"}
    assert reconciler.triggers.concerned("services", dns) == {"shop"}


async def test_what_an_object_leaves_behind_goes_though_others_have_settled(
    cluster: Cluster, reconciler: Reconciler, two: Any
) -> None:
    cluster.end(APP_CONNECTIVITY, "two")
    await reconciler.reconcile("shop")

    standing = await cluster.memory.list(NETWORK_POLICY, namespace="shop")
    assert {body["metadata"]["name"] for body in standing} == {
        *(DENY, DNS),
        *("one.a-to-b.egress", "one.a-to-b.ingress"),
    }


async def test_what_is_refused_of_a_shared_policy_each_object_tells(
    cluster: Cluster, reconciler: Reconciler, two: Any
) -> None:
    cluster.refused = {DENY}
    cluster.connect("three", 8080)
    assert not (await reconciler.reconcile("shop")).complete
    assert not (await reconciler.reconcile("shop")).complete
    told = [await cluster.ready(name) for name in ("one", "two", "three")]

    cluster.refused = set()
    assert (await reconciler.reconcile("shop")).complete
    assert told == ["WriteFailed"] * 3
    assert [await cluster.ready(name) for name in ("one", "two", "three")] == ["Ready"] * 3


@pytest.mark.parametrize("name", [DENY, DNS])
async def test_a_fight_over_a_shared_policy_each_object_tells(
    cluster: Cluster, reconciler: Reconciler, two: Any, name: str
) -> None:
    for _ in range(FREE_REPAIRS):
        await edit(cluster, name)
        await reconciler.reconcile("shop")

    assert [await cluster.ready(name) for name in ("one", "two")] == ["Contended"] * 2


async def test_an_object_with_a_repair_that_has_to_wait_is_not_left_out(
    cluster: Cluster, reconciler: Reconciler, clock: Clock, two: Any
) -> None:
    """However long its pass takes: what stands is not what it says."""
    name = "one.a-to-b.ingress"
    for _ in range(FREE_REPAIRS):
        await edit(cluster, name)
        await reconciler.reconcile("shop")
    await edit(cluster, name)
    cluster.meanwhile = lambda: clock.leap(QUIET_SECONDS + 1)
    await reconciler.reconcile("shop")
    cluster.meanwhile = lambda: None
    assert (await cluster.policy(name))["spec"]["podSelector"] == NO_ONE
    await reconciler.reconcile("shop")

    assert (await cluster.policy(name))["spec"]["podSelector"] != NO_ONE


async def test_what_somebody_does_to_a_policy_of_an_object_that_was_left_out_is_found(
    cluster: Cluster, reconciler: Reconciler, metrics: Metrics, two: Any
) -> None:
    cluster.connect("three", 8080)
    await reconciler.reconcile("shop")
    name = "one.a-to-b.ingress"
    body = await cluster.policy(name)
    await edit(cluster, name)
    await reconciler.reconcile("shop")

    assert (await cluster.policy(name))["spec"] == body["spec"]
    assert "appconnectivity_drift_repairs_total{" in metrics.text().decode()
    await reconciler.reconcile("shop")
    assert two == [["three"], ["one"], ["one"], ["one", "three", "two"]]
