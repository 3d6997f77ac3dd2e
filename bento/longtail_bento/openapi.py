"""The routes of the HTTP door in, the document at /docs.json out: exactly what is taken and what is answered."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from longtail_bento.flow.filtering import FILTER_SCHEMAS

_HEADERS: dict[str, Any] = {
    "X-Request-ID": {
        "description": "The caller's id of the request, or one that was made for it.",
        "schema": {"type": "string"},
    }
}
_MORE_HEADERS: dict[str, dict[str, Any]] = {
    "401": {"WWW-Authenticate": {"description": "How to show a key.", "schema": {"type": "string"}}},
    "429": {"Retry-After": {"description": "Seconds to wait.", "schema": {"type": "string", "pattern": "^[0-9]+$"}}},
    "503": {"Retry-After": {"description": "Seconds to wait.", "schema": {"type": "string", "pattern": "^[0-9]+$"}}},
}


def openapi_document(app: FastAPI, *, asks_for_keys: bool) -> dict[str, Any]:
    """Write the document.

    Args:
        app: The door's routes.
        asks_for_keys: Whether a request without a key is refused.
    """
    document = get_openapi(title=app.title, version=app.version, description=app.description, routes=app.routes)
    schemas = document["components"]["schemas"]
    schemas.update(FILTER_SCHEMAS)
    for name in ("RecommendRequest", "SearchRequest"):
        given = schemas[name]["properties"]["filter"]["anyOf"]
        for option in [each for each in given if each.get("type") == "object"]:
            del option["type"], option["additionalProperties"]
            option["anyOf"] = [{"$ref": "#/components/schemas/Filter"}, {"type": "object", "maxProperties": 0}]
    for operations in document["paths"].values():
        for operation in operations.values():
            if not asks_for_keys:
                del operation["responses"]["401"]
            if "requestBody" not in operation:
                for status in ("400", "415"):
                    operation["responses"].pop(status, None)
            for status, response in operation["responses"].items():
                response["headers"] = _HEADERS | _MORE_HEADERS.get(status, {})
                if status >= "400":
                    response["content"] = {"application/problem+json": response["content"]["application/json"]}
    if asks_for_keys:
        document["components"]["securitySchemes"] = {"key": {"type": "http", "scheme": "bearer"}}
        document["security"] = [{"key": []}]
    return document
