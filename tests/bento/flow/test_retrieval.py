"""Saying what may be recommended, and putting together what the queries found."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from longtail_bento.domain import Query
from longtail_bento.flow.retrieval import allowed_items, merge_candidates

VECTORS = np.array([[1, 0], [0, 1], [0.6, 0.8], [-1, 0]], dtype=np.float32)


def query(*vector: float) -> Query:
    return Query("description", "a film", np.array(vector, dtype=np.float32))


def test_the_head_and_the_seen_may_not_be_recommended() -> None:
    is_tail = np.array([False, True, True, True])
    assert allowed_items(is_tail, np.array([2]), tail_only=True).tolist() == [False, True, False, True]
    assert allowed_items(is_tail, np.array([2]), tail_only=False).tolist() == [True, True, False, True]


def test_the_catalogues_own_flags_are_not_changed() -> None:
    is_tail = np.array([True, True])
    allowed_items(is_tail, np.array([0, 1]), tail_only=True)
    assert is_tail.all()


def test_each_candidate_stands_once_with_its_cosine_to_every_query() -> None:
    queries = [query(1, 0), query(0, 1)]
    candidates = merge_candidates(queries, np.array([[0, 2], [1, 2]]), VECTORS, np.ones(4, dtype=bool))
    assert candidates.rows.tolist() == [0, 1, 2]
    np.testing.assert_allclose(candidates.cosines, [[1, 0], [0, 1], [0.6, 0.8]], atol=1e-6)
    assert candidates.queries == tuple(queries)


def test_masked_items_at_the_end_of_a_search_are_no_candidates() -> None:
    allowed = np.array([True, False, False, False])
    candidates = merge_candidates([query(1, 0)], np.array([[0, 1, 2]]), VECTORS, allowed)
    assert candidates.rows.tolist() == [0]


def test_nothing_allowed_makes_no_candidates() -> None:
    candidates = merge_candidates([query(1, 0)], np.array([[0, 1]]), VECTORS, np.zeros(4, dtype=bool))
    assert candidates.rows.shape == (0,)
    assert candidates.cosines.shape == (0, 1)


@settings(max_examples=80, deadline=None)
@given(st.data())
def test_never_a_seen_item_never_the_head_and_each_row_once(data: st.DataObject) -> None:
    n_items = data.draw(st.integers(1, 15))
    rows = st.integers(0, n_items - 1)
    is_tail = np.array(data.draw(st.lists(st.booleans(), min_size=n_items, max_size=n_items)))
    seen = np.array(data.draw(st.lists(rows, max_size=6)), dtype=np.int64)
    tail_only = data.draw(st.booleans())
    found = np.array(data.draw(st.lists(st.tuples(rows, rows, rows), min_size=1, max_size=4)), dtype=np.int64)
    allowed = allowed_items(is_tail, seen, tail_only=tail_only)
    vectors = np.random.default_rng(0).standard_normal((n_items, 3)).astype(np.float32)
    queries = [Query("interest", "x", vectors[0]) for _ in found]
    candidates = merge_candidates(queries, found, vectors, allowed)

    expected = {row for row in found.ravel().tolist() if row not in seen.tolist() and (is_tail[row] or not tail_only)}
    assert candidates.rows.tolist() == sorted(expected)
    assert candidates.cosines.shape == (len(expected), len(queries))
