"""A model repository on disk in, what the doctor's rules read out: configurations with their lines, version folders.

Source: triton-inference-server/server, docs/user_guide/model_repository.md, release r24.10.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from longtail_client.errors import ContractMismatch
from longtail_client.triton_transport import config_fields
from longtail_export.config_profiles import BUCKETS_PARAMETER

_PLATFORM_BACKENDS = {"pytorch_libtorch": "pytorch", "tensorrt_plan": "tensorrt"}
_LINE_OF_PARSE_ERROR = re.compile(r"line (\d+)")


@dataclass(frozen=True)
class ConfigFile:
    """One ``config.pbtxt`` or ``configs/*.pbtxt``.

    Attributes:
        path: Where it lies.
        text: Its content.
        fields: What it sets; empty where it cannot be read.
        problem: Why it cannot be read; empty where it can.
    """

    path: Path
    text: str
    fields: Mapping[str, Any]
    problem: str = ""

    @classmethod
    def read(cls, path: Path) -> ConfigFile:
        """Read a file, whatever is in it."""
        text = path.read_text(errors="replace")
        try:
            return cls(path, text, config_fields(text))
        except ContractMismatch as error:
            return cls(path, text, {}, str(error))

    def line_of(self, pattern: str) -> int:
        """Find the first line that a regular expression matches outside comments; 1 where none does.

        Args:
            pattern: The expression.
        """
        for number, line in enumerate(self.text.splitlines(), start=1):
            if re.search(pattern, _without_comment(line)):
                return number
        return 1

    def line_of_name(self, name: str) -> int:
        """Find the line on which something is given this name."""
        return self.line_of(rf"""name\s*:\s*["']{re.escape(name)}["']""")

    @property
    def line_of_problem(self) -> int:
        """The line at which reading ended."""
        found = _LINE_OF_PARSE_ERROR.search(self.problem)
        return int(found[1]) if found else 1

    @property
    def backend(self) -> str:
        """Name of the backend, also where the file names a platform instead."""
        platform = str(self.fields.get("platform", ""))
        return str(self.fields.get("backend", "")) or _PLATFORM_BACKENDS.get(platform, platform.partition("_")[0])

    @property
    def max_batch_size(self) -> int:
        """Rows of the largest batch; 0 without a batch dimension."""
        return int(self.fields.get("max_batch_size", 0))

    @property
    def decoupled(self) -> bool:
        """Whether a request may have any number of answers."""
        return bool(self.fields.get("model_transaction_policy", {}).get("decoupled", False))

    @property
    def batches_dynamically(self) -> bool:
        """Whether Triton itself puts requests together."""
        return "dynamic_batching" in self.fields and self.max_batch_size > 1

    @property
    def inputs(self) -> Sequence[Mapping[str, Any]]:
        """The inputs as the file declares them."""
        return tuple(self.fields.get("input", ()))

    @property
    def outputs(self) -> Sequence[Mapping[str, Any]]:
        """The outputs as the file declares them."""
        return tuple(self.fields.get("output", ()))

    @property
    def parameters(self) -> Mapping[str, str]:
        """The parameters of model and backend."""
        return {key: value.get("string_value", "") for key, value in self.fields.get("parameters", {}).items()}

    @property
    def buckets(self) -> tuple[int, ...]:
        """The lengths that clients pad rows to, as the file says; empty where it does not, or not in numbers."""
        told = self.parameters.get(BUCKETS_PARAMETER, "").split(",")
        return tuple(int(bucket) for bucket in told) if all(bucket.strip().isdecimal() for bucket in told) else ()

    @property
    def pinned_versions(self) -> tuple[int, ...] | None:
        """The versions of a `specific` version policy; None under any other."""
        policy = self.fields.get("version_policy", {})
        if "specific" not in policy:
            return None
        return tuple(int(version) for version in policy["specific"].get("versions", ()))


@dataclass(frozen=True)
class ModelFolder:
    """One model: its configurations, the plain one first, and its version folders by number."""

    path: Path
    configs: tuple[ConfigFile, ...]
    versions: Mapping[int, Path]

    @cached_property
    def readable(self) -> tuple[ConfigFile, ...]:
        """The configurations that could be read."""
        return tuple(config for config in self.configs if not config.problem)

    def config_serving(self, version: int) -> ConfigFile | None:
        """Return the first configuration that pins a version, or else the first of all; None where there is none."""
        pinning = (config for config in self.readable if version in (config.pinned_versions or ()))
        return next(pinning, next(iter(self.readable), None))


@dataclass(frozen=True)
class ModelRepository:
    """A model repository as it lies on disk."""

    models: tuple[ModelFolder, ...]

    @classmethod
    def read(cls, folder: Path) -> ModelRepository:
        """Read a repository.

        Args:
            folder: Its folder.

        Raises:
            ContractMismatch: It holds no model.
        """
        models = tuple(_models(folder))
        if not models:
            raise ContractMismatch(
                f"{folder}: expected a model repository, with a config.pbtxt or a numbered version in each folder, "
                "found none; give another --model-repository"
            )
        return cls(models)

    def configs(self) -> Iterator[ConfigFile]:
        """Go through every configuration that could be read."""
        for model in self.models:
            yield from model.readable

    def version_folders(self) -> Iterator[tuple[ModelFolder, int, Path]]:
        """Go through every version folder."""
        for model in self.models:
            for version, path in model.versions.items():
                yield model, version, path


def _models(folder: Path) -> Iterator[ModelFolder]:
    for path in sorted(folder.glob("*/")):
        files = [*path.glob("config.pbtxt"), *sorted(path.glob("configs/*.pbtxt"))]
        numbered = sorted(int(each.name) for each in path.glob("[0-9]*/") if each.name.isdecimal())
        if not path.name.startswith(".") and (files or numbered):
            configs = tuple(ConfigFile.read(file) for file in files)
            yield ModelFolder(path, configs, {version: path / str(version) for version in numbered})


def _without_comment(line: str) -> str:
    """Cut a comment off, unless its sign is in a string."""
    return re.sub(r"""^((?:[^#"']|"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*')*)#.*$""", r"\1", line)
