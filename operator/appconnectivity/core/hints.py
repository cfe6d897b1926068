"""What people mostly meant who wrote an expression that is not understood, and what to write instead."""

from __future__ import annotations

import re

# The part of a text that is an expression: prose around it has quotes and signs of its own.
_BRACED = re.compile(r"\{\{(.*?)(?:\}\}|$)", re.DOTALL)
_QUOTED = re.compile(r"'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\"", re.DOTALL)
# A key that is no plain word. What is called is rather a method of another language.
_KEY = re.compile(r"\bnamespace\.(labels|annotations)\.([\w./-]++)(?!\s*\()")
_NO_WORD = re.compile(r"[./-]")
_MEANT = (
    (r"['\"]", "a quote is not closed"),
    ("[\u2018-\u201f]", "only ' and \" are quotes here"),
    (r"&", "& is not understood: write and"),
    (r"\|\s*\|", "| is not understood: write or"),
    (r"!(?!=)", "! is not understood: write not"),
    (r"===|(?<![=!<>])=(?!=)", "= is not understood: == compares"),
    (r"\?", "? is not understood: write 'a' if … else 'b'"),
    (r"\b(?P<word>AND|OR|NOT|IN|IS)\b", "'{word}' is not understood: write and, or, not, in, is in small letters"),
)
_UNEXPECTED = re.compile(r"expected token .*, got '(.*)'", re.DOTALL)


def key(text: str) -> str:
    """How the label or annotation is written that the text seems to mean; empty where it means none."""
    for which, name in _KEY.findall(_code(text)):
        if _NO_WORD.search(name):
            return f"; keys with dots, dashes or slashes stand in brackets: write namespace.{which}['{name}']"
    return ""


def syntax(text: str, said: str) -> str:
    """Why the text is not understood: in plain words where they can be found, else as Jinja2 has ``said`` it."""
    if text.count("{{") > text.count("}}"):
        return "{{ is not closed by }}"
    code = _code(text)
    for pattern, meant in _MEANT:
        if found := re.search(pattern, code):
            return meant.format(**found.groupdict())
    if any(code.count(opening) != code.count(closing) for opening, closing in ("()", "[]")):
        return "a parenthesis or bracket is not closed, or was never opened"
    if said == "unexpected ')'":  # which nobody has written: it is put around a bare expression
        return "something is missing at the end"
    if unexpected := _UNEXPECTED.fullmatch(said):
        return f"{unexpected[1]!r} is not expected there"
    return re.sub(r" at \d+$", "", said).replace("'end of print statement'", "'}}'")


def _code(text: str) -> str:
    """The expressions of a text, or a bare one, with a word for each that they say in quotes."""
    inside = " ".join(_BRACED.findall(text)) if "{{" in text else text
    return _QUOTED.sub(" _ ", inside)
