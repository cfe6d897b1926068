"""Whatever happens to a namespace whose objects have settled: what a pass makes of those that are left is what it would
make of all."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from hypothesis import event, given, settings
from hypothesis import strategies as st

from appconnectivity.core import api, status
from appconnectivity.core.compile import Compiled
from appconnectivity.core.facts import Facts
from appconnectivity.core.plan import Action, Plan, Step, plan
from appconnectivity.core.policy import is_ours
from appconnectivity.core.settled import NONE_SETTLED, Settled
from appconnectivity.core.status import Outcome
from builders import NOW, compile_, endpoints, facts, flow, foreign, live, obj, peer, service
from strategies import DB, EXT, GRANT, THERE, headers, lists_of_flows

BY_HAND = service("db", selector=None, endpoints=(endpoints("10.0.0.5", sql=5432),))
LABELS = {api.NAMESPACE_NAME_LABEL: "shop", "team": "red"}
AGREED = facts(DB, EXT, THERE, labels=LABELS, peers={"data": peer(GRANT, name="data", team="red")})
REFUSED = facts(DB, EXT, THERE, labels=LABELS, peers={"data": peer(name="data", team="blue")})
BARE = facts(dns_services=(), node_local_dns=("169.254.20.10",), api_server=(endpoints("10.0.0.1", https=6443),))
WORLDS = (AGREED, REFUSED, facts(DB), facts(BY_HAND), facts(EXT, labels={"team": "blue"}), BARE)

_anything = st.builds(
    lambda found, header: obj(*found, **header), lists_of_flows, st.one_of(headers, st.just({"mode": "Maybe"}))
)
_ends = st.sampled_from(("a", "b", {"podSelector": {}}))
_others = st.sampled_from(({"service": "db"}, {"service": "db"}, {"entity": "KubeAPIServer"}))
_local = st.one_of(st.builds(flow, _ends, _ends), st.builds(lambda end: flow("a", end, ports=None), _others))
_closing = st.sampled_from(({}, {"defaultDeny": "Endpoints"}, {"policyTypes": ["Ingress"]}, {"dns": "None"}))
_settling = st.builds(
    lambda found, header: obj(*found, **header), st.lists(_local, min_size=1, max_size=2, unique_by=str), _closing
)
objects = st.one_of(_anything, _settling, _settling)
NAMES = ("o-0", "o-1", "o-2")


@dataclass
class Namespace:
    """What stands in it, each with a version that no other has had."""

    facts: Facts
    objects: dict[str, Any] = field(default_factory=dict)
    policies: dict[str, Any] = field(default_factory=lambda: {"theirs": foreign("theirs")})
    days: int = 0
    versions: dict[tuple[str, str], int] = field(default_factory=dict)
    gone: dict[str, Any] = field(default_factory=dict)

    def put(self, kind: str, body: Any) -> None:
        name = body["metadata"]["name"]
        getattr(self, kind)[name] = body
        self.versions[(kind, name)] = max(self.versions.values(), default=0) + 1

    def put_object(self, name: str, body: Any) -> None:
        self.put("objects", body | {"metadata": body["metadata"] | {"name": name, "uid": f"uid-{name}"}})

    def of(self, kind: str) -> dict[str, int]:
        return {name: self.versions.get((kind, name), 0) for name in getattr(self, kind)}

    def compile(self, settled: Settled) -> tuple[Compiled, Plan]:
        """But for those that have settled."""
        bodies = [body for name, body in self.objects.items() if name not in settled.objects]
        policies = [body for name, body in self.policies.items() if name not in settled.policies]
        standing = [body for body in policies if is_ours(body)]
        now = NOW + timedelta(days=self.days)
        compiled = compile_(*bodies, facts=self.facts, standing=standing, now=now, others=settled.wants)
        return compiled, plan(compiled, policies)

    def still(self, settled: Settled) -> Settled:
        found = settled.still(self.of("objects"), self.of("policies"))
        return found if found.follow_from(self.facts) else NONE_SETTLED

    def carry_out(self, compiled: Compiled, steps: Plan) -> None:
        """With the statuses that say so."""
        for step in steps.steps:
            if step.action is Action.DELETE:
                self.gone[step.name] = self.policies.pop(step.name)
            elif step.policy is not None and step.action in (Action.CREATE, Action.UPDATE):
                self.put("policies", live(step.policy))
        for name, said in self.statuses(compiled, conflicts=steps.conflicts).items():
            if said != self.objects[name].get("status"):
                self.put("objects", self.objects[name] | {"status": said})

    def statuses(self, compiled: Compiled, *, conflicts: frozenset[str]) -> dict[str, Any]:
        text = (NOW + timedelta(days=self.days)).strftime("%Y-%m-%dT%H:%M:%SZ")
        build: Callable[..., dict[str, Any]] = status.build
        return {
            (name := result.intent.name): build(
                result,
                Outcome(conflicts=conflicts),
                compiled=compiled,
                previous=self.objects[name].get("status") or {},
                now=text,
            )
            for result in compiled.objects
        }

    def passed_over(self, settled: Settled) -> Settled:
        """A pass as the operator makes one; returns what has settled then."""
        settled = self.still(settled)
        compiled, steps = self.compile(settled)
        are_left_out = settled.may_be_left_out_of(steps)
        event(f"{len(settled.objects)} settled, left out: {are_left_out}")
        if not are_left_out:
            settled = NONE_SETTLED
            compiled, steps = self.compile(settled)
        self._compare(settled, compiled, steps)
        self.carry_out(compiled, steps)
        if steps.conflicts:
            return NONE_SETTLED
        bodies, policies = self.of("objects"), self.of("policies")
        return settled.and_all_of(compiled, facts=self.facts, bodies=bodies, policies=policies)

    def _compare(self, settled: Settled, compiled: Compiled, steps: Plan) -> None:
        everything, all_steps = self.compile(NONE_SETTLED)
        before = {name: self.objects[name]["status"] for name in settled.objects}
        said = self.statuses(compiled, conflicts=steps.conflicts)

        states = [*settled.states, *(flow.state for result in compiled.objects for flow in result.flows)]
        assert sorted(states) == sorted(flow.state for result in everything.objects for flow in result.flows)
        assert compiled.next_change == everything.next_change
        assert changes(steps) == changes(all_steps)
        assert said | before == self.statuses(everything, conflicts=all_steps.conflicts)
        assert settled.policies <= {policy.name for policy in everything.policies}


def changes(steps: Plan) -> list[Step]:
    return [step for step in steps.steps if step.action is not Action.KEEP]


def happen(data: Any, namespace: Namespace) -> None:
    """One thing of those that may happen between two passes."""
    to_objects = ("object", "object", "end") if namespace.objects else ("object",)
    to_policies = ("edited", "gone", "taken") if namespace.policies else ()
    back = ("back", "back") if namespace.gone else ()
    what = data.draw(st.sampled_from((*to_objects, *to_policies, *back, "facts", "facts", "days")))
    event(what)
    if what == "object":
        namespace.put_object(data.draw(st.sampled_from(NAMES)), data.draw(objects))
    elif what == "end":
        namespace.objects.pop(data.draw(st.sampled_from(sorted(namespace.objects))))
    elif what == "facts":
        namespace.facts = data.draw(st.sampled_from(WORLDS))
    elif what == "days":
        namespace.days += data.draw(st.integers(1, 3))
    elif what == "back":
        namespace.put("policies", namespace.gone.pop(data.draw(st.sampled_from(sorted(namespace.gone)))))
    else:
        _meddle(namespace, data.draw(st.sampled_from(sorted(namespace.policies))), how=what)


def _meddle(namespace: Namespace, name: str, *, how: str) -> None:
    body = namespace.policies.pop(name)
    if how == "edited":
        namespace.put("policies", body | {"spec": body["spec"] | {"podSelector": {"matchLabels": {"app": "edited"}}}})
    elif how == "gone":
        namespace.gone[name] = body
    elif how == "taken":
        namespace.put("policies", foreign(name))


@settings(max_examples=300, deadline=None)
@given(st.lists(objects, min_size=1, max_size=3), st.sampled_from(WORLDS), st.data())
def test_what_is_left_out_changes_nothing(bodies: list[Any], world: Facts, data: Any) -> None:
    namespace, settled = Namespace(world), NONE_SETTLED
    for name, body in zip(NAMES, bodies, strict=False):
        namespace.put_object(name, body)
    for _ in range(data.draw(st.integers(2, 5))):
        settled = namespace.passed_over(settled)
        happen(data, namespace)
    namespace.passed_over(settled)
