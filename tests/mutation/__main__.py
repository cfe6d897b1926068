"""``python -m mutation [name ...]``: plants each mutant (or those that are named) and says which test noticed it.

Ends with 1 where one survives or can't be planted, and with 2 where the tests fail without any mutant.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from queue import SimpleQueue

from mutation.mutants import Mutant, load
from mutation.trial import FAST, Tree, Unusable, Verdict

_WORKERS = min(2, os.cpu_count() or 1)


def main(names: Sequence[str]) -> int:
    chosen = [mutant for mutant in load() if not names or mutant.name in names]
    if unknown := set(names) - {mutant.name for mutant in chosen}:
        print(f"no such mutant: {', '.join(sorted(unknown))}", file=sys.stderr)
        return 2
    start = time.monotonic()
    with ExitStack() as stack:
        folders = [stack.enter_context(tempfile.TemporaryDirectory(prefix="mutation-")) for _ in range(_WORKERS)]
        trees = [Tree(Path(folder)) for folder in folders]
        if broken := _failure(trees[0]):
            print(f"without any mutant: {broken}", file=sys.stderr)
            return 2
        missed = [verdict for verdict in _judged(chosen, trees) if _tell(verdict)]
    seconds = time.monotonic() - start
    print(f"{len(chosen)} mutants, {len(chosen) - len(missed)} caught, {len(missed)} not, in {seconds:.0f} s")
    return 1 if missed else 0


def _failure(tree: Tree) -> str:
    try:
        return tree.first_failure(FAST)
    except Unusable as error:
        return str(error)


def _judged(mutants: Sequence[Mutant], trees: Sequence[Tree]) -> Iterator[Verdict]:
    """Each mutant in whichever tree is free; in the order of the list."""
    free: SimpleQueue[Tree] = SimpleQueue()
    for tree in trees:
        free.put(tree)

    def judge(mutant: Mutant) -> Verdict:
        tree = free.get()
        try:
            return tree.judge(mutant)
        finally:
            free.put(tree)

    with ThreadPoolExecutor(len(trees)) as pool:
        yield from pool.map(judge, mutants)


def _tell(verdict: Verdict) -> bool:
    """Prints a row of the table; True where the mutant was not caught."""
    mutant = verdict.mutant
    print(f"{mutant.name:44} {verdict.caught_by or verdict.trouble or 'SURVIVED: ' + mutant.breaks}", flush=True)
    return not verdict.caught_by


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
