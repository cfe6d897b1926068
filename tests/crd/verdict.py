"""What the Python types say about a spec, in the words that a person gets."""

from __future__ import annotations

from typing import Any

from pydantic import ValidationError

from appconnectivity.core import api
from appconnectivity.core.intent import explain


def refusal(spec: Any) -> str:
    """Why the types refuse the spec; empty where they accept it."""
    try:
        api.Spec.model_validate(spec)
    except ValidationError as error:
        return explain(error, at="spec").message
    return ""
