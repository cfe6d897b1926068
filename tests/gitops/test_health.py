"""Argo CD's view: health.lua over statuses that the real operator wrote, and over every reason there is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from lupa.lua51 import LuaError

from appconnectivity.core.findings import Reason
from gitops.examples import build, one
from gitops.health import ARGOCD, SCRIPT, Health, assess

TESTS = yaml.safe_load((ARGOCD / "health_test.yaml").read_text())["tests"]

# Conditions of an object that is not Ready: what clears up by itself, as other things come or are done ...
CLEARS_UP = {
    Reason.PENDING, Reason.ADOPTING, Reason.SERVICE_NOT_FOUND, Reason.NO_ENDPOINTS, Reason.WAITING_FOR_ALLOWS,
    Reason.ROLLING_OUT,
}  # fmt: skip
# ... and what somebody has to look at.
IS_WRONG = {
    Reason.INVALID, Reason.INVALID_FLOW, Reason.UNSUPPORTED, Reason.NAMESPACE_PROTECTED, Reason.INTERNAL_ERROR,
    Reason.SERVICE_PORT_NOT_FOUND, Reason.SERVICE_IS_EXTERNAL, Reason.TOO_MANY_ADDRESSES, Reason.API_SERVER_NOT_FOUND,
    Reason.NAME_CONFLICT, Reason.WRITE_FAILED, Reason.FORBIDDEN, Reason.CONTENDED, Reason.NAMESPACES_FAILED,
}  # fmt: skip
# Reasons that Ready has only when it is True, and those of rows, Events and other conditions.
NEVER_OF_AN_OBJECT_THAT_IS_NOT_READY = {
    Reason.READY, Reason.AUDIT, Reason.ACCEPTED, Reason.RESOLVED, Reason.DNS_ASSUMED, Reason.PROGRAMMED,
    Reason.CONNECTED, Reason.AWAITING_GRANT, Reason.EXPIRING, Reason.EXPIRED, Reason.NOT_GOVERNED, Reason.ACTIVE,
    Reason.DRIFT_REPAIRED, Reason.NO_LOCAL_END, Reason.NAMED_PORT_WITHOUT_PODS, Reason.ROLLED_OUT,
    Reason.RENDER_FAILED,
}  # fmt: skip


def kept(path: str) -> dict[str, Any]:
    body: dict[str, Any] = yaml.safe_load((ARGOCD / path).read_text())
    return body


def an_object(*, generation: int = 1, **ready: Any) -> dict[str, Any]:
    condition = {"type": "Ready", "message": "said", "observedGeneration": 1, **ready}
    status = {"conditions": [condition], "observedGeneration": 1}
    return {"kind": "AppConnectivity", "metadata": {"name": "shop", "generation": generation}, "status": status}


@pytest.mark.parametrize("case", [pytest.param(it, id=Path(it["inputPath"]).stem) for it in TESTS])
def test_a_status_of_the_operator_is_shown_as_the_table_says(case: dict[str, Any]) -> None:
    assert assess(kept(case["inputPath"])) == Health(**case["healthStatus"])


def test_the_table_has_every_kept_status_once() -> None:
    named = [case["inputPath"] for case in TESTS]

    assert sorted(named) == sorted(f"testdata/{path.name}" for path in (ARGOCD / "testdata").iterdir())


def test_every_reason_for_not_being_ready_has_been_thought_about() -> None:
    sets = (CLEARS_UP, IS_WRONG, NEVER_OF_AN_OBJECT_THAT_IS_NOT_READY)

    assert sorted(reason.value for each in sets for reason in each) == sorted(reason.value for reason in Reason)


@pytest.mark.parametrize("reason", [pytest.param(it, id=it.value) for it in sorted(CLEARS_UP)])
@pytest.mark.parametrize("status", ["False", "Unknown"])
def test_what_clears_up_by_itself_does_not_fail_a_sync(reason: Reason, status: str) -> None:
    assert assess(an_object(status=status, reason=reason.value)) == Health("Progressing", "said")


@pytest.mark.parametrize("reason", [pytest.param(it, id=it.value) for it in sorted(IS_WRONG)])
@pytest.mark.parametrize("status", ["False", "Unknown"])
def test_what_somebody_has_to_look_at_is_degraded(reason: Reason, status: str) -> None:
    assert assess(an_object(status=status, reason=reason.value)) == Health("Degraded", "said")


@pytest.mark.parametrize("status", ["True", "False"])
def test_nothing_is_concluded_from_the_status_of_an_earlier_spec(status: str) -> None:
    assert assess(an_object(generation=2, status=status, reason="Invalid")).status == "Progressing"


@pytest.mark.parametrize("status", [None, {}, {"conditions": []}])
def test_an_object_without_any_status_is_waited_for(status: dict[str, Any] | None) -> None:
    body: dict[str, Any] = {"metadata": {"generation": 1}} | ({} if status is None else {"status": status})

    assert assess(body).status == "Progressing"


def test_no_health_holds_up_a_sync_once_the_object_is_ready() -> None:
    ready = [assess(body) for body in (kept(case["inputPath"]) for case in TESTS) if is_ready(body)]

    assert len(ready) == 4
    assert {health.status for health in ready} == {"Healthy"}  # Argo CD waits for ever before a wave on Suspended


def is_ready(body: dict[str, Any]) -> bool:
    first, generation = body["status"]["conditions"][0], body["metadata"]["generation"]
    return (first["type"], first["status"], first.get("observedGeneration")) == ("Ready", "True", generation)


@pytest.mark.parametrize("script", ["return os.time()", "return io.open('x')", "return require('os')"])
def test_a_script_that_needs_a_library_fails_here_as_it_would_there(script: str) -> None:
    with pytest.raises(LuaError):
        assess({"metadata": {}}, script=script)


def test_an_answer_that_argo_cd_would_not_take_is_noticed() -> None:
    with pytest.raises(ValueError, match="no answer that Argo CD takes"):
        assess({"metadata": {}}, script="return {status = 'Fine', message = ''}")


@pytest.mark.parametrize("kind", ["AppConnectivity", "AppConnectivityTemplate"])
def test_the_settings_of_argo_cd_have_the_script_under_the_key_of_each_kind(kind: str) -> None:
    settings = one(build(ARGOCD), kind="ConfigMap", name="argocd-cm")

    assert settings["data"][f"resource.customizations.health.appconnectivity.io_{kind}"] == SCRIPT.read_text()


def test_the_settings_have_nothing_else_and_are_where_argo_cd_reads_them() -> None:
    settings = one(build(ARGOCD), kind="ConfigMap", name="argocd-cm")

    assert len(settings["data"]) == 2
    assert settings["metadata"]["namespace"] == "argocd"
    assert settings["metadata"]["labels"] == {"app.kubernetes.io/part-of": "argocd"}
