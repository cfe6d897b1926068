"""Objects that have settled: what follows from them stands, and their status says so. A pass, which is made for each
change of one object, leaves the others of its namespace out until something that they follow from is another.

That is the object itself, a policy of its own, or a fact that flows within a namespace go by; not the time, nor what
others grant: what depends on these does not settle.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property, lru_cache

from appconnectivity.core import api, naming
from appconnectivity.core.compile import Compiled, ObjectResult
from appconnectivity.core.facts import Facts
from appconnectivity.core.findings import FlowState
from appconnectivity.core.isolation import Want, want
from appconnectivity.core.plan import Plan
from appconnectivity.core.policy import Owner
from appconnectivity.core.references import References, references, together

# What flows come to by themselves and the facts alone, unless they expire.
_LASTING = frozenset({FlowState.ACTIVE, FlowState.NOT_GOVERNED})
_TRANSITIONS = frozenset(map(naming.transition_policy, api.PolicyType))

# resourceVersions by name; 0 is none.
Versions = Mapping[str, int]


@dataclass(frozen=True, slots=True)
class _Common:
    """What many objects have in common."""

    references: References
    states: tuple[FlowState, ...]
    policy_types: frozenset[api.PolicyType]
    dns: bool


@dataclass(frozen=True, slots=True)
class _Object:
    """``version`` is its resourceVersion; ``policies`` are its own: names, and the resourceVersion of each."""

    uid: str
    version: int
    policies: tuple[tuple[str, int], ...]
    common: _Common

    def stands(self, standing: Versions) -> bool:
        return all(version and standing.get(name) == version for name, version in self.policies)


@dataclass(frozen=True)
class Settled:
    """Those of one namespace, by name. ``facts`` stands for the facts that they follow from."""

    objects: Mapping[str, _Object] = field(default_factory=dict)
    facts: str = ""

    def still(self, bodies: Versions, policies: Versions) -> Settled:
        """Those of which neither the object nor a policy is another by now. None beside policies that keep the
        namespace open for a while, whoever made them."""
        if not _TRANSITIONS.isdisjoint(policies):
            return NONE_SETTLED
        found = {name: each for name, each in self.objects.items() if each.version and bodies.get(name) == each.version}
        return replace(self, objects={name: each for name, each in found.items() if each.stands(policies)})

    def follow_from(self, facts: Facts) -> bool:
        """False where a fact that they go by is another by now."""
        return not self.objects or self.facts == _digest(facts)

    def and_all_of(self, compiled: Compiled, *, facts: Facts, bodies: Versions, policies: Versions) -> Settled:
        """These and the compiled objects, as far as they settle where all policies are written as compiled.

        One whose status does not say so has no version. ``facts`` are those of both, ``bodies`` and ``policies`` what
        stands then.
        """
        found = {
            result.intent.name: _Object(
                uid=result.intent.uid,
                version=bodies[result.intent.name],
                policies=tuple((policy.name, policies.get(policy.name, 0)) for policy in result.policies),
                common=_common(result),
            )
            for result in compiled.objects
            if _is_lasting(result)
        }
        return Settled({**self.objects, **found}, self.facts if self.objects else _digest(facts))

    def may_be_left_out_of(self, steps: Plan) -> bool:
        """False where what is to be done may depend on them: what closes does on all that opens, and where a policy of
        theirs would go that was not there before, they may keep it."""
        theirs = tuple(f"{name}." for name in self.objects)
        keeps = any(name.startswith(theirs) for name in steps.deletions)
        return not self.objects or not (steps.conflicts or steps.closes or keeps)

    @cached_property
    def policies(self) -> frozenset[str]:
        """The names of their own policies."""
        return frozenset(name for each in self.objects.values() for name, _ in each.policies)

    @property
    def references(self) -> References:
        return together({each.common.references for each in self.objects.values()})

    @property
    def wants(self) -> tuple[Want, ...]:
        """What they ask of the policies that they share."""
        return tuple(
            Want(Owner(name, each.uid), each.common.policy_types, each.common.dns)
            for name, each in self.objects.items()
        )

    @property
    def states(self) -> Iterator[FlowState]:
        """Of each flow."""
        return (state for each in self.objects.values() for state in each.common.states)


NONE_SETTLED = Settled()


def _digest(facts: Facts) -> str:
    """Equal where all facts are that flows within the namespace may follow from."""
    found = [facts.labels, facts.local_services, facts.dns_services, facts.node_local_dns, facts.api_server]
    return naming.digest(found, length=32)


def _is_lasting(result: ObjectResult) -> bool:
    """True where an object comes to the same, and to some policies of which it keeps none as they are, as long as all
    facts of its own namespace stay."""
    intent = result.intent
    has_end = any(entry.expiration is not None for entry in intent.entries)
    is_plain = intent.is_enforced and bool(result.policies) and not result.kept
    return is_plain and not has_end and intent.stays_at_home and all(flow.state in _LASTING for flow in result.flows)


def _common(result: ObjectResult) -> _Common:
    intent = result.intent
    assert intent.header is not None  # what is enforced has one
    asked = want(intent.header, owner=Owner(intent.name, intent.uid))
    states = tuple(flow.state for flow in result.flows)
    return _once(_Common(references((intent,)), states, asked.policy_types, asked.dns))


@lru_cache(maxsize=4096)
def _once(common: _Common) -> _Common:
    """One for all that are equal, for memory's sake."""
    return common
