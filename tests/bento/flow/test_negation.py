"""What a wish wants and what it does not, sentence by sentence."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from longtail_bento.flow.negation import Wish, read_wish, read_wishes

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
    ("comedies are not for me", "", ("comedies",)),
    ("Comedy isn't for me", "", ("Comedy",)),
    ("comedy is not my thing", "", ("comedy",)),
    ("westerns aren’t what I want", "", ("westerns",)),
    ("war films don't interest me", "", ("war films",)),
    ("musicals do nothing for me, a thriller please", "a thriller please", ("musicals",)),
    ("horror bores me", "", ("horror",)),
    ("slapstick is boring", "", ("slapstick",)),
    ("comedies: no thanks", "", ("comedies",)),
    ("comedy? no thanks", "", ("comedy",)),
    ("no thanks to musicals", "", ("musicals",)),
    ("a thriller, but gore is not my cup of tea", "a thriller", ("gore",)),
    ("horror, war films and musicals are not for me", "", ("horror", "war films", "musicals")),
    ("stop showing me comedies", "", ("comedies",)),
    ("leave out comedies", "", ("comedies",)),
    ("keep vampires out", "", ("vampires",)),
    ("enough comedies", "", ("comedies",)),
    ("I've had enough of superheroes", "", ("superheroes",)),
    ("I'm over zombies", "", ("zombies",)),
    ("not into westerns", "", ("westerns",)),
    ("anything that isn't a musical", "", ("musical",)),
    ("comedy's not for me", "", ("comedy",)),
    ("comedies don't do anything for me", "", ("comedies",)),
    ("a dark thriller because comedies bore me", "a dark thriller", ("comedies",)),
    ("I'm not really into comedies", "", ("comedies",)),
    ("I'm done with comedies", "", ("comedies",)),
    ("done with comedies", "", ("comedies",)),
    ("a thriller, hold the romance", "a thriller", ("romance",)),
    ("a non-violent western", "a western", ("violent",)),
    # What only looks like negation.
    ("a western where they hold the fort", "a western where they hold the fort", ()),
    ("enough jokes to make me laugh", "enough jokes to make me laugh", ()),
    ("I'm over 60 and like westerns", "I'm over 60 and like westerns", ()),
    ("a film done with puppets", "a film done with puppets", ()),
    ("non-fiction", "non-fiction", ()),
    ("not bad", "not bad", ()),
    ("this is not a drill", "this is not a drill", ()),
    ("a comedy that is not too long", "a comedy that is", ("long",)),
    ("a film that isn't boring", "a film that isn't boring", ()),
    ("something that is good enough to cry", "something that is good enough to cry", ()),
    ("keep me out of the city", "keep me out of the city", ()),
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


@pytest.mark.parametrize(
    ("sentences", "unwanted"),
    [
        (["no westerns", "a western"], [(), ()]),
        (["a western", "no westerns"], [(), ("westerns",)]),
        (["no comedies or gore", "a light comedy"], [("gore",), ()]),
        (["no horror", "a quiet drama"], [("horror",), ()]),
        (["no war films", "a war film", "no war films"], [(), (), ("war films",)]),
        ([], []),
    ],
)
def test_a_later_wish_takes_back_what_an_earlier_one_did_not_want(
    sentences: list[str], unwanted: list[tuple[str, ...]]
) -> None:
    assert [wish.unwanted for wish in read_wishes(sentences)] == unwanted


def test_wishes_that_do_not_meet_are_read_one_by_one() -> None:
    sentences = ["no horror", "a drama without war", "something of the 1960s"]
    assert read_wishes(sentences) == [read_wish(sentence) for sentence in sentences]
    assert read_wishes(["no horror"]) == [Wish("", ("horror",))]
