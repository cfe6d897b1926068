"""What packets do before and after a change: of labels, of pods, of flows, of objects, and of the time."""

from __future__ import annotations

import datetime
from dataclasses import replace

import pytest

from cluster.wire.lab import WireLab
from wire.scene import Scene, app, declares, each, flow, pod, stage, world_of

DOOR = flow("frontend", "api", 8080, name="door")
OPEN = "shop/frontend -> shop/api : TCP 8080"
PODS = "shop/frontend shop/api shop/other"


@pytest.fixture
def scene(lab: WireLab) -> Scene:
    """Three pods of one namespace, on the wire; nothing is declared yet."""
    return stage(lab, world_of({"shop": {}}, app(*PODS.split()), dual=True), ports=(8079, 8080, 9090))


def test_a_pod_that_is_relabelled_loses_its_flow_and_another_gains_it(scene: Scene) -> None:
    scene.declare(declares("shop", DOOR))
    scene.prove(OPEN)
    frontend, _, other = scene.world.pods

    relabel(scene, frontend.ref, app="retired")
    scene.prove()

    relabel(scene, other.ref, app="frontend")
    scene.prove("shop/other -> shop/api : TCP 8080")


def test_a_receiving_pod_that_is_relabelled_is_left_in_the_default_deny(scene: Scene) -> None:
    scene.declare(declares("shop", DOOR))
    scene.prove(OPEN)

    relabel(scene, "shop/api", app="retired")
    scene.prove()


def relabel(scene: Scene, ref: str, **labels: str) -> None:
    before = next(found for found in scene.world.pods if found.ref == ref)
    scene.with_pod(replace(before, labels=labels))
    scene.lab.label(replace(before, labels=labels))
    scene.lab.settle()


def test_a_namespace_is_let_in_by_its_label_as_long_as_it_has_it(lab: WireLab) -> None:
    by_label = flow({"app": "job", "namespaceSelector": {"matchLabels": {"team": "blue"}}}, "api", 8080)
    scene = stage(
        lab, world_of({"shop": {}, "jobs": {}}, app("shop/api", "jobs/job", "jobs/other")), ports=(8080, 9090)
    )
    among_jobs = each("jobs/job jobs/other", "jobs/job jobs/other", "ALL")
    scene.declare(declares("shop", by_label))
    scene.prove(*among_jobs)

    lab.label_namespaces({"jobs": {"team": "blue"}})
    lab.settle()
    scene.prove(*among_jobs, "jobs/job -> shop/api : TCP 8080")

    lab.label_namespaces({"jobs": {"team": "red"}})
    lab.settle()
    scene.prove(*among_jobs)


def test_a_new_pod_is_under_the_policies_from_the_start(scene: Scene) -> None:
    scene.declare(declares("shop", DOOR))
    add(scene, "shop/frontend-2", number=4, app="frontend")
    add(scene, "shop/stranger", number=5, app="stranger")

    scene.prove(OPEN, "shop/frontend-2 -> shop/api : TCP 8080")


def test_a_pod_that_is_made_anew_is_let_in_at_its_new_address(scene: Scene) -> None:
    scene.declare(declares("shop", DOOR))
    scene.prove(OPEN)

    for number, ref in enumerate(("shop/api", "shop/frontend"), start=10):
        scene.lab.remove(next(found for found in scene.world.pods if found.ref == ref))
        add(scene, ref, number=number, app=ref.partition("/")[2])
    scene.prove(OPEN)


def test_who_gets_the_address_of_a_pod_that_is_gone_does_not_get_its_flow(scene: Scene) -> None:
    scene.declare(declares("shop", DOOR))
    scene.prove(OPEN)

    scene.lab.remove(scene.world.pods[0])
    scene.world = replace(scene.world, pods=scene.world.pods[1:])
    add(scene, "shop/heir", number=1, app="heir")
    scene.prove()


def add(scene: Scene, ref: str, *, number: int, **labels: str) -> None:
    added = pod(ref, labels, number=number, dual=True)
    scene.with_pod(added)
    scene.lab.add(added, ports=scene.ports)
    scene.lab.settle()


def test_a_flow_that_is_taken_out_is_closed_and_the_others_stay(scene: Scene) -> None:
    scene.declare(declares("shop", DOOR, flow("other", "api", "9090/UDP")))
    scene.prove(OPEN, "shop/other -> shop/api : UDP 9090")

    scene.declare(declares("shop", DOOR))
    scene.prove(OPEN)

    scene.declare(declares("shop"))
    scene.prove()


def test_a_changed_port_moves_the_door(scene: Scene) -> None:
    scene.declare(declares("shop", DOOR))
    scene.prove(OPEN)

    scene.declare(declares("shop", DOOR | {"ports": ["9090/SCTP"]}))
    scene.prove("shop/frontend -> shop/api : SCTP 9090")


def test_a_deleted_object_leaves_the_namespace_as_open_as_before(scene: Scene) -> None:
    scene.declare(declares("shop", DOOR))
    scene.prove(OPEN)

    scene.lab.plane.kubectl("delete", "appconn", "shop", "-n", "shop")
    scene.lab.await_open("shop")
    scene.prove_all_open()


def test_audit_shuts_no_door_and_opens_those_that_were_shut(scene: Scene) -> None:
    scene.declare(declares("shop", DOOR, mode="Audit"))
    scene.prove_all_open()

    scene.declare(declares("shop", DOOR))
    scene.prove(OPEN)

    scene.declare(declares("shop", DOOR, mode="Audit"))
    scene.lab.await_open("shop")
    scene.prove_all_open()


def test_a_flow_is_closed_when_its_time_is_over_and_nobody_has_to_do_anything(scene: Scene) -> None:
    end = datetime.datetime.now(datetime.UTC) + datetime.timedelta(seconds=20)
    guest = flow("other", "api", 9090, expirationTime=end.strftime("%Y-%m-%dT%H:%M:%SZ"))
    scene.declare(declares("shop", DOOR, guest))
    scene.prove(OPEN, "shop/other -> shop/api : TCP 9090")

    expired = "--for=jsonpath={.status.flows[?(@.name=='other-to-api')].state}=Expired"
    scene.lab.plane.kubectl("wait", expired, "appconn/shop", "-n", "shop", "--timeout=40s")
    scene.lab.settle()
    scene.prove(OPEN)
