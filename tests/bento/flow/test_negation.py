"""What a wish wants and what it does not, sentence by sentence."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from longtail_bento.flow.negation import read_wish

READ: list[tuple[str, str, tuple[str, ...]]] = [
    ("a quiet drama", "a quiet drama", ()),
    ("no horror", "", ("horror",)),
    ("No horror please", "", ("horror",)),
    ("not another western", "", ("western",)),
    ("nothing violent", "", ("violent",)),
    ("without ghosts", "", ("ghosts",)),
    ("a comedy without romance", "a comedy", ("romance",)),
    ("I don't want anything scary", "", ("scary",)),
    ("I don’t want anything scary", "", ("scary",)),
    ("Something funny but not stupid", "Something funny", ("stupid",)),
    ("no horror or gore", "", ("horror", "gore")),
    ("no ghosts and vampires", "", ("ghosts", "vampires")),
    ("no horror and more comedy", "more comedy", ("horror",)),
    ("less romance, more action", "more action", ("romance",)),
    ("a thriller, no violence, set in Paris", "a thriller, set in Paris", ("violence",)),
    ("anything but horror", "", ("horror",)),
    ("I'm tired of superheroes", "", ("superheroes",)),
    ("I hate musicals", "", ("musicals",)),
    ("never war films", "", ("war films",)),
    ("avoid anything with Tom Cruise", "", ("Tom Cruise",)),
    ("I can't stand slapstick", "", ("slapstick",)),
    ("neither blood nor guns", "", ("blood", "guns")),
    # What only looks like negation.
    ("not only westerns", "not only westerns", ()),
    ("nothing but comedies", "nothing but comedies", ()),
    ("something dark, not without humour", "something dark, not without humour", ()),
    ("no matter what, a western", "no matter what, a western", ()),
    ("I can't get enough of westerns", "I can't get enough of westerns", ()),
    ("something I have not seen", "something I have not seen", ()),
    ("a film noir", "a film noir", ()),
    ("the notebook", "the notebook", ()),
    ("no", "no", ()),
    # What it does not read.
    ("horror bores me", "horror bores me", ()),
    ("ohne Horror", "ohne Horror", ()),
]


@pytest.mark.parametrize(("sentence", "wanted", "unwanted"), READ, ids=[row[0] for row in READ])
def test_a_wish_is_read(sentence: str, wanted: str, unwanted: tuple[str, ...]) -> None:
    wish = read_wish(sentence)
    assert (wish.wanted, wish.unwanted) == (wanted, unwanted)


@given(st.text(max_size=300))
def test_any_sentence_is_read_into_parts_of_itself(sentence: str) -> None:
    wish = read_wish(sentence)
    assert wish.wanted or wish.unwanted or wish.wanted == sentence
    for part in wish.unwanted:
        assert part.split()
        assert all(word in sentence for word in part.split())
