"""Reading what a template has to do with, and writing the objects that it keeps."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from appconnectivity.cluster import errors
from appconnectivity.cluster.client import Client
from appconnectivity.cluster.kinds import APP_CONNECTIVITY, NAMESPACE, TEMPLATE
from appconnectivity.core.findings import Finding, Reason
from appconnectivity.core.rollout import Action, Rollout, Step, foreign_finalizers, matches

Body = Mapping[str, Any]


@dataclass(frozen=True)
class View:
    """A template (None where it is gone), every namespace, and every AppConnectivity of the template's name."""

    template: Body | None
    namespaces: Sequence[Body]
    objects: Sequence[Body]


@dataclass
class Written:
    """What came of a rollout's steps. ``failures`` are by namespace; so are ``bodies``, the objects as they stand."""

    steps: list[Step] = field(default_factory=list)
    bodies: dict[str, Body] = field(default_factory=dict)
    failures: dict[str, Finding] = field(default_factory=dict)
    stale: list[str] = field(default_factory=list)


class Onboarder:
    """Keeps the objects of templates in their namespaces."""

    def __init__(self, client: Client) -> None:
        self._client = client

    async def observe(self, name: str) -> View:
        """Live, consistent reads. Raises errors.ClusterError: what could not be read is unknown, never absent."""
        template, namespaces, objects = await asyncio.gather(
            self._client.get(TEMPLATE, name=name),
            self._client.list(NAMESPACE),
            self._client.list(APP_CONNECTIVITY, name=name),
        )
        return View(template, namespaces, objects)

    async def apply(self, rollout: Rollout) -> Written:
        """Carries out what writes something. A refused write concerns that namespace alone.

        Raises errors.Unavailable, once nothing is under way any more.
        """
        written = Written()
        steps = rollout.of(Action.CREATE, Action.UPDATE, Action.RELEASE, Action.RETIRE, Action.DELETE)
        ends = await asyncio.gather(*(self._one(step, written) for step in steps), return_exceptions=True)
        for end in ends:
            if isinstance(end, BaseException):
                raise end
        return written

    async def _one(self, step: Step, written: Written) -> None:
        try:
            body = await self._write(step)
        except errors.NamespaceGone:
            return
        except (errors.Conflict, errors.NotFound):  # changed or deleted after it was read: its event is on its way
            written.stale.append(step.namespace)
        except errors.Forbidden as error:
            written.failures[step.namespace] = Finding(Reason.FORBIDDEN, str(error))
        except errors.Rejected as error:
            written.failures[step.namespace] = Finding(Reason.WRITE_FAILED, str(error))
        else:
            written.steps.append(step)
            written.bodies[step.namespace] = body

    async def _write(self, step: Step) -> Body:
        match step.action:
            case Action.DELETE:
                await self._client.delete(APP_CONNECTIVITY, _observed(step))
            case Action.RETIRE:
                return await self._patch(step, {"op": "add", "path": "/spec/mode", "value": "Audit"})
            case Action.RELEASE if foreign_finalizers(_observed(step)):
                return await self._patch(step, {"op": "remove", "path": "/metadata/finalizers"})
            case Action.CREATE | Action.UPDATE:
                return await self._apply(step)
        return _observed(step)

    async def _apply(self, step: Step) -> Body:
        assert step.body is not None  # what is to be applied has a body
        # Without force an object that somebody has made meanwhile is a conflict.
        body = await self._client.apply(APP_CONNECTIVITY, step.body, force=step.action is Action.UPDATE)
        if matches(step.body, body):
            return body
        operations = [
            {"op": "replace", "path": "/metadata/resourceVersion", "value": body["metadata"]["resourceVersion"]},
            {"op": "replace", "path": "/spec", "value": step.body["spec"]},
        ]
        body = await self._client.patch(APP_CONNECTIVITY, body, operations)
        if not matches(step.body, body):
            raise errors.Rejected("the object was changed by an admission webhook or policy while it was written")
        return body

    async def _patch(self, step: Step, operation: Mapping[str, Any]) -> Body:
        observed = _observed(step)
        version = observed["metadata"]["resourceVersion"]
        guard = {"op": "replace", "path": "/metadata/resourceVersion", "value": version}
        return await self._client.patch(APP_CONNECTIVITY, observed, [guard, operation])


def _observed(step: Step) -> Body:
    assert step.observed is not None  # only what was read is changed or deleted
    return step.observed
