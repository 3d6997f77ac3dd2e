"""What counts as the same answer, what moved, and which files are answers at all."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from longtail_client.answers import (
    Description,
    HistoryEntry,
    RecommendAnswer,
    Recommendation,
    RecommendQuestion,
    Timings,
    document_of_record,
)
from longtail_client.errors import DataInvalid
from longtail_client.replay import compare, fields_of, read_saved


def answer_of(*scores: tuple[str, float], release: str = "demo-1", **fields: Any) -> RecommendAnswer:
    items = tuple(
        Recommendation(rank, item_id, f"film {item_id}", score, score / 2, 10.0)
        for rank, (item_id, score) in enumerate(scores, start=1)
    )
    asked = RecommendQuestion(history=(HistoryEntry("7", 2.0),), k=len(items), deadline_ms=5, priority="bulk")
    made: dict[str, Any] = {
        "descriptions": (Description("Drama, 1990s", "generator"),),
        "items": items,
        "request": asked,
    }
    return RecommendAnswer("r", release, 3, Timings(0, 0, 0, 0, 0), **made | fields)


SAVED = answer_of(("a", 2.0), ("b", 1.5), ("c", 1.0))


@pytest.mark.parametrize(
    ("now", "same"),
    [
        ([("a", 2.0), ("b", 1.5), ("c", 1.0)], True),
        ([("a", 2.00009), ("b", 1.49991), ("c", 1.0)], True),
        ([("a", 2.0002), ("b", 1.5), ("c", 1.0)], False),
        ([("b", 1.5), ("a", 2.0), ("c", 1.0)], False),
        ([("a", 2.0), ("b", 1.5)], False),
        ([("a", 2.0), ("b", 1.5), ("d", 1.00005)], True),  # a tie with what was just beyond the last place
        ([("a", 2.0), ("b", 1.5), ("d", 1.1)], False),
        ([("a", 2.0), ("d", 1.5), ("c", 1.0)], False),  # no tie puts another item in the middle
    ],
)
def test_same_is_the_same_items_in_order_with_equal_scores(now: list[tuple[str, float]], same: bool) -> None:
    assert compare(SAVED, answer_of(*now)).same is same


@pytest.mark.parametrize(("apart", "same"), [(0.00009, True), (0.0003, False)])
def test_only_items_closer_than_the_tolerance_trade_places(apart: float, same: bool) -> None:
    saved = answer_of(("a", 1.0 + apart), ("b", 1.0))
    assert compare(saved, answer_of(("b", 1.0), ("a", 1.0 + apart))).same is same


def test_what_moved_is_told_item_by_item() -> None:
    found = compare(SAVED, answer_of(("b", 1.75), ("a", 1.5), ("d", 0.5), release="demo-2", degraded=("generate",)))
    told = [(each.item_id, each.saved_rank, each.rank, each.score_delta, each.similarity_delta) for each in found.moves]
    assert told == [
        ("b", 2, 1, 0.25, 0.125),
        ("a", 1, 2, -0.5, -0.25),
        ("d", None, 3, None, None),
        ("c", 3, None, None, None),
    ]
    assert (found.came, found.went, found.changed_rank, found.largest_score_delta) == (1, 1, 2, 0.5)
    assert (found.saved_release, found.release) == ("demo-1", "demo-2")
    assert (found.saved_degraded, found.degraded) == ((), ("generate",))


def test_two_empty_answers_are_the_same() -> None:
    assert compare(answer_of(), answer_of()).same


def test_what_is_asked_again_is_the_request_with_the_answers_descriptions_and_seed() -> None:
    fields = fields_of(SAVED)
    assert fields == {
        "history": [{"item_id": "7", "weight": 2.0, "timestamp": 0}],
        "k": 3,
        "descriptions": 4,
        "tail_only": True,
        "adventurousness": 0.5,
        "diversity": 0.3,
        "explain": False,
        "seed": 3,
        "given_descriptions": ["Drama, 1990s"],
    }


def test_an_answer_without_descriptions_is_asked_without_any() -> None:
    assert fields_of(replace(SAVED, descriptions=()))["given_descriptions"] == []


def test_a_saved_answer_is_read_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "answer.json"
    path.write_text(json.dumps(document_of_record(SAVED)))
    assert read_saved(path) == SAVED


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "got no JSON"),
        ("\x00\xff", "got no JSON"),
        ("[]", "got a JSON list"),
        ("{}", "got JSON without release, seed, descriptions, items"),
        (json.dumps({**document_of_record(SAVED), "items": [{"rank": 1}]}), "got something else"),
        (json.dumps({**document_of_record(SAVED), "items": 5}), "got something else"),
        (json.dumps({**document_of_record(SAVED), "request": None}), "got one that does not say its request"),
        (json.dumps({**document_of_record(SAVED), "request": {"history": [5]}}), "got something else"),
        (json.dumps({**document_of_record(SAVED), "descriptions": "ab"}), "got something else"),
    ],
)
def test_a_file_that_is_no_answer_is_refused(tmp_path: Path, content: str, said: str) -> None:
    path = tmp_path / "answer.json"
    path.write_text(content, encoding="latin-1")
    with pytest.raises(DataInvalid, match="expected an answer of /recommend") as refused:
        read_saved(path)
    assert said in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataInvalid, match="No such file"):
        read_saved(tmp_path / "none.json")
    with pytest.raises(DataInvalid, match="Is a directory"):
        read_saved(tmp_path)
