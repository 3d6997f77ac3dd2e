"""The fields of a request in, refused where the doors would carry them in different ways.

JSON takes 2.0 for a whole number, and protobuf does not; protobuf reads nothing that is nested without end.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from longtail_client.errors import InvalidRequest

MAX_NESTING = 20
"""Lists and objects inside each other; what the service takes has fewer."""

_WHOLE = ("k", "descriptions", "seed", "deadline_ms", "after", "limit")
_EVENTS = ("history", "interactions")


def check_fields(document: Mapping[str, Any]) -> None:
    """Refuse what only one door would carry.

    Raises:
        InvalidRequest: A whole number is a float, or a field is nested too deeply.
    """
    for name, value in document.items():
        _check_nesting(name, value)
    for place, value in _whole_numbers(document):
        if isinstance(value, float):
            raise InvalidRequest(f"{place}: expected a whole number, got {value}", field=place)


def _check_nesting(name: str, value: Any) -> None:
    level = [value]
    for _ in range(MAX_NESTING + 1):
        level = [part for each in level for part in _parts(each)]
        if not level:
            return
    raise InvalidRequest(
        f"{name}: expected at most {MAX_NESTING} lists and objects inside each other, got more", field=name
    )


def _parts(value: Any) -> Iterator[Any]:
    if isinstance(value, Mapping):
        yield from value.values()
    elif isinstance(value, list | tuple):
        yield from value


def _whole_numbers(document: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    yield from ((name, document.get(name)) for name in _WHOLE)
    for name in _EVENTS:
        for index, event in enumerate(_parts(document.get(name))):
            if isinstance(event, Mapping):
                yield f"{name}.{index}.timestamp", event.get("timestamp")
