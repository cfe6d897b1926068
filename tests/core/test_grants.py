"""The other half: what counts as a grant, what does not, and that no more than that comes out."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from appconnectivity.core.compile import Compiled, FlowResult
from appconnectivity.core.facts import Facts, Isolation, Peer, ServicePort
from appconnectivity.core.findings import FlowState
from appconnectivity.core.selectors import EVERYTHING, Selector
from builders import compile_, endpoints, facts, flow, names, obj, peer, row, service

OURS = flow("a", {"app": "billing", "namespace": "finance"}, 9090)


def theirs(*flows: Any, **spec: Any) -> Any:
    return obj(*flows, name="billing", namespace="finance", **spec)


def granting(*ports: int | str, source: Any = None, target: Any = "billing", **more: Any) -> Any:
    return flow(source or {"app": "a", "namespace": "shop"}, target, *(ports or (9090,)), **more)


def judged(ours: Any, *bodies: Any, known: Facts | None = None, **more: Any) -> Compiled:
    return compile_(obj(ours), facts=known or facts(peers={"finance": peer(*bodies, **more)}))


GRANTS = [
    pytest.param(granting(), id="the-same-words"),
    pytest.param(granting("*"), id="all-ports"),
    pytest.param(granting("9000-9100"), id="a-range-around-it"),
    pytest.param(granting(source={"namespace": "shop"}), id="the-whole-namespace"),
    pytest.param(granting(target={"podSelector": {}}), id="every-pod-of-theirs"),
    pytest.param(granting(source={"entity": "Cluster"}), id="the-whole-cluster"),
    pytest.param(granting(source={"entity": "Any"}), id="anyone"),
    pytest.param(
        granting(source={"app": "a", "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "shop"}}}),
        id="a-namespace-by-label",
    ),
    pytest.param(
        granting(
            source={
                "podSelector": {"matchExpressions": [{"key": "app", "operator": "In", "values": ["a", "z"]}]},
                "namespace": "shop",
            }
        ),
        id="more-apps-than-ours",
    ),
]


@pytest.mark.parametrize("grant", GRANTS)
def test_a_flow_that_means_all_that_ours_means_is_a_grant(grant: Any) -> None:
    assert row(judged(OURS, theirs(grant))).state is FlowState.ACTIVE


NO_GRANTS = [
    pytest.param([], {}, id="nothing"),
    pytest.param([granting(9091)], {}, id="another-port"),
    pytest.param([granting("9090/UDP")], {}, id="another-protocol"),
    pytest.param([granting("metrics")], {}, id="a-name-that-may-mean-another-port"),
    pytest.param([granting(source={"app": "z", "namespace": "shop"})], {}, id="another-app"),
    pytest.param([granting(source={"app": "a", "namespace": "shop-test"})], {}, id="another-namespace"),
    pytest.param([granting(source="a")], {}, id="their-own-app-of-that-name"),
    pytest.param([granting(target="ledger")], {}, id="another-target"),
    pytest.param(
        [granting(target={"podSelector": {"matchLabels": {"app": "billing", "tier": "x"}}})], {}, id="fewer-pods"
    ),
    pytest.param([granting(source={"ipBlocks": [{"cidr": "0.0.0.0/0"}]})], {}, id="addresses-are-no-pods"),
    pytest.param([granting(source={"entity": "Internet"})], {}, id="the-internet-is-no-pod"),
    pytest.param([granting(expirationTime="2026-06-01T12:00:00Z")], {}, id="expired-this-second"),
    pytest.param([granting()], {"mode": "Audit"}, id="audit"),
    pytest.param([granting()], {"policyTypes": ["Egress"]}, id="a-direction-that-it-does-not-govern"),
    pytest.param([granting()], {"mode": "Learn"}, id="not-understood"),
    pytest.param([granting()], {"appLabel": "k8s-app"}, id="app-is-another-label-there"),
    pytest.param([flow({"app": "billing"}, {"app": "a", "namespace": "shop"}, 9090)], {}, id="the-way-back"),
]


@pytest.mark.parametrize(("flows", "spec"), NO_GRANTS)
def test_what_means_less_than_ours_is_no_grant(flows: list[Any], spec: dict[str, Any]) -> None:
    assert row(judged(OURS, theirs(*flows, **spec))).state is FlowState.AWAITING_GRANT


def test_a_grant_that_has_not_yet_expired_counts() -> None:
    assert row(judged(OURS, theirs(granting(expirationTime="2026-06-01T12:00:01Z")))).state is FlowState.ACTIVE


def test_a_namespace_that_isolates_nothing_needs_no_grant() -> None:
    assert row(judged(OURS, is_isolated=False)).state is FlowState.ACTIVE


@pytest.mark.parametrize(
    ("selector", "types", "state"),
    [
        pytest.param(EVERYTHING, {"Egress"}, FlowState.ACTIVE, id="only-the-other-direction"),
        pytest.param(Selector.of_labels({"app": "ledger"}), {"Ingress"}, FlowState.ACTIVE, id="other-pods"),
        pytest.param(Selector.of_labels({"app": "billing"}), {"Ingress"}, FlowState.AWAITING_GRANT, id="these-pods"),
        pytest.param(Selector.of_labels({"tier": "x"}), {"Ingress"}, FlowState.AWAITING_GRANT, id="perhaps-these-pods"),
    ],
)
def test_isolation_is_judged_by_pods_and_direction(selector: Selector, types: set[str], state: FlowState) -> None:
    found = Peer(peer().labels, isolations=(Isolation(selector, frozenset(types)),))

    assert row(compile_(obj(OURS), facts=facts(peers={"finance": found}))).state is state


def requested(waiting: FlowResult) -> Any:
    """What a person gets who pastes the end of the message into a list of flows."""
    return yaml.safe_load(waiting.finding.message.split("must declare: ", 1)[1])


def test_a_missing_half_is_asked_for_in_words_that_make_it_connect() -> None:
    """The request, pasted into an object there, is a grant."""
    waiting = row(judged(OURS))

    assert waiting.finding.message.startswith("an AppConnectivity in namespace finance must declare: {from: ")
    assert row(judged(OURS, theirs(requested(waiting)))).state is FlowState.ACTIVE


@pytest.mark.parametrize(
    ("ours", "spec"),
    [
        pytest.param(flow({"app": "a", "namespace": "finance"}, "b", 1), {}, id="ingress"),
        pytest.param(flow({"namespace": "finance"}, "b", "*"), {}, id="from-a-whole-namespace"),
        pytest.param(
            flow("a", {"app": "on", "namespace": "finance"}, "53/UDP"), {}, id="words-that-yaml-takes-for-more"
        ),
        pytest.param(flow("a", {"app": "123", "namespace": "finance"}, "1-2/SCTP"), {}, id="digits"),
        pytest.param(flow("1e3", {"app": "0x1f", "namespace": "finance"}, 1), {}, id="numbers-in-disguise"),
        pytest.param(flow("a", {"app": "b", "namespace": "finance"}), {"appLabel": "k8s-app"}, id="our-own-app-label"),
        pytest.param(
            flow(
                {"podSelector": {"matchExpressions": [{"key": "x/y", "operator": "NotIn", "values": ["", "no"]}]}},
                {"podSelector": {"matchLabels": {"a": ""}}, "namespace": "finance"},
            ),
            {},
            id="selectors",
        ),
    ],
)
def test_whatever_the_flow_the_request_is_a_grant_when_pasted(ours: Any, spec: dict[str, Any]) -> None:
    body = obj(ours, **spec)
    waiting = row(compile_(body, facts=facts(peers={"finance": peer()})))
    answer = theirs(requested(waiting))

    assert row(compile_(body, facts=facts(peers={"finance": peer(answer)}))).state is FlowState.ACTIVE


def test_only_the_own_half_is_written() -> None:
    compiled = judged(OURS, theirs(granting()))

    assert [policy for policy in compiled.policies if policy.namespace != "shop"] == []
    assert "shop.a-to-billing-in-finance.egress" in names(compiled)
    assert "shop.a-to-billing-in-finance.ingress" not in names(compiled)


BY_LABEL = flow("a", {"app": "b", "namespaceSelector": {"matchLabels": {"team": "x"}}})


def test_of_several_namespaces_those_without_a_grant_are_counted() -> None:
    answer = obj(flow({"app": "a", "namespace": "shop"}, "b"), namespace="one")
    peers = {name: peer(*bodies, name=name, team="x") for name, bodies in (("one", [answer]), ("two", []), ("six", []))}
    found = row(compile_(obj(BY_LABEL), facts=facts(peers=peers)))

    assert found.state is FlowState.AWAITING_GRANT
    assert "an AppConnectivity in 2 of the namespaces that match must declare" in found.finding.message


def test_a_label_that_also_matches_the_own_namespace_is_granted_by_a_local_flow() -> None:
    body = obj(BY_LABEL, flow("a", "b"))
    own = peer(body, name="shop", team="x")
    compiled = compile_(body, facts=facts(peers={"shop": own}, labels=own.labels))

    assert {found.name: found.state for found in compiled.objects[0].flows} == {
        "a-to-b": FlowState.ACTIVE,
        next(found.name for found in compiled.objects[0].flows if found.name != "a-to-b"): FlowState.ACTIVE,
    }


def test_a_flow_is_no_grant_for_itself_where_the_label_matches_the_own_namespace() -> None:
    """It writes nothing at its far end, so the own pods there stay closed, and the message says what opens them."""
    body = obj(BY_LABEL)
    own = peer(body, name="shop", team="x")
    waiting = row(compile_(body, facts=facts(peers={"shop": own}, labels=own.labels)))
    assert waiting.state is FlowState.AWAITING_GRANT

    both = obj(BY_LABEL, requested(waiting))
    own = peer(both, name="shop", team="x")
    states = {f.state for f in compile_(both, facts=facts(peers={"shop": own}, labels=own.labels)).objects[0].flows}
    assert states == {FlowState.ACTIVE}


# What may not come out: whether a namespace, an object or a Service is there, unless it grants us the flow.

TO_SERVICE = {"from": {"app": "a"}, "to": {"service": "billing", "namespace": "finance"}, "ports": [80]}
HTTP = ServicePort("http", "TCP", 80, 9090)


def words(known: Facts, ours: Any = None) -> tuple[Any, ...]:
    found = row(compile_(obj(ours or TO_SERVICE), facts=known))
    return found.state, found.finding, [policy.spec for policy in found.policies]


SECRETS = [
    pytest.param(facts(), id="no-namespace"),
    pytest.param(facts(peers={"finance": peer()}), id="no-service"),
    pytest.param(facts(service("billing", HTTP, namespace="finance"), peers={"finance": peer()}), id="no-grant"),
    pytest.param(
        facts(service("billing", HTTP, namespace="finance", is_external_name=True), peers={"finance": peer()}),
        id="an-external-name",
    ),
    pytest.param(facts(service("billing", namespace="finance"), peers={"finance": peer()}), id="another-port"),
    pytest.param(
        facts(service("billing", HTTP, namespace="finance", selector=None), peers={"finance": peer()}),
        id="no-endpoints",
    ),
    pytest.param(
        facts(
            service(
                "billing",
                HTTP,
                namespace="finance",
                selector=None,
                endpoints=(endpoints("192.0.2.1", http=80),),
            ),
            peers={"finance": peer()},
        ),
        id="addresses-without-pods",
    ),
    pytest.param(
        facts(
            service("billing", HTTP, namespace="finance"),
            peers={"finance": peer(theirs(granting(source={"app": "z", "namespace": "shop"})))},
        ),
        id="a-grant-to-another",
    ),
]


@pytest.mark.parametrize("known", SECRETS)
def test_without_a_grant_a_foreign_service_looks_the_same_there_or_not(known: Facts) -> None:
    assert words(known) == words(facts())
    assert words(known)[0] is FlowState.AWAITING_GRANT
    assert words(known)[2] == []


def test_with_a_grant_a_foreign_service_is_its_pods_on_their_ports() -> None:
    known = facts(service("billing", HTTP, namespace="finance"), peers={"finance": peer(theirs(granting()))})
    compiled = compile_(obj(TO_SERVICE), facts=known)

    assert row(compiled).state is FlowState.ACTIVE
    (policy,) = row(compiled).policies
    assert policy.spec["egress"][0]["ports"] == [{"port": 9090, "protocol": "TCP"}]


@pytest.mark.parametrize(
    "known",
    [
        pytest.param(facts(), id="no-namespace"),
        pytest.param(facts(peers={"finance": peer()}), id="no-object"),
        pytest.param(facts(peers={"finance": peer(theirs(granting(9091)))}), id="no-grant"),
    ],
)
def test_a_missing_namespace_and_one_without_a_grant_give_the_same_words(known: Facts) -> None:
    assert words(known, OURS) == words(facts(), OURS)
    assert words(known, OURS)[0] is FlowState.AWAITING_GRANT


def test_two_foreign_ends_are_told_so_whether_the_service_is_there_or_not() -> None:
    ours = TO_SERVICE | {"from": {"app": "a", "namespace": "elsewhere"}}

    found = words(facts(), ours)
    assert found[0] is FlowState.INVALID
    assert found == words(facts(service("billing", HTTP, namespace="finance"), peers={"finance": peer()}), ours)
