"""Documents that point to nothing help nobody: every relative link, heading and path that they name has to exist."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
_LINK = re.compile(r"(?<!!)\[[^\]\n]*\]\(([^)\s]+)\)")
_FENCE = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
_HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)
_FILE = re.compile(r"`([\w./-]+\.(?:py|yaml))`")
_MODULE = re.compile(r"`(appconnectivity(?:\.(?:core|cluster|controller|cli))(?:\.\w+)*)`")


def files() -> list[str]:
    """What belongs to the repository, committed or about to be."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    named = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.splitlines()
    return [name for name in named if (ROOT / name).exists()]


FILES = files()
DOCUMENTS = [pytest.param(ROOT / name, id=name) for name in FILES if name.endswith(".md")]


def anchors(document: Path) -> set[str]:
    """The anchors that GitHub gives to headings."""
    titles = _HEADING.findall(_FENCE.sub("", document.read_text()))
    return {re.sub(r"[^\w\- ]", "", title.lower()).strip().replace(" ", "-") for title in titles}


def is_there(link: str, document: Path) -> bool:
    path, _, anchor = link.partition("#")
    target = (document.parent / path).resolve() if path else document
    return target.exists() and (not anchor or anchor in anchors(target))


def is_named_rightly(path: str, document: Path) -> bool:
    """From the root, from the document, or the end of some file's path."""
    places = (ROOT / path, document.parent / path)
    return any(place.exists() for place in places) or any(f"/{name}".endswith(f"/{path}") for name in FILES)


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_relative_link_leads_somewhere(document: Path) -> None:
    links = _LINK.findall(_FENCE.sub("", document.read_text()))

    assert [x for x in links if not x.startswith(("https:", "http:", "mailto:")) and not is_there(x, document)] == []


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_file_that_a_document_names_exists(document: Path) -> None:
    assert [path for path in _FILE.findall(document.read_text()) if not is_named_rightly(path, document)] == []


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_module_that_a_document_names_exists(document: Path) -> None:
    paths = [name.replace(".", "/") for name in _MODULE.findall(document.read_text())]

    assert [
        p
        for p in paths
        if not (is_named_rightly(f"{p}.py", document) or is_named_rightly(f"{p}/__init__.py", document))
    ] == []


def test_the_index_names_every_document() -> None:
    linked = {
        (ROOT / "docs" / link.partition("#")[0]).resolve()
        for link in _LINK.findall((ROOT / "docs/README.md").read_text())
    }
    written = {ROOT / name for name in FILES if name.startswith("docs/") and name.endswith(".md")}

    assert written - linked == {ROOT / "docs/README.md"}


@pytest.mark.parametrize(
    ("link", "expected"),
    [
        pytest.param("test_links.py", True, id="a file beside"),
        pytest.param("nothing.md", False, id="no such file"),
        pytest.param("../../docs/README.md#documentation", True, id="a heading"),
        pytest.param("../../docs/README.md#nothing", False, id="no such heading"),
    ],
)
def test_a_dead_link_is_noticed(link: str, expected: bool) -> None:
    assert is_there(link, Path(__file__)) is expected
