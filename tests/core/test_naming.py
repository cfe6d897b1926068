"""Names: stable whatever the order, unique, DNS labels; and fingerprints that change with the meaning only."""

from __future__ import annotations

import re
from itertools import permutations
from typing import Any

import pytest

from appconnectivity.core import api, naming
from builders import flow

_DNS_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")


def named(*flows: Any) -> list[str]:
    return naming.flow_names([api.Flow.model_validate(body) for body in flows])


@pytest.mark.parametrize(
    ("body", "name"),
    [
        pytest.param(flow("a", "b"), "a-to-b", id="apps"),
        pytest.param(flow("a", "b", name="x"), "x", id="a-given-name"),
        pytest.param(flow("a", {"app": "b", "namespace": "n"}), "a-to-b-in-n", id="another-namespace"),
        pytest.param(flow({"namespace": "n"}, "b"), "ns-n-to-b", id="a-whole-namespace"),
        pytest.param(flow({"podSelector": {}}, "b"), "all-pods-to-b", id="every-pod"),
        pytest.param(flow({"podSelector": {"matchLabels": {"x": "y"}}}, "b"), "y-to-b", id="one-label"),
        pytest.param(flow({"podSelector": {"matchLabels": {"x": ""}}}, "b"), "unlabelled-to-b", id="an-empty-value"),
        pytest.param(flow("a", {"service": "db"}), "a-to-db", id="a-service"),
        pytest.param(flow("a", {"entity": "KubeAPIServer"}), "a-to-kube-api-server", id="an-entity"),
        pytest.param(flow("a", {"ipBlocks": [{"cidr": "10.0.0.0/8"}]}), "a-to-10-0-0-0-8", id="a-network"),
        pytest.param(flow("A.b_C", "b"), "a-b-c-to-b", id="letters-that-names-do-not-have"),
    ],
)
def test_a_flow_is_named_by_its_ends(body: Any, name: str) -> None:
    assert named(body) == [name]


CLASHING = [
    pytest.param([flow("a", "b", 80), flow("a", "b", 443)], {"a-to-b-80", "a-to-b-443"}, id="ports-tell-them-apart"),
    pytest.param([flow("a", "b", 80), flow("a", "b", "*")], {"a-to-b-80", "a-to-b-all"}, id="all-ports-have-a-word"),
    pytest.param([flow("a", "b", name="x"), flow("a", "b", 443)], {"x", "a-to-b"}, id="a-given-name-is-no-clash"),
    pytest.param(
        [flow("c", "d", name="a-to-b"), flow("a", "b", 443)], {"a-to-b", "a-to-b-443"}, id="a-given-name-has-priority"
    ),
]


@pytest.mark.parametrize(("flows", "names"), CLASHING)
def test_flows_that_would_clash_are_told_apart(flows: list[Any], names: set[str]) -> None:
    assert set(named(*flows)) == names


def test_a_hash_tells_apart_what_ends_and_ports_do_not() -> None:
    names = named(flow("a.b", "c"), flow("a-b", "c"))

    assert len(set(names)) == 2
    assert all(re.fullmatch("a-b-to-c-[0-9a-f]{8}", name) for name in names)


def test_names_do_not_depend_on_the_order() -> None:
    flows = [flow("a", "b", 80), flow("a", "b", 443), flow("a.b", "c"), flow("a-b", "c"), flow("c", "d", name="a-to-b")]
    expected = dict(zip(map(str, flows), named(*flows), strict=True))

    for shuffled in permutations(flows):
        assert dict(zip(map(str, shuffled), named(*shuffled), strict=True)) == expected


def test_a_name_does_not_depend_on_the_order_of_labels() -> None:
    """The API server sorts keys, a file may not: both must give the same name, also where a hash is needed."""
    one = {"podSelector": {"matchLabels": {"k": "1", "l": "2"}}}
    other = {"podSelector": {"matchLabels": {"l": "2", "k": "1"}}}
    same_ends = flow(one, {"app": "b", "namespace": "n"}, "80-81")

    clash = flow(one, {"app": "b", "namespace": "n"}, 80, 81, expirationTime="2030-01-01T00:00:00Z")
    twin = flow(one, {"app": "b", "namespace": "n"}, 80, 81)
    assert named(same_ends, clash, twin)[2] == named(same_ends, clash, twin | {"from": other})[2]


def test_the_hash_of_a_name_is_the_same_for_the_operator_and_for_a_file() -> None:
    flows = [flow("a.b", "c", description="why"), flow("a-b", "c")]

    assert named(*flows) == named(flow("a.b", "c", description="else"), flow("a-b", "c"))


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(flow("a" * 63, "b" * 63), id="two-long-apps"),
        pytest.param(flow("a" * 53 + ".x", "b" * 63), id="a-cut-at-a-dash"),
        pytest.param(flow({"ipBlocks": [{"cidr": "2001:db8::/32"}]}, "b"), id="ipv6"),
        pytest.param(flow("a", "b", *range(1, 17)), id="many-ports"),
    ],
)
def test_a_derived_name_is_a_dns_label(body: Any) -> None:
    twin = body | {"ports": [9999]}
    for name in (*named(body), *named(body, twin)):
        assert _DNS_LABEL.fullmatch(name), name


def test_long_names_that_begin_alike_stay_apart() -> None:
    assert len(set(named(flow("a" * 62 + "x", "b"), flow("a" * 62 + "y", "b")))) == 2


def test_what_is_not_understood_is_named_by_its_place() -> None:
    assert naming.flow_names([None, api.Flow.model_validate(flow("a", "b")), None]) == ["flow-1", "a-to-b", "flow-3"]


SAME = flow("a", "b", 80)


@pytest.mark.parametrize(
    ("other", "is_same"),
    [
        pytest.param(SAME | {"name": "x"}, True, id="a-name-is-no-meaning"),
        pytest.param(SAME | {"description": "why"}, True, id="a-description-is-no-meaning"),
        pytest.param(SAME | {"expirationTime": "2030-01-01T00:00:00Z"}, True, id="an-end-in-time-opens-nothing-else"),
        pytest.param(SAME | {"ports": [81]}, False, id="another-port"),
        pytest.param(SAME | {"to": {"app": "c"}}, False, id="another-end"),
        pytest.param(SAME | {"methods": ["GET"]}, False, id="a-field-of-a-later-version-may-narrow-it"),
        pytest.param("nonsense", False, id="not-even-a-mapping"),
    ],
)
def test_a_fingerprint_changes_with_the_meaning_only(other: Any, is_same: bool) -> None:
    one, two = (naming.fingerprint(raw, app_label="app") for raw in (SAME, other))

    assert (one == two) is is_same


def test_the_same_words_with_another_app_label_mean_something_else() -> None:
    assert naming.fingerprint(SAME, app_label="app") != naming.fingerprint(SAME, app_label="k8s-app")


def test_policies_of_objects_with_dots_in_their_names_do_not_collide() -> None:
    one = naming.flow_policy(object_name="a.b", flow_name="c", policy_type=api.PolicyType.EGRESS)
    other = naming.flow_policy(object_name="a", flow_name="c", policy_type=api.PolicyType.EGRESS)

    assert (one, other) == ("a.b.c.egress", "a.c.egress")
