"""The AppConnectivity API as types: what ``crds/appconnectivity.yaml`` says, for Python.

Dicts come in here and types go out. The two texts are held together by tests/crd; whatever the CRD refuses is
refused here too, so that ``render`` and an operator behind an older CRD judge alike.
"""

from __future__ import annotations

import ipaddress
import re
from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StrictInt,
    StrictStr,
    StringConstraints,
    TypeAdapter,
    field_validator,
    model_validator,
)
from pydantic.alias_generators import to_camel

from appconnectivity.core import ports as ports_

GROUP = "appconnectivity.io"
VERSION = "v1alpha1"
API_VERSION = f"{GROUP}/{VERSION}"
KIND = "AppConnectivity"
PLURAL = "appconnectivities"

NAMESPACE_NAME_LABEL = "kubernetes.io/metadata.name"

# Of objects, since policies' names begin with theirs.
MAX_NAME = 63
RESERVED_NAME = "appconnectivity"
MAX_FLOWS = 64
MAX_PORTS = 16
MAX_BLOCKS = 32
MAX_LABELS = 16
MAX_LABEL_PREFIX = 253

_RFC3339 = re.compile(
    r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,6})?(Z|[+-]([01][0-9]|2[0-3]):[0-5][0-9])$"
)
# What is still a moment after conversion to UTC.
_FIRST_MOMENT = datetime(1, 1, 1, tzinfo=UTC)
_LAST_MOMENT = datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)

_LABEL_VALUE = r"^([A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?)?$"
_LABEL_KEY = re.compile(
    r"^([a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*/)?"
    r"[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$"
)
_DNS_LABEL = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"


def _label_key(key: str) -> str:
    if not _LABEL_KEY.fullmatch(key) or key.find("/") > MAX_LABEL_PREFIX:
        raise ValueError(f"{key!r} is not a valid label key")
    return key


def _port(value: int | str) -> int | str:
    ports_.parse_port(value)
    return value


def _cidr(value: str) -> str:
    parse_cidr(value)
    return value


def _rfc3339(value: Any) -> Any:
    if isinstance(value, datetime):
        understood = value.tzinfo is not None
    else:
        understood = isinstance(value, str) and _RFC3339.fullmatch(value) is not None
    if not understood:
        raise ValueError('must be a moment such as "2027-01-31T00:00:00Z" (RFC 3339)')
    return value


def _not_too_many(labels: Any) -> Any:
    """Before each is looked at: of what no schema has bounded there may be very many."""
    if isinstance(labels, dict) and len(labels) > MAX_LABELS:
        raise ValueError(f"should have at most {MAX_LABELS} items, not {len(labels)}")
    return labels


Moment = Annotated[datetime, Field(ge=_FIRST_MOMENT, le=_LAST_MOMENT), BeforeValidator(_rfc3339)]
LabelKey = Annotated[str, AfterValidator(_label_key)]
LabelValue = Annotated[str, StringConstraints(max_length=63, pattern=_LABEL_VALUE)]
AppName = Annotated[str, StringConstraints(min_length=1, max_length=63, pattern=_LABEL_VALUE)]
DnsLabel = Annotated[str, StringConstraints(min_length=1, max_length=63, pattern=_DNS_LABEL)]
Port = Annotated[StrictInt | StrictStr, AfterValidator(_port)]
Cidr = Annotated[str, StringConstraints(min_length=1, max_length=43), AfterValidator(_cidr)]


class PolicyType(StrEnum):
    """A direction that NetworkPolicy knows, as seen from the pod."""

    INGRESS = "Ingress"
    EGRESS = "Egress"


class Mode(StrEnum):
    """Whether the policies are written, or only computed and shown."""

    ENFORCE = "Enforce"
    AUDIT = "Audit"


class DefaultDeny(StrEnum):
    """Which pods are closed to what no flow declares."""

    NAMESPACE = "Namespace"
    ENDPOINTS = "Endpoints"
    NONE = "None"


class Dns(StrEnum):
    """Whether isolated pods may ask the cluster's DNS."""

    CLUSTER = "Cluster"
    NONE = "None"


class Entity(StrEnum):
    """Peers that have a name instead of labels."""

    INTERNET = "Internet"
    CLUSTER = "Cluster"
    ANY = "Any"
    KUBE_API_SERVER = "KubeAPIServer"


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, alias_generator=to_camel)

    @model_validator(mode="before")
    @classmethod
    def _without_nulls(cls, value: Any) -> Any:
        """A field without a value is a field left out, as the API server has it."""
        if not isinstance(value, dict) or None not in value.values():
            return value
        known = {field.alias for field in cls.model_fields.values()}
        return {key: given for key, given in value.items() if given is not None or key not in known}


class Requirement(_Model):
    """One entry of matchExpressions (meta/v1 LabelSelectorRequirement)."""

    key: LabelKey
    operator: Literal["In", "NotIn", "Exists", "DoesNotExist"]
    values: Annotated[tuple[LabelValue, ...], Field(max_length=16, fail_fast=True)] = ()

    @model_validator(mode="after")
    def _values_fit_operator(self) -> Self:
        if self.operator in ("In", "NotIn") and not self.values:
            raise ValueError("values are required for In and NotIn")
        if self.operator in ("Exists", "DoesNotExist") and self.values:
            raise ValueError("values must be empty for Exists and DoesNotExist")
        return self


class LabelSelector(_Model):
    """meta/v1 LabelSelector; the empty one matches everything where it stands, as Kubernetes means it."""

    match_labels: Annotated[
        dict[LabelKey, LabelValue], Field(max_length=MAX_LABELS), BeforeValidator(_not_too_many)
    ] = Field(default_factory=dict)
    match_expressions: Annotated[tuple[Requirement, ...], Field(max_length=16, fail_fast=True)] = ()


class IPBlock(_Model):
    """Addresses of one family, as networking/v1 IPBlock."""

    cidr: Cidr
    except_: Annotated[tuple[Cidr, ...], Field(alias="except", max_length=16, fail_fast=True)] = ()

    @model_validator(mode="after")
    def _exceptions_are_within(self) -> Self:
        for text in self.except_:
            block, inner = parse_cidr(self.cidr), parse_cidr(text)
            if inner.version != block.version or inner == block or not inner.subnet_of(block):  # type: ignore[arg-type]
                raise ValueError(f"except {text} must be strictly within {self.cidr}")
        return self


class End(_Model):
    """One end of a flow: exactly one of app, podSelector, service, ipBlocks, entity, or only a namespace."""

    app: AppName | None = None
    pod_selector: LabelSelector | None = None
    service: DnsLabel | None = None
    ip_blocks: Annotated[tuple[IPBlock, ...], Field(min_length=1, max_length=MAX_BLOCKS, fail_fast=True)] | None = None
    entity: Entity | None = None
    namespace: DnsLabel | None = None
    namespace_selector: LabelSelector | None = None

    @model_validator(mode="after")
    def _is_one_thing(self) -> Self:
        whats = [self.app, self.pod_selector, self.service, self.ip_blocks, self.entity]
        given = len([what for what in whats if what is not None])
        wheres = (self.namespace is not None) + (self.namespace_selector is not None)
        if given > 1 or given + wheres == 0:
            raise ValueError(
                "say exactly one of app, podSelector, service, ipBlocks, entity, or only namespace or"
                " namespaceSelector; for every pod of this namespace write podSelector: {}"
            )
        if wheres > 1:
            raise ValueError("say namespace or namespaceSelector, not both")
        if wheres and (self.ip_blocks is not None or self.entity is not None):
            raise ValueError("ipBlocks and entity stand alone: they are in no namespace")
        if self.service is not None and self.namespace_selector is not None:
            raise ValueError("service needs one namespace: say namespace, not namespaceSelector")
        return self

    def is_in(self, namespace: str) -> bool:
        """True where it is in an object's own namespace, this one, as far as its words tell: labels may match any."""
        return self.namespace_selector is None and self.namespace in (None, namespace)

    @property
    def is_pods(self) -> bool:
        """True where this end means pods by labels or namespace (a Service has still to be looked up)."""
        return self.ip_blocks is None and self.entity is None


class Flow(_Model):
    """Who opens connections to whom, on which ports of the receiving pods."""

    name: DnsLabel | None = None
    from_: Annotated[End, Field(alias="from")]
    to: End
    ports: Annotated[tuple[Port, ...], Field(min_length=1, max_length=MAX_PORTS)] | None = None
    description: Annotated[str, StringConstraints(max_length=256)] | None = None
    expiration_time: Moment | None = None

    @model_validator(mode="after")
    def _ends_fit(self) -> Self:
        if self.from_.service is not None:
            raise ValueError("from.service: a Service opens no connections; name its pods with app or podSelector")
        if not self.from_.is_pods and not self.to.is_pods:
            raise ValueError("one end must be pods: neither ipBlocks nor entity has a NetworkPolicy of its own")
        if self.ports is None and not self.has_own_ports:
            raise ValueError('ports are needed (except to a service or to KubeAPIServer); "*" means all')
        return self

    @property
    def has_own_ports(self) -> bool:
        """True where the receiving end itself says which ports it has."""
        return self.to.service is not None or self.to.entity is Entity.KUBE_API_SERVER


class Header(_Model):
    """The spec without its flows: what holds for all of them."""

    mode: Mode = Mode.ENFORCE
    default_deny: DefaultDeny = DefaultDeny.NAMESPACE
    policy_types: Annotated[tuple[PolicyType, ...], Field(min_length=1, max_length=2)] = (
        PolicyType.INGRESS,
        PolicyType.EGRESS,
    )
    dns: Dns = Dns.CLUSTER
    app_label: LabelKey | None = None

    @field_validator("policy_types")
    @classmethod
    def _are_distinct(cls, value: tuple[PolicyType, ...]) -> tuple[PolicyType, ...]:
        if len(set(value)) != len(value):
            raise ValueError("each policy type may stand only once")
        return value


class Spec(Header):
    """The whole spec, all or nothing: what the CRD accepts."""

    flows: Annotated[tuple[Flow, ...], Field(max_length=MAX_FLOWS)] = ()

    @field_validator("flows")
    @classmethod
    def _names_are_distinct(cls, value: tuple[Flow, ...]) -> tuple[Flow, ...]:
        names = [flow.name for flow in value if flow.name]
        if len(set(names)) != len(names):
            raise ValueError("two flows have the same name")
        return value


Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def parse_cidr(text: str) -> Network:
    """The network that ``text`` names. Raises ValueError for host bits, zones, netmasks, or IPv4 written as IPv6."""
    if "%" in text or ("/" in text and not _PREFIX_LENGTH.fullmatch(text.partition("/")[2])):
        raise ValueError(f"{text!r} is not a CIDR such as 203.0.113.0/24 or 2001:db8::/32")
    try:
        network = ipaddress.ip_network(text, strict=True)
    except ValueError as error:
        raise ValueError(f"{text!r} is not a CIDR such as 203.0.113.0/24 or 2001:db8::/32: {error}") from error
    if "/" not in text:
        raise ValueError(f"{text!r} has no prefix length: write {network}")
    if isinstance(network, ipaddress.IPv6Network) and network.network_address.ipv4_mapped:
        raise ValueError(f"{text!r} is IPv4 written as IPv6: write the IPv4 network")
    return network


def parse_moment(value: Any) -> datetime:
    """An expirationTime. Raises pydantic's ValidationError for what is none."""
    return _MOMENT.validate_python(value)


_MOMENT = TypeAdapter[datetime](Moment)
# ipaddress would also read "/08" and "/255.0.0.0".
_PREFIX_LENGTH = re.compile(r"^(0|[1-9][0-9]{0,2})$")
