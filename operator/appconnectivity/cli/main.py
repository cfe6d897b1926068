"""The entry point of both console scripts: finds the verb and hands it its arguments."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from pydantic import ValidationError
from pydantic_settings import CliApp, SettingsError

from appconnectivity import __version__

USAGE = """\
usage: {program} VERB [options]

Says who talks to whom, and keeps the NetworkPolicies that make exactly this true.

verbs:
  run      the operator: reconciles AppConnectivity objects of a cluster until it is stopped
  render   prints the NetworkPolicies of AppConnectivity files; needs no cluster
  version  prints the version

{program} VERB --help explains the options of a verb.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one verb. Exit codes: 0 done, 1 it failed or the input is bad, 2 wrong usage."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    program = (
        Path(sys.argv[0]).name if sys.argv[0].endswith(("appconnectivity", "kubectl-appconn")) else "appconnectivity"
    )
    verbs: dict[str, Callable[[str, list[str]], int]] = {"run": _run, "render": _render, "version": _version}
    if words[:1] in (["--help"], ["-h"]):
        print(USAGE.format(program=program))
        return 0
    if not words or words[0] not in verbs:
        problem = f"unknown verb {words[0]!r}\n\n" if words else ""
        print(problem + USAGE.format(program=program), file=sys.stderr)
        return 2
    return verbs[words[0]](f"{program} {words[0]}", words[1:])


def _run(program: str, words: list[str]) -> int:
    from appconnectivity.cli.run import run
    from appconnectivity.settings import Settings

    class Run(Settings, cli_prog_name=program, cli_kebab_case=True):
        __doc__ = "Runs the operator. Each option can also be set by APPCONNECTIVITY_<OPTION> in the environment."

    try:
        return run(CliApp.run(Run, cli_args=words))
    except (ValidationError, SettingsError) as error:
        return _usage_error(program, error)


def _render(program: str, words: list[str]) -> int:
    from appconnectivity.cli.render import arguments, render

    return render(arguments(program, words))


def _version(_program: str, _words: list[str]) -> int:
    print(__version__)
    return 0


def _usage_error(program: str, error: ValidationError | SettingsError) -> int:
    if isinstance(error, ValidationError):
        for fault in error.errors(include_url=False):
            option = str(fault["loc"][0]).replace("_", "-") if fault["loc"] else ""
            print(f"{program}: --{option}: {fault['msg']}", file=sys.stderr)
    else:
        print(f"{program}: {error}", file=sys.stderr)
    return 2
