"""Very many objects, and long ones (RELIABILITY F28). How fast it is among ten thousand is measured by `make bench`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

import pytest

from appconnectivity.cluster.client import PAGE_SIZE
from appconnectivity.cluster.kinds import NETWORK_POLICY
from cluster.controlplane import ControlPlane
from cluster.rest import Rest
from e2e.conftest import Team, eventually, flow
from faults.conftest import Patient

COUNT = 2 * PAGE_SIZE + 100
LONG = "x" * 4000
CROWD = {"app": "crowd"}


@pytest.fixture
def crowd(installed: ControlPlane, team: Team) -> Iterator[None]:
    """So many policies of somebody else's in the team's namespace, more than two pages, each with a long annotation."""
    rest, path = Rest(installed), NETWORK_POLICY.path(namespace=team.namespace)
    spec = {"podSelector": {"matchLabels": CROWD}, "policyTypes": ["Ingress"]}
    for number in range(COUNT):
        metadata = {"name": f"crowd-{number}", "labels": CROWD, "annotations": {"somebody.io/long": LONG}}
        assert rest.ask("POST", path, {"metadata": metadata, "spec": spec}).is_accepted
    yield
    rest.ask("DELETE", f"{path}?labelSelector=app%3Dcrowd")
    rest.close()


@pytest.mark.usefixtures("crowd")
def test_thousands_of_long_policies_are_listed_by_pages_and_hold_up_nobody(
    new_patient: Callable[..., Patient], new_team: Callable[..., Team], team: Team
) -> None:
    patient, other = new_patient(), new_team()
    for each in (team, other):
        each.connect("shop", flow("frontend", "api", 8080))
        each.wait_ready()

    eventually(lambda: len(lists(patient)) >= 2 * 3, what="the sweep and the watch have listed all")
    assert [query for query in lists(patient) if query.get("limit") != str(PAGE_SIZE)] == []
    assert sum("continue" in query for query in lists(patient)) >= 2 * 2
    assert len(patient.proxy.writes()) < 20
    patient.is_well()


def lists(patient: Patient) -> list[Mapping[str, str]]:
    """What was asked for with each LIST of all policies."""
    return [asked.query for asked in patient.proxy.log if (asked.verb, asked.path) == ("list", NETWORK_POLICY.path())]
