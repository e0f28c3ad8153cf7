"""Operations -> the OpenAPI 3.1 document, whose schemas are those of the types in the code."""

from collections.abc import Iterable
from importlib.metadata import version
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from supervisor.access.roles import PUBLIC, Action
from supervisor.http_api import problems
from supervisor.http_api.operation import Content, Operation, Parameter

PATH = "/openapi.json"
REF = "#/components/schemas/{name}"
Json = dict[str, Any]


def document_of(operations: Iterable[Operation]) -> Json:
    """Return the document that describes ``operations``."""
    table = tuple(operations)
    paths: Json = {}
    for operation in table:
        paths.setdefault(operation.path, {})[operation.method.lower()] = _operation(operation)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Chronovisor",
            "version": version("chronovisor"),
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "security": [{"token": []}],
        "paths": paths,
        "components": {
            "schemas": _schemas(table),
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
    }


def _operation(operation: Operation) -> Json:
    refused = Content("Refused.", problems.Problem, problems.MEDIA_TYPE)
    described: Json = {
        "operationId": operation.name,
        "summary": operation.summary,
        "parameters": [_parameter(each) for each in operation.parameters],
        "responses": {
            **{str(status): _body(content) for status, content in operation.answers.items()},
            "default": _body(refused),
        },
    }
    if operation.takes is not None:
        # No bytes at all are a file too, an empty one.
        is_required = operation.takes.schema is not None
        described["requestBody"] = {**_body(operation.takes), "required": is_required}
    if operation.action in PUBLIC:
        described["security"] = []
    return described


def _parameter(parameter: Parameter) -> Json:
    return {
        "name": parameter.name,
        "in": parameter.place.value,
        "description": parameter.description,
        "required": parameter.required,
        "schema": parameter.schema,
    }


def _body(content: Content) -> Json:
    schema = _reference(content.schema) if content.schema else {}
    return {"description": content.description, "content": {content.media_type: {"schema": schema}}}


def _reference(kind: type) -> Json:
    ((reference,), _) = msgspec.json.schema_components([kind], ref_template=REF)
    return dict(reference)


def _schemas(operations: tuple[Operation, ...]) -> Json:
    kinds = {content.schema for operation in operations for content in _contents(operation)}
    named = sorted(filter(None, kinds | {problems.Problem}), key=lambda kind: kind.__name__)
    _, schemas = msgspec.json.schema_components(named, ref_template=REF)
    taken = {each.takes.schema for each in operations if each.takes and each.takes.schema}
    _, closed = msgspec.json.schema_components(list(taken), ref_template=REF)
    for name in closed:  # a field that is not known is refused, not ignored
        if schemas[name].get("type") == "object":
            schemas[name]["additionalProperties"] = False
    return schemas


def _contents(operation: Operation) -> Iterable[Content]:
    yield from operation.answers.values()
    if operation.takes is not None:
        yield operation.takes


class Description:
    """The document, offered at its path."""

    def __init__(self, operations: Iterable[Operation]) -> None:
        self._document = msgspec.json.encode(document_of((*operations, *self.operations())))

    def operations(self) -> tuple[Operation, ...]:
        """Return what is offered here."""
        return (
            Operation(
                "describe",
                "GET",
                PATH,
                Action.DESCRIBE,
                "Describe this API.",
                self._describe,
                {200: Content("An OpenAPI document.")},
            ),
        )

    async def _describe(self, _request: Request) -> Response:
        return Response(self._document, media_type="application/json")
