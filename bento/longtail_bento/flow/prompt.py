"""What a user liked and wishes for in, the prompt for the generator out."""

from __future__ import annotations

import re
from collections.abc import Sequence

from longtail_client.release import Prompt

MAX_LIKED = 6
"""Titles that a prompt names: more cost prefill time and teach a small model nothing."""

ASK_OPENINGS = ("I liked", "I wish")
"""How a question begins; a small model sometimes writes another question instead of an answer."""

_MAX_PHRASE = 120
_MARKUP = re.compile(r"<\|[^|>]*\|?>?")


def render_prompt(prompt: Prompt, liked: Sequence[str], steer: Sequence[str]) -> str:
    """Write the prompt.

    The part that every request shares comes first, so that the generator can keep it in its prefix cache. Titles and
    wishes are data: chat markup and line breaks in them are taken out.

    Args:
        prompt: The release's prompt.
        liked: Titles that the user liked, the most telling first.
        steer: The user's wishes, oldest first.
    """
    markup = prompt.markup
    turns = [markup.system.format(prompt.system)]
    for example in prompt.examples:
        turns.append(markup.user.format(_ask(example.liked, ())))
        turns.append(markup.assistant.format(example.description))
    turns.append(markup.user.format(_ask(liked[:MAX_LIKED], steer)))
    return "".join(turns) + markup.assistant_opening


def _ask(liked: Sequence[str], steer: Sequence[str]) -> str:
    sentences = []
    if liked:
        sentences.append(f"{ASK_OPENINGS[0]} {'; '.join(as_data(title) for title in liked)}.")
    sentences.extend(f"{ASK_OPENINGS[1]}: {as_data(wish)}" for wish in steer)
    return " ".join(sentences)


def as_data(text: str) -> str:
    """Make somebody's text safe to stand inside a prompt: one line, no chat markup, bounded."""
    return " ".join(_MARKUP.sub(" ", text).split())[:_MAX_PHRASE]
