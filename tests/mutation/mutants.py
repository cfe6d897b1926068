"""The list of deliberate mistakes, and how one is put into a source tree."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import yaml

SOURCE = Path("operator/appconnectivity")


class Stale(Exception):
    """The search text is not in the source exactly once: the mistake has to be written anew."""


@dataclass(frozen=True)
class Mutant:
    """A mistake in one file of the source. ``first`` are paths under ``tests``."""

    name: str
    breaks: str
    file: str
    search: str
    replace: str
    first: tuple[str, ...]

    @contextmanager
    def planted(self, root: Path) -> Iterator[None]:
        """Puts the mistake into the tree at ``root`` and takes it out again. Raises Stale."""
        path = root / SOURCE / self.file
        text = path.read_text()
        if text.count(self.search) != 1:
            raise Stale(f"{self.name}: {self.search!r} is {text.count(self.search)} times in {self.file}, not once")
        path.write_text(text.replace(self.search, self.replace))
        try:
            yield
        finally:
            path.write_text(text)


def load() -> list[Mutant]:
    """All mutants, in the order of the file. Raises ValueError for two of one name."""
    groups = yaml.safe_load(Path(__file__).with_name("mutants.yaml").read_text())
    found = [
        Mutant(file=group["file"], first=tuple(group["first"]), **entry)
        for group in groups
        for entry in group["mutants"]
    ]
    if len({mutant.name for mutant in found}) < len(found):
        raise ValueError("two mutants have one name")
    return found
