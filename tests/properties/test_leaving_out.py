"""Whatever happens to a namespace whose objects have settled: what a pass makes of those that are left is what it would
make of all."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from hypothesis import event, given, settings
from hypothesis import strategies as st

from appconnectivity.core import api, status
from appconnectivity.core.compile import Compiled
from appconnectivity.core.facts import Facts, ServicePort
from appconnectivity.core.plan import Action, Plan, plan
from appconnectivity.core.policy import is_ours
from appconnectivity.core.selectors import Selector
from appconnectivity.core.settled import Settled
from appconnectivity.core.status import Outcome
from builders import NOW, compile_, endpoints, facts, flow, foreign, live, obj, peer, service
from strategies import headers, lists_of_flows

DB = service("db", ServicePort("sql", "TCP", 5432, "sql"), endpoints=(endpoints("10.0.0.5", sql=5433),))
EXT = service("ext", ServicePort("http", "TCP", 80, 80), selector=None, endpoints=(endpoints("192.0.2.1", http=8080),))
THERE = service("db", ServicePort("http", "TCP", 80, 8080), namespace="data", selector=Selector.of_labels({"app": "b"}))
GRANT = obj(flow({"namespace": "shop"}, {"podSelector": {}}, "*"), name="all", namespace="data")
LABELS = {api.NAMESPACE_NAME_LABEL: "shop", "team": "red"}
AGREED = facts(DB, EXT, THERE, labels=LABELS, peers={"data": peer(GRANT, name="data", team="red")})
REFUSED = facts(DB, EXT, THERE, labels=LABELS, peers={"data": peer(name="data", team="blue")})
WORLDS = (AGREED, REFUSED, facts(DB, EXT), facts(EXT, labels={"team": "blue"}), facts(DB, EXT, dns_services=()))

# Half of the objects are such as settle.
_local = st.builds(flow, *[st.sampled_from(("a", "b", {"service": "db"}, {"podSelector": {}}))] * 2)
_closing = st.sampled_from(({}, {}, {"defaultDeny": "Endpoints"}, {"policyTypes": ["Ingress"]}, {"dns": "None"}))
objects = st.one_of(
    st.builds(
        lambda found, header: obj(*found, **header), lists_of_flows, st.one_of(headers, st.just({"mode": "Maybe"}))
    ),
    st.builds(lambda found, header: obj(*found, **header), st.lists(_local, min_size=1, max_size=2), _closing),
)


@dataclass
class Namespace:
    """What stands in it, each with a version that no other has had."""

    facts: Facts
    objects: dict[str, Any] = field(default_factory=dict)
    policies: dict[str, Any] = field(default_factory=lambda: {"theirs": foreign("theirs")})
    days: int = 0
    versions: dict[tuple[str, str], int] = field(default_factory=dict)

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

    def converge(self) -> Settled:
        """Carries out what is to be done, until that is nothing, and writes the statuses."""
        while True:
            compiled, steps = self.compile(Settled())
            if steps.is_empty:
                break
            for step in steps.steps:
                if step.action is Action.DELETE:
                    del self.policies[step.name]
                elif step.policy is not None and step.action in (Action.CREATE, Action.UPDATE):
                    self.put("policies", live(step.policy))
        for name, said in self.statuses(compiled).items():
            self.put("objects", self.objects[name] | {"status": said})
        bodies, policies = self.of("objects"), self.of("policies")
        return Settled().and_all_of(compiled, facts=self.facts, bodies=bodies, policies=policies)

    def statuses(self, compiled: Compiled) -> dict[str, Any]:
        text = (NOW + timedelta(days=self.days)).strftime("%Y-%m-%dT%H:%M:%SZ")
        return {
            result.intent.name: status.build(
                result,
                Outcome(),
                compiled=compiled,
                previous=self.objects[result.intent.name].get("status") or {},
                now=text,
            )
            for result in compiled.objects
        }


def happen(data: Any, namespace: Namespace) -> None:
    """One thing of those that may happen between two passes."""
    policies = ("policy", "policy is gone") if namespace.policies else ()
    what = data.draw(st.sampled_from(("object", "object", "end", *policies, "facts", "days")))
    event(what)
    if what == "object":
        namespace.put_object(data.draw(st.sampled_from(("o-0", "o-1", "o-9"))), data.draw(objects))
    elif what == "end":
        namespace.objects.pop(data.draw(st.sampled_from(sorted(namespace.objects))))
    elif what == "facts":
        namespace.facts = data.draw(st.sampled_from(WORLDS))
    elif what == "days":
        namespace.days += data.draw(st.integers(1, 3))
    else:
        name = data.draw(st.sampled_from(sorted(namespace.policies)))
        if what == "policy":
            spec = namespace.policies[name]["spec"] | {"podSelector": {"matchLabels": {"app": "edited"}}}
            namespace.put("policies", namespace.policies[name] | {"spec": spec})
        else:
            del namespace.policies[name]


def changes(steps: Plan) -> list[Any]:
    return [step for step in steps.steps if step.action is not Action.KEEP]


@settings(max_examples=300, deadline=None)
@given(st.lists(objects, min_size=1, max_size=3), st.sampled_from(WORLDS), st.data())
def test_what_is_left_out_changes_nothing(bodies: list[Any], world: Facts, data: Any) -> None:
    namespace = Namespace(world)
    for number, body in enumerate(bodies):
        namespace.put_object(f"o-{number}", body)
    settled = namespace.converge()
    for _ in range(data.draw(st.integers(1, 2))):
        if namespace.objects:
            happen(data, namespace)
    settled = settled.still(namespace.of("objects"), namespace.of("policies"))
    settled = settled if settled.follow_from(namespace.facts) else Settled()
    compiled, steps = namespace.compile(settled)
    event(f"{len(settled.objects)} settled, plain: {steps.is_plain}")
    if not steps.is_plain:  # then a pass looks at all
        return
    everything, all_steps = namespace.compile(Settled())

    assert changes(steps) == changes(all_steps)
    before = {name: namespace.objects[name]["status"] for name in settled.objects}
    assert namespace.statuses(compiled) | before == namespace.statuses(everything)
    assert settled.policies <= {policy.name for policy in everything.policies}
