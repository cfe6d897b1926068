"""Selectors: implication and disjointness, held against matching by brute force."""

from __future__ import annotations

from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appconnectivity.core.selectors import EVERYTHING, Requirement, Selector, namespace_named

KEYS = ("app", "tier")
VALUES = ("", "a", "b", "c")
# Every set of labels over KEYS with one value more than requirements can name ("other" stands for all the rest).
WORLD = [
    {key: value for key, value in zip(KEYS, chosen, strict=True) if value is not None}
    for chosen in product((None, *VALUES, "other"), repeat=len(KEYS))
]

_listed = st.builds(
    Requirement,
    st.sampled_from(KEYS),
    st.sampled_from(["In", "NotIn"]),
    st.sets(st.sampled_from(VALUES), min_size=1).map(lambda found: tuple(sorted(found))),
)
_bare = st.builds(Requirement, st.sampled_from(KEYS), st.sampled_from(["Exists", "DoesNotExist"]))
selectors = st.sets(_listed | _bare, max_size=4).map(lambda found: Selector(tuple(sorted(found))))


@given(selectors, selectors)
def test_what_implies_matches_no_more(one: Selector, other: Selector) -> None:
    if one.implies(other):
        assert all(other.matches(labels) for labels in WORLD if one.matches(labels))


@given(selectors, selectors)
def test_what_is_disjoint_has_nothing_in_common(one: Selector, other: Selector) -> None:
    if one.disjoint(other):
        assert not any(one.matches(labels) and other.matches(labels) for labels in WORLD)


@given(selectors)
def test_a_selector_implies_itself_and_everything(selector: Selector) -> None:
    assert selector.implies(selector)
    assert selector.implies(EVERYTHING)


@given(selectors, selectors)
def test_disjointness_does_not_depend_on_who_asks(one: Selector, other: Selector) -> None:
    assert one.disjoint(other) == other.disjoint(one)


@given(selectors)
def test_a_written_selector_reads_back_with_the_same_meaning(selector: Selector) -> None:
    again = Selector.of_dict(selector.to_dict())

    assert [again.matches(labels) for labels in WORLD] == [selector.matches(labels) for labels in WORLD]


def test_single_requirements_decide_implication_exactly() -> None:
    """For one requirement a side nothing is left to caution: True if and only if every match is a match."""
    lists = [tuple(sorted(v)) for v in ({"a"}, {"a", "b"}, {"b", "c"}, {""})]
    ones = [Requirement("app", operator, values) for operator in ("In", "NotIn") for values in lists]
    ones += [Requirement("app", "Exists"), Requirement("app", "DoesNotExist")]
    for one, other in product(ones, repeat=2):
        matched = all(other.matches(labels) for labels in WORLD if one.matches(labels))
        assert one.implies(other) == matched, (one, other)


def test_single_requirements_decide_disjointness_exactly() -> None:
    lists = [tuple(sorted(v)) for v in ({"a"}, {"a", "b"}, {"b", "c"}, {""})]
    ones = [Requirement("app", operator, values) for operator in ("In", "NotIn") for values in lists]
    ones += [Requirement("app", "Exists"), Requirement("app", "DoesNotExist")]
    for one, other in product(ones, repeat=2):
        met = any(one.matches(labels) and other.matches(labels) for labels in WORLD)
        assert one.excludes(other) == (not met), (one, other)


def test_two_values_for_one_key_stay_two_demands() -> None:
    both = Selector.of_dict(
        {"matchLabels": {"app": "a"}, "matchExpressions": [{"key": "app", "operator": "In", "values": ["b"]}]}
    )

    assert not any(both.matches(labels) for labels in WORLD)
    assert Selector.of_dict(both.to_dict()) == both


@pytest.mark.parametrize(
    ("selector", "words"),
    [
        pytest.param(EVERYTHING, "any label", id="everything"),
        pytest.param(Selector.of_labels({"app": "a"}), "app=a", id="a-label"),
        pytest.param(Selector((Requirement("app", "NotIn", ("a", "b")),)), "app NotIn (a, b)", id="values"),
        pytest.param(Selector((Requirement("app", "Exists"),)), "app Exists", id="no-values"),
    ],
)
def test_a_selector_says_what_it_means(selector: Selector, words: str) -> None:
    assert str(selector) == words


def test_a_namespace_is_named_by_the_label_that_nobody_can_forge() -> None:
    assert namespace_named("shop").to_dict() == {"matchLabels": {"kubernetes.io/metadata.name": "shop"}}
