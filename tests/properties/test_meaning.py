"""What written policies mean: exactly what the flows say, judged by a second reading of both.

The evaluator reads the policies and knows nothing of the compiler; ``declared`` reads the flows and knows nothing of
either. They must agree on every connection of a small world.
"""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings

from appconnectivity.core.reachability import allowed
from builders import flow, obj
from oracle import evaluator
from oracle.declared import NAMESPACE, Connection, Declared
from oracle.world import CONNECTIONS, PAIRS, PROBES, SERVICES, WORLD, declared, policies_of
from strategies import flows, headers, lists_of_flows

SHOP = [pod for pod in WORLD.pods if pod.namespace == NAMESPACE]
OUTSIDE = {end.ref for end in WORLD.ends if end not in SHOP}


def opened(*bodies: Any) -> set[Connection]:
    """Every probe that gets through, by the evaluator."""
    return evaluator.opened(WORLD, policies_of(*bodies), CONNECTIONS)


namespace_headers = headers.map(lambda found: found | {"defaultDeny": "Namespace", "mode": "Enforce"})


@settings(max_examples=150, deadline=None)
@given(lists_of_flows, headers)
def test_policies_open_exactly_what_the_flows_say(found: list[Any], header: Any) -> None:
    body = obj(*found, **header)

    assert opened(body) == declared(body)


@settings(max_examples=60, deadline=None)
@given(lists_of_flows, flows, namespace_headers)
def test_one_more_flow_never_closes_anything_and_one_less_never_opens(found: list[Any], one: Any, header: Any) -> None:
    assert opened(obj(*found, **header)) <= opened(obj(*found, one, **header))


@settings(max_examples=60, deadline=None)
@given(lists_of_flows, lists_of_flows)
def test_two_objects_together_allow_the_union(ones: list[Any], others: list[Any]) -> None:
    one, other = obj(*ones, name="one"), obj(*others, name="other")

    assert opened(one) | opened(other) <= opened(one, other)


@settings(max_examples=60, deadline=None)
@given(lists_of_flows, lists_of_flows)
def test_two_objects_together_mean_what_one_with_all_their_flows_means(ones: list[Any], others: list[Any]) -> None:
    assert opened(obj(*ones, name="one"), obj(*others, name="other")) == opened(obj(*ones, *others))


@settings(max_examples=60, deadline=None)
@given(lists_of_flows, headers.map(lambda found: found | {"defaultDeny": "Endpoints", "mode": "Enforce"}))
def test_pods_that_no_flow_names_stay_as_they_are_with_endpoints(found: list[Any], header: Any) -> None:
    """And every pod that a flow names is as closed as with the whole namespace closed."""
    body = obj(*found, **header)
    says = Declared(body["spec"] | {"policyTypes": ["Ingress", "Egress"]}, WORLD, SERVICES)
    named = {pod.ref for pod in SHOP if says.closes(pod, "from")}
    closed = declared(obj(*found, **header | {"defaultDeny": "Namespace"}))
    # Both ends must be ones that are judged alike in both forms: named, or outside the namespace.
    alike = {end.ref for end in WORLD.ends if end.ref in named} | OUTSIDE
    bare = {end.ref for end in WORLD.ends if end.ref not in named}
    live = opened(body)

    assert {c for c in live if {c[0], c[1]} <= alike} == {c for c in closed if {c[0], c[1]} <= alike}
    assert len({c[:2] for c in live if {c[0], c[1]} <= bare}) == sum({s.ref, t.ref} <= bare for s, t in PAIRS)


@settings(max_examples=60, deadline=None)
@given(lists_of_flows, headers.map(lambda found: found | {"mode": "Enforce"}))
def test_whatever_the_deny_a_declared_flow_is_open(found: list[Any], header: Any) -> None:
    """What a flow says is never closed by the way in which the rest is closed."""
    body = obj(*found, **header | {"defaultDeny": "Namespace", "policyTypes": ["Ingress", "Egress"]})

    assert declared(body) <= opened(obj(*found, **header))


@settings(max_examples=60, deadline=None)
@given(lists_of_flows, headers.map(lambda found: found | {"mode": "Enforce", "dns": "Cluster"}))
def test_no_pod_loses_its_dns(found: list[Any], header: Any) -> None:
    """Whoever gets isolated in egress, by whatever policy of ours, can still resolve names."""
    policies = policies_of(obj(*found, **header))
    coredns = next(pod for pod in WORLD.pods if pod.name == "coredns")

    assert all(allowed(WORLD, policies, pod, coredns, "UDP", 53).allowed for pod in SHOP)


@settings(max_examples=60, deadline=None)
@given(lists_of_flows, headers)
def test_connections_outside_the_namespace_are_never_touched(found: list[Any], header: Any) -> None:
    untouched = sum({source.ref, target.ref} <= OUTSIDE for source, target in PAIRS) * len(PROBES)

    assert sum({c[0], c[1]} <= OUTSIDE for c in opened(obj(*found, **header))) == untouched


def test_the_two_readings_can_disagree() -> None:
    """The oracle is no echo: another port is another answer."""
    assert opened(obj(flow("a", "b", 80))) != declared(obj(flow("a", "b", 443)))
