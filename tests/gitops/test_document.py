"""docs/gitops.md shows what the tools show: its table is held to the statuses that it links to."""

from __future__ import annotations

import re

import pytest
import yaml

from gitops.examples import ROOT
from gitops.health import ARGOCD, assess
from gitops.kstatus import compute

_ROW = re.compile(r"^\| .*?testdata/(\w+)\.yaml\).* \| (\w+) \| (\w+) \|$", re.MULTILINE)
ROWS = _ROW.findall((ROOT / "docs" / "gitops.md").read_text())


@pytest.mark.parametrize(("name", "argocd", "flux"), [pytest.param(*row, id=row[0]) for row in ROWS])
def test_a_row_says_what_the_tools_show_of_the_status_that_it_links_to(name: str, argocd: str, flux: str) -> None:
    body = yaml.safe_load((ARGOCD / "testdata" / f"{name}.yaml").read_text())

    assert (assess(body).status, compute(body)) == (argocd, flux)


def test_every_kept_status_has_its_row() -> None:
    assert sorted(name for name, _, _ in ROWS) == sorted(path.stem for path in (ARGOCD / "testdata").iterdir())
