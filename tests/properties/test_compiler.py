"""What holds for every object that can be written: of bytes, of names, of shapes."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from datetime import timedelta
from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st

from appconnectivity.core import api
from appconnectivity.core.compile import Compiled
from appconnectivity.core.findings import FlowState
from appconnectivity.core.plan import plan
from builders import NOW, compile_, facts, flow, foreign, obj, observed, peer
from strategies import DB, EXT, GRANT, THERE, flows, headers, lists_of_flows

FACTS = facts(
    DB,
    EXT,
    THERE,
    labels={api.NAMESPACE_NAME_LABEL: "shop", "team": "red"},
    peers={
        "data": peer(GRANT, name="data", team="red"),
        "ops": peer(name="ops", team="blue"),
        "shop": peer(name="shop", team="red"),
    },
)

objects = st.builds(lambda found, header: obj(*found, **header), lists_of_flows, headers)


def compiled_of(*bodies: Any, **more: Any) -> Compiled:
    return compile_(*bodies, facts=FACTS, **more)


def bytes_of(compiled: Compiled) -> str:
    """All that comes out, as text: policies in their order and with the order of their keys, and every row."""
    rows = [(r.intent.name, [(f.name, f.state, f.finding) for f in r.flows]) for r in compiled.objects]
    return json.dumps([[policy.to_dict() for policy in compiled.policies], rows], default=str)


@given(lists_of_flows, headers, st.randoms(use_true_random=False))
def test_the_order_of_flows_does_not_matter(found: list[Any], header: Any, dice: Any) -> None:
    shuffled = dice.sample(found, len(found))

    assert bytes_of(compiled_of(obj(*shuffled, **header))) == bytes_of(compiled_of(obj(*found, **header)))


@given(objects, objects)
def test_the_order_of_objects_does_not_matter(one: Any, other: Any) -> None:
    other = other | {"metadata": other["metadata"] | {"name": "other", "uid": "uid-other"}}

    assert bytes_of(compiled_of(one, other)) == bytes_of(compiled_of(other, one))


def _reversed(value: Any) -> Any:
    """The same data with all keys the other way round."""
    if isinstance(value, dict):
        return {key: _reversed(value[key]) for key in reversed(value)}
    return [_reversed(entry) for entry in value] if isinstance(value, list) else value


@given(objects)
def test_the_order_of_keys_does_not_matter(body: Any) -> None:
    assert bytes_of(compiled_of(_reversed(body))) == bytes_of(compiled_of(body))


def test_the_hash_seed_does_not_matter() -> None:
    """Sets and dicts of strings change their order with it: three processes, one output."""
    program = (
        "import json; from builders import compile_;"
        f"print(json.dumps([policy.to_dict() for policy in compile_(*{_SAMPLE!r}).policies]))"
    )
    outputs = {_run(program, seed=seed) for seed in ("0", "1", "4711")}

    assert len(outputs) == 1


_SAMPLE = [
    obj(
        flow("a", "b", 80, 443, "53/UDP"),
        flow("a", {"ipBlocks": [{"cidr": "10.0.0.0/8", "except": [f"10.{n}.0.0/16" for n in range(9)]}]}, 1, 2),
        flow({"podSelector": {"matchLabels": {"x": "1", "y": "2", "z": "3"}}}, "b", 80, 81),
        flow({"entity": "Internet"}, "b"),
        defaultDeny=deny,
        name=f"o-{deny.lower()}",
    )
    for deny in ("Namespace", "Endpoints", "None")
]


def _run(program: str, *, seed: str) -> str:
    found = subprocess.run(
        [sys.executable, "-c", program],
        env=os.environ | {"PYTHONHASHSEED": seed, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    return found.stdout


def rules_of(spec: Any) -> list[tuple[str, Any]]:
    return [("from", rule) for rule in spec.get("ingress", ())] + [("to", rule) for rule in spec.get("egress", ())]


@given(flows, headers)
def test_no_rule_is_open_to_all_unless_all_was_asked_for(body: Any, header: Any) -> None:
    asks_for_any = any(body[side] == {"entity": "Any"} for side in ("from", "to"))
    asks_for_all_ports = "*" in body.get("ports", ())
    for policy in compiled_of(obj(body, **header)).policies:
        for side, rule in rules_of(policy.spec):
            assert asks_for_any or len(rule[side]) == 1
            assert rule.get(side, [{"x": 1}])[0] != {}
            assert asks_for_all_ports or rule["ports"]


@given(objects)
def test_written_policies_keep_to_the_plain_subset(body: Any) -> None:
    for policy in compiled_of(body).policies:
        rules = rules_of(policy.spec)
        types = policy.spec["policyTypes"]
        assert types == sorted(types)
        assert not rules or types == ["Ingress" if rules[0][0] == "from" else "Egress"]
        assert {"ingress", "egress"} & policy.spec.keys() == ({types[0].lower()} if rules else set())
        assert len({side for side, _ in rules}) <= 1
        for side, rule in rules:
            assert len(rule.get(side, ())) <= 1
            assert all(set(port) >= {"port", "protocol"} for port in rule.get("ports", ()))
            assert all(port["protocol"] in ("TCP", "UDP", "SCTP") for port in rule.get("ports", ()))


@given(objects)
@example(obj(flow("a", {"ipBlocks": [{"cidr": "::/0"}]}, 443), flow({"ipBlocks": [{"cidr": "::/0"}]}, "b", "web")))
def test_written_policies_keep_clear_of_what_enforcers_get_wrong(body: Any) -> None:
    """Each line answers a section of docs/verification-enforcer.md."""
    for policy in compiled_of(body).policies:
        rules = rules_of(policy.spec)
        assert not rules or len(policy.spec["policyTypes"]) == 1
        for side, rule in rules:
            peers = rule.get(side, [])
            assert len(peers) <= 1
            assert all(peer.get("ipBlock", {}).get("cidr") != "::/0" for peer in peers)
            assert side == "from" or not port_names(rule) or (peers and "ipBlock" not in peers[0])


@given(objects)
def test_ports_are_numbers_unless_the_flow_itself_says_a_name(body: Any) -> None:
    """The target ports of Services are names too; these are looked up."""
    said = {str(port).partition("/")[0] for found in body["spec"]["flows"] for port in found.get("ports", ())}
    for policy in compiled_of(body).policies:
        assert {name for _, rule in rules_of(policy.spec) for name in port_names(rule)} <= said


def port_names(rule: Any) -> list[str]:
    return [port["port"] for port in rule.get("ports", ()) if isinstance(port["port"], str)]


@given(objects)
def test_names_are_unique_and_valid(body: Any) -> None:
    compiled = compiled_of(body)
    found = [policy.name for policy in compiled.policies]

    assert len(set(found)) == len(found)
    assert found == sorted(found)
    assert all(len(name) <= 253 and re.fullmatch(r"[a-z0-9]([-a-z0-9.]*[a-z0-9])?", name) for name in found)
    rows = [row.name for row in compiled.objects[0].flows]
    assert len(set(rows)) == len(rows)
    assert all(re.fullmatch(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?", name) for name in rows)


@given(objects)
def test_an_object_causes_policies_in_its_own_namespace_only(body: Any) -> None:
    assert {policy.namespace for policy in compiled_of(body).policies} <= {"shop"}


@given(objects, objects)
def test_after_applying_there_is_nothing_left_to_do(one: Any, other: Any) -> None:
    other = other | {"metadata": other["metadata"] | {"name": "other", "uid": "uid-other"}}
    compiled = compiled_of(one, other)
    live = observed(compiled)
    again = compiled_of(one, other, standing=live)

    assert plan(compiled, live).is_empty
    assert plan(again, live).is_empty


@given(objects, st.lists(st.integers(0, 20), max_size=4))
def test_foreign_policies_are_never_written_whatever_their_names(body: Any, places: list[int]) -> None:
    compiled = compiled_of(body)
    taken = {compiled.policies[place % len(compiled.policies)].name for place in places if compiled.policies}
    standing = [foreign(name) for name in sorted({*taken, "theirs"})]
    found = plan(compiled, standing)

    touched = {step.name for step in (*found.allows, *found.denies, *found.deny_deletions, *found.allow_deletions)}
    assert not touched & {*taken, "theirs"}
    assert found.conflicts == taken


@given(objects)
def test_audit_writes_nothing(body: Any) -> None:
    audit = body | {"spec": body["spec"] | {"mode": "Audit"}}

    assert compiled_of(audit).policies == ()


@given(objects, st.integers(-3, 3))
def test_closed_flows_have_no_policies_and_the_moment_of_the_next_change_is_told(body: Any, days: int) -> None:
    now = NOW + timedelta(days=days)
    compiled = compiled_of(body, now=now)

    assert compiled.next_change is None or compiled.next_change > now
    assert all(not row.policies for row in compiled.objects[0].flows if row.state is FlowState.EXPIRED)
    if compiled.next_change is not None:
        just_before = compiled_of(body, now=compiled.next_change - timedelta(microseconds=1))
        assert bytes_of(just_before) == bytes_of(compiled)


@given(objects, st.data())
def test_no_object_however_bad_takes_another_down(good: Any, data: Any) -> None:
    """A spec with any one of its values replaced by rubbish."""
    bad = {"metadata": good["metadata"] | {"name": "bad", "uid": "uid-bad"}, "spec": _with_rubbish(good["spec"], data)}
    alone = {p.name: p.spec for p in compiled_of(good).policies if p.name.startswith("shop.")}
    beside = {p.name: p.spec for p in compiled_of(good, bad).policies if p.name.startswith("shop.")}

    assert beside == alone


RUBBISH: tuple[Any, ...] = (None, [], {}, "", 0, -1, True, "x\ny", [None], {"x": "y"}, 1.5)


def _with_rubbish(value: Any, data: Any) -> Any:
    if isinstance(value, dict) and value:
        key = data.draw(st.sampled_from(sorted(value)))
        return value | {key: _with_rubbish(value[key], data)}
    if isinstance(value, list) and value:
        place = data.draw(st.integers(0, len(value) - 1))
        return [*value[:place], _with_rubbish(value[place], data), *value[place + 1 :]]
    return data.draw(st.sampled_from(RUBBISH))
