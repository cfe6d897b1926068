"""Reasons: every word that a person may meet in a condition, a flow's row or an Event, each with its meaning.

They are API: scripts and alerts match on them. docs/reference/conditions.md is made from this file.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Reason(StrEnum):
    """Why something is as it is. The text behind each is its documentation."""

    meaning: str

    def __new__(cls, value: str, meaning: str = "") -> Reason:
        member = str.__new__(cls, value)
        member._value_ = value
        member.meaning = meaning
        return member

    PENDING = "Pending", "The operator has not looked at this object yet."
    READY = "Ready", "Every policy that the object asks for is written."
    AUDIT = "Audit", "Mode is Audit: everything is computed and shown, nothing is written."

    ACCEPTED = "Accepted", "The spec is understood."
    INVALID = "Invalid", "The spec can't be understood; the policies of its unchanged flows stay."
    INVALID_FLOW = "InvalidFlow", "Some flow can't mean anything; the others go on."
    UNSUPPORTED = "UnsupportedByThisVersion", "A field or value is unknown to this operator; unchanged flows stay."
    NAMESPACE_PROTECTED = "NamespaceProtected", "The operator writes nothing in this namespace, by its settings."
    INTERNAL_ERROR = "InternalError", "The operator failed on this object; its policies stay. Please report it."

    NO_LOCAL_END = "NoLocalEnd", "Neither end is in the object's own namespace, so there is nothing to write here."
    NAMED_PORT_WITHOUT_PODS = "NamedPortWithoutPods", "A port name means a container's port; addresses have none."

    RESOLVED = "ResolvedRefs", "Everything that the flows name was found."
    DNS_ASSUMED = "DNSAssumed", "No DNS Service was found; the conventional one is allowed."
    SERVICE_NOT_FOUND = "ServiceNotFound", "The Service does not exist (yet)."
    SERVICE_PORT_NOT_FOUND = "ServicePortNotFound", "The Service has no such port."
    SERVICE_IS_EXTERNAL = (
        "ServiceIsExternalName",
        "An ExternalName Service is a DNS alias: it has no pods or addresses.",
    )
    NO_ENDPOINTS = "NoEndpoints", "The Service has no selector and its EndpointSlices have no addresses (yet)."
    TOO_MANY_ADDRESSES = "TooManyAddresses", "The Service has more addresses than a policy should hold."
    API_SERVER_NOT_FOUND = "APIServerNotFound", "default/kubernetes has no EndpointSlice with addresses."

    PROGRAMMED = "Programmed", "Every policy of this object was written and read back."
    ADOPTING = (
        "Adopting",
        "The first policies stand; the namespace stays open for a few seconds, so that nothing is cut.",
    )
    NAME_CONFLICT = (
        "NameConflict",
        "A NetworkPolicy that is not ours has the name of one of ours (or an object that of a template's): left alone.",
    )
    WRITE_FAILED = "WriteFailed", "The API server refused a write; it is tried again."
    FORBIDDEN = "Forbidden", "The API server does not allow the operator to write here, or to read what it needs."
    CONTENDED = "Contended", "Somebody keeps changing a policy of ours; repairs are spaced out."
    WAITING_FOR_ALLOWS = "WaitingForAllows", "The default-deny is not written before all allows stand."

    CONNECTED = "Connected", "No flow waits for another namespace to declare its half."
    AWAITING_GRANT = "AwaitingGrant", "The other namespace has not declared its half of a flow."

    EXPIRING = "Expiring", "The flow will be closed soon, at its expirationTime."
    EXPIRED = "Expired", "The flow's expirationTime has passed; it is closed."
    NOT_GOVERNED = "NotGoverned", "The flow's half in this namespace is in a direction that policyTypes leaves out."
    ACTIVE = "Active", "The flow's policies stand."

    ROLLED_OUT = "RolledOut", "Each namespace that the template selects has its object, and that is ready."
    ROLLING_OUT = "RollingOut", "Not every selected namespace has the template's object, ready, yet."
    NAMESPACES_FAILED = "NamespacesFailed", "Some selected namespaces could not be served; the status names them."
    RENDER_FAILED = "RenderFailed", "The template makes no valid object for this namespace; its last good one stays."

    DRIFT_REPAIRED = (
        "DriftRepaired",
        "What the operator keeps was changed or deleted by somebody else and was put back.",
    )


class FlowState(StrEnum):
    """The state of one flow's row."""

    ACTIVE = "Active"
    EXPIRING = "Expiring"
    EXPIRED = "Expired"
    AWAITING_GRANT = "AwaitingGrant"
    UNRESOLVED = "Unresolved"
    INVALID = "Invalid"
    NOT_GOVERNED = "NotGoverned"
    CONFLICT = "Conflict"
    NOT_WRITTEN = "NotWritten"


@dataclass(frozen=True)
class Finding:
    """A reason, and a sentence that names the thing and the way out."""

    reason: Reason
    message: str
