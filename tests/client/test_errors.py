"""The error tree drawn in `longtail_client.errors` is the tree that the classes make."""

from __future__ import annotations

import re

import pytest

from longtail_client import errors
from longtail_client.errors import CallerError, InvalidRequest, LongtailError, ModelUnavailable, Overloaded


def drawn_tree(docstring: str) -> dict[str, str]:
    """Read a drawing: each class with its parent, by the column of its name."""
    parents: dict[str, str] = {}
    open_at: list[tuple[int, str]] = []
    for line in docstring.splitlines():
        match = re.match(r"^([ |`]*(?:-- )?)([A-Z]\w+)(?: .*)?$", line)
        if match is None or not line.startswith("    "):
            continue
        column, name = len(match[1]), match[2]
        while open_at and open_at[-1][0] >= column:
            open_at.pop()
        parents[name] = open_at[-1][1] if open_at else "Exception"
        open_at.append((column, name))
    return parents


def test_the_drawn_tree_is_the_real_tree() -> None:
    real = {
        name: kind.__base__.__name__
        for name, kind in vars(errors).items()
        if isinstance(kind, type) and issubclass(kind, LongtailError) and kind.__base__ is not None
    }
    assert len(real) > 15
    assert drawn_tree(errors.__doc__ or "") == real


def test_the_reader_of_drawings_sees_a_wrong_parent() -> None:
    drawing = "    Root\n    |-- Left    what it is\n    |   `-- Leaf  what it is\n    `-- Right   what it is\n"
    assert drawn_tree(drawing) == {"Root": "Exception", "Left": "Root", "Leaf": "Left", "Right": "Root"}


def test_every_error_says_in_a_sentence_what_it_is() -> None:
    for name in drawn_tree(errors.__doc__ or ""):
        assert re.match(r"^[A-Z].*\.", vars(errors)[name].__doc__), name


def test_a_caller_error_carries_the_field_at_fault() -> None:
    assert InvalidRequest("k is 0", field="k").field == "k"
    assert CallerError("no field").field is None


def test_what_is_away_says_when_to_try_again() -> None:
    assert ModelUnavailable("gone").retry_after_s == 2.0
    assert Overloaded("full", retry_after_s=0.5).retry_after_s == 0.5


@pytest.mark.parametrize("kind", [InvalidRequest, Overloaded])
def test_an_error_prints_as_its_message(kind: type[LongtailError]) -> None:
    assert str(kind("expected 1, got 2")) == "expected 1, got 2"
