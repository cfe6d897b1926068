"""Expressions put values in, and can do nothing else."""

from __future__ import annotations

import sys
from typing import Any

import pytest

from appconnectivity.core import expressions
from appconnectivity.core.expressions import ExpressionError, Values

LABELS = Values("namespace.labels", {"team": "a", "x.example/y": "z", "empty": ""})
ANNOTATIONS = Values("namespace.annotations", {"partners": "b, c,,b", "long": "x" * (expressions.MAX_VALUE + 1)})
NAMESPACE = Values("namespace", {"name": "team-a", "labels": LABELS, "annotations": ANNOTATIONS})
VARIABLES: dict[str, Any] = {"namespace": NAMESPACE, "parameters": Values("parameters", {"monitoring": "mon"})}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("plain", "plain"),
        ("{{ namespace.name }}", "team-a"),
        ("in-{{ namespace.labels.team }}-out", "in-a-out"),
        ("{{ namespace.labels['x.example/y'] }}", "z"),
        ("{{ namespace.labels.empty }}", ""),
        ("{{ namespace.labels.nobody | default('d') }}", "d"),
        ("{{ namespace.labels.nobody.further | default('d') }}", "d"),
        ("{{ namespace.name ~ '-' ~ parameters.monitoring }}", "team-a-mon"),
        ("{{ 'a' if namespace.labels.team == 'a' else 'b' }}", "a"),
        ("{{ namespace.name | upper | replace('-', '_') }}", "TEAM_A"),
        ("{{ ' x ' | trim }}", "x"),
        ("{{ 8080 }}", "8080"),
        ("{{ '{{' }}", "{{"),
        ("kept\n", "kept\n"),
    ],
)
def test_values_are_put_in(text: str, expected: str) -> None:
    assert expressions.render(text, VARIABLES) == expected


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{{ namespace.labels.nobody }}", "namespace.labels has no 'nobody'"),
        ("{{ namespace.nothing }}", "namespace has no 'nothing'"),
        ("{{ nobody }}", "'nobody' is undefined"),
        ("{{ 'a' if false }}", "an if needs its else"),
        ("{{", "is not closed by }}"),
        ("{{ namespace.annotations.long }}", "has more than 4096 characters"),
        ("{{ namespace.labels }}", "only texts and whole numbers can be put in, not namespace.labels"),
        ("{{ namespace }}", "only texts and whole numbers"),
        ("{{ true }}", "only texts and whole numbers"),
        ("{{ 1.5 }}", "only texts and whole numbers"),
        ("{{ none }}", "only texts and whole numbers"),
        ("{{ namespace.annotations.partners | split }}", "only texts and whole numbers"),
        ("{{ 'a' | split(1) }}", "TypeError"),
        ("{{ namespace.name.part | default('d') }}", "'team-a' has no parts such as 'part'"),
        ("x" * 600 + "{{ 1 }}", "more than 512"),
    ],
)
def test_what_has_no_value_is_an_error_that_says_why(text: str, said: str) -> None:
    with pytest.raises(ExpressionError, match=said):
        expressions.render(text, VARIABLES)


@pytest.mark.parametrize(
    ("expression", "said"),
    [
        ("namespace.labels.team == true", "values are texts: compare with 'true' in quotes, not with true"),
        ("namespace.labels.team != false", "values are texts: compare with 'false' in quotes"),
        ("True == namespace.labels.team", "values are texts: compare with 'true' in quotes"),
        ("namespace.labels.team == 1", "values are texts: compare with '1' in quotes"),
        ("namespace.labels.team >= 1.5", "values are texts: compare with '1.5' in quotes"),
        ("namespace.labels['x.example/y'] == 1", "values are texts: compare with '1' in quotes"),
        ("namespace.labels.team | default('') == true", "values are texts: compare with 'true' in quotes"),
        ("namespace.name ~ 'x' == 1", "values are texts: compare with '1' in quotes"),
        ("parameters.monitoring == 8080", "values are texts: compare with '8080' in quotes"),
        ("item == 1", "values are texts: compare with '1' in quotes"),
        ("'a' == 1", "values are texts: compare with '1' in quotes"),
        ("namespace.labels.team in ['a', 2]", "values are texts: compare with '2' in quotes"),
        ("namespace.labels.team not in (1, 2)", "values are texts: compare with '1' in quotes"),
        ("1 in namespace.labels", "values are texts: compare with '1' in quotes"),
        ("namespace.labels.team == 'a' == true", "values are texts: compare with 'true' in quotes"),
        ("true and (namespace.labels.team == true or false)", "values are texts: compare with 'true' in quotes"),
        ("namespace.labels.team == none", "values are texts: whether a value is there is asked by is defined"),
    ],
)
def test_a_text_is_compared_with_texts_only(expression: str, said: str) -> None:
    """It would be false for ever, and nobody would know why."""
    with pytest.raises(ExpressionError, match=said):
        expressions.names_in_expression(expression)
    with pytest.raises(ExpressionError, match=said):
        expressions.names_in("{{ 'x' if " + expression + " else 'y' }}")


@pytest.mark.parametrize(
    ("expression", "said"),
    [
        ("namespace.labels.app.kubernetes.io/name == 'x'", "write namespace.labels['app.kubernetes.io/name']"),
        ("namespace.labels.app.kubernetes.io/name | default('x') == 'x'", "write namespace.labels['app.kubernetes.io/"),
        (
            "namespace.annotations.example.com/cost-center == 'x'",
            "write namespace.annotations['example.com/cost-center",
        ),
        ("namespace.labels.cost-center == 'x'", "write namespace.labels['cost-center']"),
        ("namespace.labels.team.io == 'x'", "write namespace.labels['team.io']"),
        ("namespace.labels.team.io | default('x') == 'x'", "write namespace.labels['team.io']"),
        ("namespace.labels.1st/team == 'x'", "write namespace.labels['1st/team']"),
        ("namespace.labels.team = 'a'", "= is not understood: == compares"),
        ("namespace.labels.team === 'a'", "= is not understood: == compares"),
        ("namespace.labels.team == 'a' && true", "& is not understood: write and"),
        ("namespace.labels.team == 'a' || true", "| is not understood: write or"),
        ("!true", "! is not understood: write not"),
        ("true AND true", "'AND' is not understood: write and, or, not, in, is in small letters"),
        ("true ? 'a' : 'b'", "? is not understood: write 'a' if … else 'b'"),
        ("namespace.name == 'a", "a quote is not closed"),
        ("namespace.name == “a”", "only ' and \" are quotes here"),
        ("(namespace.name == 'a'", "a parenthesis or bracket is not closed, or was never opened"),
        ("namespace.labels['team' == 'a'", "a parenthesis or bracket is not closed, or was never opened"),
        ("namespace.name == 'a' true", "'true' is not expected there"),
        ("namespace.name == 'a' and", "something is missing at the end"),
        ("namespace.name == @", "unexpected char '@'"),
        ("namespace.name is true", "there is no test true, only defined, endswith, startswith, undefined"),
        ("namespace.name | length == '6'", "there is no filter length, only d, default, lower, replace, split"),
        ("namespace.name + '-x' == 'a'", "+ is not allowed, only values; ~ puts texts together"),
        ("namespace.name.lower() == 'a'", "call is not allowed, only values; a filter is written as in name | lower"),
    ],
)
def test_what_people_write_who_know_other_languages_is_answered_with_what_to_write(expression: str, said: str) -> None:
    with pytest.raises(ExpressionError) as refused:
        expressions.is_true(expression, VARIABLES)

    assert said in str(refused.value)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{{ namespace.name }", "{{ is not closed by }}"),
        ("it's {{ namespace.name }} & {{ namespace.name", "{{ is not closed by }}"),
        ("{{ 'a }}", "a quote is not closed"),
        ("a & b? {{ }}", "Expected an expression, got '}}'"),
        ("team's={{ namespace.name namespace.name }}", "'namespace' is not expected there"),
        ("{{ namespace.labels.cost-center }}", "write namespace.labels['cost-center']"),
    ],
)
def test_what_stands_around_the_braces_is_not_taken_for_the_fault(text: str, said: str) -> None:
    with pytest.raises(ExpressionError) as refused:
        expressions.render(text, VARIABLES)

    assert said in str(refused.value)


HOSTILE = [
    "{{ ''.__class__.__mro__[1].__subclasses__() }}",
    "{{ namespace.__class__ }}",
    "{{ namespace['__class__'] }}",
    "{{ namespace.labels.get }}",
    "{{ namespace.labels.update({'a': 'b'}) }}",
    "{{ namespace.name.format }}",
    "{{ '%s' % namespace }}",
    "{{ 'a' * 1000000000 }}",
    "{{ 10 ** 100000000 }}",
    "{{ 'a' | center(1000000000) }}",
    "{{ namespace.annotations.partners.split(',') }}",
    "{{ range(1000000000) }}",
    "{{ lipsum(1000) }}",
    "{{ cycler('a').next() }}",
    "{{ self }}",
    "{{ self._TemplateReference__context }}",
    "{{ joiner }}",
    "{{ dict(a=1) }}",
    "{{ {'a': 1} }}",
    "{{ [1][0] }}",
    "{{ 'abc'[0:2] }}",
    "{% for i in range(1000000000) %}x{% endfor %}",
    "{% set x = 1 %}",
    "{% include '/etc/passwd' %}",
    "{% import 'os' as os %}",
    "{% macro m() %}{{ m() }}{% endmacro %}",
    "{% raw %}{% endraw %}{{ 1 + 1 }}",
    "{{ " + "(" * 200 + "1" + ")" * 200 + " }}",
    "{{ " + "not " * 110 + "true }}",
    "{{ namespace | attr('name') }}",
    "{{ namespace.name | map('upper') }}",
    "{{ request.application.__globals__ }}",
    "{{ config }}",
    "{{ -(-(-('a'))) }}",
]


@pytest.mark.parametrize("text", HOSTILE)
def test_what_is_more_than_putting_in_values_is_refused(text: str) -> None:
    with pytest.raises(ExpressionError):
        expressions.render(text, VARIABLES)


@pytest.mark.parametrize("pair", ["()", "[]"])
def test_nesting_is_bounded_however_deep_python_may_go(pair: str) -> None:
    """In the operator that is very deep, since the API server takes such objects."""
    before = sys.getrecursionlimit()
    text = "{{ " + pair[0] * 240 + "1" + pair[1] * 240 + " }}"
    try:
        sys.setrecursionlimit(30_000)
        with pytest.raises(ExpressionError, match="more than 48 parentheses and brackets"):
            expressions.render(text, VARIABLES)
    finally:
        sys.setrecursionlimit(before)


@pytest.mark.parametrize("part", ["|d", ".a", " and a"])
def test_work_grows_with_the_length_of_a_chain_and_no_more(part: str) -> None:
    """Jinja2's optimizer would try each part anew for each part around it."""
    short, long = (_calls("{{ a" + times * part + " }}") for times in (20, 80))

    assert long < 5 * short


def _calls(text: str) -> int:
    """How many functions are called until the text is understood."""
    found = 0

    def count(_: object, event: str, __: object) -> None:
        nonlocal found
        found += event in ("call", "c_call")

    sys.setprofile(count)
    try:
        expressions.names_in(text)
    finally:
        sys.setprofile(None)
    return found


def test_replacing_again_and_again_does_not_grow_a_text_without_end() -> None:
    text = "{{ 'a'" + " | replace('a', 'aaaaaaaaaaaaaaaaaaaa')" * 12 + " }}"

    with pytest.raises(ExpressionError, match="must not make a long text"):
        expressions.render(text, VARIABLES)


def test_a_long_text_on_the_way_is_stopped_at_the_next_step() -> None:
    long = {"parameters": Values("parameters", {"v": "x" * 1000})}
    text = "(" + "~".join(["parameters.v"] * 5) + ") | upper == 'a'"

    with pytest.raises(ExpressionError, match="more than 4096"):
        expressions.is_true(text, long)


def test_a_result_is_bounded() -> None:
    text = "{{ parameters.long }}"
    long = {"parameters": Values("parameters", {"long": "x" * (expressions.MAX_RESULT + 1)})}

    with pytest.raises(ExpressionError, match="more than 1024"):
        expressions.render(text, long)


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("namespace.labels.team == 'a'", True),
        ("'nobody' in namespace.labels", False),
        ("'nobody' not in namespace.labels and not false", True),
        ("namespace.labels.nobody is defined", False),
        ("namespace.name is startswith 'team-'", True),
        ("namespace.labels.team in ['a', 'b']", True),
        ("namespace.labels.nobody is defined == true", False),
        ("(namespace.labels.team == 'a') == false", False),
        ("namespace.labels.team == 'true'", False),
        ("namespace.labels.team != '1'", True),
    ],
)
def test_a_condition_is_true_or_false(expression: str, expected: bool) -> None:
    assert expressions.is_true(expression, VARIABLES) is expected


@pytest.mark.parametrize(
    "expression",
    [
        pytest.param("namespace.labels.team", id="a text, though it may say false"),
        pytest.param("namespace.labels.empty", id="an empty text"),
        pytest.param("namespace.labels.nobody", id="undefined"),
        pytest.param("not namespace.labels.nobody", id="not undefined"),
        pytest.param("1", id="a number"),
        pytest.param("{{ true }}", id="with braces"),
        pytest.param("true) or (false", id="parentheses that do not match"),
        pytest.param("true if true", id="no else"),
        pytest.param("", id="nothing"),
    ],
)
def test_what_is_neither_true_nor_false_is_refused(expression: str) -> None:
    with pytest.raises(ExpressionError):
        expressions.is_true(expression, VARIABLES)


def test_items_are_the_parts_of_a_text_each_once() -> None:
    assert expressions.items("namespace.annotations.partners | split", VARIABLES) == ["b", "c"]
    assert expressions.items("namespace.annotations.nobody | default('') | split", VARIABLES) == []
    assert expressions.items("['x', parameters.monitoring]", VARIABLES) == ["x", "mon"]


@pytest.mark.parametrize("expression", ["namespace.annotations.partners", "[1]", "namespace.labels", "'a' | split('')"])
def test_what_is_no_list_of_texts_has_no_items(expression: str) -> None:
    with pytest.raises(ExpressionError):
        expressions.items(expression, VARIABLES)


def test_items_are_bounded() -> None:
    many = {"parameters": Values("parameters", {"many": ",".join(map(str, range(65)))})}

    with pytest.raises(ExpressionError, match="65 items, more than 64"):
        expressions.items("parameters.many | split", many)


def test_the_names_that_an_expression_refers_to_are_known() -> None:
    assert expressions.names_in("{{ namespace.name }}-{{ item }}") == {"namespace", "item"}
    assert expressions.names_in_expression("parameters.a == 'namespace'") == {"parameters"}
