"""Lists that are answered from an older state, by a real API server's answers (RELIABILITY F10)."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Mapping
from typing import Any

from cluster import faults
from cluster.faults import Asked, Rule
from e2e.conftest import Team, eventually, flow
from faults.conftest import Patient

OBJECTS, POLICIES = "appconnectivities", "networkpolicies"
GROUPS = {OBJECTS: "appconnectivity.io/v1alpha1", POLICIES: "networking.k8s.io/v1"}
FLOWS = (flow("frontend", "api", 8080), flow("worker", "api", 8080), flow("cron", "api", 8080))


def listed(team: Team, plural: str, *, within: str = "") -> bytes:
    """The answer to a LIST as it is now, of a namespace or all."""
    return team.plane.kubectl("get", "--raw", f"/apis/{GROUPS[plural]}{within}/{plural}").stdout.encode()


def mislead_a_sweep(patient: Patient, old: Mapping[str, bytes]) -> list[Rule]:
    """The next sweep gets these answers; at a start no watch begins before it."""
    return [
        patient.proxy.rule(faults.answered(text), "list", path=f"{GROUPS[plural]}/{plural}$", times=1)
        for plural, text in old.items()
    ]


def uids(policies: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    return {name: body["metadata"]["uid"] for name, body in policies.items()}


def test_an_older_answer_to_a_sweep_takes_nothing_away(new_patient: Callable[..., Patient], team: Team) -> None:
    patient = new_patient("--sweep-interval", "1")
    team.connect("shop", FLOWS[0])
    team.wait_ready()
    old = listed(team, OBJECTS)
    team.connect("shop", *FLOWS[:2])
    team.wait_ready()
    before = uids(team.policies())

    (rule,) = mislead_a_sweep(patient, {OBJECTS: old})
    eventually(lambda: rule.hits)
    team.connect("shop", *FLOWS)
    team.wait_ready()

    assert patient.deleted() == []
    assert before.items() <= uids(team.policies()).items()
    patient.is_well()


def test_an_older_answer_to_a_sweep_opens_nothing(
    new_patient: Callable[..., Patient], new_team: Callable[[], Team]
) -> None:
    """A namespace without any policies is kept open while it gets its first ones, and this one has none in the old
    answer."""
    patient, team = new_patient("--adoption-seconds", "1"), new_team()
    patient.operator.process.send_signal(signal.SIGSTOP)
    team.connect("shop", FLOWS[0])
    old = {plural: listed(team, plural) for plural in GROUPS}
    patient.operator.process.send_signal(signal.SIGCONT)
    team.wait_ready()

    rules = mislead_a_sweep(patient, old)
    since = time.monotonic()
    patient.restart()
    assert all(rule.hits for rule in rules)
    team.connect("shop", *FLOWS[:2])
    team.wait_ready()

    written = {asked.path.rpartition("/")[2] for asked in patient.proxy.writes(since=since) if POLICIES in asked.path}
    assert written == {"shop.worker-to-api.egress", "shop.worker-to-api.ingress"}
    patient.is_well()


def test_what_was_changed_since_an_older_answer_is_not_deleted(patient: Patient, team: Team) -> None:
    """Also where a look as of now is answered so, which no API server does: a deletion names uid and version."""
    team.connect("shop", *FLOWS[:2])
    team.wait_ready()
    patient.operator.process.send_signal(signal.SIGSTOP)
    team.connect("shop", FLOWS[0])
    place = f"/namespaces/{team.namespace}"
    old = {plural: listed(team, plural, within=place) for plural in GROUPS}
    changed = (FLOWS[0], flow("worker", "api", 9090))
    team.connect("shop", *changed)
    patient.operator.process.send_signal(signal.SIGCONT)
    team.wait_ready()
    before = uids(team.policies())

    rules = [
        patient.proxy.rule(faults.answered(text), "list", path=f"{place}/{plural}$") for plural, text in old.items()
    ]
    team.delete("networkpolicy", "appconnectivity.allow-dns")  # what looks like drift is looked at
    eventually(lambda: len(deletions(patient)) >= 2)
    patient.proxy.drop(*rules)
    team.connect("shop", *changed, FLOWS[2])
    team.wait_ready()

    assert {asked.status for asked in deletions(patient)} == {409}
    del before["appconnectivity.allow-dns"]
    assert before.items() <= uids(team.policies()).items()
    patient.is_well()


def deletions(patient: Patient) -> list[Asked]:
    return [asked for asked in patient.proxy.log if asked.verb == "delete"]
