"""Names and marks: of flows, of policies, and the fingerprint that tells whether a flow has changed its meaning."""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from appconnectivity.core import api

MANAGED_BY_LABEL = "app.kubernetes.io/managed-by"
MANAGED_BY = "appconnectivity"
ROLE_LABEL = f"{api.GROUP}/role"
OBJECT_LABEL = f"{api.GROUP}/object"
TEMPLATE_LABEL = f"{api.GROUP}/template"
DESCRIPTION_ANNOTATION = f"{api.GROUP}/description"
FINGERPRINT_ANNOTATION = f"{api.GROUP}/flow-fingerprint"
UNTIL_ANNOTATION = f"{api.GROUP}/until"

DEFAULT_DENY = "appconnectivity.default-deny"
ALLOW_DNS = "appconnectivity.allow-dns"

OBJECT_NAME = f"1 to {api.MAX_NAME} characters, and not {api.RESERVED_NAME}, which is reserved"

_DNS_LABEL_MAX = 63
# What a flow says about itself, and until when, does not change what it opens.
_WITHOUT_MEANING = ("name", "description", "expirationTime")


def bears_policies(object_name: str) -> bool:
    """True for an object's name, OBJECT_NAME, that its policies' names and labels can carry."""
    return 0 < len(object_name) <= api.MAX_NAME and object_name != api.RESERVED_NAME


def flow_policy(*, object_name: str, flow_name: str, policy_type: api.PolicyType) -> str:
    """Flow names have no dots, so two objects' policies never share a name."""
    return f"{object_name}.{flow_name}.{policy_type.value.lower()}"


def end_policy(*, object_name: str, end_name: str, role: str) -> str:
    """The name of a policy for one local end: ``role`` is ``deny`` or ``allow-dns``."""
    return f"{object_name}.{end_name}.{role}"


def transition_policy(policy_type: api.PolicyType) -> str:
    """The name of the policy that keeps the namespace open for a while."""
    return f"appconnectivity.transition-{policy_type.value.lower()}"


def digest(value: Any, *, length: int = 8) -> str:
    """A short stable hash of plain data, the same whatever the order of keys."""
    try:
        text = orjson.dumps(value, option=orjson.OPT_SORT_KEYS, default=str)
    except TypeError:  # numbers of more than 64 bits, say
        text = json.dumps(value, sort_keys=True, default=str).encode()
    return hashlib.sha256(text).hexdigest()[:length]


def fingerprint(raw: Any, *, app_label: str) -> str:
    """Two flows with the same fingerprint open the same things, as far as their own text tells.

    Fields that this version does not know count too: they may narrow what the flow opens.
    """
    if not isinstance(raw, Mapping):
        return digest([raw, app_label], length=16)
    known = {key: raw.get(key) for key in ("from", "to", "ports")}
    meaning = {key: value for key, value in raw.items() if key not in _WITHOUT_MEANING}
    return digest([known | meaning, app_label], length=16)


def mark(fingerprint: str, spec: Any) -> str:
    """What a flow's policy carries: which flow it was written for, and what was written, so that an edit shows."""
    return f"{fingerprint}.{digest(spec)}"


def flow_of(mark: str) -> str:
    """The fingerprint in a policy's mark."""
    return mark.partition(".")[0]


def flow_names(flows: Sequence[api.Flow | None]) -> list[str]:
    """A name for each flow, stable whatever their order; None (a flow not understood) is named by its place.

    Given names stand. Others come from the ends; where two different flows would clash, from the ports as well,
    and at last from a hash. Only equal flows get equal names.
    """
    names = [flow.name or _by_ends(flow) if flow else f"flow-{index + 1}" for index, flow in enumerate(flows)]
    for refine in (_by_ports, _by_hash):
        if len(set(names)) == len(names):
            break
        taken = Counter(name for name, _ in {(name, identity(flow)) for name, flow in zip(names, flows, strict=True)})
        names = [
            refine(flow) if flow and not flow.name and taken[name] > 1 else name
            for name, flow in zip(names, flows, strict=True)
        ]
    return names


def end_name(end: api.End) -> str:
    """What an end is called in names; distinct ends may share one."""
    return _fit(_end_slug(end))


def identity(flow: api.Flow | None) -> str:
    """Equal for flows that differ in nothing but their description (and the order of keys)."""
    return json.dumps(flow.model_dump(mode="json", exclude={"description"}), sort_keys=True) if flow else ""


def _by_ends(flow: api.Flow) -> str:
    return _fit(f"{_end_slug(flow.from_)}-to-{_end_slug(flow.to)}")


def _by_ports(flow: api.Flow) -> str:
    ports = "-".join("all" if port == "*" else str(port) for port in flow.ports or ())
    return _fit(f"{_end_slug(flow.from_)}-to-{_end_slug(flow.to)}-{ports or 'its-ports'}")


def _by_hash(flow: api.Flow) -> str:
    return f"{_by_ends(flow)[:54].rstrip('-')}-{digest(identity(flow))}"


def _end_slug(end: api.End) -> str:
    what = _what_slug(end)
    if end.namespace is not None:
        return f"{what}-in-{end.namespace}" if what else f"ns-{end.namespace}"
    if end.namespace_selector is not None:
        where = f"ns-{digest(end.namespace_selector.model_dump(), length=6)}"
        return f"{what}-in-{where}" if what else where
    return what


def _what_slug(end: api.End) -> str:
    if end.pod_selector is not None:
        return _selector_slug(end.pod_selector)
    if end.ip_blocks is not None:
        blocks = sorted(block.model_dump_json() for block in end.ip_blocks)
        return end.ip_blocks[0].cidr if len(blocks) == 1 else f"cidrs-{digest(blocks, length=6)}"
    if end.entity is not None:
        return re.sub("(?<=[a-z])(?=[A-Z])|(?<=API)(?=S)", "-", end.entity.value)
    return end.app or end.service or ""


def _selector_slug(selector: api.LabelSelector) -> str:
    if selector == api.LabelSelector():
        return "all-pods"
    if len(selector.match_labels) == 1 and not selector.match_expressions:
        return next(iter(selector.match_labels.values())) or "unlabelled"
    return f"pods-{digest(selector.model_dump(), length=6)}"


def _fit(text: str) -> str:
    """``text`` as a DNS label of at most 63 characters, cut with a hash where it is longer."""
    slug = re.sub("[^a-z0-9]+", "-", text.lower()).strip("-") or "flow"
    if len(slug) <= _DNS_LABEL_MAX:
        return slug
    return f"{slug[:54].rstrip('-')}-{digest(text)}"
