"""What callers send and get about stored interactions, in JSON; refused as in `wire.py`."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationInfo, field_validator

from longtail_bento.domain import Interaction
from longtail_bento.json_exact import NO_NUL, WHOLE
from longtail_client.calls import Kind

MAX_INTERACTIONS = 10_000
"""Interactions in one request, and in one page."""

CLOCK_SKEW_S = 60
"""Seconds that a caller's clock may be ahead of ours."""

StoredId = Annotated[str, StringConstraints(min_length=1, max_length=200, pattern=NO_NUL)]
"""Any text that both databases can store."""

_WEIGHT_BY_KIND: dict[str, Any] = {
    "if": {"properties": {"kind": {"const": "rating"}}},
    "then": {"required": ["weight"], "properties": {"weight": {"type": "number"}}},
    "else": {"properties": {"weight": {"type": "null"}}},
}


class _Request(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


class InteractionIn(_Request):
    """One thing that a user did."""

    model_config = ConfigDict(json_schema_extra=_WEIGHT_BY_KIND)

    user_id: StoredId
    item_id: StoredId = Field(description="Any item: one that the catalogue has not yet, or no longer, is kept too.")
    kind: Kind
    weight: float | None = Field(
        default=None,
        ge=-1e6,
        le=1e6,
        validate_default=True,
        description="The rating, on any scale that is the same for all of the user's; of the kind rating alone.",
    )
    timestamp: Annotated[int, Field(ge=0, le=2**53), WHOLE] | None = Field(
        default=None,
        description="Seconds since 1970, not in the future; 0 where it is not known, left out for now. "
        "The same user, item, kind and timestamp again is the same event.",
    )

    @field_validator("weight")
    @classmethod
    def _a_rating_has_one(cls, weight: float | None, info: ValidationInfo) -> float | None:
        kind = info.data.get("kind")
        if kind == "rating" and weight is None:
            raise ValueError("a rating needs a weight")
        if kind not in ("rating", None) and weight is not None:
            raise ValueError(f"only a rating has a weight, a {kind} has none")
        return weight

    @field_validator("timestamp")
    @classmethod
    def _not_in_the_future(cls, timestamp: int | None) -> int | None:
        if timestamp is not None and timestamp > time.time() + CLOCK_SKEW_S:
            raise ValueError("expected seconds since 1970 that have passed, got a time in the future")
        return timestamp

    def as_interaction(self, now_s: int) -> Interaction:
        """Hand it to the store."""
        return Interaction(
            self.item_id,
            1.0 if self.weight is None else self.weight,
            now_s if self.timestamp is None else self.timestamp,
            self.kind,
        )


class RecordRequest(_Request):
    """What users did; all of it is stored, or none."""

    interactions: list[InteractionIn] = Field(min_length=1, max_length=MAX_INTERACTIONS)


class RecordResponse(BaseModel):
    """What was stored is on the disk."""

    received: int = Field(description="Interactions in the request.")
    new: int = Field(description="Those that were not stored already.")


class ListRequest(_Request):
    """Whose interactions to read, and which page of them."""

    user_id: StoredId
    after: int = Field(default=0, ge=0, le=2**53, description="`next` of the page before; 0 for the first.")
    limit: int = Field(default=1000, ge=1, le=MAX_INTERACTIONS, description="Interactions in the page at most.")


class InteractionOut(BaseModel):
    """One thing that the user did, as it can be recorded again."""

    item_id: str
    kind: str
    weight: float | None = Field(default=None, description="The rating; other kinds have none.")
    timestamp: int

    @classmethod
    def of(cls, interaction: Interaction) -> InteractionOut:
        """Write an interaction as callers get it."""
        weight = interaction.weight if interaction.kind == "rating" else None
        return cls(item_id=interaction.item_id, kind=interaction.kind, weight=weight, timestamp=interaction.timestamp)


class ListResponse(BaseModel):
    """A page of a user's interactions, in the order they were recorded."""

    user_id: str
    interactions: Sequence[InteractionOut]
    next: int | None = Field(default=None, description="Where the next page begins; not there after the last.")


class DeleteRequest(_Request):
    """Whose interactions to delete."""

    user_id: StoredId


class DeleteResponse(BaseModel):
    """What was deleted is in no answer any more."""

    deleted: int
