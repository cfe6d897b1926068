"""Reading what a template has to do with, and writing the objects that it keeps."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from appconnectivity.cluster import errors
from appconnectivity.cluster.client import Client
from appconnectivity.cluster.kinds import APP_CONNECTIVITY, NAMESPACE, TEMPLATE
from appconnectivity.cluster.reads import Reads
from appconnectivity.core.findings import Finding, Reason
from appconnectivity.core.rollout import Action, Rollout, Step, matches

Body = Mapping[str, Any]

_OURS = ("labels", "annotations", "ownerReferences")


@dataclass(frozen=True)
class View:
    """A template (None where it is gone), every namespace, and every AppConnectivity of the template's name."""

    template: Body | None
    namespaces: Sequence[Body]
    objects: Sequence[Body]


@dataclass
class Written:
    """What came of a rollout's steps; one that had nothing to write is none of them.

    ``failures`` are by namespace; so are ``bodies``, the objects as they stand.
    """

    steps: list[Step] = field(default_factory=list)
    bodies: dict[str, Body] = field(default_factory=dict)
    failures: dict[str, Finding] = field(default_factory=dict)
    stale: list[str] = field(default_factory=list)


class Onboarder:
    """Keeps the objects of templates in their namespaces. Those are read ``recent``ly where that is enough."""

    def __init__(self, client: Client, *, recent: Reads) -> None:
        self._client = client
        self._recent = recent

    async def observe(self, name: str, *, recent: bool) -> View:
        """As ``Observer.observe``. Raises errors.ClusterError: what could not be read is unknown, never absent."""
        template, namespaces, objects = await asyncio.gather(
            self._client.get(TEMPLATE, name=name),
            self._recent.list(NAMESPACE) if recent else self._client.list(NAMESPACE),
            self._client.list(APP_CONNECTIVITY, name=name, recent=recent),
        )
        return View(template, namespaces, objects)

    async def apply(self, rollout: Rollout) -> Written:
        """Carries out what writes something. A write that fails, however it does, concerns that namespace alone."""
        written = Written()
        steps = rollout.of(Action.CREATE, Action.UPDATE, Action.RELEASE, Action.RETIRE, Action.DELETE)
        await asyncio.gather(*(self._one(step, written) for step in steps))
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
        except (errors.Rejected, errors.Unavailable) as error:
            written.failures[step.namespace] = Finding(Reason.WRITE_FAILED, str(error))
        else:
            if body is not None:
                written.steps.append(step)
                written.bodies[step.namespace] = body

    async def _write(self, step: Step) -> Body | None:
        """The object after it was written (or before it went); None where there was nothing to do."""
        match step.action:
            case Action.DELETE:
                await self._client.delete(APP_CONNECTIVITY, _observed(step))
                return _observed(step)
            case Action.RETIRE:
                return await self._patch(step, _set("/spec/mode", "Audit"))
            case Action.RELEASE if _observed(step)["metadata"].get("finalizers"):
                return await self._patch(step, _set("/metadata/finalizers", []))
            case Action.CREATE:
                return await self._create(step)
            case Action.UPDATE:
                return await self._update(step)
        return None

    async def _create(self, step: Step) -> Body:
        """Without force an object that somebody has made meanwhile is a conflict."""
        body = await self._client.apply(APP_CONNECTIVITY, _desired(step), force=False)
        return _checked(step, body)

    async def _update(self, step: Step) -> Body:
        """Applies; and where others have put more into the object than apply takes out or bears, replaces it whole."""
        try:
            body = await self._client.apply(APP_CONNECTIVITY, _desired(step), force=True)
        except (errors.Rejected, errors.Unavailable):
            return await self._replace(step)
        return body if matches(_desired(step), body) else await self._replace(step)

    async def _replace(self, step: Step) -> Body:
        """Whatever resourceVersion it has by now: who edits it all the time must not win by that."""
        desired = _desired(step)
        fields = {"/spec": desired["spec"], "/metadata/finalizers": []}
        fields |= {f"/metadata/{key}": desired["metadata"][key] for key in _OURS if key in desired["metadata"]}
        uid = {"op": "test", "path": "/metadata/uid", "value": _observed(step)["metadata"]["uid"]}
        operations = [uid, *(_set(path, value) for path, value in fields.items())]
        return _checked(step, await self._client.patch(APP_CONNECTIVITY, _observed(step), operations))

    async def _patch(self, step: Step, operation: Mapping[str, Any]) -> Body:
        return await self._client.patch(APP_CONNECTIVITY, _observed(step), [operation], if_unchanged=True)


def _set(path: str, value: Any) -> dict[str, Any]:
    return {"op": "add", "path": path, "value": value}


def _checked(step: Step, body: Body) -> Body:
    if not matches(_desired(step), body):
        raise errors.Rejected("the object was changed by somebody, or by an admission policy, while it was written")
    return body


def _desired(step: Step) -> Body:
    assert step.body is not None  # what is to stand has a body
    return step.body


def _observed(step: Step) -> Body:
    assert step.observed is not None  # only what was read is changed or deleted
    return step.observed
