"""Whatever a namespace says of itself, what it gets has the structure that the template has."""

from __future__ import annotations

from ipaddress import ip_network
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from appconnectivity.core.filling import RenderError
from appconnectivity.core.ports import parse_port
from appconnectivity.core.template import Place, TemplateSpec, parse, render
from builders import flow

Body = dict[str, Any]

said = st.text(max_size=60) | st.sampled_from(
    [
        "*",
        "0.0.0.0/0",
        "Any",
        "Audit",
        "{{ 7 * 7 }}",
        "a: b",
        "- x",
        "{a: b}",
        "80",
        "1-65535",
        "::/0",
        "",
        "a,b",
        "None",
    ]
)
FLOWS: list[Body] = [
    flow({"app": "{{ namespace.labels.x }}"}, {"podSelector": {"matchLabels": {"y": "{{ namespace.labels.y }}"}}}),
    flow("a", "b", "{{ namespace.annotations.port }}", name="p", description="{{ namespace.annotations.said }}"),
    flow("a", {"ipBlocks": [{"cidr": "{{ namespace.annotations.net }}"}]}, name="n"),
    {"forEach": "namespace.annotations.many | split", **flow({"namespace": "{{ item }}"}, "api")},
]
SPEC = {"namespaceSelector": {"matchLabels": {"a": "b"}}, "template": {"spec": {"flows": FLOWS}}}
PARSED = parse(SPEC)


def skeleton(value: Any) -> Any:
    """The keys and the kinds of values, without what is said in them."""
    if isinstance(value, dict):
        return {key: skeleton(item) for key, item in value.items()}
    if isinstance(value, list):
        return [skeleton(item) for item in value]
    return type(value).__name__


# One thing that it says is hostile, the rest is fine: else hardly anything would come of it.
FINE = {"x": "x", "y": "y", "port": "80", "said": "fine", "net": "203.0.113.0/24", "many": "b,c"}
sayings = st.builds(lambda key, text: FINE | {key: text}, st.sampled_from(sorted(FINE)), said)


def rendered(values: dict[str, str]) -> Body | None:
    """What a namespace gets that says this of itself; None where it gets nothing."""
    assert isinstance(PARSED, TemplateSpec)
    try:
        return render(PARSED, Place("team-a", values, values))
    except RenderError:
        return None


def test_what_is_fine_is_rendered() -> None:
    made = rendered(FINE)

    assert made is not None
    assert len(made["flows"]) == 5


@given(sayings)
def test_the_structure_is_the_templates(values: dict[str, str]) -> None:
    made = rendered(values)
    if made is None:
        return
    template = [{key: item for key, item in raw.items() if key != "forEach"} for raw in FLOWS]
    assert set(made) == {"mode", "defaultDeny", "policyTypes", "dns", "flows"}
    assert (made["mode"], made["defaultDeny"], made["dns"]) == ("Enforce", "Namespace", "Cluster")
    assert [skeleton(entry) for entry in made["flows"][:3]] == [skeleton(entry) for entry in template[:3]]
    assert all(skeleton(entry) == skeleton(template[3]) for entry in made["flows"][3:])


@given(sayings)
def test_no_value_opens_more_than_one_port_or_most_addresses(values: dict[str, str]) -> None:
    made = rendered(values)
    if made is None:
        return
    port = parse_port(made["flows"][1]["ports"][0])
    assert port is not None
    assert port.first == port.last
    assert ip_network(made["flows"][2]["to"]["ipBlocks"][0]["cidr"]).prefixlen >= 8
