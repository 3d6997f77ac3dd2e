"""A number of a JSON document in, an integer out where it is whole: JSON knows no difference between 5 and 5.0."""

from __future__ import annotations

from typing import Any

from pydantic import BeforeValidator


def _whole(given: Any) -> Any:
    return int(given) if isinstance(given, float) and given.is_integer() else given


WHOLE = BeforeValidator(_whole)
"""Stands last in the annotation of an integer, behind its bounds."""
