"""The table from errors to status misses none."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterator

import pytest

import longtail_bento
import longtail_client
from longtail_bento.status import TABLE, Status, status_of
from longtail_client import errors


def modules_of(package: object) -> Iterator[str]:
    for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):  # type: ignore[attr-defined]
        # The backends run inside Triton, migrations inside Alembic, and the service reads the environment.
        if not module.name.endswith(".service") and not {"backends", "migrations"} & set(module.name.split(".")):
            yield module.name


def subclasses(kind: type[errors.LongtailError]) -> set[type[errors.LongtailError]]:
    return {kind}.union(*(subclasses(below) for below in kind.__subclasses__()))


def every_error() -> list[type[errors.LongtailError]]:
    for name in (*modules_of(longtail_client), *modules_of(longtail_bento)):
        importlib.import_module(name)
    ours = ("longtail_client.", "longtail_bento.")
    return sorted((kind for kind in subclasses(errors.LongtailError) if kind.__module__.startswith(ours)), key=str)


def made(kind: type[errors.LongtailError]) -> errors.LongtailError:
    return kind("something happened")


def test_the_walk_finds_errors_outside_of_the_tree_too() -> None:
    names = {kind.__name__ for kind in every_error()}
    assert {"AlreadyPublished", "TritonMissing", "TritonDied", "ServiceDied", "UnknownItem"} <= names


@pytest.mark.parametrize("kind", every_error(), ids=lambda kind: kind.__name__)
def test_every_error_has_a_status(kind: type[errors.LongtailError]) -> None:
    status = status_of(made(kind))
    assert 400 <= status.http < 600
    assert status.grpc.isupper()
    assert status.title


REQUESTS_MEET = subclasses(errors.CallerError) | subclasses(errors.Unavailable) | {errors.DeadlineExceeded}


@pytest.mark.parametrize(
    "kind", sorted((kind for kind in REQUESTS_MEET if kind.__module__ == errors.__name__), key=str), ids=str
)
def test_every_error_that_a_request_can_meet_has_its_own_row(kind: type[errors.LongtailError]) -> None:
    assert kind in TABLE
    assert status_of(made(kind)) is TABLE[kind]


@pytest.mark.parametrize(
    ("kind", "http", "grpc"),
    [
        (errors.InvalidRequest, 422, "INVALID_ARGUMENT"),
        (errors.MalformedBody, 400, "INVALID_ARGUMENT"),
        (errors.RequestTooLarge, 413, "RESOURCE_EXHAUSTED"),
        (errors.UnsupportedMediaType, 415, "INVALID_ARGUMENT"),
        (errors.UnknownUser, 404, "NOT_FOUND"),
        (errors.UnknownItem, 404, "NOT_FOUND"),
        (errors.ModelUnavailable, 503, "UNAVAILABLE"),
        (errors.Overloaded, 429, "RESOURCE_EXHAUSTED"),
        (errors.DeadlineExceeded, 504, "DEADLINE_EXCEEDED"),
        (errors.ContractMismatch, 500, "INTERNAL"),
        (errors.ReleaseInvalid, 500, "INTERNAL"),
    ],
)
def test_a_status_says_who_must_act(kind: type[errors.LongtailError], http: int, grpc: str) -> None:
    status = status_of(made(kind))
    assert (status.http, status.grpc) == (http, grpc)


def test_an_error_without_a_row_takes_the_nearest_above() -> None:
    class Odd(errors.Overloaded):
        pass

    assert status_of(Odd("full")) == Status(429, "RESOURCE_EXHAUSTED", "Too many requests")
