"""What a release pins: model versions, a catalogue, a prompt and scoring weights, each by hash.

Written by the export side, read by the service; this file is the one description of it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from longtail_client.errors import ReleaseInvalid

RELEASE_FILE = "release.json"


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class PinnedModel(_Frozen):
    """A version of a served model and the hashes of its files."""

    version: str
    files: Mapping[str, str]


class PinnedCatalogue(_Frozen):
    """A catalogue folder and the hashes of its files."""

    name: str
    files: Mapping[str, str]


class ChatMarkup(_Frozen):
    """How the generator wants a conversation written; ``{}`` stands for what is said."""

    system: str
    user: str
    assistant: str
    assistant_opening: str = Field(description="What the prompt ends in: the generator goes on from here.")


class Example(_Frozen):
    """One worked example that the prompt shows the generator."""

    liked: tuple[str, ...]
    description: str


class Prompt(_Frozen):
    """What the generator is asked, and how its tokens are sampled."""

    system: str
    examples: tuple[Example, ...]
    markup: ChatMarkup
    max_tokens: int = Field(ge=1, le=256)
    temperature: float = Field(ge=0, le=5)
    top_p: float = Field(gt=0, le=1)
    repetition_penalty: float = Field(gt=0, le=2)
    stop: tuple[str, ...]


class Weights(_Frozen):
    """How much each reason to recommend an item counts, in standard deviations of its cosine over the candidates."""

    description: float = Field(ge=0)
    steer: float = Field(ge=0)
    interest: float = Field(ge=0)
    popularity: float = Field(ge=0, description="Taken off, times adventurousness, for the log of the item's count.")


class Release(_Frozen):
    """Everything that decides an answer but the request and the user's history."""

    name: str
    created_at: str
    encoder: PinnedModel
    generator: PinnedModel
    catalogue: PinnedCatalogue
    prompt: Prompt
    prompt_sha256: str
    weights: Weights
    release_sha256: str | None = Field(
        default=None, description="Hash of all the above; releases from before there was one have none."
    )


def liked_phrase(title: str, kind: str) -> str:
    """Name an item that somebody liked, as the prompt's examples and its question both do."""
    return f"{kind}: {title}" if kind else title


def prompt_sha256(prompt: Prompt) -> str:
    """Hash a prompt, whatever order its JSON has."""
    return hashlib.sha256(json.dumps(prompt.model_dump(mode="json"), sort_keys=True).encode()).hexdigest()


def release_sha256(release: Release) -> str:
    """Hash all that a release says, but for this hash itself, whatever order its JSON has."""
    content = release.model_dump(mode="json", exclude={"release_sha256"})
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def sealed(release: Release) -> Release:
    """Write a release's own hash into it."""
    return release.model_copy(update={"release_sha256": release_sha256(release)})


def releases_folder(var: Path) -> Path:
    """Say where the releases under ``var`` are."""
    return var / "releases"


def read_release(var: Path, name: str) -> Release:
    """Read one release.

    Raises:
        ReleaseInvalid: There is none of this name, it is malformed or another one, or it was changed since it was
            created.
    """
    path = releases_folder(var) / name / RELEASE_FILE
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ReleaseInvalid(
            f"expected a release at {path}, found none; run `longtail release create --name {name}`"
        ) from error
    release = parse_release(content, at=path)
    if release.name != name:
        raise ReleaseInvalid(
            f"{path}: name: expected '{name}', as its folder is called, got '{release.name}': it was copied or "
            "renamed; create the release again under the new name"
        )
    return release


def parse_release(content: bytes, *, at: Path) -> Release:
    """Read a release out of its file's content.

    Args:
        content: What the file holds.
        at: Where it is, for messages.

    Raises:
        ReleaseInvalid: It is malformed, or it was changed since it was created.
    """
    try:
        release = Release.model_validate_json(content)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"]) or "the file"
        raise ReleaseInvalid(f"{at}: {place}: {first['msg']}; create the release again") from error
    found = prompt_sha256(release.prompt)
    if found != release.prompt_sha256:
        raise ReleaseInvalid(
            f"{at}: prompt: expected sha256 {release.prompt_sha256[:16]}…, got {found[:16]}…: it was edited; "
            "create a new release instead"
        )
    if release.release_sha256 not in (None, release_sha256(release)):
        raise ReleaseInvalid(
            f"{at}: release: expected sha256 {release.release_sha256:.16}…, which it says of itself, got "
            f"{release_sha256(release):.16}…: it was changed or damaged; bring it back, or create the release again"
        )
    return release
