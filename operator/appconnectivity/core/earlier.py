"""What compilations came to before: a namespace is compiled anew for each change of one of its objects."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from appconnectivity.core.compile import Compiled, ObjectResult
from appconnectivity.core.facts import Facts

# Policies that are kept; all of them take some megabytes.
_MOST = 4096

Results = Mapping[int, ObjectResult]


@dataclass
class Earlier:
    """Lasting results, by namespace and by the identity of their intents. Of one operator, whose options stay."""

    _last: OrderedDict[str, tuple[Facts, Results]] = field(default_factory=OrderedDict)
    _policies: int = 0

    def results(self, facts: Facts) -> Results:
        """What came of intents when all facts of their own namespace were as these."""
        before, results = self._last.get(facts.namespace, (None, {}))
        return results if before == _at_home(facts) else {}

    def keep(self, facts: Facts, compiled: Compiled) -> None:
        self.forget(facts.namespace)
        found = {id(result.intent): result for result in compiled.objects if result.is_lasting and result.policies}
        if not found:
            return
        self._last[facts.namespace] = _at_home(facts), found
        self._policies += _count(found)
        while self._policies > _MOST:
            self.forget(next(iter(self._last)))

    def forget(self, namespace: str) -> None:
        _, results = self._last.pop(namespace, (None, {}))
        self._policies -= _count(results)


def _at_home(facts: Facts) -> Facts:
    return replace(facts, peers={})


def _count(results: Results) -> int:
    return sum(len(result.policies) for result in results.values())
