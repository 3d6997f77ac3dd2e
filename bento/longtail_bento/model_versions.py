"""Releases in, the model versions that they pin loaded by the running Triton, and unloaded when the last one left."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from pathlib import Path

from longtail_client.contract import GENERATOR, PROVENANCE, TEXT_ENCODER, version_parameter
from longtail_client.manifest import read_manifest
from longtail_client.release import Release
from longtail_client.transport import Transport

_LIST_TIMEOUT_S = 5.0


class ModelVersions:
    """What Triton serves for the releases of this process.

    Versions that nobody here asked for, such as those of its configuration, are left as they are: an export may use
    them.

    Args:
        transport: The way to Triton.
        model_repository: Where the versions are published; their manifests say what Triton must know of them.
        load_timeout_s: Seconds that loading a version may take.
    """

    def __init__(self, transport: Transport, *, model_repository: Path, load_timeout_s: float) -> None:
        self._transport = transport
        self._model_repository = model_repository
        self._load_timeout_s = load_timeout_s
        self._one_at_a_time = asyncio.Lock()

    async def ensure(self, release: Release) -> bool:
        """Have Triton serve what a release pins, beside what it serves already.

        Returns:
            Whether something had to be loaded.

        Raises:
            ReleaseInvalid: A version has no manifest.
            ModelNotLoaded: A version could not be loaded; what was served is served still.
            ModelUnavailable: Triton does not answer.
            DeadlineExceeded: It did not in time.
        """
        loaded = False
        async with self._one_at_a_time:
            for model, version in _pins(release):
                served = await self._transport.served_versions(model, timeout_s=_LIST_TIMEOUT_S)
                if version not in served:
                    wanted = (*served, version)
                    parameters = provenance(self._model_repository / model / version)
                    await self._transport.serve_versions(
                        model, wanted, parameters=parameters, timeout_s=self._load_timeout_s
                    )
                    loaded = True
        return loaded

    async def drop(self, left: Release, staying: Callable[[], Iterable[Release]]) -> None:
        """Have Triton unload what a release pinned, except what another one still needs. Running requests end first.

        Args:
            left: The release that left service.
            staying: Asked for the releases that did not, when it is this call's turn.

        Raises:
            ModelNotLoaded: Triton takes no such orders from here.
            ModelUnavailable: Triton does not answer.
            DeadlineExceeded: It did not in time.
        """
        async with self._one_at_a_time:
            needed = {pin for release in staying() for pin in _pins(release)}
            for model, version in set(_pins(left)) - needed:
                served = await self._transport.served_versions(model, timeout_s=_LIST_TIMEOUT_S)
                rest = [each for each in served if each != version]
                if rest and len(rest) < len(served):
                    await self._transport.serve_versions(model, rest, timeout_s=self._load_timeout_s)


def provenance(folder: Path) -> dict[str, str]:
    """Read what a configuration says of a published version, as the parameters of `PROVENANCE`.

    Args:
        folder: The version's folder.

    Raises:
        ReleaseInvalid: It has no manifest.
    """
    manifest = read_manifest(folder)
    return {version_parameter(folder.name, fact): str(manifest[fact]) for fact in PROVENANCE if manifest.get(fact)}


def _pins(release: Release) -> tuple[tuple[str, str], ...]:
    return (TEXT_ENCODER.name, release.encoder.version), (GENERATOR.name, release.generator.version)
