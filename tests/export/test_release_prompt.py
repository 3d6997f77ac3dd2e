"""The prompt of a catalogue: worked examples out of its own tail, and the markup around them."""

from __future__ import annotations

import pyarrow as pa

from longtail_client.release import Example
from longtail_export.release_prompt import CHATML, N_EXAMPLES, write_prompt

Rows = list[tuple[str, str, float]]


def items_of(*rows: tuple[str, str, bool]) -> pa.Table:
    """Rows of id, kind and tail flag; titles are the ids in capitals."""
    return pa.table(
        {
            "item_id": [row[0] for row in rows],
            "title": [row[0].upper() for row in rows],
            "kind": [row[1] for row in rows],
            "is_tail": [row[2] for row in rows],
        }
    )


def interactions_of(rows: Rows) -> pa.Table:
    users, items, weights = zip(*rows, strict=True) if rows else ((), (), ())
    return pa.table(
        {
            "user_id": pa.array(users, pa.string()),
            "item_id": pa.array(items, pa.string()),
            "weight": pa.array(weights, pa.float32()),
        }
    )


def liked_by(user: str, items: str, weight: float = 5.0) -> Rows:
    return [(user, item, weight) for item in items]


HEAD = [(letter, f"kind {letter}", False) for letter in "abcdef"]


def test_an_example_is_what_a_user_liked_and_the_tail_item_among_it() -> None:
    items = items_of(*HEAD, ("t", "quiet drama, 1990s", True))
    rows = [*liked_by("u", "abtcde"), ("u", "f", 4.0)]
    assert write_prompt(items, interactions_of(rows)).examples == (
        Example(
            liked=("kind a: A", "kind b: B", "kind c: C", "kind d: D"),
            description="quiet drama, 1990s",
        ),
    )


def test_only_what_a_user_weighs_highest_was_liked() -> None:
    items = items_of(*HEAD, ("t", "quiet drama", True), ("l", "a much longer kind of drama", True))
    rows = [*liked_by("u", "abcdt", 3.0), ("u", "l", 2.0)]
    assert write_prompt(items, interactions_of(rows)).examples[0].description == "quiet drama"


def test_the_tail_item_with_the_most_to_say_is_described() -> None:
    items = items_of(*HEAD, ("s", "drama", True), ("t", "quiet drama", True))
    (example,) = write_prompt(items, interactions_of(liked_by("u", "abcst"))).examples
    assert example.description == "quiet drama"
    assert "drama: S" in example.liked
    assert all("T: " not in liked for liked in example.liked)


def test_an_item_without_a_kind_is_liked_by_title_and_never_described() -> None:
    items = items_of(("a", "", False), ("b", "", True), *HEAD[2:5], ("t", "drama", True))
    (example,) = write_prompt(items, interactions_of(liked_by("u", "abcdt"))).examples
    assert example == Example(liked=("A", "B", "kind c: C", "kind d: D"), description="drama")


def test_a_user_who_liked_fewer_than_four_other_items_is_no_example() -> None:
    items = items_of(*HEAD, ("t", "drama", True))
    assert write_prompt(items, interactions_of(liked_by("u", "abct"))).examples == ()


def test_a_user_who_liked_nothing_of_the_tail_is_no_example() -> None:
    assert write_prompt(items_of(*HEAD), interactions_of(liked_by("u", "abcdef"))).examples == ()


def test_a_catalogue_nobody_touched_has_no_examples() -> None:
    assert write_prompt(items_of(*HEAD), interactions_of([])).examples == ()


def test_the_least_active_quarter_is_passed_over() -> None:
    items = items_of(*HEAD, *((f"{n}", f"kind {n}", True) for n in range(4)))
    rows = [*liked_by("u0", "abcd0"), *liked_by("u1", "abcde1"), *liked_by("u2", "abcde2"), *liked_by("u3", "abcdef3")]
    examples = write_prompt(items, interactions_of(rows)).examples
    assert [example.description for example in examples] == ["kind 1", "kind 2", "kind 3"]


def test_there_are_at_most_three_examples_and_no_two_describe_the_same() -> None:
    items = items_of(*HEAD, ("s", "drama", True), ("t", "comedy", True), ("v", "western", True), ("w", "horror", True))
    rows = [row for n, tail in enumerate("ssstvw") for row in liked_by(f"u{n}", f"abcd{tail}")]
    examples = write_prompt(items, interactions_of(rows)).examples
    assert len(examples) == N_EXAMPLES
    assert [example.description for example in examples] == ["drama", "comedy", "western"]


def test_the_prompt_asks_in_chatml_and_stops_at_a_line() -> None:
    prompt = write_prompt(items_of(*HEAD), interactions_of([]))
    assert prompt.markup == CHATML
    assert prompt.markup.user.format("hello") == "<|im_start|>user\nhello<|im_end|>\n"
    assert prompt.markup.assistant.startswith(prompt.markup.assistant_opening)
    assert "never name a title" in prompt.system
    assert "\n" in prompt.stop
    assert "<|im_end|>" in prompt.stop
