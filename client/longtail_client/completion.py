"""What a shell completes: an unfinished word in, the names on this disk that begin with it out.

A folder that is missing or closed completes to nothing: a shell is no place for errors.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import typer


def release_names(context: typer.Context, incomplete: str) -> list[str]:
    """Name the releases under ``var``."""
    return _folders(_folder(context, "var", "LONGTAIL_VAR", "var") / "releases", incomplete)


def catalogue_names(context: typer.Context, incomplete: str) -> list[str]:
    """Name the catalogues under ``var``."""
    return _folders(_folder(context, "var", "LONGTAIL_VAR", "var") / "catalogues", incomplete)


def encoder_versions(context: typer.Context, incomplete: str) -> list[str]:
    """Name the published versions of the encoder."""
    return _versions(context, "text_encoder", incomplete)


def generator_versions(context: typer.Context, incomplete: str) -> list[str]:
    """Name the published versions of the generator."""
    return _versions(context, "generator", incomplete)


def _versions(context: typer.Context, model: str, incomplete: str) -> list[str]:
    repository = _folder(context, "model_repository", "LONGTAIL_MODEL_REPOSITORY", "model_repository")
    return [name for name in _folders(repository / model, incomplete) if name.isdecimal()]


def _folder(context: typer.Context, option: str, variable: str, default: str) -> Path:
    return Path(context.params.get(option) or os.environ.get(variable) or default)


def _folders(parent: Path, incomplete: str) -> list[str]:
    def found() -> Iterator[str]:
        try:
            yield from (each.name for each in parent.iterdir() if each.is_dir() and not each.name.startswith("."))
        except OSError:
            return

    return sorted(name for name in found() if name.startswith(incomplete))
