"""Races and admission: what happens between the moment at which we read and the moment at which we write."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest
import yaml

from appconnectivity.cluster import errors
from appconnectivity.cluster.apply import Applier
from appconnectivity.cluster.client import Client
from appconnectivity.cluster.configuration import load_configuration
from appconnectivity.core.compile import Compiled
from appconnectivity.core.plan import plan
from appconnectivity.core.policy import FIELD_MANAGER, is_ours
from builders import compile_, facts, flow, obj
from cluster.controlplane import ControlPlane
from cluster.operator import Operator
from e2e.admission import refusing, removing
from e2e.conftest import Team, eventually
from e2e.conftest import flow as declared

EGRESS, INGRESS = "shop.a-to-b.egress", "shop.a-to-b.ingress"


@pytest.fixture
async def client(installed: ControlPlane, nobody_at_work: None) -> AsyncIterator[Client]:
    """The only one that writes: no operator takes away what no object asks for."""
    made = Client(await load_configuration(kubeconfig=str(installed.kubeconfig), context=None))
    yield made
    await made.close()


def compiled(team: Team) -> Compiled:
    """As the operator compiles it, for an object without uid (so that garbage collection has no part in it)."""
    body = obj(flow("a", "b"), namespace=team.namespace, dns="None")
    body["metadata"]["uid"] = ""
    return compile_(body, facts=facts(namespace=team.namespace))


def without_managers(body: dict[str, Any]) -> dict[str, Any]:
    metadata = {k: v for k, v in body["metadata"].items() if k not in ("managedFields", "resourceVersion")}
    return body | {"metadata": metadata}


def theirs(wanted: Compiled, name: str) -> dict[str, Any]:
    """The same policy, made by somebody else, without our marks."""
    body = next(p for p in wanted.policies if p.name == name).to_dict()
    return body | {"metadata": {"name": name, "labels": {"owner": "somebody"}}}


@pytest.mark.parametrize("name", [EGRESS, INGRESS])
async def test_a_policy_that_somebody_made_meanwhile_stays_theirs(client: Client, team: Team, name: str) -> None:
    """Even one that agrees with ours: afterwards nothing of us may be left on it, or the next pass would take it."""
    wanted = compiled(team)
    steps = plan(wanted, [])
    team.apply(theirs(wanted, name))
    before = team.policies()[name]

    applied = await Applier(client).apply(steps, wanted)

    after = team.policies()[name]
    assert applied.conflicts == {name}
    assert without_managers(after) == without_managers(before)
    assert not is_ours(after)
    assert [entry["manager"] for entry in after["metadata"]["managedFields"]] == ["kubectl-client-side-apply"]


@pytest.mark.parametrize("is_replaced", [True, False], ids=["replaced", "gone"])
async def test_an_update_is_of_the_policy_that_was_read_and_of_no_other(
    client: Client, team: Team, is_replaced: bool
) -> None:
    """What was heard of it may be old: by now somebody else's may stand there under the same name."""
    wanted = compiled(team)
    heard = [policy.to_dict() for policy in wanted.policies]
    for body in heard:
        body["metadata"] |= {"uid": "of-the-one-that-was-ours", "resourceVersion": "1"}
        body["metadata"]["managedFields"] = [{"manager": FIELD_MANAGER, "operation": "Apply"}]
        body["spec"]["podSelector"] = {"matchLabels": {"it": "was-another"}}
    if is_replaced:
        team.apply(theirs(wanted, EGRESS))
    before = team.policies()
    applied = await Applier(client).apply(plan(wanted, heard), wanted)

    assert EGRESS in applied.stale
    assert team.policies().get(EGRESS) == before.get(EGRESS)


async def test_a_repair_that_was_overtaken_is_a_conflict(client: Client, team: Team) -> None:
    wanted = compiled(team)
    await Applier(client).apply(plan(wanted, []), wanted)
    stale = team.policies()[EGRESS]
    team.plane.kubectl("label", "networkpolicy", EGRESS, "-n", team.namespace, "x=y")

    with pytest.raises(errors.Conflict):
        await Applier(client)._overwrite(next(p for p in wanted.policies if p.name == EGRESS), stale)
    assert team.policies()[EGRESS]["metadata"]["labels"]["x"] == "y"


@pytest.fixture
def meddle(team: Team) -> Iterator[Callable[[], None]]:
    """An admission policy of the cluster that takes the rules out of every egress policy of the team's namespace."""
    where = "has(object.spec.egress)"
    bodies = removing(f"meddle-{team.namespace}", team.namespace, "networkpolicies", path="/spec/egress", where=where)
    yield lambda: _in_force(team, bodies)
    team.plane.kubectl("delete", "--ignore-not-found", "-f", "-", input=yaml.safe_dump_all(bodies))


def _in_force(team: Team, bodies: list[dict[str, Any]]) -> None:
    """Applies the admission policy and waits until the API server follows it."""
    team.plane.kubectl("apply", "-f", "-", input=yaml.safe_dump_all(bodies))
    probe = theirs(compiled(team), EGRESS) | {"metadata": {"name": "probe"}}

    def is_changed() -> bool:
        said = team.plane.kubectl(
            "create", "-n", team.namespace, "--dry-run=server", "-o", "yaml", "-f", "-", input=yaml.safe_dump(probe)
        )
        return "egress" not in yaml.safe_load(said.stdout)["spec"]

    eventually(is_changed)


def test_a_policy_that_admission_has_changed_is_not_taken_for_ours(
    operator: Operator, team: Team, meddle: Callable[[], None]
) -> None:
    meddle()
    team.connect("shop", declared("frontend", "api", 8080))

    programmed = eventually(lambda: _refused(team))
    assert programmed["reason"] == "WriteFailed"
    assert "changed by an admission webhook or policy while it was written" in programmed["message"]
    assert team.condition("shop", "Ready")["status"] == "False"
    assert "appconnectivity.default-deny" not in team.policies()


@pytest.fixture
def refusal(team: Team) -> Iterator[list[dict[str, Any]]]:
    """An admission policy of the cluster that takes no egress policy in the team's namespace. It is in force."""
    said = {"unless": "!has(object.spec.egress)", "message": "no egress policies here"}
    bodies = refusing(f"refuse-{team.namespace}", team.namespace, "networkpolicies", **said)
    team.plane.kubectl("apply", "-f", "-", input=yaml.safe_dump_all(bodies))
    probe = yaml.safe_dump(theirs(compiled(team), EGRESS) | {"metadata": {"name": "probe"}})
    create = ("create", "-n", team.namespace, "--dry-run=server", "-f", "-")
    eventually(lambda: team.plane.kubectl(*create, input=probe, check=False).returncode)
    yield bodies
    team.plane.kubectl("delete", "--ignore-not-found", "-f", "-", input=yaml.safe_dump_all(bodies))


def test_a_refused_policy_is_told_in_the_refusals_words_and_closes_nothing(
    operator: Operator, team: Team, refusal: list[dict[str, Any]]
) -> None:
    team.connect("shop", declared("frontend", "api", 8080))
    programmed = eventually(lambda: _refused(team))
    assert programmed["reason"] == "WriteFailed"
    assert "no egress policies here" in programmed["message"]
    assert "appconnectivity.default-deny" not in team.policies()

    team.plane.kubectl("delete", "-f", "-", input=yaml.safe_dump_all(refusal))
    eventually(lambda: "appconnectivity.default-deny" in team.policies(), within=60)
    team.wait_ready()


def _refused(team: Team) -> dict[str, Any]:
    found = team.condition("shop", "Programmed")
    return found if found.get("status") == "False" else {}


def test_an_operator_that_may_not_read_says_so(
    installed_operator: Callable[..., Operator], team: Team, installed: ControlPlane
) -> None:
    """Nothing is concluded from what can't be read; but the person who waits gets to know what it is that can't."""
    binding = ("rolebinding", "appconnectivity", "-n", "kube-system")
    body = yaml.safe_load(installed.kubectl("get", *binding, "-o", "yaml").stdout)
    installed.kubectl("delete", *binding)
    installed_operator()  # which has not read it before
    try:
        team.connect("shop", declared("frontend", "api", 8080))
        ready = eventually(lambda: _unknown(team))
    finally:
        body["metadata"] = {key: body["metadata"][key] for key in ("name", "namespace")}
        installed.kubectl("create", "-f", "-", input=yaml.safe_dump(body))

    assert (ready["status"], ready["reason"]) == ("Unknown", "Forbidden")
    assert "daemonsets" in ready["message"]
    team.wait_ready()


def _unknown(team: Team) -> dict[str, Any]:
    found = team.condition("shop", "Ready")
    return found if found.get("reason") == "Forbidden" else {}
