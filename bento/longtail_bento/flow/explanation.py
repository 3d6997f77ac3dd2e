"""A ranked item in, one plain sentence about what found it out."""

from __future__ import annotations

from longtail_bento.domain import Query

_SENTENCES = {
    "description": "Matches the description “{}”.",
    "steer": "Matches your wish “{}”.",
    "interest": "Is close to {}, which you liked.",
}


def explain(query: Query) -> str:
    """Say what found an item."""
    return _SENTENCES[query.source].format(query.label)
