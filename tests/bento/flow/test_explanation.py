"""One plain sentence about what found an item."""

from __future__ import annotations

import numpy as np
import pytest

from longtail_bento.domain import Query, QuerySource
from longtail_bento.flow.explanation import explain


@pytest.mark.parametrize(
    ("source", "label", "sentence"),
    [
        ("description", "Quiet drama", "Matches the description “Quiet drama”."),
        ("steer", "no gore", "Matches your wish “no gore”."),
        ("interest", "Alien (1979)", "Is close to Alien (1979), which you liked."),
        ("steer", "{0} {name} {}", "Matches your wish “{0} {name} {}”."),
    ],
)
def test_the_sentence_names_what_found_the_item(source: QuerySource, label: str, sentence: str) -> None:
    assert explain(Query(source, label, np.ones(2, dtype=np.float32))) == sentence
