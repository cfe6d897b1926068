"""Applying a plan: the only place that writes NetworkPolicies.

Allows first, read back, then what isolates; on the way out what isolates goes first. A batch begins when the one before
it is done: nothing is closed while an allow that it needs could not be written, and no allow goes while what it was
needed for, or what stands in for it, could not be done.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from appconnectivity.cluster import errors
from appconnectivity.cluster.client import Client
from appconnectivity.cluster.kinds import NETWORK_POLICY
from appconnectivity.core.compile import Compiled
from appconnectivity.core.findings import Finding, Reason
from appconnectivity.core.plan import Action, Plan, Step
from appconnectivity.core.policy import FIELD_MANAGER, Policy, is_ours, matches

logger = logging.getLogger(__name__)


@dataclass
class Applied:
    """What came of it. ``stale`` names policies that changed after they were read: a new pass must judge them.

    ``versions`` are the resourceVersions that our own writes made, by policy name.
    """

    written: list[Step] = field(default_factory=list)
    stale: list[str] = field(default_factory=list)
    failures: dict[str, Finding] = field(default_factory=dict)
    conflicts: set[str] = field(default_factory=set)
    versions: dict[str, str] = field(default_factory=dict)


class Applier:
    """Writes one namespace's policies."""

    def __init__(self, client: Client) -> None:
        self._client = client

    async def apply(self, plan: Plan, compiled: Compiled) -> Applied:
        """Carries the plan out as far as the API server lets it.

        A refused write is a failure of that one policy; raises errors.Unavailable and errors.NamespaceGone.
        """
        applied = Applied(conflicts=set(plan.conflicts))
        await self._keep_open(plan)
        await self._each([step for step in plan.allows if not step.is_touch], applied)
        await self._each(_by_the_way(plan), applied)
        await self._deny(plan, compiled, applied)
        await self._in_turn(plan.deny_deletions, applied)
        await self._each(self._deletable(plan, applied), applied)
        return applied

    async def _keep_open(self, plan: Plan) -> None:
        """Where somebody forbids policies that open everything, the rest goes on without, in its order."""
        applied = Applied()
        await self._each(plan.transitions, applied)
        for name, finding in applied.failures.items():
            logger.warning("%s: %s", name, finding.message)

    async def _deny(self, plan: Plan, compiled: Compiled, applied: Applied) -> None:
        """Closes only what has its openings: each allow must have been read back as it should be."""
        closing = [step for step in plan.denies if _closes_more(step)]
        waiting = await self._not_standing(closing, plan, compiled) if closing else []
        unwritten = closing if waiting else await self._in_turn(closing, applied)
        for step in unwritten:
            what = ", ".join(waiting[:4] or sorted(applied.failures))
            applied.failures.setdefault(
                step.name, Finding(Reason.WAITING_FOR_ALLOWS, f"{step.name} waits until {what} could be written")
            )

    async def _not_standing(self, closing: list[Step], plan: Plan, compiled: Compiled) -> list[str]:
        """The allows that can't be read back as they should be; but not those whose names are known to be taken. A name
        that was taken just now may be free in the next pass."""
        namespace = compiled.policies[0].namespace
        found = await self._client.list(NETWORK_POLICY, namespace=namespace, recent=True)  # own writes are in it
        live = {body["metadata"]["name"]: body for body in found}
        denies = {step.name for step in closing}
        missing = [p.name for p in compiled.policies if p.name not in denies and not _stands(p, live=live)]
        return [name for name in missing if name not in plan.conflicts and name not in plan.held]

    def _deletable(self, plan: Plan, applied: Applied) -> list[Step]:
        """Allows that may go: none while their deny stands on, nor one whose flow could not be written anew."""
        done = {step.name for step in applied.written}
        undone = [step for step in (*plan.allows, *plan.denies, *plan.deny_deletions) if step.name not in done]
        if any(_reopens(step) for step in undone):
            return []
        flows = {step.flow for step in undone} | {step.flow for step in plan.steps if step.name in applied.conflicts}
        return [step for step in plan.allow_deletions if not step.flow or step.flow not in flows]

    async def _in_turn(self, steps: Sequence[Step], applied: Applied) -> Sequence[Step]:
        """One after the other, as long as each succeeds; returns those that are left."""
        for index, step in enumerate(steps):
            await self._each([step], applied)
            if step not in applied.written:
                return steps[index:]
        return ()

    async def _each(self, steps: Iterable[Step], applied: Applied) -> None:
        """All of a batch, also when one fails: no write may still be under way when the next pass begins."""
        ends = await asyncio.gather(*(self._one(step, applied) for step in steps), return_exceptions=True)
        for end in ends:
            if isinstance(end, BaseException):
                raise end

    async def _one(self, step: Step, applied: Applied) -> None:
        try:
            body = await self._write(step)
        except errors.Conflict:
            if step.action is Action.CREATE:
                applied.conflicts.add(step.name)
            else:
                applied.stale.append(step.name)
        except errors.Forbidden as error:
            applied.failures[step.name] = Finding(Reason.FORBIDDEN, str(error))
        except errors.Rejected as error:
            applied.failures[step.name] = Finding(Reason.WRITE_FAILED, str(error))
        else:
            applied.written.append(step)
            if body:
                applied.versions[step.name] = body["metadata"]["resourceVersion"]

    async def _write(self, step: Step) -> dict[str, Any] | None:
        if step.action is Action.DELETE:
            assert step.observed is not None  # only what was read is deleted
            await self._client.delete(NETWORK_POLICY, step.observed)
            return None
        assert step.policy is not None  # all other steps write one
        # Without force a name that somebody else has taken meanwhile is a conflict; force only on what is ours.
        is_new = step.action is Action.CREATE
        body = await self._apply(_desired(step), force=not is_new)
        if is_new and not _is_alone(body):
            await self._withdraw(step.policy)
            raise errors.Conflict(f"{step.name} was made by somebody else meanwhile")
        if not matches(step.policy, body):
            body = await self._overwrite(step.policy, body)
        if not matches(step.policy, body):
            raise errors.Rejected(f"{step.name} was changed by an admission webhook or policy while it was written")
        return body

    async def _apply(self, body: dict[str, Any], *, force: bool) -> dict[str, Any]:
        try:
            return await self._client.apply(NETWORK_POLICY, body, force=force)
        except errors.Rejected as error:
            if "uid" in body["metadata"] and "metadata.uid" in str(error):
                raise errors.Conflict(f"{body['metadata']['name']} is another object by now") from error
            raise

    async def _withdraw(self, policy: Policy) -> None:
        """Gives up every field that we applied: what nobody else owns goes, the rest stays as its owner has it."""
        body = policy.to_dict()
        metadata = {key: body["metadata"][key] for key in ("name", "namespace")}
        bare = {"apiVersion": body["apiVersion"], "kind": body["kind"], "metadata": metadata}
        await self._client.apply(NETWORK_POLICY, bare, force=False)

    async def _overwrite(self, policy: Policy, body: dict[str, Any]) -> dict[str, Any]:
        """Apply leaves fields that only others own (a second list of rules, say); these are taken out by force."""
        desired = policy.to_dict()
        operations: list[dict[str, Any]] = [{"op": "replace", "path": "/spec", "value": desired["spec"]}]
        if "ownerReferences" in desired["metadata"]:
            owners = desired["metadata"]["ownerReferences"]
            operations.append({"op": "add", "path": "/metadata/ownerReferences", "value": owners})
        return await self._client.patch(NETWORK_POLICY, body, operations, if_unchanged=True)


def _desired(step: Step) -> dict[str, Any]:
    """With the uid of what was read: another object of that name, or none by now, is a conflict."""
    assert step.policy is not None  # only what is to stand is written
    body = step.policy.to_dict()
    if step.observed is None:
        return body
    return body | {"metadata": body["metadata"] | {"uid": step.observed["metadata"]["uid"]}}


def _is_alone(body: dict[str, Any]) -> bool:
    """True where what we have just created is not in truth an older object of somebody else that agreed with us."""
    managers = [entry.get("manager") for entry in body["metadata"].get("managedFields") or ()]
    return is_ours(body) and set(managers) == {FIELD_MANAGER}


def _by_the_way(plan: Plan) -> list[Step]:
    """What no connection waits for: it opens and closes nothing and is not about to be collected, or only lets go."""
    return [
        *(step for step in plan.allows if step.is_touch),
        *(step for step in plan.denies if not _closes_more(step)),
    ]


def _closes_more(step: Step) -> bool:
    """False where a deny only lets go of a direction, or gets another owner or text."""
    if step.observed is None or step.policy is None:
        return True
    old, new = step.observed.get("spec") or {}, step.policy.spec
    is_other = {**old, "policyTypes": new["policyTypes"]} != new
    return is_other or not set(new["policyTypes"]) <= set(old.get("policyTypes", ()))


def _reopens(step: Step) -> bool:
    """True for an isolating policy that goes, or lets go of a direction."""
    if step.action is Action.DELETE:
        return True
    if not step.is_deny or step.observed is None or step.policy is None:
        return False
    return not set(step.observed["spec"].get("policyTypes", ())) <= set(step.policy.spec["policyTypes"])


def _stands(policy: Policy, *, live: dict[str, dict[str, Any]]) -> bool:
    return policy.name in live and matches(policy, live[policy.name])
