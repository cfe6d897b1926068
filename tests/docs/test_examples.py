"""What documents tell people to write has to be accepted."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from appconnectivity.core import api, template

ROOT = Path(__file__).resolve().parents[2]
_YAML = re.compile(r"^ *```yaml\n(.*?)^ *```", re.MULTILINE | re.DOTALL)


def examples() -> list[Any]:
    """Every YAML block of the README and docs/, as data."""
    documents = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
    return [
        pytest.param(yaml.safe_load(block), id=f"{document.relative_to(ROOT)} {number}")
        for document in documents
        for number, block in enumerate(_YAML.findall(document.read_text()), start=1)
    ]


@pytest.mark.parametrize("example", examples())
def test_an_example_is_a_valid_object_or_a_list_of_valid_flows(example: Any) -> None:
    if isinstance(example, dict) and example["kind"] == template.KIND:
        parsed = template.parse(example["spec"])
        assert isinstance(parsed, template.TemplateSpec), parsed
        return
    spec = api.Spec.model_validate({"flows": example} if isinstance(example, list) else example["spec"])

    assert spec.flows
