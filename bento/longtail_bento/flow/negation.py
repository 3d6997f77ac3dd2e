"""A wish in, what it wants and what it does not want out: a small reading of negation in English.

A cue such as `no`, `without`, `nothing`, `not another`, `anything but` or `I hate` opens a part that is not wanted; it
reaches to the next punctuation mark, to a word of contrast such as `but`, or to an `and` that begins a new wish. Cues
that only look like negation (`not only`, `no matter`, `nothing but`, `not without`) open nothing. Sentences in other
languages, and negation without a cue (`horror bores me`), are read as wishes.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_NO_CUE = re.compile(
    r"\b(?:not only|not just|not merely|not necessarily|no matter|no doubt|no problem|no wonder|nothing but|not without"
    r"|can(?:no|')t (?:get enough of|wait)|can not get enough of|why not|no less than|not bad)\b"
)
_CUE = re.compile(
    r"\b(?:"
    r"(?:please )?(?:do not|don't|dont|does not|doesn't|did not|didn't|never|would not|wouldn't|can't|cannot|won't)"
    r"(?: (?:really|ever|want|wanna|like|love|need|enjoy|recommend|show|give|watch|read|see|me|us|to|stand|bear|feel"
    r"|care|for|any|anything|be|have|bring|suggest|more))*"
    r"|i(?: really)? (?:hate|dislike|loathe|detest)"
    r"|(?:no more|enough of|(?:sick|tired|bored|weary) of|anything but|anything except|other than"
    r"|instead of|rather than|except(?: for)?|apart from|free of|free from|avoid(?:ing)?|skip|exclude|excluding"
    r"|without|nothing|none of|neither|nor|not|no|less|fewer)"
    r")\b"
)
_END = re.compile(
    r"[,;:.!?()\n–—]|\s-\s"
    r"|\b(?:but|however|though|although|yet|just|only|please|thanks|instead|because|since|unless)\b"
    r"|\band(?= (?:more|something|some|lots|plenty|with|i|i'd|let|give|show|maybe|preferably|rather|make|set|from)\b)"
)
_LEADING = re.compile(
    r"^(?:(?:another|an|a|the|any|anything|more|too|very|that|which|who|is|are|was|much|many|so|in the mood for|with|of"
    r"|about|to|one of|those|these|kind of|sort of|by)\b\s*)+"
)
_EMPTY_WORD = re.compile(
    r"i|i'd|i'm|im|we|me|my|you|it|its|is|are|be|am|have|had|been|can|could|do|does|so|too|very|really|than|then|a|an|the"
    r"|and|or|of|to|for|with|in|on|at|some|any|something|anything|please|thanks|thank|want|wanted|wants|would|like|love"
    r"|needs?|prefer|rather|give|show|recommend|suggest|let|make|movies?|films?|items?|books?|ones?|but|just|only|that"
    r"|this|there|more|tonight|today|now|instead|seen|watched|read|heard"
)
"""What says nothing of an item by itself."""


@dataclass(frozen=True, slots=True)
class Wish:
    """One sentence, read.

    Attributes:
        wanted: The sentence without what it does not want; empty where nothing is left.
        unwanted: What to keep away from, in order.
    """

    wanted: str
    unwanted: tuple[str, ...]


def read_wish(sentence: str) -> Wish:
    """Read one wish.

    Args:
        sentence: As the user wrote it.
    """
    # Apostrophes and case must not hide a cue; both have the length of what they replace.
    text = sentence.replace("’", "'").lower()
    if len(text) != len(sentence):
        return Wish(sentence, ())
    shielded = [match.span() for match in _NO_CUE.finditer(text)]
    unwanted: list[str] = []
    kept: list[str] = []
    place = 0
    while (cue := _next_cue(text, place, shielded)) is not None:
        end = _END.search(text, cue.end())
        stop = end.start() if end else len(text)
        kept.append(sentence[place : cue.start()])
        unwanted.extend(_things(sentence[cue.end() : stop]))
        place = stop
    kept.append(sentence[place:])
    if not unwanted:
        return Wish(sentence, ())
    wanted = _tidied(" ".join(kept))
    return Wish(wanted if _says_something(wanted) else "", tuple(unwanted))


def _next_cue(text: str, place: int, shielded: list[tuple[int, int]]) -> re.Match[str] | None:
    for match in _CUE.finditer(text, place):
        if not any(start < match.end() and match.start() < end for start, end in shielded):
            return match
    return None


def _things(part: str) -> list[str]:
    """Split what a cue governs into things: `horror or gore` are two."""
    found = []
    for thing in re.split(r"\b(?:or|nor|and)\b|/", part, flags=re.IGNORECASE):
        words = " ".join(thing.split())
        words = words[_length(_LEADING.match(words.lower())) :].strip(" ,'\"")
        if _says_something(words):
            found.append(words)
    return found


def _tidied(rest: str) -> str:
    """Take off what the unwanted parts leave behind: doubled commas, a `but` at the end, an `and` at the beginning."""
    rest = re.sub(r"\s+(?=[,;:.!?])", "", " ".join(rest.split()))
    rest = re.sub(r"([,;:])[,;:]+", r"\1", rest)
    rest = re.sub(r"^(?:[\s,;:.!?–—-]|(?:and|but)\b)+", "", rest, flags=re.IGNORECASE)
    return re.sub(r"(?:[\s,;:.!?–—-]|\b(?:and|but))+$", "", rest, flags=re.IGNORECASE)


def _length(match: re.Match[str] | None) -> int:
    return match.end() if match else 0


def _says_something(text: str) -> bool:
    return any(
        not _EMPTY_WORD.fullmatch(word) for word in re.findall(r"[^\W_]+(?:'[^\W_]+)?", text.lower().replace("’", "'"))
    )
