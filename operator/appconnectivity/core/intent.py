"""From an AppConnectivity object as the API server holds it to an intent: typed, named, each flow judged for itself."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

import orjson
from pydantic import ValidationError

from appconnectivity.core import api, naming
from appconnectivity.core.findings import Finding, Reason

# Of a list that is too long so many flows are read, for the policies that stand for them; more would only take time.
_MOST_FLOWS = 16 * api.MAX_FLOWS
# A namespace is looked at again for each change of one of its objects: so many objects are not understood anew each
# time, if each is short, so that all of them take some megabytes only.
_KNOWN, _SHORT = 2048, 2048


@dataclass(frozen=True)
class Entry:
    """One flow of an object: understood, or refused with a finding. ``fingerprint`` stands for its meaning.

    ``expiration`` is known for refused flows too: whatever else they say, they end. What can't be read is long past.
    """

    name: str
    fingerprint: str
    flow: api.Flow | None = None
    refusal: Finding | None = None
    expiration: datetime | None = None

    def has_expired(self, *, now: datetime) -> bool:
        return self.expiration is not None and self.expiration <= now


@dataclass(frozen=True)
class Intent:
    """One AppConnectivity object. ``header`` is None where the object as a whole is refused; ``isolation`` is then what
    it says about isolation all the same, as far as that can be understood."""

    namespace: str
    name: str
    uid: str
    generation: int
    entries: tuple[Entry, ...]
    app_label: str
    header: api.Header | None = None
    refusal: Finding | None = None
    isolation: api.Header | None = None

    @property
    def is_enforced(self) -> bool:
        return self.header is not None and self.header.mode is api.Mode.ENFORCE

    @property
    def stays_at_home(self) -> bool:
        """True where none of its flows has an end in another namespace."""
        flows = (entry.flow for entry in self.entries if entry.flow)
        return all(end.is_in(self.namespace) for flow in flows for end in (flow.from_, flow.to))

    @property
    def governed(self) -> frozenset[api.PolicyType]:
        return frozenset(self.header.policy_types) if self.header else frozenset()


def parse(body: Mapping[str, Any], *, default_app_label: str) -> Intent:
    """Understands as much of the object as can be understood; never raises on bad input."""
    metadata = body["metadata"]
    which = metadata["namespace"], metadata["name"], metadata.get("uid", ""), metadata.get("generation", 0)
    given = (*which, body.get("spec"), default_app_label)
    try:
        text = orjson.dumps(given, option=orjson.OPT_PASSTHROUGH_DATETIME)
    except TypeError:  # numbers of more than 64 bits, say
        return _parse(*given)
    return _parse_known(memoryview(text).tobytes()) if len(text) <= _SHORT else _parse(*orjson.loads(text))


@lru_cache(maxsize=_KNOWN)
def _parse_known(text: bytes) -> Intent:
    return _parse(*orjson.loads(text))


def _parse(namespace: str, name: str, uid: str, generation: int, raw: Any, default_app_label: str) -> Intent:
    spec = raw if isinstance(raw, Mapping) else {}
    header, refusal = _parse_header({key: spec[key] for key in spec if key != "flows"} if spec else raw)
    if not naming.bears_policies(name):
        header, refusal = None, Finding(Reason.INVALID, f"metadata.name: must be {naming.OBJECT_NAME}")
    app_label = str(spec.get("appLabel") or default_app_label)
    raws = [] if spec.get("flows") is None else spec["flows"]
    if not isinstance(raws, list) or len(raws) > api.MAX_FLOWS:
        refusal = refusal or Finding(Reason.INVALID, f"spec.flows must be a list of at most {api.MAX_FLOWS} flows")
        header, raws = None, raws if isinstance(raws, list) else []
    return Intent(
        namespace=namespace,
        name=name,
        uid=uid,
        generation=generation,
        entries=_parse_flows(raws[:_MOST_FLOWS], app_label=app_label),
        app_label=app_label,
        header=header,
        refusal=refusal,
        isolation=None if header else _parse_isolation(spec),
    )


_PLAIN_WORDS = {
    "tuple_type": "must be a list",
    "model_type": "must be a map of fields, such as {app: api}",
    "dict_type": "must be a map of fields",
    "int_type": "must be a number, or a string such as 53/UDP",
    "string_type": "must be a string",
    "missing": "is needed",
    "extra_forbidden": "this field is unknown to this version of the operator",
}


@dataclass(frozen=True)
class Fault:
    """What is wrong with a body, and where in it."""

    location: tuple[str | int, ...]
    reason: Reason
    said: str


def faults(error: ValidationError) -> Iterator[Fault]:
    """What pydantic has found, at least one, in the order of the fields; that one is missing comes after the unknown
    ones beside it, of which one may be the same misspelt."""
    errors = error.errors(include_url=False)
    parents: dict[tuple[str | int, ...], int] = {}
    for found in errors:
        parents.setdefault(found["loc"][:-1], len(parents))
    for found in sorted(errors, key=lambda found: (parents[found["loc"][:-1]], found["type"] == "missing")):
        # A port may be a number or a string; which of the two pydantic tried last is of no use to anybody.
        location = found["loc"][:-1] if found["loc"][-3:-2] == ("ports",) else found["loc"]
        unknown = found["type"] in ("extra_forbidden", "enum", "literal_error")
        said = _PLAIN_WORDS.get(found["type"], found["msg"].removeprefix("Value error, "))
        yield Fault(location, Reason.UNSUPPORTED if unknown else Reason.INVALID, said)


def explain(error: ValidationError, *, at: str) -> Finding:
    """The first fault of a pydantic error as a sentence with the field's path."""
    fault = next(faults(error))
    return Finding(fault.reason, f"{field_path(at, *fault.location)}: {fault.said}")


def field_path(*parts: str | int) -> str:
    """A place in an object as people write it: ``spec.flows[0].from``."""
    text = ""
    for part in parts:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text


def _parse_header(raw: Any) -> tuple[api.Header | None, Finding | None]:
    try:
        return api.Header.model_validate(raw), None
    except ValidationError as error:
        return None, explain(error, at="spec")


def _parse_isolation(spec: Mapping[str, Any]) -> api.Header | None:
    raw = {key: spec[key] for key in ("defaultDeny", "policyTypes", "dns") if key in spec}
    try:
        return None if spec.get("mode") == api.Mode.AUDIT else api.Header.model_validate(raw)
    except ValidationError:
        return None


def _parse_flows(raws: list[Any], *, app_label: str) -> tuple[Entry, ...]:
    """All flows by name. What is understood is named first, so that a bad flow never takes a good one's name."""
    flows = [_parse_flow(raw, index=index) for index, raw in enumerate(raws)]
    prints = [naming.fingerprint(raw, app_label=app_label) for raw in raws]
    names = naming.flow_names([flow if isinstance(flow, api.Flow) else None for flow in flows])
    entries: dict[str, Entry] = {}
    for name, fingerprint, flow in sorted(
        ((n, p, f) for n, p, f in zip(names, prints, flows, strict=True) if isinstance(f, api.Flow)),
        key=lambda entry: entry[:2],
    ):
        if name not in entries:
            entries[name] = Entry(name=name, fingerprint=fingerprint, flow=flow, expiration=flow.expiration_time)
        elif naming.identity(entries[name].flow) != naming.identity(flow):  # said twice the same is one flow
            refusal = Finding(Reason.INVALID, f"the name {name} stands for two different flows")
            spare = f"{name[:54]}-{fingerprint[:8]}"
            entries[spare] = Entry(
                name=spare, fingerprint=fingerprint, refusal=refusal, expiration=flow.expiration_time
            )
    for raw, name, fingerprint, refused in zip(raws, names, prints, flows, strict=True):
        if isinstance(refused, Finding):
            shown = _given_name(raw) or name
            shown = shown if shown not in entries else f"{shown[:54]}-{fingerprint[:8]}"
            entries[shown] = Entry(name=shown, fingerprint=fingerprint, refusal=refused, expiration=_expiration(raw))
    return tuple(entries[name] for name in sorted(entries))


def _given_name(raw: Any) -> str:
    """The name that a flow which is not understood gives itself, where that can be shown."""
    name = raw.get("name") if isinstance(raw, Mapping) else None
    return name if isinstance(name, str) and re.fullmatch("[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?", name) else ""


def _expiration(raw: Any) -> datetime | None:
    """When a flow that is not understood ends: by itself, since nothing else that it says may keep it open."""
    text = raw.get("expirationTime") if isinstance(raw, Mapping) else None
    if text is None:
        return None
    try:
        return api.parse_moment(text)
    except ValidationError:
        return datetime.min.replace(tzinfo=UTC)


def _parse_flow(raw: Any, *, index: int) -> api.Flow | Finding:
    try:
        return api.Flow.model_validate(raw)
    except ValidationError as error:
        return explain(error, at=f"spec.flows[{index}]")
