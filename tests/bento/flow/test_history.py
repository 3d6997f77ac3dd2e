"""Tidying interactions into a history."""

from __future__ import annotations

from typing import Any, get_args

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from longtail_bento.domain import History, Interaction
from longtail_bento.flow.history import HALF_LIFE_ITEMS, MAX_ITEMS, tidy_history
from longtail_client.calls import Kind

ROW_OF = {"a": 4, "b": 0, "c": 2}


def test_order_is_by_time_and_unknown_items_are_left_out() -> None:
    given_ = [Interaction("a", timestamp=30), Interaction("gone", timestamp=20), Interaction("b", timestamp=10)]
    assert tidy_history(given_, ROW_OF).rows.tolist() == [0, 4]


def test_interactions_of_the_same_second_keep_the_order_given() -> None:
    given_ = [Interaction("c", timestamp=7), Interaction("a", timestamp=7), Interaction("b", timestamp=7)]
    assert tidy_history(given_, ROW_OF).rows.tolist() == [2, 4, 0]


def test_only_the_latest_interaction_with_an_item_counts() -> None:
    given_ = [
        Interaction("a", weight=5.0, timestamp=1),
        Interaction("b", weight=3.0, timestamp=2),
        Interaction("a", weight=1.0, timestamp=3),
    ]
    history = tidy_history(given_, ROW_OF)
    assert history.rows.tolist() == [0, 4]
    np.testing.assert_allclose(history.preferences, [0.5 ** (1 / HALF_LIFE_ITEMS), 0.1], rtol=1e-6)


def test_preference_is_the_weight_in_the_users_own_range_times_the_decay() -> None:
    given_ = [Interaction("a", 1.0, 1), Interaction("b", 3.0, 2), Interaction("c", 5.0, 3)]
    expected = [0.1 * 0.5 ** (2 / 50), 0.55 * 0.5 ** (1 / 50), 1.0]
    np.testing.assert_allclose(tidy_history(given_, ROW_OF).preferences, expected, rtol=1e-6)


def test_equal_weights_differ_by_recency_alone() -> None:
    given_ = [Interaction("a", -3.0, 1), Interaction("b", -3.0, 2)]
    np.testing.assert_allclose(tidy_history(given_, ROW_OF).preferences, [0.5 ** (1 / 50), 1.0], rtol=1e-6)


def test_an_item_half_a_hundred_items_ago_counts_half() -> None:
    row_of = {str(index): index for index in range(51)}
    history = tidy_history([Interaction(str(index), timestamp=index) for index in range(51)], row_of)
    assert history.preferences[0] == pytest.approx(0.5)
    assert history.preferences[-1] == pytest.approx(1.0)


def test_a_long_history_keeps_its_latest_items() -> None:
    row_of = {str(index): index for index in range(MAX_ITEMS + 30)}
    history = tidy_history([Interaction(item, timestamp=row) for item, row in row_of.items()], row_of)
    assert history.rows.tolist() == list(range(30, MAX_ITEMS + 30))


def test_nothing_makes_an_empty_history() -> None:
    history = tidy_history([], ROW_OF)
    assert history.rows.shape == (0,)
    assert history.rows.dtype == np.int64
    assert history.preferences.shape == (0,)


def test_each_kind_speaks_as_loudly_as_is_said() -> None:
    given_ = [
        Interaction("a", 1.0, 1, "view"),
        Interaction("b", 1.0, 2, "purchase"),
        Interaction("c", 1.0, 3, "like"),
    ]
    expected = [0.3 * 0.5 ** (2 / 50), 0.8 * 0.5 ** (1 / 50), 1.0]
    np.testing.assert_allclose(tidy_history(given_, ROW_OF).preferences, expected, rtol=1e-6)


def test_ratings_are_scaled_among_themselves_alone() -> None:
    given_ = [Interaction("a", 2.0, 1), Interaction("b", 1.0, 2, "like"), Interaction("c", 4.0, 3)]
    expected = [0.1 * 0.5 ** (2 / 50), 1.0 * 0.5 ** (1 / 50), 1.0]
    np.testing.assert_allclose(tidy_history(given_, ROW_OF).preferences, expected, rtol=1e-6)


def test_what_is_disliked_is_seen_and_not_preferred() -> None:
    given_ = [Interaction("a", 1.0, 1, "dislike"), Interaction("b", 5.0, 2), Interaction("c", 1.0, 3, "dislike")]
    history = tidy_history(given_, ROW_OF)
    assert history.rows.tolist() == [0]
    assert history.preferences.tolist() == [1.0]
    assert history.disliked.tolist() == [4, 2]
    assert sorted(history.seen.tolist()) == [0, 2, 4]


@pytest.mark.parametrize(
    ("kinds", "counting"),
    [
        (("rating", "view"), "rating"),
        (("like", "purchase", "view"), "like"),
        (("view", "purchase"), "purchase"),
        (("purchase", "view"), "purchase"),
        (("like", "dislike"), "dislike"),
        (("dislike", "like"), "like"),
        (("rating", "dislike", "view"), "dislike"),
    ],
)
def test_words_outweigh_deeds_and_the_last_word_counts(kinds: tuple[Any, ...], counting: str) -> None:
    given_ = [Interaction("a", 1.0, second, kind) for second, kind in enumerate(kinds)]
    history = tidy_history(given_, ROW_OF)
    strength = {"rating": 1.0, "like": 1.0, "purchase": 0.8}.get(counting)
    np.testing.assert_allclose(history.preferences, [] if strength is None else [strength])
    assert history.disliked.tolist() == ([4] if counting == "dislike" else [])


@settings(max_examples=80, deadline=None)
@given(
    st.lists(
        st.builds(
            Interaction,
            st.sampled_from(["a", "b", "c", "gone"]),
            st.floats(-1e6, 1e6, allow_nan=False),
            st.integers(0, 5),
            st.sampled_from(get_args(Kind)),
        )
    )
)
def test_any_interactions_make_one_row_an_item_and_preferences_between_0_and_1(interactions: list[Interaction]) -> None:
    history = tidy_history(interactions, ROW_OF)
    known = {ROW_OF[each.item_id] for each in interactions if each.item_id in ROW_OF}
    assert sorted([*history.rows.tolist(), *history.disliked.tolist()]) == sorted(known)
    assert sorted(history.seen.tolist()) == sorted(known)
    assert history.preferences.dtype == np.float32
    assert ((history.preferences > 0) & (history.preferences <= 1)).all()


def test_the_most_telling_are_the_most_preferred_and_the_latest_among_equals() -> None:
    rows = np.array([3, 4, 5, 6])
    history = History(rows, np.array([1.0, 0.5, 1.0, 0.7], dtype=np.float32), seen=rows)
    assert history.most_telling(3).tolist() == [5, 3, 6]
    assert history.most_telling(9).tolist() == [5, 3, 6, 4]


def test_what_is_too_old_for_taste_is_still_seen() -> None:
    row_of = {str(row): row for row in range(MAX_ITEMS + 50)}
    history = tidy_history([Interaction(item_id) for item_id in row_of], row_of)
    assert history.rows.tolist() == list(range(50, MAX_ITEMS + 50))
    assert history.seen.tolist() == list(range(MAX_ITEMS + 50))
