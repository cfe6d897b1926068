"""``appconnectivity render --template``: what a namespace would get of a template, without a cluster."""

from __future__ import annotations

import argparse
from typing import Any, TextIO

from appconnectivity.cli.files import BadInput, Document, name_of, read
from appconnectivity.core import api
from appconnectivity.core.filling import RenderError
from appconnectivity.core.rollout import Template
from appconnectivity.core.template import KIND, Place, Refusal, Renderings, TemplateSpec, parse


def objects(options: argparse.Namespace, *, errors: TextIO) -> list[dict[str, Any]]:
    """The AppConnectivity objects that the file's templates keep in the namespace. Raises BadInput."""
    place = Place(
        options.namespace,
        labels=dict(options.label) | {api.NAMESPACE_NAME_LABEL: options.namespace},
        annotations=dict(options.annotation),
    )
    documents = [document for document in read(options.template) if document.marked.get("kind") == KIND]
    if not documents:
        raise BadInput(f"{options.template}: no {KIND} in this file")
    found = [_object(document, place, errors=errors) for document in documents]
    return [body for body in found if body is not None]


def _object(document: Document, place: Place, *, errors: TextIO) -> dict[str, Any] | None:
    name, renderings = name_of(document), Renderings(_spec(document))
    template = Template(name=name, renderings=renderings)
    if not template.selects(place):
        selected = f"it selects {renderings.selector}; give the namespace's labels with --label"
        print(f"{name} does not select namespace {place.name}: {selected}", file=errors)
        return None
    try:
        body = template.body(place)
    except RenderError as error:
        raise BadInput(f"{document.where(error.path)}: {error}") from error
    print("needs the cluster: metadata.ownerReferences, since the template has no uid yet", file=errors)
    return body


def _spec(document: Document) -> TemplateSpec:
    parsed = parse(document.content.get("spec"))
    if isinstance(parsed, Refusal):
        raise BadInput(f"{document.where(parsed.path)}: {parsed.message}")
    return parsed
