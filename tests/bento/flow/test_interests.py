"""Finding the interests in a history."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from longtail_bento.flow.interests import MAX_INTERESTS, cosine, find_interests


def unit_rows(*rows: list[float]) -> np.ndarray:
    matrix = np.array(rows, dtype=np.float32)
    return matrix / np.linalg.norm(matrix, axis=1, keepdims=True)


def ones(count: int) -> np.ndarray:
    return np.ones(count, dtype=np.float32)


def test_the_cosine_of_the_worked_example_is_759_thousandths() -> None:
    user = np.array([1, 0, 1, 0, 1], dtype=np.float32)
    description = np.array([0.9, 0.8, 0.7, 0.6, 0.5], dtype=np.float32)
    assert round(cosine(user, description), 3) == 0.759
    assert cosine(user, description) == pytest.approx(2.1 / (3**0.5 * 2.55**0.5), abs=1e-6)


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [([2, 0], [5, 0], 1.0), ([1, 0], [0, 3], 0.0), ([1, 1], [-2, -2], -1.0), ([1, 0], [1, 1], 0.5**0.5)],
)
def test_the_cosine_of_plain_angles(first: list[float], second: list[float], expected: float) -> None:
    assert cosine(np.array(first, np.float32), np.array(second, np.float32)) == pytest.approx(expected, abs=1e-6)


def test_a_null_vector_has_no_angle() -> None:
    with pytest.raises(ValueError, match="null vector"):
        cosine(np.zeros(3, np.float32), np.ones(3, np.float32))


def test_vectors_of_unequal_length_have_no_angle() -> None:
    with pytest.raises(ValueError, match=r"\(3,\) and \(4,\)"):
        cosine(np.ones(3, np.float32), np.ones(4, np.float32))


def test_two_separated_tastes_give_two_interests_and_not_their_mean() -> None:
    vectors = unit_rows([1, 0, 0.1], [1, 0, -0.1], [0, 1, 0.1], [0, 1, -0.1])
    interests = find_interests(vectors, ones(4))
    assert interests.shape == (2, 3)
    by_first = interests[np.argsort(-interests[:, 0])]
    np.testing.assert_allclose(by_first, [[1, 0, 0], [0, 1, 0]], atol=1e-6)
    mean = unit_rows([1, 1, 0])[0]
    assert (interests @ mean < 0.72).all()


def test_the_interest_with_the_most_preference_behind_it_comes_first() -> None:
    vectors = unit_rows([1, 0, 0.1], [0, 1, 0.1], [0, 1, -0.1], [0, 1, 0])
    interests = find_interests(vectors, np.array([1.0, 0.9, 0.9, 0.9], np.float32))
    assert interests[0, 1] > 0.99
    assert interests[1, 0] > 0.99


def test_an_interest_leans_towards_what_is_preferred() -> None:
    vectors = unit_rows([1, 0], [0, 1])
    (interest,) = find_interests(vectors, np.array([1.0, 0.5], np.float32))
    np.testing.assert_allclose(interest, unit_rows([1, 0.5])[0], atol=1e-6)


def test_items_that_the_user_did_not_like_have_no_say() -> None:
    vectors = unit_rows([1, 0], [0, 1])
    (interest,) = find_interests(vectors, np.array([1.0, 0.49], np.float32))
    np.testing.assert_allclose(interest, [1, 0], atol=1e-6)


def test_an_empty_history_has_no_interests() -> None:
    interests = find_interests(np.empty((0, 7), np.float32), np.empty(0, np.float32))
    assert interests.shape == (0, 7)
    assert interests.dtype == np.float32


def test_items_that_cancel_each_other_out_make_no_interest() -> None:
    assert find_interests(unit_rows([1, 0], [-1, 0]), ones(2)).shape == (0, 2)


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 40), st.integers(0, 2**32 - 1), st.integers(1, 6))
def test_interests_are_few_unit_rows_and_the_same_every_time(n_items: int, seed: int, limit: int) -> None:
    random = np.random.default_rng(seed)
    vectors = unit_rows(*random.standard_normal((n_items, 8)).tolist())
    preferences = random.uniform(0.01, 1, n_items).astype(np.float32)
    interests = find_interests(vectors, preferences, limit=limit)
    assert 1 <= len(interests) <= limit
    assert interests.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(interests, axis=1), 1, atol=1e-5)
    np.testing.assert_array_equal(interests, find_interests(vectors.copy(), preferences.copy(), limit=limit))


def test_no_more_interests_than_the_limit_however_many_tastes() -> None:
    random = np.random.default_rng(0)
    tastes = np.repeat(np.eye(10), 3, axis=0) + 0.05 * random.standard_normal((30, 10))
    assert len(find_interests(unit_rows(*tastes.tolist()), ones(30))) == MAX_INTERESTS
