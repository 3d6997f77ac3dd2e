"""docs/for-grpc-clients.md says what the code says: every method, and the code of every error."""

from __future__ import annotations

import re
from pathlib import Path

from longtail_bento.status import TABLE
from longtail_client import calls, errors
from longtail_client.problem import type_of
from longtail_client.v1 import recommend_pb2 as pb

PAGE = (Path(__file__).parents[2] / "docs" / "for-grpc-clients.md").read_text()
ROWS = [[cell.strip() for cell in line.strip("|").split("|")] for line in PAGE.splitlines() if line.startswith("|")]


def test_every_method_is_in_the_table() -> None:
    listed = {name for row in ROWS for name in re.findall(r"`([A-Z]\w+)`", row[0]) if len(row) == 3}
    assert set(pb.DESCRIPTOR.services_by_name["Recommender"].methods_by_name) <= listed
    assert "`POST /recommend/stream`" in PAGE
    assert calls.record_interactions(interactions=[]).path in PAGE


def test_every_error_that_a_caller_meets_has_its_code() -> None:
    codes = {name: row[1].strip("`") for row in ROWS for name in re.findall(r"`([a-z-]+)`", row[0])}
    for kind, status in TABLE.items():
        if kind in (errors.LongtailError, errors.OperatorError, errors.CallerError):
            continue
        if kind in (errors.UnsupportedMediaType, errors.BodyTooSlow):  # a message has neither type nor a way to be slow
            continue
        assert codes[type_of(kind.__name__).rpartition(":")[2]] == status.grpc, kind
