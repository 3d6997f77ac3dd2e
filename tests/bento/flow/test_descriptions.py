"""Taking descriptions out of whatever a small model wrote."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from longtail_bento.flow.descriptions import MAX_CHARACTERS, describe_by_kinds, parse_descriptions, tidy_line

fragments = st.sampled_from(
    [
        "<|im_end|>",
        "<|",
        "|>",
        "- ",
        "1. ",
        "2) ",
        '"',
        "\n",
        "\r\n",
        "\x00",
        "\u2028",
        "\u200b",
        "Drama",
        "drama, 1990s",
    ]
)
generated_text = st.lists(st.one_of(fragments, st.text(max_size=40)), max_size=12).map("".join)


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.one_of(generated_text, st.text(min_size=150, max_size=500)), max_size=5),
    st.integers(0, 6),
    st.lists(st.text(max_size=20), max_size=3),
)
def test_any_text_gives_a_few_clean_lines(texts: list[str], limit: int, known: list[str]) -> None:
    found = parse_descriptions(texts, limit=limit, known=known)
    assert len(found) <= limit
    assert len({line.casefold() for line in found}) == len(found)
    for line in found:
        assert line.strip()
        assert len(line) <= MAX_CHARACTERS
        assert "<|" not in line
        assert not [character for character in line if unicodedata.category(character).startswith("C")]


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("Drama, 1990s", "Drama, 1990s"),
        ("1990s drama about rain", "1990s drama about rain"),
        ("12 angry people argue", "12 angry people argue"),
        ("1.5 hours of silence", "1.5 hours of silence"),
        ("2001: a space film", "2001: a space film"),
        ("1. Drama, 1990s", "Drama, 1990s"),
        ("10) Quiet western", "Quiet western"),
        ("(3) Quiet western", "Quiet western"),
        ("- Quiet western", "Quiet western"),
        ("* Quiet western", "Quiet western"),
        ("•Quiet western", "Quiet western"),
        ("a) Quiet western", "Quiet western"),
        ("- 1. Quiet western", "Quiet western"),
        ("**1.** Quiet western", "Quiet western"),
        ("## Quiet western", "Quiet western"),
        ("**Quiet western**", "Quiet western"),
        ('"Quiet western"', "Quiet western"),
        ("“Quiet western”", "Quiet western"),
        ('"Quiet western",', "Quiet western"),
        ("'Quiet western',", "Quiet western"),
        ("Quiet western;", "Quiet western"),
        ("Quiet western<|im_end|>", "Quiet western"),
        ("<|im_start|>assistant", "assistant"),
        ("Quiet\twestern\x07 film", "Quiet western film"),
        ("  Quiet   western  ", "Quiet western"),
        ("Le film d'été, 1960s", "Le film d'été, 1960s"),
        ("静かな映画です", "静かな映画です"),
    ],
)
def test_decoration_is_taken_off_and_words_are_kept(written: str, expected: str) -> None:
    assert tidy_line(written) == expected


def test_a_long_line_is_cut_between_words() -> None:
    line = tidy_line("lighthouse " * 30)
    assert line == " ".join(["lighthouse"] * 18)
    assert len(line) <= MAX_CHARACTERS


def test_lines_without_words_are_left_out() -> None:
    assert parse_descriptions(["...\n1.\n---\n1994\na\n?!\n\n"], limit=8) == []


@pytest.mark.parametrize("genre", ["Pop", "TV", "R&B", "g0", "爱情片"])
def test_a_short_genre_is_a_description(genre: str) -> None:
    assert parse_descriptions([genre], limit=1) == [genre]


def test_a_line_comes_once_whatever_its_case_and_punctuation() -> None:
    assert parse_descriptions(["Quiet Drama, 1990s", "quiet drama 1990S.", "Loud drama"], limit=8) == [
        "Quiet Drama, 1990s",
        "Loud drama",
    ]


def test_echoes_of_known_titles_are_left_out() -> None:
    texts = ['1. "ALIEN"\n2. A slow horror in space like Alien', "Jaws."]
    assert parse_descriptions(texts, limit=8, known=["Alien", "Jaws"]) == ["A slow horror in space like Alien"]


def test_each_text_speaks_once_before_any_speaks_twice() -> None:
    texts = ["first of one\nsecond of one\nthird of one", "first of two\nsecond of two"]
    assert parse_descriptions(texts, limit=4) == ["first of one", "first of two", "second of one", "second of two"]
    assert parse_descriptions(texts, limit=2) == ["first of one", "first of two"]


def test_nothing_written_gives_nothing() -> None:
    assert parse_descriptions([], limit=4) == []
    assert parse_descriptions(["", "\n \n"], limit=4) == []
    assert parse_descriptions(["a fine drama"], limit=0) == []


def test_kinds_are_described_once_each_the_most_telling_first() -> None:
    kinds = ["Drama, 1990s", "", "Western", "Drama, 1990s", "Horror"]
    assert describe_by_kinds(kinds, limit=2) == ["Drama, 1990s", "Western"]
    assert describe_by_kinds(kinds, limit=9) == ["Drama, 1990s", "Western", "Horror"]
    assert describe_by_kinds(["", ""], limit=4) == []
