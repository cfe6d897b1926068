"""From any state that was to any object that is: what carrying a plan out leads to, and what is open on the way."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from appconnectivity.core.compile import Compiled
from appconnectivity.core.plan import Action, Plan, plan
from appconnectivity.core.policy import is_ours
from builders import compile_, foreign, live, obj
from oracle import evaluator
from oracle.declared import Connection
from oracle.world import CONNECTIONS, FACTS, WORLD, declared, policies_of
from strategies import flows, headers, lists_of_flows

Store = dict[str, Any]

_broken = st.sampled_from(({"defaultDeny": "Sometimes"}, {"mode": "Maybe"}, {"policyTypes": "Egress"}))
objects = st.builds(
    lambda found, header, broken: obj(*found, **header | broken),
    st.lists(st.one_of(flows, flows, flows, st.just({"from": {"app": "a"}})), max_size=4),
    headers,
    st.one_of(st.just({}), st.just({}), st.just({}), _broken),
)


def compiled_in(store: Store, *bodies: Any) -> Compiled:
    return compile_(*bodies, facts=FACTS, standing={name: body for name, body in store.items() if is_ours(body)})


def batches(found: Plan) -> tuple[Sequence[Any], ...]:
    """The plan's steps as they are carried out: one batch after the other."""
    return found.allows, found.denies, found.deny_deletions, found.allow_deletions


def carry_out(found: Plan, store: Store) -> Iterator[None]:
    """Does to the store what the plan says, and stops after each batch."""
    for batch in batches(found):
        for step in batch:
            if step.action is Action.DELETE:
                del store[step.name]
            else:
                store[step.name] = live(step.policy)
        yield


def settle(store: Store, *bodies: Any) -> Compiled:
    compiled = compiled_in(store, *bodies)
    for _ in carry_out(plan(compiled, store.values()), store):
        pass
    return compiled


def opened(store: Store) -> set[Connection]:
    return evaluator.opened(WORLD, store.values(), CONNECTIONS)


@given(objects, objects, st.data())
def test_whatever_stood_before_one_pass_leaves_nothing_to_do(earlier: Any, later: Any, data: Any) -> None:
    """An object edited into any other, with policies changed and removed by hand, and others' policies beside ours."""
    store: Store = {"theirs": foreign("theirs")}
    settle(store, earlier)
    for name in data.draw(st.sets(st.sampled_from(sorted(store)))):
        meddle(store, name, how=data.draw(st.sampled_from(("remove", "edit", "relabel"))))
    compiled = settle(store, later)

    assert plan(compiled, store.values()).is_empty
    assert plan(compiled_in(store, later), store.values()).is_empty
    ours = {name for name, body in store.items() if is_ours(body)}
    assert ours == {policy.name for policy in compiled.policies} | compiled.kept
    assert all(store[policy.name]["spec"] == policy.spec for policy in compiled.policies)


def meddle(store: Store, name: str, *, how: str) -> None:
    if name == "theirs":
        return
    if how == "remove":
        del store[name]
    elif how == "edit":
        store[name] = store[name] | {"spec": store[name]["spec"] | {"podSelector": {"matchLabels": {"app": "edited"}}}}
    else:
        store[name] = store[name] | {"metadata": store[name]["metadata"] | {"labels": {}}}


@settings(max_examples=60, deadline=None)
@given(lists_of_flows, lists_of_flows, headers, headers)
def test_an_edited_object_means_what_it_would_mean_from_the_start(
    ones: list[Any], others: list[Any], before: Any, after: Any
) -> None:
    store: Store = {}
    settle(store, obj(*ones, **before))
    settle(store, obj(*others, **after))

    assert opened(store) == declared(obj(*others, **after))


edits: st.SearchStrategy[Any] = st.one_of(
    st.tuples(lists_of_flows.map(lambda found: [found]), lists_of_flows.map(lambda found: [found])),
    st.tuples(st.just([]), lists_of_flows.map(lambda found: [found])),
    st.tuples(lists_of_flows.map(lambda found: [found]), st.just([])),
)


@settings(max_examples=100, deadline=None)
@given(edits, headers)
def test_what_is_open_before_and_after_is_open_on_the_way(edit: Any, header: Any) -> None:
    """An object that comes, goes, or gets other flows cuts nothing, at the end of each batch.

    But for DNS: what allows it to the whole namespace also isolates, so it comes just after the flows and goes just
    before them.
    """
    earlier, later = ([obj(*found, **header) for found in bodies] for bodies in edit)
    store: Store = {}
    settle(store, *earlier)
    before, after = opened(store), evaluator.opened(WORLD, policies_of(*later), CONNECTIONS)
    steady = {c for c in before & after if c[1] != "kube-system/coredns" or c[3] != 53}
    for _ in carry_out(plan(compiled_in(store, *later), store.values()), store):
        assert steady <= opened(store)

    assert opened(store) == after
