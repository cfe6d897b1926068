"""manifests/gitops/argocd/health.lua, run as Argo CD runs it: Lua 5.1, the object as ``obj``, hardly any library."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lupa.lua51 import LuaRuntime

ARGOCD = Path(__file__).resolve().parents[2] / "manifests" / "gitops" / "argocd"
SCRIPT = ARGOCD / "health.lua"

# What Argo CD accepts as a script's answer; anything else is shown as Unknown.
_STATUSES = {"Healthy", "Progressing", "Degraded", "Suspended", "Missing", "Unknown"}
# The base library without what reads files, and table: what scripts have unless an administrator opens more.
_GLOBALS = {
    *("assert", "error", "ipairs", "next", "pairs", "pcall", "rawequal", "rawget", "rawset", "select", "setmetatable"),
    *("getmetatable", "tonumber", "tostring", "type", "unpack", "xpcall", "table", "_G", "_VERSION"),
}


@dataclass(frozen=True)
class Health:
    """What Argo CD shows of an object."""

    status: str
    message: str


def assess(body: dict[str, Any], *, script: str | None = None) -> Health:
    """The health of an object. Raises LuaError where the script fails, ValueError where Argo CD would not take it."""
    lua = LuaRuntime(register_eval=False, register_builtins=False)
    names = lua.globals()
    for name in set(names) - _GLOBALS:
        names[name] = None
    names["obj"] = lua.table_from(body, recursive=True)
    answer = dict(lua.execute(script or SCRIPT.read_text()))
    if answer.keys() != {"status", "message"} or answer["status"] not in _STATUSES:
        raise ValueError(f"no answer that Argo CD takes: {answer}")
    return Health(**answer)
