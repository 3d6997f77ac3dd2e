"""Whatever a small model wrote in, a few clean descriptions out."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

MAX_CHARACTERS = 200
_MIN_CHARACTERS = 2
_BULLET = re.compile(r"^(?:(?:[-*•–—>#]+|\(?\d{1,2}[.):](?!\d)|[a-zA-Z][.)])\s*)+")
_MARKUP = re.compile(r"<\|[^|>\n]*\|?>?")
_QUOTES = "\"'`“”‘’«»*_ "


def parse_descriptions(texts: Sequence[str], *, limit: int, known: Sequence[str] = ()) -> list[str]:
    """Take descriptions out of generated texts.

    Every line may be one. Bullets, numbers, quotes, chat markup and control characters are taken off; lines without
    words, repetitions, and lines that only name a title the user gave are left out.

    Args:
        texts: What the generator wrote, in order.
        limit: Descriptions to return at most.
        known: Titles from the user's history.

    Returns:
        At most ``limit`` lines, none empty, none twice, each of at most 200 characters.
    """
    seen = {_folded(title) for title in known}
    found: list[str] = []
    # One line of every text comes before the second line of any, so that no text speaks for all.
    lines = [[tidy_line(line) for line in text.splitlines() if line.strip()] for text in texts]
    for position in range(max(map(len, lines), default=0)):
        for candidates in lines:
            if position >= len(candidates) or len(found) == limit:
                continue
            line = candidates[position]
            if _says_something(line) and _folded(line) not in seen:
                seen.add(_folded(line))
                found.append(line)
    return found


def describe_by_kinds(kinds: Sequence[str], *, limit: int) -> list[str]:
    """Describe what a user might like without a generator: more of the kinds of items that the user liked.

    Args:
        kinds: Of the items that say most of the user's taste, in order; empty where nothing is known.
        limit: Descriptions to return at most.

    Returns:
        At most ``limit`` lines as `parse_descriptions` gives them.
    """
    return parse_descriptions(kinds, limit=limit)


def tidy_line(line: str) -> str:
    """Take everything off a line that is not the description itself."""
    line = _MARKUP.sub(" ", line)
    line = "".join(character if unicodedata.category(character)[0] != "C" else " " for character in line)
    line = _BULLET.sub("", " ".join(line.split()))
    line = line.strip(_QUOTES).rstrip(_QUOTES + ",;:")
    if len(line) > MAX_CHARACTERS:
        line = line[:MAX_CHARACTERS].rsplit(" ", 1)[0]
    return line


def _says_something(line: str) -> bool:
    """A genre may be as short as `TV`, but a number alone describes nothing."""
    characters = [character for character in line if character.isalnum()]
    return len(characters) >= _MIN_CHARACTERS and any(character.isalpha() for character in characters)


def _folded(text: str) -> str:
    return re.sub(r"\W+", " ", text.casefold()).strip()
