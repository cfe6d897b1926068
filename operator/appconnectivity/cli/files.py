"""YAML and JSON files as people give them: every document with the place where it stands, for messages that help."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.error import MarkedYAMLError, YAMLError

from appconnectivity.core import api, naming
from appconnectivity.core.intent import field_path

SUFFIXES = (".yaml", ".yml", ".json")


class BadInput(Exception):
    """What can't be read. The text names file, line and field."""


@dataclass(frozen=True)
class Document:
    """One object of a file. ``content`` is plain data; ``where`` finds the line of a field."""

    file: str
    marked: CommentedMap

    @property
    def content(self) -> dict[str, Any]:
        plain = _plain(self.marked)
        assert isinstance(plain, dict)  # a map stays a map
        return plain

    def where(self, path: tuple[str | int, ...] = ()) -> str:
        """``file:line`` of the field at ``path``, or of the nearest thing around it that is there."""
        node: Any = self.marked
        line = node.lc.line
        for part in path:
            line = _line_of(node, part, default=line)
            try:
                node = node[part]
            except (KeyError, IndexError, TypeError):
                break
        return f"{self.file}:{line + 1}"


def read(path: str) -> list[Document]:
    """All objects of a file, of a directory's files (sorted, not below it), or of stdin (``-``); lists are opened up.

    Raises BadInput with file and line.
    """
    if path == "-":
        return list(_documents(sys.stdin.read(), file="stdin"))
    place = Path(path)
    if not place.exists():
        raise BadInput(f"{path}: no such file or directory")
    files = sorted(p for p in place.iterdir() if p.suffix in SUFFIXES) if place.is_dir() else [place]
    if not files:
        raise BadInput(f"{path}: no {', '.join(SUFFIXES)} file in this directory")
    return [document for file in files for document in _documents(_text(file), file=str(file))]


def name_of(document: Document) -> str:
    """The name of an object of ours. Raises BadInput for what none may say, whatever its kind: another apiVersion, a
    name that its policies could not carry, a field of the spec without a value, an expression without quotes."""
    content = document.content
    if content.get("apiVersion") != api.API_VERSION:
        raise BadInput(f"{document.where(('apiVersion',))}: apiVersion: must be {api.API_VERSION}")
    name = content["metadata"].get("name") if isinstance(content.get("metadata"), dict) else None
    if not isinstance(name, str) or not naming.bears_policies(name):
        raise BadInput(f"{document.where(('metadata', 'name'))}: metadata.name: must be {naming.OBJECT_NAME}")
    for path, fault in _slips(document.marked.get("spec"), at=("spec",)):
        raise BadInput(f"{document.where(path)}: {field_path(*path)}: {fault}")
    return name


def _slips(value: Any, *, at: tuple[str | int, ...]) -> Iterator[tuple[tuple[str | int, ...], str]]:
    """Where YAML is not what its writer meant, and what it is."""
    entries = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in entries:
        if isinstance(key, Mapping):
            yield at, "{ begins a map here; write an expression in quotes: '{{ … }}'"
        elif item is None:
            # The API server drops such a field: an end with an empty `app:` would come to mean its whole namespace.
            yield (*at, key), "has no value; give it one or leave it out"
        yield from _slips(item, at=(*at, key))


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(f"{file}: {error}") from error


def _documents(text: str, *, file: str) -> Iterator[Document]:
    try:
        found = list(YAML(typ="rt").load_all(StringIO(text)))
    except MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise BadInput(f"{file}:{line}: not YAML: {error.problem}") from error
    except (YAMLError, ValueError) as error:
        raise BadInput(f"{file}: not YAML: {error}") from error
    for entry in found:
        yield from _objects(entry, file=file)


def _objects(entry: Any, *, file: str) -> Iterator[Document]:
    if entry is None:
        return
    if not isinstance(entry, CommentedMap):
        raise BadInput(f"{file}: a document is no object (it has no apiVersion and kind)")
    if entry.get("kind") == "List" and isinstance(entry.get("items"), CommentedSeq):
        for item in entry["items"]:
            yield from _objects(item, file=file)
    else:
        yield Document(file=file, marked=entry)


def _line_of(node: Any, part: str | int, *, default: int) -> int:
    try:
        place = node.lc.key(part) if isinstance(node, CommentedMap) else node.lc.item(part)
    except (AttributeError, KeyError, IndexError, TypeError):
        return default
    return int(place[0])


def _plain(node: Any) -> Any:
    """ruamel's own types as Python's, down to the leaves; a timestamp as it was written is a string for the API."""
    if isinstance(node, dict):
        return {str(key): _plain(value) for key, value in node.items()}
    if isinstance(node, list):
        return [_plain(value) for value in node]
    if isinstance(node, bool) or node is None:
        return node
    for kind in (int, float, str):
        if isinstance(node, kind):
            return kind(node)
    return node.isoformat().replace("+00:00", "Z") if hasattr(node, "isoformat") else str(node)
