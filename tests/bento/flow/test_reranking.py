"""Putting candidates into serving order."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from longtail_bento.domain import Candidates, Query, Ranked
from longtail_bento.flow.reranking import rank
from longtail_client.release import Weights

WEIGHTS = Weights(description=1.0, steer=2.0, interest=0.5, popularity=0.25)
BY_SCORE: dict[str, Any] = {"adventurousness": 0.0, "diversity": 0.0}


@dataclass(frozen=True)
class Case:
    """What `rank` is called with."""

    candidates: Candidates
    vectors: np.ndarray
    popularity: np.ndarray

    def ranked(self, *, k: int, adventurousness: float, diversity: float, weights: Weights = WEIGHTS) -> Ranked:
        return rank(
            self.candidates,
            self.vectors,
            self.popularity,
            weights,
            k=k,
            adventurousness=adventurousness,
            diversity=diversity,
        )


def case(cosines: list[list[float]], sources: str, *, vectors: Any = None, popularity: Any = None) -> Case:
    names = {"d": "description", "s": "steer", "i": "interest", "a": "aversion"}
    queries = tuple(Query(names[source], source, np.ones(2, np.float32)) for source in sources)  # type: ignore[arg-type]
    n_items = len(cosines)
    return Case(
        Candidates(np.arange(n_items), np.array(cosines, np.float32).reshape(n_items, len(queries)), queries),
        np.eye(n_items, dtype=np.float32) if vectors is None else np.array(vectors, np.float32),
        np.zeros(n_items, np.int64) if popularity is None else np.array(popularity),
    )


@st.composite
def cases(draw: st.DrawFn) -> Case:
    n_items = draw(st.integers(1, 12))
    n_extra = draw(st.integers(0, 4))
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    vectors = random.standard_normal((n_items + n_extra, 4)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    sources = draw(st.lists(st.sampled_from(["description", "steer", "interest"]), min_size=1, max_size=5))
    queries = tuple(Query(source, f"{i}", vectors[i % n_items]) for i, source in enumerate(sources))  # type: ignore[arg-type]
    rows = np.sort(random.choice(n_items + n_extra, n_items, replace=False))
    cosines = vectors[rows] @ np.stack([query.vector for query in queries]).T
    popularity = random.integers(0, 500, n_items + n_extra)
    return Case(Candidates(rows, cosines, queries), vectors, popularity)


shares = st.floats(0, 1, allow_nan=False)


def test_a_score_is_the_best_standardised_cosine_of_each_source_times_its_weight() -> None:
    ranked = case([[1.0, 0.2, 0.5], [0.9, 0.6, 0.5], [0.5, 0.1, 0.8]], "dds").ranked(k=3, **BY_SCORE)
    first = np.array([0.2, 0.1, -0.3]) / np.sqrt(0.14 / 3)
    second = np.array([-0.1, 0.3, -0.2]) / np.sqrt(0.14 / 3)
    steer = np.array([-0.1, -0.1, 0.2]) / np.sqrt(0.06 / 3)
    expected = np.maximum(first, second) + 2.0 * steer
    order = np.argsort(-expected)
    assert ranked.rows.tolist() == order.tolist()
    np.testing.assert_allclose(ranked.scores, expected[order], atol=1e-5)


def test_an_aversion_takes_off_what_is_nearer_to_it_than_the_mean() -> None:
    cosines = [[0.5, 0.9, 0.1], [0.5, 0.3, 0.2], [0.5, 0.0, 0.9]]
    ranked = case(cosines, "daa").ranked(k=3, **BY_SCORE)
    first = np.array([0.5, -0.1, -0.4]) / np.sqrt(0.42 / 3)
    second = np.array([-0.3, -0.2, 0.5]) / np.sqrt(0.38 / 3)
    expected = -2.0 * np.maximum(np.maximum(first, second), 0.0)
    assert ranked.rows.tolist()[0] == 1
    np.testing.assert_allclose(sorted(ranked.scores), sorted(expected), atol=1e-5)
    assert set(ranked.found_by.tolist()) == {0}, "an aversion finds nothing"


def test_popularity_takes_off_its_logarithm() -> None:
    ranked = case([[0.5], [0.5]], "d", popularity=[99, 0]).ranked(k=2, adventurousness=0.4, diversity=0.0)
    assert ranked.rows.tolist() == [1, 0]
    np.testing.assert_allclose(ranked.scores, [0.0, -0.4 * 0.25 * np.log(100)], atol=1e-6)


def test_three_items_are_spread_as_computed_by_hand() -> None:
    """Worths are 1, 0.8 and 0; the second item is 0.8 like the first, the third is unlike it."""
    items = case([[1.0], [0.9], [0.5]], "d", vectors=[[1, 0], [0.8, 0.6], [0, 1]])
    # Second place: 0.7 * 0.8 - 0.3 * 0.8 = 0.32 beats 0; 0.4 * 0.8 - 0.6 * 0.8 = -0.16 does not.
    assert items.ranked(k=3, adventurousness=0, diversity=0.3).rows.tolist() == [0, 1, 2]
    assert items.ranked(k=3, adventurousness=0, diversity=0.6).rows.tolist() == [0, 2, 1]


def test_ties_keep_the_order_of_the_catalogue() -> None:
    same = case([[0.4]] * 4, "d", vectors=[[1, 0]] * 4)
    for diversity in (0.0, 0.5, 1.0):
        assert same.ranked(k=4, adventurousness=0, diversity=diversity).rows.tolist() == [0, 1, 2, 3]


def test_an_item_is_explained_by_the_loudest_words_and_not_by_an_interest() -> None:
    loud_interests = Weights(description=1.0, steer=2.0, interest=9.0, popularity=0.0)
    items = case([[0.9, 0.1, 0.99], [0.1, 0.8, 0.1]], "dsi")
    ranked = items.ranked(k=2, weights=loud_interests, **BY_SCORE)
    assert ranked.rows.tolist() == [0, 1]
    assert ranked.found_by.tolist() == [0, 1]
    assert ranked.similarities.tolist() == [pytest.approx(0.9), pytest.approx(0.8)]


def test_interests_explain_where_there_are_no_words() -> None:
    ranked = case([[0.9, 0.1], [0.1, 0.8]], "ii").ranked(k=2, **BY_SCORE)
    assert dict(zip(ranked.rows.tolist(), ranked.found_by.tolist(), strict=True)) == {0: 0, 1: 1}


def test_a_weight_of_nothing_silences_a_source() -> None:
    loud = case([[0.9, 0.1], [0.1, 0.8]], "di")
    deaf = Weights(description=1.0, steer=0.0, interest=0.0, popularity=0.0)
    ranked = loud.ranked(k=2, weights=deaf, **BY_SCORE)
    assert ranked.rows.tolist() == [0, 1]
    np.testing.assert_allclose(ranked.scores, [1, -1], atol=1e-5)


def test_no_candidates_make_no_items() -> None:
    ranked = case([], "di", vectors=np.empty((0, 2))).ranked(k=5, adventurousness=0.5, diversity=0.3)
    assert ranked.rows.shape == (0,)
    assert ranked.similarities.shape == (0,)


def test_one_candidate_is_served_with_finite_numbers() -> None:
    ranked = case([[0.3, 0.4]], "di").ranked(k=5, adventurousness=0.5, diversity=1.0)
    assert ranked.rows.tolist() == [0]
    assert np.isfinite(ranked.scores).all()


@settings(max_examples=100, deadline=None)
@given(cases(), st.integers(1, 15), shares, shares)
def test_the_answer_is_a_choice_of_candidates_with_their_own_cosines(
    any_case: Case, k: int, adventurousness: float, diversity: float
) -> None:
    candidates = any_case.candidates
    ranked = any_case.ranked(k=k, adventurousness=adventurousness, diversity=diversity)
    assert len(ranked.rows) == min(k, len(candidates.rows))
    assert len(set(ranked.rows.tolist())) == len(ranked.rows)
    assert set(ranked.rows.tolist()) <= set(candidates.rows.tolist())
    for row, column, similarity in zip(ranked.rows, ranked.found_by, ranked.similarities, strict=True):
        position = int(np.flatnonzero(candidates.rows == row)[0])
        assert similarity == candidates.cosines[position, column]
    assert np.isfinite(ranked.scores).all()


@settings(max_examples=60, deadline=None)
@given(cases(), shares)
def test_without_diversity_scores_fall(any_case: Case, adventurousness: float) -> None:
    scores = any_case.ranked(k=20, adventurousness=adventurousness, diversity=0.0).scores
    assert (np.diff(scores) <= 0).all()


@settings(max_examples=60, deadline=None)
@given(cases(), st.integers(1, 12), shares)
def test_fewer_items_are_the_beginning_of_more(any_case: Case, k: int, diversity: float) -> None:
    few = any_case.ranked(k=k, adventurousness=0.5, diversity=diversity)
    many = any_case.ranked(k=20, adventurousness=0.5, diversity=diversity)
    assert few.rows.tolist() == many.rows.tolist()[:k]


@settings(max_examples=60, deadline=None)
@given(cases())
def test_adventure_lowers_the_popular_against_the_unknown(any_case: Case) -> None:
    def by_row(adventurousness: float) -> dict[int, float]:
        ranked = any_case.ranked(k=20, adventurousness=adventurousness, diversity=0.0)
        return dict(zip(ranked.rows.tolist(), ranked.scores.tolist(), strict=True))

    near, far = by_row(0.0), by_row(1.0)
    for row, score in near.items():
        taken_off = WEIGHTS.popularity * np.log1p(any_case.popularity[row])
        assert far[row] == pytest.approx(score - taken_off, abs=1e-4)


@settings(max_examples=40, deadline=None)
@given(cases(), shares, shares)
def test_the_same_candidates_give_the_same_answer(any_case: Case, adventurousness: float, diversity: float) -> None:
    first, second = (
        any_case.ranked(k=20, adventurousness=adventurousness, diversity=diversity),
        any_case.ranked(k=20, adventurousness=adventurousness, diversity=diversity),
    )
    for name in ("rows", "scores", "found_by", "similarities"):
        np.testing.assert_array_equal(getattr(first, name), getattr(second, name))


@settings(max_examples=50, deadline=None)
@given(cases(), st.floats(0.05, 1))
def test_every_next_item_is_the_best_by_maximal_marginal_relevance(any_case: Case, diversity: float) -> None:
    ranked = any_case.ranked(k=20, adventurousness=0.0, diversity=diversity)
    low, high = ranked.scores.min(), ranked.scores.max()
    worth = {
        int(row): float((score - low) / (high - low)) if high > low else 0.0
        for row, score in zip(ranked.rows, ranked.scores, strict=True)
    }
    vectors = any_case.vectors
    for position in range(1, len(ranked.rows)):
        chosen = ranked.rows[:position]
        values = {
            int(row): (1 - diversity) * worth[int(row)]
            - diversity * max(float(np.clip(vectors[row] @ vectors[other], 0, 1)) for other in chosen)
            for row in ranked.rows[position:]
        }
        assert values[int(ranked.rows[position])] >= max(values.values()) - 1e-5
