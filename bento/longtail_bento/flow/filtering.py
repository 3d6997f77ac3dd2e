"""A filter in, one flag an item out: exact conditions on the catalogue's attributes, ids and titles.

`{attribute: value | [values] | {"gte": low, "lte": high}}`, all of them holding; `{"any": [filter, …]}` holds where one
of its filters does, `{"not": filter}` where its filter does not. An attribute that is a list passes if any of its
values does; an item without the attribute passes nothing but a `not`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from longtail_bento.domain import Mask, Rows
from longtail_client.errors import InvalidRequest

MAX_DEPTH = 5
"""Filters inside filters."""

MAX_CONDITIONS = 64
"""Values and bounds in one filter, nested ones counted."""

_MAX_CHARACTERS = 200
_BOUNDS = ("gte", "lte")
_KINDS = {bool: "true or false", float: "a number", str: "a string"}

Value = bool | int | float | str


FILTER_SCHEMAS: Mapping[str, Mapping[str, Any]] = {
    "Filter": {
        "description": f"At most {MAX_DEPTH} inside each other, with {MAX_CONDITIONS} values and bounds in all.",
        "type": "object",
        "minProperties": 1,
        "properties": {
            "any": {"type": "array", "minItems": 1, "items": {"$ref": "#/components/schemas/Filter"}},
            "not": {"$ref": "#/components/schemas/Filter"},
        },
        "additionalProperties": {"$ref": "#/components/schemas/FilterCondition"},
    },
    "FilterCondition": {
        "anyOf": [
            {"$ref": "#/components/schemas/FilterValue"},
            {
                "type": "array",
                "minItems": 1,
                "maxItems": MAX_CONDITIONS,
                "items": {"$ref": "#/components/schemas/FilterValue"},
            },
            {
                "type": "object",
                "minProperties": 1,
                "properties": {bound: {"$ref": "#/components/schemas/FilterValue"} for bound in _BOUNDS},
                "additionalProperties": False,
            },
        ]
    },
    "FilterValue": {
        "anyOf": [{"type": "string", "maxLength": _MAX_CHARACTERS}, {"type": "number"}, {"type": "boolean"}]
    },
}
"""What `check_filter` takes, in JSON Schema, by the names that an OpenAPI document has them under."""


@dataclass(frozen=True, slots=True)
class AttributeColumn:
    """One attribute of all items, by its distinct values.

    Attributes:
        values: Distinct values: bool, a number type, or object for strings. Shape ``(n_values,)``.
        codes: For each entry, its value. Shape ``(n_entries,)``, integers.
        rows: For each entry, the item that has it. Shape ``(n_entries,)``.
    """

    values: npt.NDArray[Any]
    codes: npt.NDArray[np.integer[Any]]
    rows: Rows

    @property
    def kind(self) -> type:
        """What its values are: bool, float for any number, or str."""
        return {"b": bool, "O": str}.get(self.values.dtype.kind, float)


ColumnOf = Callable[[str], AttributeColumn | None]
"""Finds an attribute's column; None where the catalogue has no such attribute."""


def check_filter(document: Mapping[str, Any], *, place: str = "filter") -> None:
    """Refuse what is no filter, whatever the catalogue.

    Args:
        document: What the caller gave.
        place: Where that is in the request.

    Raises:
        InvalidRequest: A value is of a type that no attribute has, or the filter is too deep or too large; the field is
            named.
    """
    n_conditions = _count(document, place, depth=1)
    if n_conditions > MAX_CONDITIONS:
        raise _refused(place, f"at most {MAX_CONDITIONS} values and bounds", f"{n_conditions}")


def filter_mask(document: Mapping[str, Any], n_items: int, column_of: ColumnOf, *, place: str = "filter") -> Mask:
    """Say which items pass.

    Args:
        document: A filter that `check_filter` passes.
        n_items: Items of the catalogue.
        column_of: The catalogue's attributes.
        place: Where the filter is in the request.

    Returns:
        Shape ``(n_items,)``, bool.

    Raises:
        InvalidRequest: The catalogue has no such attribute, or its values are of another type; the field is named.
    """
    passing = np.ones(n_items, dtype=np.bool_)
    for name, wanted in document.items():
        here = f"{place}.{name}"
        if name == "any":
            some = np.zeros(n_items, dtype=np.bool_)
            for index, inner in enumerate(wanted):
                some |= filter_mask(inner, n_items, column_of, place=f"{here}.{index}")
            passing &= some
        elif name == "not":
            passing &= ~filter_mask(wanted, n_items, column_of, place=here)
        else:
            column = column_of(name)
            if column is None:
                raise InvalidRequest(f"{here}: the catalogue has no attribute '{name[:80]}' to filter on", field=here)
            holds = np.zeros(n_items, dtype=np.bool_)
            holds[column.rows[_matching(column, wanted, here)[column.codes]]] = True
            passing &= holds
    return passing


def _matching(column: AttributeColumn, wanted: Any, place: str) -> Mask:
    """Say which of a column's distinct values a condition holds for."""
    if isinstance(wanted, Mapping):
        matching = np.ones(len(column.values), dtype=np.bool_)
        for bound, limit in wanted.items():
            _check_kind(column, limit, f"{place}.{bound}")
            matching &= (column.values >= limit if bound == "gte" else column.values <= limit).astype(np.bool_)
        return matching
    matching = np.zeros(len(column.values), dtype=np.bool_)
    for index, value in enumerate(wanted if isinstance(wanted, list) else [wanted]):
        _check_kind(column, value, f"{place}.{index}" if isinstance(wanted, list) else place)
        matching |= (column.values == value).astype(np.bool_)
    return matching


def _check_kind(column: AttributeColumn, value: Value, place: str) -> None:
    if _kind(value) is not column.kind:
        raise _refused(place, f"{_KINDS[column.kind]}, as the catalogue has", _KINDS[_kind(value)])


def _kind(value: Value) -> type:
    return float if isinstance(value, int) and not isinstance(value, bool) else type(value)


def _count(document: Any, place: str, *, depth: int) -> int:
    if depth > MAX_DEPTH:
        raise _refused(place, f"at most {MAX_DEPTH} filters inside each other", "more")
    if not isinstance(document, Mapping) or not document:
        raise _refused(place, "an object that names an attribute, 'any' or 'not'", _named(document))
    n_conditions = 0
    for name, wanted in document.items():
        here = f"{place}.{name[:80]}"
        if name == "any":
            if not isinstance(wanted, list) or not wanted:
                raise _refused(here, "a list of filters", _named(wanted))
            n_conditions += sum(_count(each, f"{here}.{index}", depth=depth + 1) for index, each in enumerate(wanted))
        elif name == "not":
            n_conditions += _count(wanted, here, depth=depth + 1)
        elif isinstance(wanted, Mapping):
            n_conditions += _count_bounds(wanted, here)
        elif isinstance(wanted, list):
            if not wanted:
                raise _refused(here, "at least one value", "none")
            for index, value in enumerate(wanted):
                _check_value(value, f"{here}.{index}")
            n_conditions += len(wanted)
        else:
            _check_value(wanted, here)
            n_conditions += 1
    return n_conditions


def _count_bounds(wanted: Mapping[str, Any], place: str) -> int:
    if not wanted or set(wanted) - set(_BOUNDS):
        raise _refused(place, "a value, a list of values, or gte and lte", f"the keys {sorted(map(str, wanted))}"[:120])
    for bound, limit in wanted.items():
        _check_value(limit, f"{place}.{bound}")
    return len(wanted)


def _check_value(value: Any, place: str) -> None:
    if isinstance(value, float) and not math.isfinite(value):
        raise _refused(place, "a finite number", "NaN or infinity")
    if isinstance(value, int) and abs(value) > 2**63 - 1:
        raise _refused(place, "a number of 64 bits", "a longer one")
    if not isinstance(value, bool | int | float | str):
        raise _refused(place, "a string, a number, true or false", _named(value))
    if isinstance(value, str) and len(value) > _MAX_CHARACTERS:
        raise _refused(place, f"at most {_MAX_CHARACTERS} characters", f"{len(value)}")


def _named(value: Any) -> str:
    if value is None:
        return "null"
    return f"an empty {type(value).__name__}" if isinstance(value, list | dict) and not value else type(value).__name__


def _refused(place: str, expected: str, got: str) -> InvalidRequest:
    return InvalidRequest(f"{place}: expected {expected}, got {got}", field=place)
