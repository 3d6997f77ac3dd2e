"""Schemathesis against a running HTTP door: the document that it serves in, what contradicts the document out."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx

CASES = int(os.environ.get("LONGTAIL_FUZZ_CASES", "20"))
"""Cases an operation; `make fuzz` takes 2,000."""

_DEADLINE_S = 60
"""What the service takes at most: a request may name as much, and embeddings, which cannot name any, have it."""

# A millisecond is a deadline that may be asked for, and 504 is the answer to it.
_CONFIGURATION = """
[checks.not_a_server_error]
expected-statuses = ["2xx", "3xx", "4xx", "504"]
"""

_WORD = {"type": "string", "maxLength": 200}
_WORDS = {"anyOf": [_WORD, {"type": "array", "items": _WORD, "minItems": 1, "maxItems": 16}]}
_CONDITIONS = {
    "type": "object",
    "properties": {"genres": _WORDS, "title": _WORDS, "item_id": _WORDS},
    "additionalProperties": False,
    "minProperties": 1,
}
_NOT = {"type": "object", "properties": {"not": _CONDITIONS}, "required": ["not"], "additionalProperties": False}
_FILTER = {
    **_CONDITIONS,
    "minProperties": 0,
    "properties": {
        **_CONDITIONS["properties"],  # type: ignore[dict-item]
        "any": {"type": "array", "items": _CONDITIONS, "minItems": 1, "maxItems": 3},
        "not": {"anyOf": [_CONDITIONS, _NOT]},
    },
}
"""A filter on what every catalogue of the tests has; it nests as any other."""


def told_more(document: dict[str, Any], *, dim: int, latest_s: int | None) -> dict[str, Any]:
    """Add what no schema can say: that time goes on, and what the live release's encoder gives and its catalogue has.

    Args:
        document: What the service serves.
        dim: Numbers in a vector.
        latest_s: The last timestamp that is not in the future, where time stands still; None gives none.
    """
    schemas = document["components"]["schemas"]
    if latest_s is None:
        del schemas["InteractionIn"]["properties"]["timestamp"]
    else:
        for option in schemas["InteractionIn"]["properties"]["timestamp"]["anyOf"]:
            if option["type"] == "integer":
                option["maximum"] = latest_s
    schemas["EmbeddingsRequest"]["properties"]["model"] = {"enum": ["longtail"]}
    schemas["EmbeddingsRequest"]["properties"]["dimensions"] = {"enum": [None, dim]}
    for name in ("RecommendRequest", "SearchRequest"):
        schemas[name]["properties"]["filter"] = {"anyOf": [_FILTER, {"type": "null"}]}
    return document


def contradictions(url: str, folder: Path, *, cases: int, key: str | None, **more: Any) -> str:
    """Run every check of schemathesis on every operation.

    Args:
        url: The door.
        folder: Where the document and the report go.
        cases: Cases an operation.
        key: Shown with each case.
        more: See `told_more`.

    Returns:
        What it found; empty where that is nothing.
    """
    document = folder / "openapi.json"
    document.write_text(json.dumps(told_more(httpx.get(f"{url}/docs.json").json(), **more)))
    (folder / "schemathesis.toml").write_text(_CONFIGURATION)
    keyed = [] if key is None else ["--header", f"Authorization: Bearer {key}"]
    done = subprocess.run(
        [
            *(sys.executable, "-m", "schemathesis.cli", "run", str(document), "--url", url, *keyed),
            *("--checks", "all", "--max-examples", str(cases), "--seed", "1", "--no-color"),
            *("--generation-database", "none", "--suppress-health-check", "all", "--request-timeout", "90"),
            *("--max-response-time", str(_DEADLINE_S + 1)),
        ],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    (folder / "report.txt").write_text(done.stdout + done.stderr)
    return "" if done.returncode == 0 else (done.stdout + done.stderr)[-12_000:]
