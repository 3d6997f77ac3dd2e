"""A path in; the path of the API that it is, with its methods, out."""

from __future__ import annotations

from collections.abc import Mapping

_USERS, _INTERACTIONS = "/users/", "/interactions"

METHODS: Mapping[str, tuple[str, ...]] = {
    "/recommend": ("POST",),
    "/recommend/stream": ("POST",),
    "/describe": ("POST",),
    "/search": ("POST",),
    "/encode": ("POST",),
    "/v1/embeddings": ("POST",),
    "/interactions": ("POST",),
    "/users/{user_id}/interactions": ("DELETE", "GET"),
    "/release": ("GET",),
}
"""The API, by path."""

BESIDE: Mapping[str, tuple[str, ...]] = {
    "/": ("GET",),
    "/livez": ("GET", "HEAD"),
    "/readyz": ("GET", "HEAD"),
    "/metrics": ("GET",),
    "/docs.json": ("GET",),
}
"""What stands beside the API, by path."""

PROBES = ("/livez", "/readyz")
"""Asked by what runs the service: they need no key and no place, and are neither counted nor logged."""

KNOWN_METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
"""What HTTP has beside; a request with one of these gets an answer of ours."""


def path_of(path: str) -> str | None:
    """Say which path of the API a request goes to; the user's id is not in the answer.

    Returns:
        A key of `METHODS`; None for any other path.
    """
    if path.startswith(_USERS) and path.endswith(_INTERACTIONS) and len(path) >= len(_USERS + _INTERACTIONS):
        return "/users/{user_id}/interactions"
    return path if path in METHODS else None
