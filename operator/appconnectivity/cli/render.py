"""``appconnectivity render``: the operator's compiler without a cluster.

Services, EndpointSlices and Namespaces that stand in the same files are used as the cluster would be. What has to be
looked up and is not in the files is named on stderr.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TextIO

import yaml
from pydantic import ValidationError

from appconnectivity.cli import onboard
from appconnectivity.cli.files import BadInput, Document, name_of, read
from appconnectivity.cluster import decode
from appconnectivity.core import api
from appconnectivity.core.compile import Compiled, Compiler
from appconnectivity.core.facts import Endpoints, Facts, Options, Peer, Service
from appconnectivity.core.findings import FlowState
from appconnectivity.core.intent import Intent, explain, faults, parse
from appconnectivity.core.references import references


def arguments(program: str, words: Sequence[str]) -> argparse.Namespace:
    """The parsed options; exits with 2 on wrong usage, as argparse does."""
    parser = argparse.ArgumentParser(
        prog=program, description="Prints the NetworkPolicies of AppConnectivity files; needs no cluster."
    )
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("-f", "--filename", action="append", help="file, directory, or - for stdin; may be repeated")
    what.add_argument(
        "--template", metavar="FILE", help="an AppConnectivityTemplate: print what --namespace gets of it"
    )
    parser.add_argument("-o", "--output", choices=["yaml", "json"], default="yaml", help="form of the output")
    parser.add_argument("-n", "--namespace", default="default", help="namespace of objects that name none")
    of_namespace: dict[str, Any] = {"action": "append", "default": [], "metavar": "KEY=VALUE", "type": _pair}
    parser.add_argument("--label", help="label of the namespace, for --template; may be repeated", **of_namespace)
    parser.add_argument("--annotation", help="annotation of it, for --template; may be repeated", **of_namespace)
    parser.add_argument("--app-label", default="app", help="label key that `app: x` stands for")
    return parser.parse_args(words)


def render(options: argparse.Namespace, *, output: TextIO | None = None, errors: TextIO | None = None) -> int:
    """Prints the policies of all files; returns 0, or 1 for bad input."""
    output, errors = output or sys.stdout, errors or sys.stderr
    if options.template is not None:
        return _render_template(options, output=output, errors=errors)
    try:
        documents = [document for path in options.filename for document in read(path)]
        objects = _objects(documents, namespace=options.namespace)
    except BadInput as error:
        print(error, file=errors)
        return 1
    rendering = Rendering(documents=tuple(documents), namespace=options.namespace, app_label=options.app_label)
    compiled = [
        rendering.compile(objects, namespace=name) for name in sorted({_namespace(o, options) for o in objects})
    ]
    policies = [policy.to_dict() for entry in compiled for policy in entry.policies]
    output.write(as_text(policies, form=options.output))
    for line in dict.fromkeys(line for entry in compiled for line in _remarks(entry)):
        print(line, file=errors)
    return 1 if any(_is_refused(entry) for entry in compiled) else 0


def _render_template(options: argparse.Namespace, *, output: TextIO, errors: TextIO) -> int:
    try:
        output.write(as_text(onboard.objects(options, errors=errors), form=options.output))
    except BadInput as error:
        print(error, file=errors)
        return 1
    return 0


def _pair(text: str) -> tuple[str, str]:
    key, separator, value = text.partition("=")
    if not key or not separator:
        raise argparse.ArgumentTypeError(f"{text!r} is not KEY=VALUE")
    return key, value


@dataclass(frozen=True)
class Rendering:
    """The files as facts."""

    documents: tuple[Document, ...]
    namespace: str
    app_label: str

    def compile(self, objects: Iterable[dict[str, Any]], *, namespace: str) -> Compiled:
        intents = [parse(body, default_app_label=self.app_label) for body in objects]
        own = [intent for intent in intents if intent.namespace == namespace]
        compiler = Compiler(
            facts=self._facts(namespace, intents=intents),
            options=Options(app_label=self.app_label),
            now=datetime.now(UTC),
            standing={},
        )
        return compiler.compile(own)

    def _facts(self, namespace: str, *, intents: Sequence[Intent]) -> Facts:
        services = self._services()
        own = [intent for intent in intents if intent.namespace == namespace]
        wanted = references(own)
        places = self._places(intents)
        return Facts(
            namespace=namespace,
            labels=places.get(namespace, {}),
            services=services,
            dns_services=tuple(services[key] for key in _DNS if key in services),
            api_server=self._slices("default", "kubernetes"),
            peers={
                name: Peer(labels=labels, intents=tuple(i for i in intents if i.namespace == name))
                for name, labels in places.items()
                if name in wanted.namespaces or any(s.matches(labels) for s in wanted.selectors)
            },
        )

    def _places(self, intents: Sequence[Intent]) -> dict[str, dict[str, str]]:
        """Namespaces of the files, and those of objects, which have at least their name's label."""
        found = {intent.namespace: {api.NAMESPACE_NAME_LABEL: intent.namespace} for intent in intents}
        for body in self._of_kind("Namespace"):
            name = body["metadata"]["name"]
            found[name] = (body["metadata"].get("labels") or {}) | {api.NAMESPACE_NAME_LABEL: name}
        return found

    def _services(self) -> dict[tuple[str, str], Service]:
        found = [
            decode.service(body, endpoint_slices=self._slice_bodies(body["metadata"]["namespace"], _name(body)))
            for body in self._of_kind("Service")
        ]
        return {(service.namespace, service.name): service for service in found}

    def _slices(self, namespace: str, service: str) -> tuple[Endpoints, ...]:
        return tuple(decode.endpoints(body) for body in self._slice_bodies(namespace, service))

    def _slice_bodies(self, namespace: str, service: str) -> list[dict[str, Any]]:
        return [
            body
            for body in self._of_kind("EndpointSlice")
            if body["metadata"]["namespace"] == namespace
            and (body["metadata"].get("labels") or {}).get(decode.SERVICE_NAME_LABEL) == service
        ]

    def _of_kind(self, kind: str) -> list[dict[str, Any]]:
        bodies = [document.content for document in self.documents if document.marked.get("kind") == kind]
        return [_placed(body, namespace=self.namespace) for body in bodies]


_DNS = (("kube-system", "kube-dns"), ("openshift-dns", "dns-default"))


def _objects(documents: Iterable[Document], *, namespace: str) -> list[dict[str, Any]]:
    """The AppConnectivity objects, each checked as a whole. Raises BadInput for the first fault."""
    found = [document for document in documents if document.marked.get("kind") == api.KIND]
    for document in found:
        _check(document)
    if not found:
        raise BadInput("no AppConnectivity object in these files")
    return list(_distinct(found, namespace=namespace).values())


def _distinct(documents: Iterable[Document], *, namespace: str) -> dict[str, dict[str, Any]]:
    """The objects by namespace and name. One that stands twice would make two policies of one name."""
    found: dict[str, dict[str, Any]] = {}
    places: dict[str, str] = {}
    for document in documents:
        body = _placed(document.content, namespace=namespace)
        ref, where = f"{body['metadata']['namespace']}/{_name(body)}", document.where(("metadata", "name"))
        if ref in found:
            raise BadInput(f"{where}: metadata.name: AppConnectivity {ref} stands already at {places[ref]}")
        found[ref], places[ref] = body, where
    return found


def _check(document: Document) -> None:
    name_of(document)
    try:
        api.Spec.model_validate(document.content.get("spec"))
    except ValidationError as error:
        location = next(faults(error)).location
        raise BadInput(f"{document.where(('spec', *location))}: {explain(error, at='spec').message}") from error


def _placed(body: dict[str, Any], *, namespace: str) -> dict[str, Any]:
    metadata = body.get("metadata") or {}
    return body | {"metadata": {"namespace": namespace} | metadata}


def _namespace(body: dict[str, Any], options: argparse.Namespace) -> str:
    return str(body["metadata"].get("namespace", options.namespace))


def _name(body: dict[str, Any]) -> str:
    return str(body["metadata"]["name"])


def _remarks(compiled: Compiled) -> Iterable[str]:
    """What a person should know that the policies do not show."""
    if compiled.dns_assumed and any("allow-dns" in policy.name for policy in compiled.policies):
        yield "needs the cluster: its DNS Service; the conventional one (kube-system, k8s-app=kube-dns, 53) is assumed"
    if any(not owner.uid for policy in compiled.policies for owner in policy.owners):
        yield "needs the cluster: metadata.ownerReferences, since the objects have no uid yet"
    for result in compiled.objects:
        where = f"{result.intent.namespace}/{result.intent.name}"
        for flow in result.flows:
            kind = "needs the cluster" if flow.state is FlowState.UNRESOLVED else flow.state.value
            if flow.state is not FlowState.ACTIVE or flow.finding.message:
                yield f"{kind}: {where} flow {flow.name}: {flow.finding.message}"
        if result.would_write:
            yield f"Audit: {where} writes nothing; it would write {', '.join(result.would_write)}"


def _is_refused(compiled: Compiled) -> bool:
    return any(
        result.refusal is not None or any(flow.state is FlowState.INVALID for flow in result.flows)
        for result in compiled.objects
    )


def as_text(bodies: list[dict[str, Any]], *, form: str) -> str:
    """The objects as YAML documents, or as one JSON List."""
    if form == "json":
        return json.dumps({"apiVersion": "v1", "items": bodies, "kind": "List"}, indent=2, sort_keys=True) + "\n"
    return "---\n".join(yaml.safe_dump(body, sort_keys=True, width=100) for body in bodies)
