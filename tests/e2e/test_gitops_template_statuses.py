"""The kept statuses of templates, too, are those that the real operator writes."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest

from cluster.operator import Operator
from e2e.conftest import Team, eventually, flow
from e2e.platform import Platform
from e2e.test_gitops_statuses import TESTDATA, agree, as_kept, held

FLOW = flow("frontend", "api", 8080)
Body = dict[str, Any]


def settled(platform: Platform, reason: str) -> Body:
    """The template, once the operator has given this reason for the present spec."""
    eventually(lambda: platform.reports(reason), what=reason)
    return platform.body()


def template_pending(platform: Platform, team: Team, operator: Operator) -> Body:
    with held(operator):
        platform.apply(FLOW)
        return platform.body()


def template_ready(platform: Platform, team: Team, operator: Operator) -> Body:
    platform.put_label(team)
    platform.apply(FLOW)
    eventually(lambda: platform.status().get("readyCount") == 1)
    return settled(platform, "RolledOut")


def template_progressing_after_a_change(platform: Platform, team: Team, operator: Operator) -> Body:
    template_ready(platform, team, operator)
    with held(operator):
        platform.apply(FLOW, flow("frontend", "search", 9200))
        return platform.body()


def template_invalid(platform: Platform, team: Team, operator: Operator) -> Body:
    platform.apply(flow("{{ nobody }}", "api", 8080))
    return settled(platform, "Invalid")


def template_namespaces_failed(platform: Platform, team: Team, operator: Operator) -> Body:
    platform.put_label(team)
    platform.apply(flow("{{ namespace.labels.tier }}", "api", 8080))
    return settled(platform, "NamespacesFailed")


def kept(body: Body, platform: Platform, team: Team) -> str:
    """Without the annotation in which kubectl keeps the same once more."""
    body["metadata"].pop("annotations", None)
    text = as_kept(body, standard=platform.name)
    return re.sub(rf"\b{team.namespace}\b", "shop", text)


MADE = [
    template_pending,
    template_ready,
    template_progressing_after_a_change,
    template_invalid,
    template_namespaces_failed,
]


@pytest.mark.parametrize("make", MADE)
def test_the_kept_status_is_what_the_operator_writes(
    platform: Platform, team: Team, operator: Operator, make: Callable[..., Body]
) -> None:
    agree(make.__name__, kept(make(platform, team, operator), platform, team))


def test_so_is_that_of_a_rollout(platform: Platform, team: Team, installed_operator: Callable[..., Operator]) -> None:
    installed_operator("--adoption-seconds", "60")
    platform.put_label(team)
    platform.apply(FLOW)
    eventually(lambda: team.condition(platform.name, "Ready").get("reason") == "Adopting")
    eventually(lambda: platform.status().get("updatedCount") == 1)

    agree("template_rolling_out", kept(settled(platform, "RollingOut"), platform, team))


def test_no_status_of_a_template_is_kept_that_nobody_has_written() -> None:
    found = {path.stem for path in TESTDATA.iterdir() if path.stem.startswith("template_")}

    assert found == {make.__name__ for make in MADE} | {"template_rolling_out"}
