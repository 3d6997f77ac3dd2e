"""A catalogue in, the prompt of its releases out, with worked examples taken from its own tail."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

import pyarrow as pa

from longtail_client.release import ChatMarkup, Example, Prompt, liked_phrase

N_EXAMPLES = 3
_LIKED_SHOWN = 4

_SYSTEM = (
    "You know a catalogue's lesser-known items. For each person, write one short line that describes an item "
    "they have not heard of and would like. Describe its kind; never name a title."
)

CHATML = ChatMarkup(
    system="<|im_start|>system\n{}<|im_end|>\n",
    user="<|im_start|>user\n{}<|im_end|>\n",
    assistant="<|im_start|>assistant\n{}<|im_end|>\n",
    assistant_opening="<|im_start|>assistant\n",
)


def write_prompt(items: pa.Table, interactions: pa.Table) -> Prompt:
    """Write the prompt of a catalogue.

    A small model copies form better than it follows instructions, so the examples show the form: what a real user
    liked, and the shared attribute values of a tail item that this user liked too.

    Args:
        items: The tidy items.
        interactions: The interactions with them.
    """
    return Prompt(
        system=_SYSTEM,
        examples=tuple(_examples(items, interactions)),
        markup=CHATML,
        max_tokens=32,
        temperature=0.8,
        top_p=0.9,
        repetition_penalty=1.0,
        stop=("\n", ";", ":", "<|im_end|>"),
    )


def _examples(items: pa.Table, interactions: pa.Table) -> Iterator[Example]:
    """Choose users of middling activity, and for each the tail item that has the most to say."""
    by_id = {row["item_id"]: row for row in items.to_pylist()}
    weight_by_user: dict[str, dict[str, float]] = defaultdict(dict)
    for user_id, item_id, weight in zip(
        *(interactions[name].to_pylist() for name in ("user_id", "item_id", "weight")), strict=True
    ):
        weight_by_user[user_id][item_id] = weight
    by_activity = sorted(weight_by_user, key=lambda user: (len(weight_by_user[user]), user))
    middle = by_activity[len(by_activity) // 4 :] or by_activity
    told: set[str] = set()
    for user in middle:
        if len(told) == N_EXAMPLES:
            return
        best = max(weight_by_user[user].values())
        liked = [by_id[item_id] for item_id, weight in weight_by_user[user].items() if weight == best]
        tail = sorted((row["kind"], row["item_id"]) for row in liked if row["is_tail"])
        fresh = [(kind, item_id) for kind, item_id in tail if kind and kind not in told]
        if not fresh:
            continue
        description, target = max(fresh, key=lambda pair: len(pair[0]))
        others = [liked_phrase(row["title"], row["kind"]) for row in liked if row["item_id"] != target][:_LIKED_SHOWN]
        if len(others) == _LIKED_SHOWN:
            told.add(description)
            yield Example(liked=tuple(others), description=description)
