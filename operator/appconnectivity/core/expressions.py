"""Jinja2 expressions in what platform teams write, cut down to what can't do harm.

Only values are put in: there are no statements, calls, arithmetic or attributes, so that a text can't loop, grow beyond
its parts, or reach anything but the values that it is given (https://jinja.palletsprojects.com/en/stable/sandbox/ says
why the sandbox alone is not enough). What is undefined is an error, never empty.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any

from jinja2 import StrictUndefined, TemplateError, TemplateSyntaxError, Undefined, nodes
from jinja2.environment import Template, TemplateExpression
from jinja2.sandbox import ImmutableSandboxedEnvironment

from appconnectivity.core import hints

MAX_EXPRESSION = 512
MAX_BRACKETS = 48
MAX_RESULT = 1024
MAX_VALUE = 4096
MAX_ITEMS = 64
_OPENINGS = ("{{", "{%", "{#")
_CACHED = 4096


class ExpressionError(ValueError):
    """An expression that is not understood or not allowed, or that has no value for these variables."""


class Values(dict[str, Any]):
    """Named values; ``what`` says in errors whose they are."""

    def __init__(self, what: str, values: Mapping[str, Any]) -> None:
        super().__init__(values)
        self.what = what


def is_expression(text: str) -> bool:
    """True for a text that has something to put in."""
    return any(opening in text for opening in _OPENINGS)


def names_in(text: str) -> frozenset[str]:
    """The variables that a text refers to. Raises ExpressionError."""
    return _text(text)[1]


def names_in_expression(text: str) -> frozenset[str]:
    """The variables that a bare expression (without braces) refers to. Raises ExpressionError."""
    return _bare(text)[1]


def render(text: str, variables: Mapping[str, Any]) -> str:
    """The text with its expressions replaced by their values, strings or whole numbers. Raises ExpressionError."""
    made = str(_run(_text(text)[0].render, variables, text=text))
    if len(made) > MAX_RESULT:
        raise ExpressionError(f"{shown(text)} makes {len(made)} characters, more than {MAX_RESULT}")
    return made


def is_true(expression: str, variables: Mapping[str, Any]) -> bool:
    """The value of a bare expression, true or false: the text "false" is neither. Raises ExpressionError."""
    value = _evaluate(expression, variables)
    if not isinstance(value, bool):
        said = f"is {shown(str(value))}, neither true nor false; compare it with something"
        raise ExpressionError(f"{shown(expression)} {said}")
    return value


def items(expression: str, variables: Mapping[str, Any]) -> list[str]:
    """The value of a bare expression, a list of texts; each once, in their order. Raises ExpressionError."""
    value = _evaluate(expression, variables)
    if not isinstance(value, list | tuple) or not all(isinstance(item, str) for item in value):
        raise ExpressionError(f"{shown(expression)} is {str(value)[:60]!r}, not a list; perhaps | split is missing")
    found = list(dict.fromkeys(value))
    if len(found) > MAX_ITEMS:
        raise ExpressionError(f"{shown(expression)} has {len(found)} items, more than {MAX_ITEMS}")
    return found


def shown(text: str, *, most: int = 80) -> str:
    """The text in quotes, as much of it as a message can bear."""
    return repr(text if len(text) <= most else text[: most - 1] + "…")


class _Environment(ImmutableSandboxedEnvironment):
    """Reads nothing but named values, by key."""

    def getattr(self, obj: Any, attribute: str) -> Any:
        return self.getitem(obj, attribute)

    def getitem(self, obj: Any, argument: Any) -> Any:
        if isinstance(obj, Undefined):
            return obj
        if not isinstance(obj, Values):
            raise ExpressionError(f"{str(obj)[:60]!r} has no parts such as {argument!r}")
        if argument not in obj:
            return self.undefined(f"{obj.what} has no {argument!r}")
        value = obj[argument]
        if isinstance(value, str) and len(value) > MAX_VALUE:
            raise ExpressionError(f"{argument!r} of {obj.what} has more than {MAX_VALUE} characters")
        return value


_ALLOWED = (
    *(nodes.Template, nodes.Output, nodes.TemplateData, nodes.Name, nodes.Const, nodes.Getattr, nodes.Getitem),
    *(nodes.Filter, nodes.Test, nodes.Compare, nodes.Operand, nodes.And, nodes.Or, nodes.Not, nodes.CondExpr),
    *(nodes.Concat, nodes.List, nodes.Tuple),
)
_INSTEAD = {"+": "; ~ puts texts together", "call": "; a filter is written as in name | lower"}
# Whatever these come to is a text, or a list or map of texts.
_TEXTS = (nodes.Name, nodes.Getattr, nodes.Getitem, nodes.Filter, nodes.Concat)


def _evaluate(expression: str, variables: Mapping[str, Any]) -> Any:
    value = _run(_bare(expression)[0], variables, text=expression)
    if isinstance(value, Undefined):
        raise ExpressionError(f"{shown(expression)}: {value._undefined_message}")
    return value


@lru_cache(maxsize=_CACHED)
def _text(text: str) -> tuple[Template, frozenset[str]]:
    names = _checked(text, text=text)
    return _run(_ENVIRONMENT.from_string, text, text=text), names


@lru_cache(maxsize=_CACHED)
def _bare(text: str) -> tuple[TemplateExpression, frozenset[str]]:
    if is_expression(text):
        raise ExpressionError(f"{shown(text)}: braces are for texts; here stands the bare expression")
    names = _checked("{{ (" + text + ") }}", text=text)
    return _run(lambda source: _ENVIRONMENT.compile_expression(source, undefined_to_none=False), text, text=text), names


def _checked(source: str, *, text: str) -> frozenset[str]:
    """The names that it refers to. Raises ExpressionError for what is more than putting in values."""
    if len(text) > MAX_EXPRESSION:
        raise ExpressionError(f"{shown(text)} has {len(text)} characters, more than {MAX_EXPRESSION}")
    # What is nested deeper only takes time, and how deep Python goes differs between the operator and ``render``.
    if text.count("(") + text.count("[") > MAX_BRACKETS:
        raise ExpressionError(f"{shown(text)}: more than {MAX_BRACKETS} parentheses and brackets")
    tree = _run(_ENVIRONMENT.parse, source, text=text)
    for node in tree.find_all(nodes.Node):
        if why := _refusal(node):
            raise ExpressionError(f"{shown(text)}: {why}{hints.key(text)}")
    return frozenset(node.name for node in tree.find_all(nodes.Name))


def _refusal(node: nodes.Node) -> str:
    """Why this has no place in an expression; empty where it has."""
    if not isinstance(node, _ALLOWED):
        word = getattr(node, "operator", type(node).__name__.lower())
        return f"{word} is not allowed, only values{_INSTEAD.get(word, '')}"
    if isinstance(node, nodes.CondExpr) and node.expr2 is None:
        return "an if needs its else"
    if isinstance(node, nodes.Filter) and node.name not in _ENVIRONMENT.filters:
        return f"there is no filter {node.name}, only {', '.join(sorted(_ENVIRONMENT.filters))}"
    if isinstance(node, nodes.Test) and node.name not in _ENVIRONMENT.tests:
        return f"there is no test {node.name}, only {', '.join(sorted(_ENVIRONMENT.tests))}"
    return _mismatch(node) if isinstance(node, nodes.Compare) else ""


def _mismatch(node: nodes.Compare) -> str:
    """What is wrong where a text is compared with what is none: it would be false for ever, without a word."""
    sides = [node.expr, *(operand.expr for operand in node.ops)]
    if any(isinstance(side, nodes.Filter) and _makes_no_text(side) for side in sides):
        return ""
    listed = [item for side in sides if isinstance(side, nodes.List | nodes.Tuple) for item in side.items]
    told = [const.value for const in (*sides, *listed) if isinstance(const, nodes.Const)]
    others = [value for value in told if not isinstance(value, str)]
    if not others or not (len(others) < len(told) or any(isinstance(side, _TEXTS) for side in sides)):
        return ""
    if others[0] is None:
        return "values are texts: whether a value is there is asked by is defined"
    word = str(others[0]).lower()
    return f"values are texts: compare with '{word}' in quotes, not with {word}"


def _makes_no_text(default: nodes.Filter) -> bool:
    """True for a filter with a constant that is no text, which stands for a value that is not there."""
    return any(isinstance(given, nodes.Const) and not isinstance(given.value, str) for given in default.args)


def _run(function: Any, *arguments: Any, text: str) -> Any:
    """What the function makes of it; whatever Jinja2 or Python trip over is an ExpressionError that names the text."""
    try:
        return function(*arguments)
    except ExpressionError as error:
        raise ExpressionError(f"{shown(text)}: {error}{hints.key(text)}") from error
    except TemplateSyntaxError as error:
        raise ExpressionError(f"{shown(text)}: {hints.syntax(text, error.message or '')}{hints.key(text)}") from error
    except TemplateError as error:
        raise ExpressionError(f"{shown(text)}: {error.message}") from error
    except Exception as error:  # RecursionError, SyntaxError, TypeError...: a text is no reason to stop
        raise ExpressionError(f"{shown(text)}: {type(error).__name__}: {str(error)[:200]}") from error


def _finalize(value: Any) -> Any:
    if isinstance(value, Undefined):
        return value
    if isinstance(value, bool) or not isinstance(value, str | int):
        what = value.what if isinstance(value, Values) else repr(str(value)[:60])
        raise ExpressionError(f"only texts and whole numbers can be put in, not {what}")
    return value


def _bounded(function: Callable[..., Any]) -> Callable[..., Any]:
    """The filter, for texts that are not longer than a value may be."""

    def filtered(value: str, *arguments: str) -> Any:
        if len(value) > MAX_VALUE:
            raise ExpressionError(f"a text of more than {MAX_VALUE} characters")
        return function(value, *arguments)

    return filtered


def _replace(value: str, old: str, new: str) -> str:
    if not old or len(value) + value.count(old) * len(new) > MAX_VALUE:
        raise ExpressionError("replace needs something to replace, and must not make a long text")
    return value.replace(old, new)


def _split(value: str, separator: str = ",") -> Sequence[str]:
    """The parts without the space around them; empty ones are none."""
    return [part.strip() for part in value.split(separator) if part.strip()]


def _environment() -> _Environment:
    # Its optimizer takes time in the cube of how deep an expression is nested.
    made = _Environment(undefined=StrictUndefined, finalize=_finalize, keep_trailing_newline=True, optimized=False)
    kept = {name: made.filters[name] for name in ("default", "d")}
    texts: dict[str, Callable[..., Any]] = {
        "lower": str.lower,
        "upper": str.upper,
        "trim": str.strip,
        "replace": _replace,
        "split": _split,
    }
    made.filters = kept | {name: _bounded(function) for name, function in texts.items()}
    made.tests = {name: made.tests[name] for name in ("defined", "undefined")}
    made.tests |= {"startswith": str.startswith, "endswith": str.endswith}
    made.globals = {}
    return made


_ENVIRONMENT = _environment()
