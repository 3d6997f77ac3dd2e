"""An answer that was saved and the answer of today in, what moved between them out.

Everything after the generator is deterministic: asked again with the descriptions that it carries, a release gives the
same items in the same order, with scores that are equal to 1e-4; only items closer than that may trade places.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from longtail_client.answers import RecommendAnswer, Recommendation, document_of_record, record_of
from longtail_client.errors import DataInvalid, LongtailError

SCORE_TOLERANCE = 1e-4
"""Scores that differ by less are equal, in whatever batch they were computed."""

_NOT_ASKED_AGAIN = ("deadline_ms", "priority", "release")
_NO_TIMINGS = dict.fromkeys(("generate", "encode", "retrieve", "rerank", "total"), 0.0)


@dataclass(frozen=True, slots=True)
class Move:
    """One item in both answers; what an answer does not have of it is None.

    Attributes:
        item_id: The item.
        title: Its title.
        saved_rank: Where it was, from 1.
        rank: Where it is.
        score_delta: Its score now, less what it was.
        similarity_delta: Its similarity now, less what it was.
    """

    item_id: str
    title: str
    saved_rank: int | None
    rank: int | None
    score_delta: float | None
    similarity_delta: float | None


@dataclass(frozen=True, slots=True)
class Replay:
    """What moved between two answers to one request.

    Attributes:
        same: Whether they are equal, as a replay is.
        saved_release: What answered then.
        release: What answers now.
        saved_degraded: Stages that the saved answer does without.
        degraded: Stages that the answer of now does without.
        moves: All items of both, those of now first, by rank.
    """

    same: bool
    saved_release: str
    release: str
    saved_degraded: tuple[str, ...]
    degraded: tuple[str, ...]
    moves: tuple[Move, ...]

    @property
    def came(self) -> int:
        """How many items are new."""
        return sum(move.saved_rank is None for move in self.moves)

    @property
    def went(self) -> int:
        """How many items are gone."""
        return sum(move.rank is None for move in self.moves)

    @property
    def changed_rank(self) -> int:
        """How many items are elsewhere in the order."""
        return sum(move.rank != move.saved_rank for move in self.moves) - self.came - self.went

    @property
    def largest_score_delta(self) -> float:
        """How far the score of an item in both answers moved at most."""
        return max((abs(move.score_delta) for move in self.moves if move.score_delta is not None), default=0.0)


def read_saved(path: Path) -> RecommendAnswer:
    """Read an answer of /recommend, as `longtail recommend --save` or any caller kept it.

    Raises:
        DataInvalid: The file cannot be read, is no such answer, or does not say what was asked.
    """
    expected = f"{path}: expected an answer of /recommend, as `longtail recommend --save` writes it"
    try:
        document = json.loads(path.read_bytes())
    except OSError as error:
        raise DataInvalid(f"{expected}, got {error.strerror or error}") from error
    except ValueError as error:
        raise DataInvalid(f"{expected}, got no JSON: {error}") from error
    if not isinstance(document, dict):
        raise DataInvalid(f"{expected}, got a JSON {type(document).__name__}")
    missing = [name for name in ("release", "seed", "descriptions", "items") if name not in document]
    if missing:
        raise DataInvalid(f"{expected}, got JSON without {', '.join(missing)}")
    if not isinstance(document.get("request"), dict):
        raise DataInvalid(f"{expected}, got one that does not say its request; save it again from this version")
    try:
        return record_of(RecommendAnswer, {"request_id": "", "timings_ms": _NO_TIMINGS} | document)
    except LongtailError as error:
        raise DataInvalid(f"{expected}, got something else: {error}") from error


def fields_of(saved: RecommendAnswer) -> dict[str, Any]:
    """Say what to ask `recommend`, release aside, so that the answer is the saved one again.

    What only says how long the caller would wait is left out; the descriptions are those that the answer carries.
    """
    asked = document_of_record(saved.request)
    fields = {name: value for name, value in asked.items() if value != [] and name not in _NOT_ASKED_AGAIN}
    return fields | {"seed": saved.seed, "given_descriptions": [each.text for each in saved.descriptions]}


def compare(saved: RecommendAnswer, now: RecommendAnswer) -> Replay:
    """Say what moved."""
    before = {item.item_id: item for item in saved.items}
    after = {item.item_id: item for item in now.items}
    went = [item for item in saved.items if item.item_id not in after]
    return Replay(
        same=_same(saved.items, now.items),
        saved_release=saved.release,
        release=now.release,
        saved_degraded=saved.degraded,
        degraded=now.degraded,
        moves=tuple(
            [_move(item, before.get(item.item_id), item) for item in now.items]
            + [_move(item, item, None) for item in went]
        ),
    )


def _move(item: Recommendation, before: Recommendation | None, after: Recommendation | None) -> Move:
    return Move(
        item_id=item.item_id,
        title=item.title,
        saved_rank=before.rank if before else None,
        rank=after.rank if after else None,
        score_delta=after.score - before.score if before and after else None,
        similarity_delta=after.similarity - before.similarity if before and after else None,
    )


def _same(saved: tuple[Recommendation, ...], now: tuple[Recommendation, ...]) -> bool:
    """Compare place by place; where the items differ, they must be close, and be elsewhere or beyond the last place."""
    if len(saved) != len(now):
        return False
    if not all(_close(before.score, after.score) for before, after in zip(saved, now, strict=True)):
        return False
    before, after = ({item.item_id: item.score for item in items} for items in (saved, now))
    if not all(_close(before[item_id], after[item_id]) for item_id in before.keys() & after.keys()):
        return False
    last = saved[-1].score if saved else 0.0
    beyond = [before.get(item_id, after.get(item_id, 0.0)) for item_id in before.keys() ^ after.keys()]
    return all(_close(score, last) for score in beyond)


def _close(first: float, second: float) -> bool:
    return abs(first - second) <= SCORE_TOLERANCE
