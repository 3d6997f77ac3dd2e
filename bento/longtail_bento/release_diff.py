"""Two releases in, what differs between them out, part by part."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.parquet

from longtail_client.contract import GENERATOR, TEXT_ENCODER
from longtail_client.errors import ReleaseInvalid
from longtail_client.manifest import MANIFEST, read_manifest
from longtail_client.release import PinnedModel, Prompt, Release

N_NAMED_ITEMS = 10
"""Items of a kind of change that are named; the others are counted."""

_COMPUTED = {"popularity", "popularity_percentile", "is_tail"}
_FACTS = ("source", "precision", "engine")


@dataclass(frozen=True, slots=True)
class Difference:
    """One thing that two releases have differently.

    Attributes:
        part: encoder, generator, catalogue, prompt or weights.
        what: Which fact or file of the part.
        first: What the first release has; None where it has none.
        second: What the second release has.
    """

    part: str
    what: str
    first: Any
    second: Any


def differences(first: Release, second: Release, *, var: Path, model_repository: Path) -> tuple[Difference, ...]:
    """Compare two releases.

    Args:
        first: One release.
        second: The other.
        var: Folder of catalogues; items are compared where both catalogues are there.
        model_repository: Triton's model repository; versions' sources and precisions are read from it.

    Returns:
        Every difference, parts in the order in which a request meets them.
    """
    return (
        *_between_models("encoder", first.encoder, second.encoder, model_repository / TEXT_ENCODER.name),
        *_between_models("generator", first.generator, second.generator, model_repository / GENERATOR.name),
        *_between_catalogues(first, second, var / "catalogues"),
        *_between_prompts(first.prompt, second.prompt),
        *_unequal("weights", first.weights.model_dump(), second.weights.model_dump()),
    )


def _between_models(part: str, first: PinnedModel, second: PinnedModel, folder: Path) -> Iterator[Difference]:
    yield from _unequal(part, {"version": first.version}, {"version": second.version})
    yield from _unequal(part, _facts(folder / first.version), _facts(folder / second.version))
    yield from _unequal(part, _told_apart(first.files), _told_apart(second.files), name=_file)


def _facts(folder: Path) -> dict[str, Any]:
    try:
        manifest = read_manifest(folder)
    except ReleaseInvalid:
        return {}
    return {fact: manifest[fact] for fact in _FACTS if fact in manifest}


def _between_catalogues(first: Release, second: Release, folder: Path) -> Iterator[Difference]:
    yield from _unequal("catalogue", {"name": first.catalogue.name}, {"name": second.catalogue.name})
    files = (_told_apart(each.catalogue.files) for each in (first, second))
    yield from _unequal("catalogue", *files, name=_file)
    paths = [folder / release.catalogue.name / "items.parquet" for release in (first, second)]
    same = first.catalogue.files.get("items.parquet") == second.catalogue.files.get("items.parquet")
    if not same and all(path.is_file() for path in paths):
        yield from _between_items(*(_items(path) for path in paths))


def _between_items(first: Mapping[str, int], second: Mapping[str, int]) -> Iterator[Difference]:
    removed = [item for item in first if item not in second]
    added = [item for item in second if item not in first]
    changed = [item for item, digest in first.items() if second.get(item, digest) != digest]
    if removed:
        yield Difference("catalogue", "items removed", _counted(removed), None)
    if added:
        yield Difference("catalogue", "items added", None, _counted(added))
    if changed:
        yield Difference("catalogue", "items changed", None, _counted(changed))


def _counted(items: list[str]) -> dict[str, Any]:
    return {"count": len(items), "item_ids": items[:N_NAMED_ITEMS]}


def _items(path: Path) -> dict[str, int]:
    """Digest each item of a catalogue, by id; how popular it is leaves the digest alone."""
    file = pyarrow.parquet.ParquetFile(path)
    columns = sorted(set(file.schema_arrow.names) - _COMPUTED)
    return {
        row["item_id"]: hash(repr(row)) for batch in file.iter_batches(columns=columns) for row in batch.to_pylist()
    }


def _between_prompts(first: Prompt, second: Prompt) -> Iterator[Difference]:
    yield from _unequal("prompt", first.model_dump(mode="json"), second.model_dump(mode="json"))


def _unequal(
    part: str, first: Mapping[str, Any], second: Mapping[str, Any], *, name: Callable[[str], str] = str
) -> Iterator[Difference]:
    for key in dict.fromkeys((*first, *second)):
        if first.get(key) != second.get(key):
            yield Difference(part, name(key), first.get(key), second.get(key))


def _told_apart(files: Mapping[str, str]) -> dict[str, str]:
    """Leave out the manifest, which differs whenever another file does, and which older releases do not pin."""
    return {name: sha256 for name, sha256 in files.items() if name != MANIFEST}


def _file(name: str) -> str:
    return {"tokenizer.json": "tokenizer", "vectors.npy": "vectors", "fingerprint.json": "fingerprint"}.get(name, name)
