"""Bad objects in the API server, the operator on whom they are tried, and what has to hold of both."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from appconnectivity.cluster.kinds import APP_CONNECTIVITY, EVENT, NAMESPACE, NETWORK_POLICY, TEMPLATE, Kind
from appconnectivity.core import naming
from appconnectivity.core.api import MAX_FLOWS
from appconnectivity.core.status import condition
from cluster import processes
from cluster.operator import Operator
from cluster.rest import MERGE, Answer, Rest
from e2e.conftest import eventually, flow

Body = dict[str, Any]

GOOD = flow("frontend", "api", 8080, name="good")
GOOD_SPEC: Body = {"flows": [GOOD]}
JSON_PATCH = "application/json-patch+json"
WITHIN_SECONDS = 120.0

_KINDS = {APP_CONNECTIVITY: "AppConnectivity", TEMPLATE: "AppConnectivityTemplate"}
_AT_ONCE = 40


@dataclass(frozen=True, eq=False)
class Trial:
    """A spec, and the object that has it."""

    name: str
    namespace: str
    spec: Any

    @property
    def kind(self) -> Kind:
        return APP_CONNECTIVITY if self.namespace else TEMPLATE

    @property
    def path(self) -> str:
        return self.kind.path(namespace=self.namespace, name=self.name)

    def with_spec(self, spec: Any) -> Trial:
        return Trial(self.name, self.namespace, spec)

    @property
    def body(self) -> Body:
        metadata = {"name": self.name} | ({"namespace": self.namespace} if self.namespace else {})
        head = {"apiVersion": "appconnectivity.io/v1alpha1", "kind": _KINDS[self.kind]}
        return head | {"metadata": metadata, "spec": self.spec}


@dataclass(frozen=True)
class Verdict:
    """What the API server, with today's schema, thinks of a spec, and how many of its flows it would take."""

    is_valid: bool
    flows: int


@dataclass(frozen=True)
class Patient:
    """The operator, started when the test asked for it."""

    operator: Operator

    def is_unharmed(self) -> None:
        """It is the same process as in the beginning, and nothing in it went astray."""
        assert self.operator.process.poll() is None, processes.tail(self.operator.log)
        assert not (found := self._traceback()), found
        assert self.operator.get("/healthz")[0] == 200

    def _traceback(self) -> str:
        lines = (line for line in self.operator.log.read_text().splitlines() if "Traceback" in line)
        return next(lines, "").replace("\\n", "\n")


@dataclass(frozen=True)
class Trials:
    """Puts objects into the API server, and looks at what became of them."""

    rest: Rest

    def of(self, name: str, specs: Iterable[Any]) -> list[Trial]:
        """One for each spec; some share a namespace."""
        made = [Trial(f"bad-{i}", f"{name}-{i // _AT_ONCE}", spec) for i, spec in enumerate(specs)]
        for namespace in sorted({trial.namespace for trial in made}):
            assert self.rest.ask("POST", NAMESPACE.path(), {"metadata": {"name": namespace}}).is_accepted
        return made

    def put(self, trials: Iterable[Trial]) -> list[Trial]:
        """Creates the objects, as a client without any validation of its own; returns those that were taken."""
        return [trial for trial in trials if self._create(trial).is_accepted]

    def _create(self, trial: Trial) -> Answer:
        path = trial.kind.path(namespace=trial.namespace)
        return self.rest.ask("POST", f"{path}?fieldValidation=Ignore", trial.body)

    def clear(self) -> None:
        """Takes all objects away: what is left over would be work in the next test."""
        for kind in _KINDS:
            for body in self.rest.list(kind):
                metadata = body["metadata"]
                self.rest.delete(kind, namespace=metadata.get("namespace", ""), name=metadata["name"])

    def replace(self, trials: Iterable[Trial], spec: Any = None) -> None:
        """Puts a spec, or the trial's own, into objects that are there."""
        for trial in trials:
            value = [{"op": "add", "path": "/spec", "value": trial.spec if spec is None else spec}]
            answer = self.rest.ask("PATCH", f"{trial.path}?fieldValidation=Ignore", value, content_type=JSON_PATCH)
            assert answer.is_accepted, (answer, trial)

    def verdict(self, spec: Any) -> Verdict:
        """To be asked for while today's CRD is in force. A spec that is refused for its head opens nothing."""
        flows = spec.get("flows", []) if isinstance(spec, dict) else None
        if not isinstance(flows, list) or len(flows) > MAX_FLOWS or not self._takes(spec | {"flows": []}):
            return Verdict(is_valid=False, flows=0)
        distinct = {json.dumps(each, sort_keys=True): each for each in flows}.values()
        taken = [each for each in distinct if self._takes(spec | {"flows": [each]})]
        return Verdict(self._takes(spec), 0 if spec.get("mode") == "Audit" else len(taken))

    def _takes(self, spec: Body) -> bool:
        path = APP_CONNECTIVITY.path(namespace="default")
        body = Trial("tried", "default", spec).body
        return self.rest.ask("POST", f"{path}?dryRun=All&fieldValidation=Strict", body).is_accepted

    def says_why(self, trials: Sequence[Trial], *, valid: Collection[Trial]) -> None:
        """Each object is served, or its conditions say why it is not; none of those that are not ``valid`` is served.
        Of whom the API server takes no status (its CRD's rules can't be evaluated, say) an Event tells.

        (A template that selects nothing is not looked at as closely: its objects are.)
        """
        by_event = [trial for trial in trials if not self._takes_status(trial)]
        _await_none(lambda: [self.live(trial) for trial in self._silent(trials, by_event=by_event)])
        for trial in trials:
            status = self.live(trial).get("status", {})
            ready = condition(status, "Ready")
            assert "InternalError" not in json.dumps(status), (status, trial)
            assert ready["status"] == "True" or ready["message"], (status, trial)
            assert ready["status"] != "True" or trial in valid or trial.kind is TEMPLATE, f"taken for good: {trial}"

    def _silent(self, trials: Iterable[Trial], *, by_event: Collection[Trial]) -> list[Trial]:
        live = {(b["metadata"].get("namespace", ""), b["metadata"]["name"]): b for b in self._everything()}
        told = self._told() if by_event else set()
        unjudged = (trial for trial in trials if not _is_judged(live[trial.namespace, trial.name]))
        return [t for t in unjudged if t not in by_event or (t.namespace, t.name) not in told]

    def _takes_status(self, trial: Trial) -> bool:
        status = {"status": {"observedGeneration": 1}}
        return self.rest.ask("PATCH", f"{trial.path}/status?dryRun=All", status, content_type=MERGE).is_accepted

    def _told(self) -> set[tuple[str, str]]:
        events = self.rest.ask("GET", EVENT.path()).body["items"]
        return {
            (event["involvedObject"].get("namespace", ""), event["involvedObject"]["name"])
            for event in events
            if event["reason"] and event["message"]
        }

    def _everything(self) -> list[Body]:
        return [body for kind in _KINDS for body in self.rest.ask("GET", kind.path()).body["items"]]

    def live(self, trial: Trial) -> Body:
        return self.rest.ask("GET", trial.path).body

    def forge(self, trial: Trial, status: Any) -> bool:
        """Writes a status as if we were the operator; True where the API server takes it."""
        answer = self.rest.ask("PATCH", f"{trial.path}/status", {"status": status}, content_type=MERGE)
        return answer.is_accepted

    def story(self, trial: Trial) -> dict[str, tuple[str, str]]:
        """The conditions of an object, without since when they are so; none where it is not there."""
        answer = self.rest.ask("GET", trial.path)
        found = (answer.body.get("status") or {}).get("conditions", []) if answer.is_accepted else []
        return {entry["type"]: (entry["status"], entry["reason"]) for entry in found}

    def opens_no_more(self, flows: Mapping[Trial, int]) -> None:
        """No object has policies for more flows than the API server would take; and nothing else opens anything."""
        for trial, most in flows.items():
            names = [body["metadata"]["name"] for body in self.policies(trial, role="flow")]
            assert len(names) <= 2 * most, (names, trial)
        for namespace in sorted({trial.namespace for trial in flows}):
            for body in self.rest.ask("GET", NETWORK_POLICY.path(namespace=namespace)).body["items"]:
                assert body["metadata"]["labels"][naming.ROLE_LABEL] == "flow" or _opens_dns_alone(body), body

    def policies(self, trial: Trial, *, role: str) -> list[Body]:
        selector = f"{naming.OBJECT_LABEL}={trial.name},{naming.ROLE_LABEL}={role}"
        path = NETWORK_POLICY.path(namespace=trial.namespace)
        found: list[Body] = self.rest.ask("GET", f"{path}?labelSelector={selector}").body["items"]
        return found

    def uids_of_policies(self, trial: Trial, flow_name: str = "") -> dict[str, str]:
        """Of those for the trial's flows, or one of them, by name."""
        found = {body["metadata"]["name"]: body["metadata"]["uid"] for body in self.policies(trial, role="flow")}
        return {name: uid for name, uid in found.items() if flow_name in name.split(".") or not flow_name}

    def heals(self, trials: Sequence[Trial]) -> None:
        """With a good spec every one of them becomes Ready, and opens what it says."""
        self.replace(trials, GOOD_SPEC)
        _await_none(lambda: self._unwell(trials))
        for trial in trials:
            assert self.uids_of_policies(trial).keys() == {f"{trial.name}.good.egress", f"{trial.name}.good.ingress"}

    def _unwell(self, trials: Iterable[Trial]) -> list[Body]:
        live = [self.live(trial) for trial in trials]
        return [body for body in live if not _is_judged(body) or _ready(body)["status"] != "True"]


def _opens_dns_alone(policy: Body) -> bool:
    rules = [*policy["spec"].get("ingress", ()), *policy["spec"].get("egress", ())]
    return all({port["port"] for port in rule["ports"]} == {53} and rule["to"] for rule in rules)


def _await_none(found: Callable[[], list[Body]]) -> None:
    """Waits until no object is found any more; fails with those that still are."""
    last: list[Body] = []

    def is_none() -> bool:
        last[:] = found()
        return not last

    try:
        eventually(is_none, within=WITHIN_SECONDS)
    except AssertionError:
        raise AssertionError(f"{len(last)} after {WITHIN_SECONDS} s, such as {last[:2]}") from None


def _is_judged(body: Body) -> bool:
    ready = _ready(body)
    is_current = ready.get("observedGeneration") == body["metadata"]["generation"]
    return bool(is_current and ready["reason"] != "Pending")


def _ready(body: Body) -> Mapping[str, Any]:
    return condition(body.get("status") or {}, "Ready")
