"""Counting the values that many items share, exactly, in memory that does not grow with the number of values."""

from __future__ import annotations

import random
from collections import Counter

import pyarrow as pa
import pytest

from longtail_export import shared_values
from longtail_export.shared_values import SharedValues


def test_values_that_enough_items_have_are_named() -> None:
    values = SharedValues()
    values.add(pa.array(["a", "b", "a", None, ""]))
    values.add(pa.array(["b", "c", "a"]))
    assert values.is_exact
    assert values.candidates(2) == {"a", "b"}
    assert values.candidates(3) == {"a"}


def test_an_item_that_repeats_a_value_counts_once() -> None:
    values = SharedValues()
    values.add(pa.array([["a", "a", "b"], ["b"], None, [], [None, ""]]))
    assert values.candidates(2) == {"b"}


@pytest.mark.parametrize("n_frequent", [1, 5])
def test_a_frequent_value_is_never_lost_among_rare_ones(monkeypatch: pytest.MonkeyPatch, n_frequent: int) -> None:
    monkeypatch.setattr(shared_values, "MAX_COUNTED", 50)
    chance = random.Random(3)
    column = [f"rare {number}" for number in range(3000)] + [f"f{n % n_frequent}" for n in range(300)]
    chance.shuffle(column)
    batches = [pa.array(column[start : start + 40]) for start in range(0, len(column), 40)]
    rough = SharedValues()
    for batch in batches:
        rough.add(batch)
    candidates = rough.candidates(33)
    assert not rough.is_exact
    assert candidates >= {f"f{n}" for n in range(n_frequent)}
    assert len(candidates) <= 50 + 40
    exact = SharedValues(candidates)
    for batch in batches:
        exact.add(batch)
    assert exact.is_exact
    counts = Counter(column)
    assert exact.candidates(33) == {value for value, count in counts.items() if count >= 33}
