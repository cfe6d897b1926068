"""Intents: as much of an object as can be understood is, and each fault is told with its path."""

from __future__ import annotations

from typing import Any

import pytest

from appconnectivity.core import api
from appconnectivity.core.findings import Reason
from appconnectivity.core.intent import Intent, parse
from builders import flow, intent, obj


def refusals(found: Intent) -> dict[str, str]:
    return {entry.name: entry.refusal.message for entry in found.entries if entry.refusal}


def understood(found: Intent) -> list[str]:
    return [entry.name for entry in found.entries if entry.flow]


GOOD = flow("a", "b")

BAD_FLOWS = [
    pytest.param(
        flow("a", "b", 0), "spec.flows[0].ports[0]: 0: a port must be 1..65535".replace("0: a", "'0': a"), id="port-0"
    ),
    pytest.param(
        flow("a", "b", "90-80"), "spec.flows[0].ports[0]: '90-80': the end of a range must not be", id="range"
    ),
    pytest.param(flow("a", "b", "80/tcp"), "spec.flows[0].ports[0]: '80/tcp' is not a port: write 8080", id="protocol"),
    pytest.param(flow("a", "b", True), "spec.flows[0].ports[0]", id="a-truth-is-no-port"),
    pytest.param(flow({}, "b"), "spec.flows[0].from: say exactly one of app", id="an-empty-end"),
    pytest.param(flow({"app": "a", "service": "s"}, "b"), "spec.flows[0].from: say exactly one of", id="two-in-one"),
    pytest.param(flow({"service": "s"}, "b"), "spec.flows[0]: from.service: a Service opens no", id="from-a-service"),
    pytest.param(flow("a", {"app": "b c"}), "spec.flows[0].to.app: String should match", id="no-label-value"),
    pytest.param(flow("a", {"app": "b\n"}), "spec.flows[0].to.app: String should match", id="a-newline-in-a-label"),
    pytest.param(flow("a", {"app": ""}), "spec.flows[0].to.app: String should have at least 1", id="no-app"),
    pytest.param(
        flow("a", {"podSelector": {"matchLabels": {"x\n": "y"}}}), "is not a valid label key", id="a-newline-in-a-key"
    ),
    pytest.param(
        flow("a", {"podSelector": {"matchExpressions": [{"key": "x", "operator": "In"}]}}),
        "spec.flows[0].to.podSelector.matchExpressions[0]: values are required for In and NotIn",
        id="in-without-values",
    ),
    pytest.param(
        flow("a", {"ipBlocks": [{"cidr": "10.0.0.1/8"}]}),
        "spec.flows[0].to.ipBlocks[0].cidr: '10.0.0.1/8' is not a CIDR such as 203.0.113.0/24",
        id="host-bits",
    ),
    pytest.param(
        flow("a", {"ipBlocks": [{"cidr": "10.0.0.0/8", "except": ["10.1.0.0/16", "10.2.0.0"]}]}),
        "spec.flows[0].to.ipBlocks[0].except[1]: '10.2.0.0' has no prefix length",
        id="except-is-an-address",
    ),
    pytest.param(
        flow("a", {"ipBlocks": [{"cidr": "10.0.0.0/8", "except": ["11.0.0.0/16"]}]}),
        "spec.flows[0].to.ipBlocks[0]: except 11.0.0.0/16 must be strictly within 10.0.0.0/8",
        id="except-outside",
    ),
    pytest.param(
        flow("a", {"ipBlocks": [{"cidr": "10.0.0.0/8", "except": ["2001:db8::/64"]}]}),
        "must be strictly within",
        id="except-of-the-other-family",
    ),
    pytest.param(flow("a", {"ipBlocks": [{"cidr": "::ffff:10.0.0.0/104"}]}), "is IPv4 written as IPv6", id="mapped"),
    pytest.param(flow("a", {"ipBlocks": [{"cidr": "10.0.0.1"}]}), "has no prefix length: write 10.0.0.1/32", id="bare"),
    pytest.param(
        flow("a", {"ipBlocks": []}), "spec.flows[0].to.ipBlocks: Tuple should have at least 1", id="no-blocks"
    ),
    pytest.param(flow({"entity": "Internet"}, {"entity": "Any"}), "one end must be pods", id="no-pods-at-all"),
    pytest.param({"from": {"app": "a"}, "to": {"app": "b"}}, "ports are needed", id="no-ports"),
    pytest.param(flow("a", "b") | {"ports": []}, "spec.flows[0].ports: Tuple should have at least 1", id="empty-ports"),
    pytest.param(flow("a", "b", name="A b"), "spec.flows[0].name: String should match", id="a-bad-name"),
    pytest.param(flow("a", "b", expirationTime="tomorrow"), "must be a moment such as", id="no-moment"),
    pytest.param(flow("a", "b", expirationTime="2027-01-31T00:00:00"), "must be a moment such as", id="no-time-zone"),
    pytest.param("nonsense", "spec.flows[0]: must be a map", id="not-even-a-mapping"),
    pytest.param(None, "spec.flows[0]: must be a map", id="null"),
]


@pytest.mark.parametrize(("bad", "said"), BAD_FLOWS)
def test_a_bad_flow_is_refused_with_its_path_and_takes_no_good_one_down(bad: Any, said: str) -> None:
    found = intent(bad, GOOD)

    assert said in refusals(found)["flow-1"]
    assert understood(found) == ["a-to-b"]
    assert found.header is not None


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        pytest.param({"mode": "Dry"}, "spec.mode: Input should be 'Enforce' or 'Audit'", id="mode"),
        pytest.param({"policyTypes": []}, "spec.policyTypes: Tuple should have at least 1 item", id="no-types"),
        pytest.param({"policyTypes": ["Egress", "Egress"]}, "spec.policyTypes: each policy type", id="twice"),
        pytest.param({"appLabel": "a b"}, "spec.appLabel: 'a b' is not a valid label key", id="label"),
        pytest.param({"appLabel": "app\n"}, "is not a valid label key", id="label-with-newline"),
        pytest.param({"guardRails": {}}, "spec.guardRails: this field is unknown to this version", id="unknown"),
    ],
)
def test_a_bad_header_refuses_the_object_and_still_knows_its_flows(spec: dict[str, Any], said: str) -> None:
    found = intent(GOOD, **spec)

    assert found.header is None
    assert found.refusal is not None
    assert said in found.refusal.message
    assert understood(found) == ["a-to-b"]


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        pytest.param(obj(mode="Learn"), Reason.UNSUPPORTED, id="a-value-of-a-later-version"),
        pytest.param(obj(tier="gold"), Reason.UNSUPPORTED, id="a-field-of-a-later-version"),
        pytest.param(obj(policyTypes="Egress"), Reason.INVALID, id="a-wrong-type"),
    ],
)
def test_what_may_be_of_a_later_version_is_unsupported_and_not_invalid(body: Any, reason: Reason) -> None:
    refusal = parse(body, default_app_label="app").refusal

    assert refusal is not None
    assert refusal.reason is reason


def test_an_unknown_field_of_a_flow_is_unsupported() -> None:
    (entry,) = intent(flow("a", "b", methods=["GET"])).entries

    assert entry.refusal is not None
    assert entry.refusal.reason is Reason.UNSUPPORTED
    assert entry.refusal.message == "spec.flows[0].methods: this field is unknown to this version of the operator"


@pytest.mark.parametrize(
    "flows",
    [
        pytest.param([GOOD] * 65, id="too-many"),
        pytest.param("x", id="no-list"),
        pytest.param({}, id="an-empty-map"),
        pytest.param("", id="an-empty-text"),
    ],
)
def test_flows_that_are_no_bounded_list_refuse_the_object(flows: Any) -> None:
    body = obj()
    body["spec"]["flows"] = flows
    found = parse(body, default_app_label="app")

    assert found.header is None
    assert found.refusal is not None
    assert "spec.flows must be a list of at most 64 flows" in found.refusal.message


def test_of_a_list_without_bounds_so_many_flows_are_read_that_no_other_object_has_to_wait() -> None:
    entries = parse(obj(*[{}] * 100_000), default_app_label="app").entries

    assert api.MAX_FLOWS < len(entries) < 2000


@pytest.mark.parametrize("spec", [None, "x", "", 7, 0, False, ["flows"], []])
def test_a_spec_that_is_no_map_refuses_the_object(spec: Any) -> None:
    found = parse(obj() | {"spec": spec}, default_app_label="app")

    assert (found.header, found.entries) == (None, ())
    assert found.refusal is not None
    assert found.refusal.message == "spec: must be a map of fields, such as {app: api}"


def test_an_object_without_a_spec_is_refused() -> None:
    """It says nothing: nor that its namespace is to be isolated."""
    body = obj()
    del body["spec"]

    assert parse(body, default_app_label="app").refusal is not None


@pytest.mark.parametrize(
    "name", [pytest.param("n" * 64, id="too-long"), pytest.param("appconnectivity", id="reserved")]
)
def test_an_object_whose_name_its_policies_could_not_bear_is_refused(name: str) -> None:
    """As policies that can't be written they would keep the whole namespace waiting."""
    body = obj(GOOD)
    body["metadata"]["name"] = name
    found = parse(body, default_app_label="app")

    assert found.header is None
    assert found.refusal is not None
    assert found.refusal.message == (
        "metadata.name: must be 1 to 63 characters, and not appconnectivity, which is reserved"
    )


@pytest.mark.parametrize("spec", [pytest.param({}, id="empty"), pytest.param({"flows": None}, id="null-flows")])
def test_an_object_without_flows_is_isolation_alone(spec: Any) -> None:
    body = obj() | {"spec": spec}
    found = parse(body, default_app_label="app")

    assert found.header is not None
    assert found.entries == ()


@pytest.mark.parametrize(
    "twin",
    [
        pytest.param(GOOD, id="to-the-letter"),
        pytest.param(GOOD | {"description": "why"}, id="with-a-description"),
        pytest.param(GOOD | {"ports": [8080], "to": {"app": "b"}}, id="in-another-order"),
    ],
)
def test_a_flow_said_twice_counts_once(twin: Any) -> None:
    for flows in ([GOOD, twin], [twin, GOOD]):
        found = intent(*flows)
        assert refusals(found) == {}
        assert understood(found) == ["a-to-b"]


def test_of_two_flows_with_one_given_name_the_order_does_not_choose() -> None:
    flows = [flow("a", "b", name="x"), flow("c", "d", name="x")]
    one, other = intent(*flows), intent(*reversed(flows))

    assert understood(one) == ["x"]
    assert list(refusals(one).values()) == ["the name x stands for two different flows"]
    assert one.entries == other.entries


def test_a_bad_flow_does_not_take_the_name_of_a_good_one() -> None:
    good = [flow("a", "b", name="flow-1"), flow("c", "d", name="flow-3")]
    found = intent("nonsense", good[0], "more of it", good[1], flow("a", "b", 0, name="flow-1"))

    assert understood(found) == ["flow-1", "flow-3"]
    assert len(refusals(found)) == 3


def test_a_bad_flow_is_shown_by_the_name_that_it_gives_itself() -> None:
    assert list(refusals(intent(flow("a", "b", 0, name="web")))) == ["web"]


def test_the_app_label_is_the_objects_own_or_the_operators() -> None:
    assert intent().app_label == "app"
    assert intent(appLabel="k8s-app").app_label == "k8s-app"


def test_a_refused_object_neither_governs_nor_enforces() -> None:
    found = intent(GOOD, mode="Learn")

    assert found.governed == frozenset()
    assert not found.is_enforced
