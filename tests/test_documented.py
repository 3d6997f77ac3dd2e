"""What the check of documented outputs accepts and refuses."""

from __future__ import annotations

import pytest
from tests.documented import check_output

GOOD = [
    ("json", '{"a": [1.5, "…"], "b": [{"c": "x…"}]}', '{"a": [2, 3, 4], "b": [{"c": "y"}]}'),
    ("json", '{"a": [{"c": 1}, "…"]}', '{"a": [{"c": 1}, {"c": 2}, {"c": 3}]}'),
    ("http", 'HTTP/1.1 404 Not Found\nX-Id: 1\n\n{"a": 1}', 'HTTP/1.1 404 Not Found\nDate: now\nx-id: 2\n\n{"a": 2}'),
    ("sse", 'event: a\ndata: {"x": 1}\n\n…\n\nevent: b\ndata: {}', 'event: a\ndata: {"x": 2}\n\nevent: b\ndata: {}'),
    ("varies", "one\ntwo\n", "three\nfour\n"),
    ("text", "one\ntwo\n", "one\ntwo\n"),
]
BAD = [
    ("json", '{"a": 1}', '{"a": 1, "b": 2}'),
    ("json", '{"a": 1, "b": 2}', '{"a": 1}'),
    ("json", '{"a": 1}', '{"a": "1"}'),
    ("json", '{"a": [{"b": 1}]}', '{"a": [{"b": 1}, {"b": 2}]}'),
    ("json", '{"a": [{"b": 1}]}', '{"a": [{"c": 1}]}'),
    ("http", "HTTP/1.1 404 Not Found\n\n", "HTTP/1.1 200 OK\n\n"),
    ("http", "HTTP/1.1 200 OK\nRetry-After: 1\n\n", "HTTP/1.1 200 OK\n\n"),
    ("sse", 'event: a\ndata: {"x": 1}', 'event: b\ndata: {"x": 1}'),
    ("sse", 'event: a\ndata: {"x": 1}', 'event: a\ndata: {"y": 1}'),
    ("varies", "one\n", "one\ntwo\n"),
    ("text", "one\n", "two\n"),
]


@pytest.mark.parametrize(("kind", "shown", "printed"), GOOD)
def test_another_value_of_the_same_form_is_as_shown(kind: str, shown: str, printed: str) -> None:
    check_output(kind, shown, printed)


@pytest.mark.parametrize(("kind", "shown", "printed"), BAD)
def test_another_form_is_not(kind: str, shown: str, printed: str) -> None:
    with pytest.raises(AssertionError):
        check_output(kind, shown, printed)
