"""What makes pydantic and JSON Schema, in whatever language reads it, take the same requests."""

from __future__ import annotations

from typing import Any

from pydantic import BeforeValidator


def _whole(given: Any) -> Any:
    return int(given) if isinstance(given, float) and given.is_integer() else given


WHOLE = BeforeValidator(_whole)
"""Takes 5.0 for 5, as JSON does; stands last in the annotation of an integer, behind its bounds."""

NOT_BLANK = r"[^\t-\r\u001c-\u0020\u0085\u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000\ufeff]"
r"""Matches a text that holds more than spaces. Of \S each dialect of regular expressions has its own idea."""

NO_NUL = r"^[^\x00]+$"
"""Matches a text that both databases can store."""
