"""Applying a plan: the only place that writes NetworkPolicies.

Allows first (DNS before all), read back, then what denies; on the way out what denies goes first. A batch begins when
the one before it is done, and a deny is not written while an allow that it needs could not be.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from appconnectivity.cluster import errors
from appconnectivity.cluster.client import Client
from appconnectivity.cluster.kinds import NETWORK_POLICY
from appconnectivity.core.compile import Compiled
from appconnectivity.core.findings import Finding, Reason
from appconnectivity.core.plan import Action, Plan, Step
from appconnectivity.core.policy import Policy, is_ours, matches


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
        await self._each(plan.allows, applied)
        await self._deny(plan, compiled, applied)
        await self._each(plan.deny_deletions, applied)
        await self._each(plan.allow_deletions, applied)
        return applied

    async def _deny(self, plan: Plan, compiled: Compiled, applied: Applied) -> None:
        """Closes only what has its openings: each allow must have been read back as it should be."""
        closing = [step for step in plan.denies if _closes_more(step)]
        await self._each([step for step in plan.denies if step not in closing], applied)
        if not closing:
            return
        namespace = compiled.policies[0].namespace
        live = {body["metadata"]["name"]: body for body in await self._client.list(NETWORK_POLICY, namespace=namespace)}
        denies = {step.name for step in closing}
        missing = [p.name for p in compiled.policies if p.name not in denies and not _stands(p, live=live)]
        waiting = [name for name in missing if name not in applied.conflicts and name not in plan.held]
        if not waiting:
            await self._each(closing, applied)
            return
        for step in closing:
            applied.failures[step.name] = Finding(
                Reason.WAITING_FOR_ALLOWS, f"{step.name} waits until {', '.join(waiting[:4])} could be written"
            )

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
        body = await self._client.apply(NETWORK_POLICY, step.policy.to_dict(), force=not is_new)
        if is_new and not _is_alone(body):
            await self._withdraw(step.policy)
            raise errors.Conflict(f"{step.name} was made by somebody else meanwhile")
        return body if matches(step.policy, body) else await self._overwrite(step.policy, body)

    async def _withdraw(self, policy: Policy) -> None:
        """Gives up every field that we applied: what nobody else owns goes, the rest stays as its owner has it."""
        body = policy.to_dict()
        bare = {key: body["metadata"][key] for key in ("name", "namespace")}
        await self._client.apply(NETWORK_POLICY, body | {"metadata": bare, "spec": {}}, force=False)

    async def _overwrite(self, policy: Policy, body: dict[str, Any]) -> dict[str, Any]:
        """Apply leaves fields that only others own (a second list of rules, say); these are taken out by force."""
        desired = policy.to_dict()
        operations: list[dict[str, Any]] = [
            {"op": "test", "path": "/metadata/resourceVersion", "value": body["metadata"]["resourceVersion"]},
            {"op": "replace", "path": "/spec", "value": desired["spec"]},
        ]
        if "ownerReferences" in desired["metadata"]:
            owners = desired["metadata"]["ownerReferences"]
            operations.append({"op": "add", "path": "/metadata/ownerReferences", "value": owners})
        return await self._client.patch(NETWORK_POLICY, body, operations)


def _is_alone(body: dict[str, Any]) -> bool:
    """True where what we have just created is not in truth an older object of somebody else that agreed with us."""
    managers = body["metadata"].get("managedFields") or ()
    return is_ours(body) and len(managers) == 1


def _closes_more(step: Step) -> bool:
    """False where a deny only gets another owner or text."""
    return step.observed is None or step.policy is None or step.observed.get("spec") != step.policy.spec


def _stands(policy: Policy, *, live: dict[str, dict[str, Any]]) -> bool:
    return policy.name in live and matches(policy, live[policy.name])
