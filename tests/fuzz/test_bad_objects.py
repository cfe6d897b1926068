"""Bad objects straight into the API server, past what clients check: none ends the operator or holds it up, what is
refused says why, nothing is opened by it, and a good spec mends it.

FUZZ_SEED and FUZZ_OBJECTS (environment) ask for others, or for more.
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from typing import Any

import pytest

from appconnectivity.core.api import NAMESPACE_NAME_LABEL as NAME
from cluster.controlplane import ControlPlane
from crd.schema import SPEC, STATUS
from e2e.conftest import eventually
from fuzz import crds
from fuzz.canary import Canary
from fuzz.patient import GOOD, GOOD_SPEC, WITHIN_SECONDS, Patient, Trial, Trials
from fuzz.specs import Forge, forged, mutated

SEED = int(os.environ.get("FUZZ_SEED", "1"))
OBJECTS = int(os.environ.get("FUZZ_OBJECTS", "45"))
TEMPLATE = crds.TODAY[1]["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]


ODD = {
    "observedGeneration": 1,
    "conditions": [
        {
            "type": "Ready",
            "status": "False",
            "reason": "Odd",
            "message": "",
            "lastTransitionTime": "2026-01-01T00:00:00Z",
        }
    ],
}

# Not even a map.
NOTHING_LIKE_IT: tuple[Any, ...] = ("x", 7, False, [], [None])


def drawn(count: int) -> list[Any]:
    return [*NOTHING_LIKE_IT, *mutated(count=OBJECTS // 3, seed_=SEED), *forged(SPEC, count=count, seed_=SEED)]


def templates(name: str) -> list[Trial]:
    specs = [None, *NOTHING_LIKE_IT, *forged(TEMPLATE, count=OBJECTS // 2, seed_=SEED)]
    return [Trial(f"{name}-{i}", "", spec) for i, spec in enumerate(specs)]


def test_what_todays_schema_takes_is_served_or_says_why(
    installed: ControlPlane, patient: Patient, trials: Trials
) -> None:
    """Unknown fields are dropped by the API server, for a client that does not ask it to refuse them."""
    with Canary(installed) as canary:
        taken = trials.put([*trials.of("today", drawn(4 * OBJECTS)), *templates("today")])
        assert len(taken) > OBJECTS // 2
        trials.says_why(taken, valid=taken)
        canary.is_well()

    patient.is_unharmed()


def test_what_no_schema_has_looked_at_is_served_or_says_why_and_heals(
    installed: ControlPlane, patient: Patient, trials: Trials
) -> None:
    """With the operator looking on while anything goes, and once more when today's schema is back."""
    bad = trials.of("anything", drawn(OBJECTS))
    verdicts = {trial: trials.verdict(trial.spec) for trial in bad}
    crds.put(installed, trials.rest, *map(crds.of_anything, crds.TODAY))
    with Canary(installed) as canary:
        taken = trials.put(bad)
        assert len(taken) > OBJECTS // 2
        trials.says_why([*taken, *trials.put(templates("any"))], valid=[t for t in bad if verdicts[t].is_valid])
        canary.is_well()
    trials.opens_no_more({trial: verdicts[trial].flows for trial in taken})
    crds.put(installed, trials.rest, *crds.TODAY)
    with Canary(installed) as canary:
        trials.heals(taken)
        canary.is_well()

    patient.is_unharmed()


@pytest.mark.parametrize(
    "older", [pytest.param(crds.of_types_alone, id="types-alone"), pytest.param(crds.of_anything, id="anything")]
)
def test_what_an_older_schema_has_left_says_why_and_heals(
    installed: ControlPlane,
    new_patient: Callable[[], Patient],
    trials: Trials,
    older: Callable[[Any], Any],
) -> None:
    crds.put(installed, trials.rest, *map(older, crds.TODAY))
    name = older.__name__.replace("_", "-")
    taken = trials.put(trials.of(name, drawn(OBJECTS)))
    held = trials.put(templates(name))
    named = trials.put([Trial("n" * 100, f"{name}-0", GOOD_SPEC)])  # for which today's CRD refuses every write
    assert len(taken) > OBJECTS // 2
    crds.put(installed, trials.rest, *crds.TODAY)
    verdicts = {trial: trials.verdict(trials.live(trial).get("spec")) for trial in taken}

    patient = new_patient()
    with Canary(installed) as canary:
        valid = [trial for trial in taken if verdicts[trial].is_valid]
        trials.says_why([*taken, *held, *named], valid=[*valid, *named])
        trials.opens_no_more({trial: verdicts[trial].flows for trial in taken})
        trials.heals(taken)
        canary.is_well()

    patient.is_unharmed()


def test_what_stood_before_an_edit_that_no_schema_has_looked_at_stays(
    installed: ControlPlane, patient: Patient, trials: Trials
) -> None:
    """The head is spoilt, or flows come that mean nothing; one flow says what it has always said."""
    dice = random.Random(SEED)
    bad = trials.of("spoilt", [spoilt(dice) for _ in range(OBJECTS // 2)])
    crds.put(installed, trials.rest, *map(crds.of_anything, crds.TODAY))
    taken = trials.put([trial.with_spec(GOOD_SPEC) for trial in bad])
    trials.says_why(taken, valid=taken)
    before = {trial: trials.uids_of_policies(trial) for trial in bad}
    with Canary(installed) as canary:
        trials.replace(bad)
        trials.says_why(bad, valid=bad)
        canary.is_well()

    assert {trial: trials.uids_of_policies(trial, "good") for trial in bad} == before
    crds.put(installed, trials.rest, *crds.TODAY)
    trials.heals(bad)
    assert {trial: trials.uids_of_policies(trial) for trial in bad} == before
    patient.is_unharmed()


def spoilt(dice: random.Random) -> Any:
    forge = Forge(dice)
    flows = [forge.like(SPEC["properties"]["flows"]["items"]) for _ in range(dice.randint(0, 2))]
    head = dice.choice(("mode", "dns", "defaultDeny", "policyTypes", "prot"))
    return {"flows": [GOOD, *flows]} | ({head: forge.anything()} if dice.randrange(3) else {})


def test_a_status_that_somebody_forges_is_put_right(installed: ControlPlane, patient: Patient, trials: Trials) -> None:
    """Words that no version knows too, in an object that a template looks at; and in a template that looks at none."""
    (here,) = trials.of("forged", [{}])
    template, lonely = selecting("standard", here.namespace), selecting("lonely", "nowhere")
    trials.put([template, lonely])
    held = Trial(template.name, here.namespace, None)
    ready = {held: ("True", "Ready"), template: ("True", "RolledOut"), lonely: ("True", "RolledOut")}
    eventually(lambda: {each: trials.story(each).get("Ready") for each in ready} == ready, within=WITHIN_SECONDS)
    before = {each: trials.story(each) for each in ready}

    statuses = [{"conditions": []}, ODD, *forged(STATUS, count=OBJECTS, seed_=SEED)]
    taken = [trials.forge(held, status) for status in statuses]
    assert sum(taken) > len(statuses) // 3
    assert trials.forge(template, ODD)
    assert trials.forge(lonely, ODD)

    eventually(lambda: {each: trials.story(each) for each in before} == before, within=WITHIN_SECONDS)
    patient.is_unharmed()


def selecting(name: str, namespace: str) -> Trial:
    """A template for this namespace."""
    flow = {"from": {"app": "a"}, "to": {"app": "b"}, "ports": [80]}
    selector = {"matchLabels": {NAME: namespace}}
    return Trial(name, "", {"namespaceSelector": selector, "template": {"spec": {"flows": [flow]}}})


HUGE: tuple[Any, ...] = (
    {"flows": [{}] * 250_000},
    {"flows": [GOOD | {"to": {"podSelector": {"matchExpressions": [{}] * 250_000}}}]},
    {"flows": [GOOD | {"to": {"podSelector": {"matchLabels": {f"a {number}": "" for number in range(50_000)}}}}]},
)


def test_objects_of_a_megabyte_hold_up_nobody_else(installed: ControlPlane, patient: Patient, trials: Trials) -> None:
    crds.put(installed, trials.rest, *map(crds.of_anything, crds.TODAY))
    with Canary(installed) as canary:
        taken = trials.put(trials.of("huge", HUGE))
        assert len(taken) == len(HUGE)
        trials.says_why(taken, valid=())
        canary.is_well()
    crds.put(installed, trials.rest, *crds.TODAY)
    trials.heals(taken)

    patient.is_unharmed()


# The API server reads 10,000 levels; metadata and the answer around an object are some of them.
DEEPEST = 9_995
DEEP = (
    ("v1", "Service", '{"ports": [{"port": 80}]}'),
    ("networking.k8s.io/v1", "NetworkPolicy", '{"podSelector": {}}'),
    ("appconnectivity.io/v1alpha1", "AppConnectivity", "{}"),
)


def test_objects_as_deep_as_the_api_server_reads_end_nobody(
    installed: ControlPlane, patient: Patient, new_patient: Callable[[], Patient]
) -> None:
    """Whoever may create an object may write its managedFields; JSON readers go down level by level."""
    with Canary(installed) as canary:
        for version, kind, spec in DEEP:
            installed.kubectl("create", "-n", "data", "-f", "-", input=deep(version, kind, spec))
        canary.is_well()
        another = new_patient()
        canary.is_well()
        for _, kind, _ in DEEP:
            installed.kubectl("delete", kind, "deep", "-n", "data")

    another.is_unharmed()
    patient.is_unharmed()


def deep(version: str, kind: str, spec: str) -> str:
    """As text: Python's own writer does not go as deep either."""
    fields = '{"f:a":' * DEEPEST + "{}" + "}" * DEEPEST
    said = f'"manager": "somebody", "operation": "Update", "apiVersion": "{version}", "fieldsType": "FieldsV1"'
    metadata = f'{{"name": "deep", "managedFields": [{{{said}, "fieldsV1": {fields}}}]}}'
    return f'{{"apiVersion": "{version}", "kind": "{kind}", "metadata": {metadata}, "spec": {spec}}}'
