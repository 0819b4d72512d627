"""A request that a route may take, made from what its OpenAPI document says."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import quote, urlencode

Json = Mapping[str, Any]

_DEEP: Final = 8
"""A schema may refer to itself."""

_STREAM: Final = "stream"
"""A switch of this name is on: the route shall stream."""


def sample_request(document: Json, path: str, operation: Json) -> tuple[str, str | None]:
    """Return a target and a JSON body, None for none, for one operation of a document."""
    query: dict[str, Any] = {}
    for given in operation.get("parameters", ()):
        parameter = _resolved(document, given)
        name = str(parameter["name"])
        value = _sample(document, parameter.get("schema", {}), name)
        if parameter.get("in") == "path":
            path = path.replace("{" + name + "}", quote(str(value), safe=""))
        elif parameter.get("in") == "query" and (parameter.get("required") or name == _STREAM):
            query[name] = json.dumps(value) if isinstance(value, bool) else value
    if query:
        path = f"{path}?{urlencode(query)}"
    content = _resolved(document, operation.get("requestBody", {})).get("content", {})
    body = content.get("application/json")
    if body is None:
        return path, None
    if "example" in body:
        return path, json.dumps(body["example"])
    return path, json.dumps(_sample(document, body.get("schema", {}), ""))


def _resolved(document: Json, value: Json) -> Json:
    while "$ref" in value:
        found: Any = document
        for part in str(value["$ref"]).removeprefix("#/").split("/"):
            found = found[part]
        value = found
    return value


def _sample(document: Json, schema: Json, name: str, deep: int = 0) -> Any:
    schema = _resolved(document, schema)
    for key in ("example", "const"):
        if key in schema:
            return schema[key]
    for key in ("examples", "enum"):
        if schema.get(key):
            return schema[key][0]
    for key in ("anyOf", "oneOf", "allOf"):
        if schema.get(key):
            return _sample(document, schema[key][0], name, deep)
    kind = schema.get("type")
    kind = kind[0] if isinstance(kind, list) else kind
    if kind == "object" or "properties" in schema:
        return _object(document, schema, deep + 1)
    match kind:
        case "array":
            count = max(1, schema.get("minItems", 1)) if deep < _DEEP else 0
            return [_sample(document, schema.get("items", {}), "", deep + 1)] * count
        case "boolean":
            return name == _STREAM
        case "integer" | "number":
            return schema.get("minimum", schema.get("exclusiveMinimum", 0) + 1)
        case "null":
            return None
        case _:
            return _text(schema, name)


def _object(document: Json, schema: Json, deep: int) -> dict[str, Any]:
    if deep > 2 * _DEEP:  # a list of these would have ended before: nothing fits such a schema
        return {}
    required = schema.get("required", ())
    return {
        name: _sample(document, inner, name, deep)
        for name, inner in schema.get("properties", {}).items()
        if name in required or name == _STREAM
    }


def _text(schema: Json, name: str) -> str:
    if name == "role":  # of a chat's message
        return "user"
    text = "Say something long."
    return text.ljust(schema.get("minLength", 0), ".")[: schema.get("maxLength")]
