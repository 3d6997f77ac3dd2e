"""A model's version folders in, what its configuration says of them out: which are published, and where each is from.

Only what is the same on every machine gets into a configuration, since configurations are committed: names and hashes
of sources and tokenizers, never the hash of a graph that another processor would quantise otherwise.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from longtail_client.contract import PROVENANCE, ModelSpec
from longtail_client.errors import ContractMismatch
from longtail_client.manifest import MANIFEST, read_manifest
from longtail_export.sources import PINNED


@dataclass(frozen=True, slots=True)
class PublishedVersion:
    """One version folder with a manifest.

    Attributes:
        version: Its number.
        provenance: The facts of `PROVENANCE` that the manifest tells; an older manifest may lack some.
        dim: Length of a vector; None for a model that gives none.
    """

    version: int
    provenance: tuple[tuple[str, str], ...]
    dim: int | None

    @property
    def engine(self) -> str:
        """What runs this version inside its backend; the first exports had one engine and did not name it."""
        return dict(self.provenance).get("engine", "openvino")


def published_versions(model_repository: Path, model: str) -> tuple[PublishedVersion, ...]:
    """Read which versions of a model are published, oldest first.

    Args:
        model_repository: Triton's model repository.
        model: Name of the model.

    Raises:
        ReleaseInvalid: A manifest cannot be read.
    """
    folders = (path.parent for path in (model_repository / model).glob(f"[0-9]*/{MANIFEST}"))
    numbered = sorted((int(folder.name), folder) for folder in folders if folder.name.isdecimal())
    return tuple(_described(version, read_manifest(folder)) for version, folder in numbered)


def shared_dim(model: ModelSpec, dims: Iterable[int | None]) -> int | None:
    """Return the one length that all versions' vectors have, since a configuration has one for all of them.

    Args:
        model: The model, for the message.
        dims: Length by version; None where a version gives no vectors.

    Raises:
        ContractMismatch: Two versions differ.
    """
    found = {dim for dim in dims if dim is not None}
    if len(found) > 1:
        raise ContractMismatch(
            f"{model.name}: expected versions whose vectors have one length, got {sorted(found)}; "
            "serve another length from a model repository of its own"
        )
    return next(iter(found), None)


def _described(version: int, manifest: dict[str, Any]) -> PublishedVersion:
    facts = dict(manifest)
    if "source_sha256" not in facts and facts.get("source") in PINNED:
        facts["source_sha256"] = PINNED[facts["source"]].sha256
    provenance = tuple((name, str(facts[name])) for name in PROVENANCE if facts.get(name))
    return PublishedVersion(version, provenance, facts.get("dim"))
