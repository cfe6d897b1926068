"""The compiler: intents and facts in, the NetworkPolicies that should stand out, with a result for every flow.

Pure and deterministic: the same input gives the same bytes, whatever its order.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cached_property
from typing import Any

from appconnectivity.core import api, consent, describe, isolation, naming
from appconnectivity.core.facts import Facts, Options
from appconnectivity.core.findings import Finding, FlowState, Reason
from appconnectivity.core.intent import Entry, Intent
from appconnectivity.core.notes import notes
from appconnectivity.core.policy import Owner, Policy, Role, Rule, allow_spec, is_as_written, owners_of
from appconnectivity.core.resolve import Resolved, resolve
from appconnectivity.core.selectors import Selector


@dataclass(frozen=True)
class FlowResult:
    """What became of one flow: its policies, names of earlier ones that stay as they are, and what another namespace
    has to declare where that is missing."""

    name: str
    state: FlowState
    finding: Finding
    policies: tuple[Policy, ...] = ()
    kept: frozenset[str] = frozenset()
    request: str = ""


@dataclass(frozen=True)
class ObjectResult:
    """What became of one object: its flows, its own policies, and (in Audit) what it would change."""

    intent: Intent
    flows: tuple[FlowResult, ...] = ()
    policies: tuple[Policy, ...] = ()
    kept: frozenset[str] = frozenset()
    refusal: Finding | None = None
    would_write: tuple[str, ...] = ()


@dataclass(frozen=True)
class Compiled:
    """What should stand in one namespace for those of its objects that were compiled.

    ``kept`` names policies that stay as they are; ``next_change`` is the moment at which the same input will give
    another result (a flow expires, or is about to).
    """

    policies: tuple[Policy, ...]
    kept: frozenset[str]
    objects: tuple[ObjectResult, ...]
    next_change: datetime | None = None
    dns_assumed: bool = False

    @cached_property
    def names_by_owner(self) -> Mapping[Owner, frozenset[str]]:
        """The policies that stand for each object, shared ones included."""
        found: dict[Owner, set[str]] = defaultdict(set)
        for policy in self.policies:
            for owner in policy.owners:
                found[owner].add(policy.name)
        return {owner: frozenset(names) for owner, names in found.items()}


@dataclass(frozen=True)
class Compiler:
    """Everything that a compilation of one namespace looks at. ``standing`` are the live policies that are ours,
    ``others`` what objects that are not compiled ask of the policies that all share."""

    facts: Facts
    options: Options
    now: datetime
    standing: Mapping[str, Mapping[str, Any]]
    others: Sequence[isolation.Want] = ()

    def compile(self, intents: Sequence[Intent]) -> Compiled:
        if self.facts.namespace in self.options.protected_namespaces:
            return self._protected(intents)
        results = [self._object(intent) for intent in sorted(intents, key=lambda intent: intent.name)]
        enforced = [result for result in results if result.intent.header is None or result.intent.is_enforced]
        wants = [*self.others, *map(self._want, enforced)]
        shared = isolation.shared_policies(wants, facts=self.facts)
        policies = sorted((*shared, *(p for r in enforced for p in r.policies)), key=lambda policy: policy.name)
        kept = frozenset(name for result in enforced for name in result.kept) - {policy.name for policy in policies}
        return Compiled(
            policies=tuple(policies),
            kept=kept,
            objects=tuple(self._with_audit(result, wants=wants, policies=policies) for result in results),
            next_change=self._next_change(intents),
            dns_assumed=isolation.is_dns_assumed(self.facts),
        )

    def _protected(self, intents: Sequence[Intent]) -> Compiled:
        refusal = Finding(
            Reason.NAMESPACE_PROTECTED,
            f"namespace {self.facts.namespace} is protected by the operator's settings (protected-namespaces)",
        )
        return Compiled(
            policies=(),
            kept=frozenset(self.standing),
            objects=tuple(ObjectResult(intent=intent, refusal=refusal) for intent in intents),
        )

    def _object(self, intent: Intent) -> ObjectResult:
        if intent.header is None:
            return self._refused(intent, refusal=intent.refusal)
        flows = tuple(self._safely(entry, intent=intent) for entry in intent.entries)
        try:
            own = isolation.object_policies(
                intent,
                facts=self.facts,
                closed_flows=frozenset(flow.name for flow in flows if not flow.policies and not flow.kept),
                standing=self.standing.keys(),
            )
        except Exception as error:  # noqa: BLE001 - one object's poison must not stop the others of the namespace
            return self._refused(replace(intent, header=None), refusal=_internal(error))
        policies = (*own.policies, *(policy for flow in flows for policy in flow.policies))
        kept = own.kept.union(*(flow.kept for flow in flows))
        return ObjectResult(intent=intent, flows=flows, policies=policies, kept=kept)

    def _refused(self, intent: Intent, *, refusal: Finding | None) -> ObjectResult:
        """Keeps what was written for flows that still say the same, and what isolates; adds nothing."""
        finding = Finding(Reason.INVALID, "the object as a whole is not understood")
        flows = tuple(
            FlowResult(entry.name, FlowState.INVALID, entry.refusal or finding, kept=self._kept(entry, intent=intent))
            for entry in intent.entries
        )
        roles = (Role.DENY.value, Role.DNS.value)
        isolating = {
            name
            for name, body in self.standing.items()
            if _label(body, naming.OBJECT_LABEL) == intent.name and _label(body, naming.ROLE_LABEL) in roles
        }
        kept = frozenset(isolating).union(*(flow.kept for flow in flows))
        return ObjectResult(intent=intent, flows=flows, kept=kept, refusal=refusal)

    def _safely(self, entry: Entry, *, intent: Intent) -> FlowResult:
        try:
            return self._flow(entry, intent=intent)
        except Exception as error:  # noqa: BLE001 - nor may one flow's poison stop the other flows
            return self._without_policies(entry, FlowState.INVALID, _internal(error), intent=intent)

    def _flow(self, entry: Entry, *, intent: Intent) -> FlowResult:
        flow = entry.flow
        if flow is None:
            assert entry.refusal is not None  # an entry has the one or the other
            return self._without_policies(entry, FlowState.INVALID, entry.refusal, intent=intent)
        if entry.has_expired(now=self.now):
            return FlowResult(entry.name, FlowState.EXPIRED, describe.expired(flow))
        resolved = resolve(
            flow, namespace=intent.namespace, app_label=intent.app_label, facts=self.facts, options=self.options
        )
        is_foreign_service = flow.to.service is not None and flow.to.namespace not in (None, intent.namespace)
        if isinstance(resolved, Finding):
            hopeless = resolved.reason in (Reason.NO_LOCAL_END, Reason.NAMED_PORT_WITHOUT_PODS)
            if is_foreign_service and not hopeless:
                return self._awaiting_service(entry, flow, intent=intent)
            state = FlowState.INVALID if hopeless else FlowState.UNRESOLVED
            return self._without_policies(entry, state, resolved, intent=intent)
        missing = consent.Judge(self.facts, self.options, self.now).ungranted(flow, resolved)
        if is_foreign_service and (missing or resolved.destination.pods is None):
            return self._awaiting_service(entry, flow, intent=intent)
        return self._resolved(entry, flow, resolved, intent=intent, missing=missing)

    def _resolved(
        self, entry: Entry, flow: api.Flow, resolved: Resolved, *, intent: Intent, missing: int
    ) -> FlowResult:
        policies = self._halves(entry, resolved, intent=intent)
        if not policies:
            return FlowResult(entry.name, FlowState.NOT_GOVERNED, describe.not_governed(intent))
        if missing:
            request = self._request(flow, intent=intent)
            finding = describe.awaiting_grant(flow, missing=missing, request=request)
            return FlowResult(entry.name, FlowState.AWAITING_GRANT, finding, policies, request=request)
        if flow.expiration_time is not None and flow.expiration_time <= self.now + self.options.expiry_warning:
            return FlowResult(entry.name, FlowState.EXPIRING, describe.expiring(flow), policies)
        assert intent.header is not None  # only objects with a header get here
        said = "; ".join(notes(flow, resolved, facts=self.facts, dns=intent.header.dns))
        return FlowResult(entry.name, FlowState.ACTIVE, Finding(Reason.ACTIVE, said), policies)

    def _awaiting_service(self, entry: Entry, flow: api.Flow, *, intent: Intent) -> FlowResult:
        """Until that side agrees, not even whether its Service exists may show: the words are always the same."""
        request = self._request(flow, intent=intent)
        finding = describe.awaiting_service(flow, request=request)
        kept = self._kept(entry, intent=intent)
        return FlowResult(entry.name, FlowState.AWAITING_GRANT, finding, kept=kept, request=request)

    def _request(self, flow: api.Flow, *, intent: Intent) -> str:
        return consent.request(
            flow,
            namespace=intent.namespace,
            app_label=intent.app_label,
            default_app_label=self.options.app_label,
        )

    def _without_policies(self, entry: Entry, state: FlowState, finding: Finding, *, intent: Intent) -> FlowResult:
        kept = self._kept(entry, intent=intent)
        said = "its policies stay as they are" if kept else "nothing is opened for it"
        return FlowResult(entry.name, state, Finding(finding.reason, f"{finding.message}; {said}"), kept=kept)

    def _kept(self, entry: Entry, *, intent: Intent) -> frozenset[str]:
        """The policies that were written for exactly what the flow says now, unless its time is over."""
        is_audit = intent.header is not None and not intent.is_enforced
        if is_audit or entry.has_expired(now=self.now):
            return frozenset()
        return frozenset(
            name
            for name, body in self.standing.items()
            if _label(body, naming.OBJECT_LABEL) == intent.name
            and is_as_written(body, fingerprint=entry.fingerprint)
            and _is_governed(body, intent=intent)
        )

    def _halves(self, entry: Entry, resolved: Resolved, *, intent: Intent) -> tuple[Policy, ...]:
        """The egress policy at the source and the ingress policy at the destination, as far as they are ours."""
        source, destination = resolved.source, resolved.destination
        halves = []
        if source.subject is not None and api.PolicyType.EGRESS in intent.governed:
            rules = [Rule(peer, ports) for peer, ports in destination.reaches]
            halves.append((api.PolicyType.EGRESS, source.subject, rules))
        if destination.subject is not None and api.PolicyType.INGRESS in intent.governed:
            rules = [Rule(peer, ports) for peer, _ in source.reaches for _, ports in destination.reaches]
            halves.append((api.PolicyType.INGRESS, destination.subject, rules))
        owner = Owner(intent.name, intent.uid)
        return tuple(
            _half(intent, entry, owner=owner, policy_type=policy_type, subject=subject, rules=rules)
            for policy_type, subject, rules in halves
        )

    def _want(self, result: ObjectResult) -> isolation.Want:
        """What the object asks of the shared policies; one that is not understood asks for what it had."""
        intent, owner = result.intent, Owner(result.intent.name, result.intent.uid)
        if intent.header is not None:
            return isolation.want(intent.header, owner=owner)
        held = {name: body for name, body in self.standing.items() if owner in owners_of(body)}
        said = isolation.want(intent.isolation, owner=owner) if intent.isolation else isolation.Want(owner)
        if naming.DEFAULT_DENY in held:
            types = _policy_types(held[naming.DEFAULT_DENY])
        else:  # somebody has removed it, or it was never there: what else stands of the object tells
            types = said.policy_types & frozenset[api.PolicyType]().union(*map(_policy_types, held.values()))
        has_dns = naming.ALLOW_DNS in held or (said.dns and api.PolicyType.EGRESS in types)
        return isolation.Want(owner=owner, policy_types=types, dns=has_dns)

    def _with_audit(
        self, result: ObjectResult, *, wants: Sequence[isolation.Want], policies: Sequence[Policy]
    ) -> ObjectResult:
        """For an object in Audit: the names of the policies that it would add or change on top of what stands."""
        header = result.intent.header
        if header is None or header.mode is not api.Mode.AUDIT:
            return result
        shared = isolation.shared_policies([*wants, self._want(result)], facts=self.facts)
        standing = {policy.name: policy.spec for policy in policies}
        would = (p.name for p in (*shared, *result.policies) if standing.get(p.name) != p.spec)
        return replace(result, would_write=tuple(sorted(would)))

    def _next_change(self, intents: Sequence[Intent]) -> datetime | None:
        ends = [
            entry.expiration
            for intent in intents
            for entry in intent.entries
            if entry.expiration is not None and not entry.has_expired(now=self.now)
        ]
        moments = [moment for end in ends for moment in (end - self.options.expiry_warning, end)]
        return min((moment for moment in moments if moment > self.now), default=None)


def _half(
    intent: Intent,
    entry: Entry,
    *,
    owner: Owner,
    policy_type: api.PolicyType,
    subject: Selector,
    rules: Sequence[Rule],
) -> Policy:
    return Policy(
        namespace=intent.namespace,
        name=naming.flow_policy(object_name=owner.name, flow_name=entry.name, policy_type=policy_type),
        role=Role.FLOW,
        spec=allow_spec(subject=subject, policy_type=policy_type, rules=rules),
        owners=(owner,),
        description=describe.half(policy_type, subject, rules, object_name=owner.name, flow_name=entry.name),
        object_name=owner.name,
        fingerprint=entry.fingerprint,
    )


def _is_governed(body: Mapping[str, Any], *, intent: Intent) -> bool:
    """False for a policy in a direction that the object has left; where it isn't understood, nothing was left."""
    return intent.header is None or intent.governed.issuperset(_policy_types(body))


def _policy_types(body: Mapping[str, Any]) -> frozenset[api.PolicyType]:
    return frozenset(map(api.PolicyType, body["spec"].get("policyTypes") or ()))


def _internal(error: Exception) -> Finding:
    return Finding(Reason.INTERNAL_ERROR, f"{type(error).__name__}: {error}; please report this")


def _label(body: Mapping[str, Any], key: str) -> str | None:
    return (body["metadata"].get("labels") or {}).get(key)
