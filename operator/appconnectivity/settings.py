"""The operator's settings: each from a flag, else the environment (APPCONNECTIVITY_...), else its default."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from appconnectivity.core import api
from appconnectivity.core.facts import Options

_LEAST_PREFIX = 4
_SERVICE_ACCOUNT_NAMESPACE = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")


def _split(text: str) -> str:
    return ",".join(part.strip() for part in text.split(",") if part.strip())


def _cidrs(text: str) -> str:
    for part in _split(text).split(","):
        if part and api.parse_cidr(part).prefixlen < _LEAST_PREFIX:
            raise ValueError(f"{part}: that is most of the Internet")
    return _split(text)


def _services(text: str) -> str:
    for part in _split(text).split(","):
        if part and part.count("/") != 1:
            raise ValueError(f"{part!r} is not NAMESPACE/NAME")
    return _split(text)


class Settings(BaseSettings):
    """What can be set. Lists are written with commas."""

    model_config = SettingsConfigDict(env_prefix="APPCONNECTIVITY_", frozen=True, extra="forbid")

    kubeconfig: str = Field("", description="Path of a kubeconfig; empty: the pod's service account, else the default.")
    context: str = Field("", description="Context of the kubeconfig; empty: its current one.")
    app_label: api.LabelKey = Field("app", description="Label key that `app: x` stands for, unless an object says.")
    protected_namespaces: Annotated[str, AfterValidator(_split)] = Field(
        "kube-system,kube-public,kube-node-lease",
        description="Namespaces in which nothing is ever written. The operator's own is always one of them.",
    )
    dns_services: Annotated[str, AfterValidator(_services)] = Field(
        "kube-system/kube-dns,openshift-dns/dns-default",
        description="Services (NAMESPACE/NAME) that may be the cluster's DNS; those that exist are allowed.",
    )
    private_cidrs: Annotated[str, AfterValidator(_cidrs)] = Field(
        "", description="More networks that are not the Internet, such as public addresses of your nodes."
    )
    expiry_warning_hours: float = Field(
        24.0, ge=0, le=87600, description="How long before its end a flow is shown as Expiring."
    )
    adoption_seconds: float = Field(
        10.0,
        ge=0,
        le=60,
        description="How long a namespace stays open when it gets its first policies, for enforcers to catch up.",
    )
    lease: str = Field(
        "",
        description="Name of a Lease in the operator's namespace: of several replicas only its holder writes.",
    )
    lease_namespace: str = Field("", description="Namespace of the Lease; empty: that of the pod.")
    sweep_interval: float = Field(300.0, gt=0, description="Seconds between two looks at everything.")
    workers: int = Field(16, ge=1, le=64, description="Namespaces that are reconciled at the same time.")
    listen: str = Field("0.0.0.0", description="Address for /healthz, /readyz and /metrics.")
    port: int = Field(8080, ge=0, le=65535, description="Port for them; 0: one that the system chooses (logged).")
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="Least level that is logged.")
    log_format: Literal["json", "text"] = Field("json", description="One JSON object a line, or text for people.")

    def options(self) -> Options:
        """The settings that change what is compiled."""
        own = _own_namespace()
        return Options(
            app_label=self.app_label,
            protected_namespaces=frozenset(name for name in (*self.protected_namespaces.split(","), own) if name),
            expiry_warning=timedelta(hours=self.expiry_warning_hours),
            private_cidrs=tuple(text for text in self.private_cidrs.split(",") if text),
            adoption=timedelta(seconds=self.adoption_seconds),
        )

    def namespace_of_lease(self) -> str:
        """Empty where it is not known."""
        return self.lease_namespace or _own_namespace()

    def dns_candidates(self) -> tuple[tuple[str, str], ...]:
        """dns_services as (namespace, name)."""
        pairs = (text.split("/") for text in self.dns_services.split(",") if text)
        return tuple((namespace, name) for namespace, name in pairs)


def unknown_variables(environment: Iterable[str]) -> list[str]:
    """The variables that are named as if they set something, and set nothing."""
    prefix = Settings.model_config["env_prefix"]
    known = {f"{prefix}{name}".upper() for name in Settings.model_fields}
    return sorted(name for name in environment if name.upper().startswith(prefix) and name.upper() not in known)


def _own_namespace() -> str:
    return _SERVICE_ACCOUNT_NAMESPACE.read_text().strip() if _SERVICE_ACCOUNT_NAMESPACE.exists() else ""
