"""The list of mutants keeps up with the source, and planting one leaves nothing behind."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from mutation import trial
from mutation.mutants import SOURCE, Mutant, Stale, load

MUTANT = Mutant("one", "nothing", "core/a.py", search="x = 1", replace="x = 2", first=())


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / SOURCE / MUTANT.file
    path.parent.mkdir(parents=True)
    path.write_text("x = 1\ny = 1\n")
    return path


@pytest.mark.parametrize("mutant", load(), ids=lambda mutant: mutant.name)
def test_the_place_of_a_mutant_is_there_exactly_once(mutant: Mutant) -> None:
    """Where this fails the source has changed: write the mutant anew, and run ``make mutants``."""
    assert (trial.REPOSITORY / SOURCE / mutant.file).read_text().count(mutant.search) == 1


def test_a_planted_mutant_is_taken_out_again(tmp_path: Path, source: Path) -> None:
    with MUTANT.planted(tmp_path):
        assert source.read_text() == "x = 2\ny = 1\n"
    assert source.read_text() == "x = 1\ny = 1\n"


@pytest.mark.parametrize("search", ["z = 1", "= 1"])
def test_a_mutant_without_one_place_is_stale(search: str, tmp_path: Path, source: Path) -> None:
    with pytest.raises(Stale, match="not once"), replace(MUTANT, search=search).planted(tmp_path):
        pass
    assert source.read_text() == "x = 1\ny = 1\n"


def test_tests_that_do_not_end_have_noticed_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trial, "_SECONDS_AT_MOST", 0.01)

    verdict = trial.Tree(tmp_path).judge(load()[0])

    assert verdict.caught_by == ""
    assert "did not end" in verdict.trouble
