"""JSON that is nested as deep as anybody may nest it in an object's managedFields."""

from __future__ import annotations

import subprocess
import sys

import pytest

_AS_IT_IS = ""
# What 3.12 and later ones do beyond a depth of their own.
_LIKE_LATER_PYTHONS = """
def refuse(text, index):
    raise RecursionError
json._default_decoder.scan_once = refuse
"""
_READ = """
from appconnectivity.cluster.deep import read_deep
read_deep()
found, depth = json.loads('{"a":' * 10_010 + "[1, null]" + "}" * 10_010), 0
while isinstance(found, dict):
    found, depth = found["a"], depth + 1
print(depth, found)
"""


@pytest.mark.parametrize("python", [_AS_IT_IS, _LIKE_LATER_PYTHONS], ids=["as it is", "like later Pythons"])
def test_it_is_read_whatever_python_bears(python: str) -> None:
    code = f"import json\n{python}{_READ}"
    done = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True)

    assert done.stdout == "10010 [1, None]\n", done.stderr[-500:]
