"""Which objects settle, and what unsettles them."""

from __future__ import annotations

from typing import Any

import pytest

from appconnectivity.core import api
from appconnectivity.core.facts import Facts
from appconnectivity.core.isolation import Want
from appconnectivity.core.policy import Owner
from appconnectivity.core.settled import Settled
from builders import NOW, compile_, endpoints, facts, flow, live, obj, peer, service

TO_DB = flow("frontend", {"service": "db"}, ports=None)
PLAIN = obj(flow("frontend", "api", 8080))
POLICIES = {"shop.frontend-to-api.ingress": 2, "shop.frontend-to-api.egress": 3}
OPS = facts(peers={"ops": peer(name="ops", is_isolated=False)})


def settled_of(body: Any, known: Facts | None = None, standing: Any = ()) -> Settled:
    """Where all has been written, the first version each."""
    known = known or facts()
    compiled = compile_(body, facts=known, standing=standing, now=NOW)
    policies = {policy.name: POLICIES.get(policy.name, 9) for policy in compiled.policies}
    return Settled().and_all_of(compiled, facts=known, bodies={"shop": 1}, policies=policies)


@pytest.mark.parametrize(
    ("body", "known", "settles"),
    [
        pytest.param(PLAIN, None, True, id="plain"),
        pytest.param(obj(TO_DB), facts(service()), True, id="a-service-that-is-there"),
        pytest.param(obj(TO_DB), None, False, id="a-service-that-is-not"),
        pytest.param(
            obj(flow("frontend", "api", expirationTime="2036-06-01T00:00:00Z")), None, False, id="it-has-an-end"
        ),
        pytest.param(obj(flow("frontend", {"namespace": "ops", "app": "api"})), OPS, False, id="another-namespace"),
        pytest.param(obj(flow("frontend", "api"), mode="Audit"), None, False, id="audit"),
        pytest.param(obj(flow("frontend", "api"), flow("frontend", {})), None, False, id="a-flow-is-not-understood"),
        pytest.param(obj(flow("frontend", "api"), mode="Maybe"), None, False, id="it-is-not-understood"),
        pytest.param(obj(), None, False, id="it-has-no-policies-of-its-own"),
    ],
)
def test_an_object_settles_if_only_it_and_its_namespace_matter(body: Any, known: Facts | None, settles: bool) -> None:
    assert bool(settled_of(body, known).objects) == settles


def test_an_object_that_keeps_what_it_had_does_not_settle() -> None:
    """A Service has lost its selector: the flow goes on by addresses, and what isolates the pods behind it stays. That
    is not to be taken for something that no object asks for."""
    body = obj(TO_DB, defaultDeny="Endpoints")
    standing = [live(policy) for policy in compile_(body, facts=facts(service())).policies]
    by_addresses = facts(service(selector=None, endpoints=(endpoints("10.0.0.5", sql=5432),)))

    assert compile_(body, facts=by_addresses, standing=standing).kept == {"shop.db.deny", "shop.db.allow-dns"}
    assert not settled_of(body, by_addresses, standing=standing).objects
    assert settled_of(body, by_addresses).objects


@pytest.mark.parametrize(
    ("bodies", "policies", "stays"),
    [
        pytest.param({"shop": 1}, POLICIES, True, id="nothing-is-another"),
        pytest.param({"shop": 1, "more": 7}, POLICIES | {"more.a-to-b.ingress": 8}, True, id="there-is-more"),
        pytest.param({"shop": 4}, POLICIES, False, id="the-object-is-another"),
        pytest.param({}, POLICIES, False, id="the-object-is-gone"),
        pytest.param({"shop": 1}, POLICIES | {"shop.frontend-to-api.egress": 4}, False, id="a-policy-is-another"),
        pytest.param({"shop": 1}, {"shop.frontend-to-api.egress": 3}, False, id="a-policy-is-gone"),
        pytest.param(
            {"shop": 1}, POLICIES | {"appconnectivity.transition-egress": 1}, False, id="the-namespace-is-kept-open"
        ),
    ],
)
def test_an_object_stays_settled_while_it_and_its_policies_are_what_they_were(
    bodies: dict[str, int], policies: dict[str, int], stays: bool
) -> None:
    assert bool(settled_of(PLAIN).still(bodies, policies).objects) == stays


def test_what_has_no_version_that_can_be_compared_does_not_settle() -> None:
    compiled = compile_(PLAIN)
    none = dict.fromkeys(POLICIES, 0) | {policy.name: 0 for policy in compiled.policies}
    for bodies, policies in (({"shop": 0}, none | POLICIES), ({"shop": 1}, none)):
        settled = Settled().and_all_of(compiled, facts=facts(), bodies=bodies, policies=policies)
        assert not settled.still(bodies, policies).objects


@pytest.mark.parametrize(
    ("now", "follows"),
    [
        pytest.param(facts(), True, id="the-same"),
        pytest.param(facts(peers={"ops": peer()}), True, id="others-do-not-matter"),
        pytest.param(facts(service(namespace="ops")), True, id="nor-do-their-services"),
        pytest.param(facts(service()), False, id="a-service-more"),
        pytest.param(facts(service(endpoints=(endpoints("10.0.0.5", sql=1),))), False, id="with-endpoints"),
        pytest.param(facts(labels={"team": "blue"}), False, id="labels"),
        pytest.param(facts(dns_services=()), False, id="dns"),
        pytest.param(facts(node_local_dns=("169.254.20.10",)), False, id="the-node's-dns"),
        pytest.param(facts(api_server=(endpoints("10.0.0.1", https=6443),)), False, id="the-api-server"),
    ],
)
def test_they_follow_from_the_facts_of_their_own_namespace(now: Facts, follows: bool) -> None:
    assert settled_of(PLAIN).follow_from(now) == follows


def test_the_endpoints_of_a_service_matter() -> None:
    there = facts(service(endpoints=(endpoints("10.0.0.5", sql=1),)))

    assert not settled_of(PLAIN, there).follow_from(facts(service(endpoints=(endpoints("10.0.0.6", sql=1),))))


def test_where_nothing_has_settled_any_facts_will_do() -> None:
    assert Settled().follow_from(facts())


def test_others_are_told_all_that_concerns_them() -> None:
    settled = settled_of(obj(TO_DB, policyTypes=["Ingress"]), facts(service()))

    ((want,), policies) = settled.wants, settled.policies
    assert want == Want(Owner("shop", "uid-shop"), frozenset({api.PolicyType.INGRESS}), dns=False)
    assert policies == {"shop.frontend-to-db.ingress"}
    assert settled.references.services == {("shop", "db")}
    assert [*settled.states] == ["Active"]
