"""How a policy is written, and what it refuses to be written as."""

from __future__ import annotations

import pytest

from appconnectivity.core.api import PolicyType
from appconnectivity.core.policy import Everyone, Rule, allow_spec
from appconnectivity.core.ports import Ports
from appconnectivity.core.selectors import EVERYTHING
from builders import compile_, flow, obj


def test_a_rule_without_ports_is_refused() -> None:
    """To the API no ports means all of them."""
    with pytest.raises(ValueError, match="a rule without ports would open all of them"):
        Rule(Everyone(), Ports())


def test_an_allow_policy_without_rules_is_refused() -> None:
    """To the API no rules means that nothing is open."""
    with pytest.raises(ValueError, match="an allow policy without rules would be a deny"):
        allow_spec(subject=EVERYTHING, policy_type=PolicyType.INGRESS, rules=())


def test_what_objects_share_is_controlled_by_none_of_them() -> None:
    """The API server takes one controller at most. A policy of one flow has its object for one."""
    compiled = compile_(obj(flow("a", "b"), name="one"), obj(flow("a", "c"), name="other"))
    controllers = {
        policy.name: [
            owner["name"] for owner in policy.to_dict()["metadata"]["ownerReferences"] if "controller" in owner
        ]
        for policy in compiled.policies
    }

    assert controllers == {
        "appconnectivity.allow-dns": [],
        "appconnectivity.default-deny": [],
        "one.a-to-b.egress": ["one"],
        "one.a-to-b.ingress": ["one"],
        "other.a-to-c.egress": ["other"],
        "other.a-to-c.ingress": ["other"],
    }
