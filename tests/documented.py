"""A page of documentation in, its runnable blocks with the outputs shown out; and whether an output is as shown.

A block of `python` or `sh` is runnable; a block that follows it at once, in one of `OUTPUTS`, shows what it prints.
What a page leaves out it replaces by `…`.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
ELLIPSIS = "…"
OUTPUTS = ("json", "text", "varies", "http", "sse")

_BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$(\n*)", re.DOTALL | re.MULTILINE)


@dataclass(frozen=True)
class Example:
    """One runnable block.

    Attributes:
        name: The page, and the number of the block in it.
        language: `python` or `sh`.
        code: What to run.
        shown: Kind and text of the output that the page shows; None where it shows none.
    """

    name: str
    language: str
    code: str
    shown: tuple[str, str] | None


def examples_of(page: str) -> list[Example]:
    """Read a page's runnable blocks, in order."""
    blocks = list(_BLOCK.finditer((ROOT / page).read_text()))
    found: list[Example] = []
    for block, following in zip(blocks, [*blocks[1:], None], strict=True):
        language, code = block[1], block[2]
        if language not in ("python", "sh"):
            continue
        shown = None
        if following is not None and following.start() == block.end() and following[1] in OUTPUTS:
            shown = (following[1], following[2])
        found.append(Example(f"{page} {len(found) + 1}", language, code, shown))
    return found


def check_output(kind: str, shown: str, printed: str) -> None:
    """Require that what was printed has the form of what the page shows: the same keys, types and events.

    Values may differ, since the generator's texts and the time of day do. Of `varies` only the number of lines is held,
    and `text` is held to the letter.

    Raises:
        AssertionError: It has another.
    """
    if kind == "json":
        _check_json(json.loads(shown), json.loads(printed), "$")
    elif kind == "http":
        _check_http(shown, printed)
    elif kind == "sse":
        _check_events(_events(shown), _events(printed))
    elif kind == "varies":
        assert len(printed.splitlines()) == len(shown.splitlines()), printed
    else:
        assert printed == shown


def _check_json(shown: Any, came: Any, place: str) -> None:
    if shown is None or came is None:
        return
    if isinstance(shown, dict):
        assert isinstance(came, dict), f"{place}: {came}"
        assert shown.keys() == came.keys(), f"{place}: shown {sorted(shown)}, came {sorted(came)}"
        for name, value in shown.items():
            _check_json(value, came[name], f"{place}.{name}")
    elif isinstance(shown, list):
        assert isinstance(came, list), f"{place}: {came}"
        kept = [each for each in shown if each != ELLIPSIS]
        if any(isinstance(each, dict) for each in kept) and len(kept) == len(shown):
            assert len(came) == len(shown), f"{place}: shown {len(shown)}, came {len(came)}"
        for index, (value, own) in enumerate(zip(kept, came, strict=False)):
            _check_json(value, own, f"{place}[{index}]")
    else:
        assert _type_of(shown) == _type_of(came), f"{place}: shown {shown!r}, came {came!r}"


def _type_of(value: Any) -> str:
    return "number" if isinstance(value, int | float) and not isinstance(value, bool) else type(value).__name__


def _check_http(shown: str, printed: str) -> None:
    (head, _, body), (own_head, _, own_body) = shown.partition("\n\n"), printed.partition("\n\n")
    status, *headers = head.splitlines()
    own_status, *own_headers = own_head.splitlines()
    assert own_status == status
    names = {line.partition(":")[0].lower() for line in own_headers}
    assert {line.partition(":")[0].lower() for line in headers if line != ELLIPSIS} <= names
    if body.startswith("{"):
        _check_json(json.loads(body), json.loads(own_body), "$")
    else:
        assert body.strip() == own_body.strip()


Events = list[tuple[str, Any]]


def _events(text: str) -> Events:
    found: Events = []
    for block in text.strip().split("\n\n"):
        if block == ELLIPSIS:
            continue
        fields = dict(line.split(": ", 1) for line in block.splitlines())
        found.append((fields.get("event", "message"), json.loads(fields["data"])))
    return found


def _check_events(shown: Events, came: Events) -> None:
    assert list(dict.fromkeys(name for name, _ in came)) == list(dict.fromkeys(name for name, _ in shown))
    forms = dict(reversed(shown))
    for name, data in came:
        _check_json(forms[name], data, name)
