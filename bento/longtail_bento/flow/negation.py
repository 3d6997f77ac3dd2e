"""A wish in, what it wants and what it does not want out: a small reading of negation in English.

A cue such as `no`, `without`, `nothing`, `not another`, `anything but`, `stop showing me` or `I hate` opens a part that
is not wanted; it reaches to the next punctuation mark, to a word of contrast such as `but`, or to an `and` that begins
a new wish. Cues that only look like negation (`not only`, `no matter`, `nothing but`, `not without`) open nothing.
What is turned down as the subject (`comedies are not for me`, `horror bores me`, `westerns: no thanks`) is not wanted
either. A later wish for a thing takes back that an earlier one did not want it. Sentences in other languages are read
as wishes.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

_NO_CUE = re.compile(
    r"\b(?:not only|not just|not merely|not necessarily|no matter|no doubt|no problem|no wonder|nothing but|not without"
    r"|can(?:no|')t (?:get enough of|wait)|can not get enough of|why not|no less than|not bad|not enough"
    r"|non-(?:fiction|stop|linear|binary|human))\b|^this is (?:not|no)\b"
)
_CUE = re.compile(
    r"\b(?:"
    r"(?:please )?(?:do not|don't|dont|does not|doesn't|did not|didn't|never|would not|wouldn't|can't|cannot|won't)"
    r"(?: (?:really|ever|want|wanna|like|love|need|enjoy|recommend|show|give|watch|read|see|me|us|to|stand|bear|feel"
    r"|care|for|any|anything|be|have|bring|suggest|more))*"
    r"|i(?: really)? (?:hate|dislike|loathe|detest)"
    r"|no (?:thanks|thank you) to|stop (?:showing|recommending|suggesting|giving|sending)(?: me)?"
    r"|(?:i'm|i am|im)(?: so| totally| completely)? (?:over(?! (?:\d|the moon|here|there))|done with)|^done with"
    r"|(?:i've|i have) had enough of|^enough(?: of)?(?! [^,;:.!?\n]* to\b)|leave out|keep out"
    r"|(?:^|(?<=, )|(?<=\bbut )|(?<=\band )|(?<=\bplease ))hold the|non-(?P<one>\w[\w'-]*)"
    r"|(?:anything|something|one|ones) (?:that|which) (?:isn't|aren't)"
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
    r"^(?:(?:another|an|a|the|any|anything|more|too|very|really|that|which|who|is|are|was|much|many|so"
    r"|in the mood for|with|of|about|to|one of|those|these|kind of|sort of|by|into"
    r"|(?:big )?fan of|keen on|fond of|interested in|big on|all)"
    r"\b\s*)+"
)
_TURNED_DOWN = re.compile(
    r"(?:^|(?<=[,;:.!?\n(–—])|(?<=\bbut )|(?<=\band )|(?<=\bbecause )|(?<=\bsince ))\s*(?=\S)(?:(?:but|and|also) )?"
    r"(?P<thing>(?:(?:[\w'-]+(?: [\w'-]+)?, )+[\w' -]+,? (?:and|or) )?"
    r"(?:(?!\b(?:because|since)\b)[^,;:.!?()\n–—]){2,80}?)(?:"
    r"(?:(?: (?:is|are|was|were)|'s)(?: really| just| simply| definitely)? not| isn't| aren't| ain't)"
    r"(?: really| quite| at all)? (?:for me|(?:to )?my (?:thing|taste|style|cup of tea)"
    r"|what i(?:'m| am)? (?:want|like|need|enjoy|after|looking for))\b"
    r"| (?:do not|don't|dont|does not|doesn't)(?: really)?"
    r" (?:interest|appeal to|excite|work for|do (?:it|anything|much) for)(?: me)?\b"
    r"| (?:does|do) nothing for me\b"
    r"| bores? me\b"
    r"| (?:is|are)(?: so| too| very| really| just)? (?:boring|dull)\b"
    r"|\s*[:,?!.–—-]\s*no,? (?:thanks|thank you|way)\b(?! to\b)"
    r")"
    r"|\bkeep (?P<kept_out>[^,;:.!?()\n–—]{2,60}?) out\b(?! of\b)"
)
"""A thing, and words that turn it down."""

_RELATIVE = re.compile(r"\b(?:that|which|who|it|this|they|these|those|what|nothing|none|i|you)\b")
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
    whole = sentence
    unwanted: list[str] = []
    for match in _TURNED_DOWN.finditer(text):
        first, last = match.span("thing" if match["thing"] else "kept_out")
        if not _RELATIVE.search(text[first:last]) and (things := _things(sentence[first:last])):
            unwanted += things
            blank = " " * (match.end() - match.start())
            text = f"{text[: match.start()]}{blank}{text[match.end() :]}"
            sentence = f"{sentence[: match.start()]}{blank}{sentence[match.end() :]}"
    shielded = [match.span() for match in _NO_CUE.finditer(text)]
    kept: list[str] = []
    place = 0
    while (cue := _next_cue(text, place, shielded)) is not None:
        end = _END.search(text, cue.end())
        first, stop = cue.span("one") if cue["one"] else (cue.end(), end.start() if end else len(text))
        kept.append(sentence[place : cue.start()])
        unwanted.extend(_things(sentence[first:stop]))
        place = stop
    kept.append(sentence[place:])
    if not unwanted:
        return Wish(whole, ())
    wanted = _tidied(" ".join(kept))
    return Wish(wanted if _says_something(wanted) else "", tuple(unwanted))


def read_wishes(sentences: Sequence[str]) -> list[Wish]:
    """Read wishes, oldest first; what a later one wants, an earlier one may no longer keep away.

    Args:
        sentences: As the user wrote them.

    Returns:
        One wish a sentence.
    """
    wishes = [read_wish(sentence) for sentence in sentences]
    return [
        Wish(wish.wanted, tuple(thing for thing in wish.unwanted if not _taken_back(thing, wishes[index + 1 :])))
        for index, wish in enumerate(wishes)
    ]


def _taken_back(thing: str, later: Sequence[Wish]) -> bool:
    words = _content(thing)
    return any(words <= _content(wish.wanted) for wish in later)


def _content(text: str) -> frozenset[str]:
    """Fold a text to the words that say something, singular and plural alike."""
    words = re.findall(r"[^\W_]+", text.lower())
    return frozenset(_singular(word) for word in words if not _EMPTY_WORD.fullmatch(word))


def _singular(word: str) -> str:
    if word.endswith("ies") and len(word) > 4:
        return f"{word[:-3]}y"
    return word[:-1] if word.endswith("s") and not word.endswith("ss") and len(word) > 3 else word


def _next_cue(text: str, place: int, shielded: list[tuple[int, int]]) -> re.Match[str] | None:
    for match in _CUE.finditer(text, place):
        if not any(start < match.end() and match.start() < end for start, end in shielded):
            return match
    return None


def _things(part: str) -> list[str]:
    """Split what a cue governs into things: `horror or gore` are two."""
    found = []
    for thing in re.split(r"\b(?:or|nor|and)\b|[/,]", part, flags=re.IGNORECASE):
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
    return re.sub(r"(?:[\s,;:.!?–—-]|\b(?:and|but|because|since))+$", "", rest, flags=re.IGNORECASE)


def _length(match: re.Match[str] | None) -> int:
    return match.end() if match else 0


def _says_something(text: str) -> bool:
    return any(
        not _EMPTY_WORD.fullmatch(word) for word in re.findall(r"[^\W_]+(?:'[^\W_]+)?", text.lower().replace("’", "'"))
    )
