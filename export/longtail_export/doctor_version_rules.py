"""The doctor's rules about version folders: what lies there, against what configurations and manifests say of it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from longtail_client.errors import ReleaseInvalid
from longtail_client.manifest import MANIFEST, read_manifest, verify_files
from longtail_export.doctor import Machine, Place, Rule
from longtail_export.doctor_repository import ModelFolder, ModelRepository

_DYNAMIC = frozenset({"DynamicQuantizeLinear", "DynamicQuantizeMatMul", "DynamicQuantizeLSTM"})
"""Operators that take their scale from the batch that they are given (ai.onnx and com.microsoft)."""


def _missing_version(repository: ModelRepository, _: Machine) -> Iterator[Place]:
    for model in repository.models:
        for config in model.readable:
            missing = [version for version in config.pinned_versions or () if version not in model.versions]
            if missing:
                what = f"the version policy names {_listed(missing)}, and there is no such folder"
                yield Place(config.path, config.line_of(r"\bversions\b"), what)


def _unserved_version(repository: ModelRepository, _: Machine) -> Iterator[Place]:
    for model in repository.models:
        policies = [config.pinned_versions for config in model.readable]
        if not policies or None in policies:
            continue
        named = {version for policy in policies for version in policy or ()}
        unserved = [version for version in model.versions if version not in named]
        if unserved:
            config = model.readable[0]
            what = f"no version policy names {_listed(unserved)}, and there is such a folder"
            yield Place(config.path, config.line_of(r"\bversions\b"), what)


def _overwritten_version(repository: ModelRepository, _: Machine) -> Iterator[Place]:
    for _model, _version, folder in repository.version_folders():
        path = folder / MANIFEST
        if not path.exists():
            continue
        try:
            files = read_manifest(folder)["files"]
        except ReleaseInvalid as error:
            yield Place(path, 1, str(error))
            continue
        for name, sha256 in files.items():
            try:
                verify_files(folder, {name: sha256})
            except ReleaseInvalid as error:
                yield Place(path, _line_with(path, f'"{name}": "{sha256}"'), str(error))


def _empty_version(repository: ModelRepository, _: Machine) -> Iterator[Place]:
    for model, version, folder in repository.version_folders():
        if not any(path.is_file() for path in folder.rglob("*")):
            yield _place_of_version(model, version, f"version {version} has no file")


def _unnamed_file(repository: ModelRepository, _: Machine) -> Iterator[Place]:
    for _model, _version, folder in repository.version_folders():
        try:
            named = {MANIFEST, *read_manifest(folder)["files"]}
        except ReleaseInvalid:
            continue
        there = (path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
        for path in sorted(there):
            if str(path) not in named and "__pycache__" not in path.parts:
                yield Place(folder / MANIFEST, 1, f"{path} is in the folder, and the manifest does not name it")


def _python_cache(repository: ModelRepository, _: Machine) -> Iterator[Place]:
    for model, version, folder in repository.version_folders():
        for cache in sorted(folder.rglob("__pycache__")):
            yield _place_of_version(model, version, f"version {version} has {cache.relative_to(model.path)}")


def _dynamic_int8(repository: ModelRepository, _: Machine) -> Iterator[Place]:
    for model, version, path, graph in _graphs(repository):
        if isinstance(graph, str):
            continue
        node = next((node for node in _nodes(graph) if node.op_type in _DYNAMIC), None)
        if node is not None:
            what = f"{path.relative_to(model.path)} computes with {node.op_type}, in node '{node.name}'"
            yield _place_of_version(model, version, what)


def _unreadable_graph(repository: ModelRepository, _: Machine) -> Iterator[Place]:
    for model, version, path, graph in _graphs(repository):
        if isinstance(graph, str):
            yield _place_of_version(model, version, f"{path.relative_to(model.path)} is no ONNX model: {graph}")


def _graphs(repository: ModelRepository) -> Iterator[tuple[ModelFolder, int, Path, Any]]:
    """Go through every graph; a string that says why, in the place of one that cannot be read."""
    import onnx
    from google.protobuf.message import DecodeError

    for model, version, folder in repository.version_folders():
        for path in sorted(folder.glob("*.onnx")):
            try:
                loaded = onnx.load(path, load_external_data=False)
            except (DecodeError, OSError) as error:
                yield model, version, path, str(error)
                continue
            yield model, version, path, loaded if loaded.graph.node else "it has no node"


def _nodes(model: Any) -> Iterator[Any]:
    """Go through every node, those of branches, loops and functions too."""
    waiting = [list(model.graph.node), *(list(function.node) for function in model.functions)]
    while waiting:
        for node in waiting.pop():
            yield node
            for attribute in node.attribute:
                waiting += [list(graph.node) for graph in (attribute.g, *attribute.graphs) if graph.node]


def _place_of_version(model: ModelFolder, version: int, what: str) -> Place:
    """Point at the line that brings a version into service, since its own files have no lines."""
    config = model.config_serving(version)
    if config is None:
        return Place(model.path / "config.pbtxt", 1, what)
    return Place(config.path, config.line_of(r"\bversion_policy\b"), what)


def _line_with(path: Path, text: str) -> int:
    lines = path.read_text().splitlines()
    return next((number for number, line in enumerate(lines, start=1) if text in line), 1)


def _listed(versions: list[int]) -> str:
    return ("versions " if len(versions) > 1 else "version ") + ", ".join(map(str, versions))


VERSION_RULES = (
    Rule(
        "missing-version",
        "error",
        why="Triton serves the other versions and only logs that this one is not there; requests that pin it fail.",
        mend="Export that version, or write what is published with `longtail export config`.",
        find=_missing_version,
    ),
    Rule(
        "unserved-version",
        "warning",
        why="Triton does not serve a version that its policy leaves out: a release that pins it is refused.",
        mend="Write what is published with `longtail export config`, or remove the folder.",
        find=_unserved_version,
    ),
    Rule(
        "overwritten-version",
        "error",
        why="The files are not those that were published. Caches keep the old answers, a running Triton may hold half "
        "of either, and releases that pin the old files are refused.",
        mend="Put the published files back, and publish the new ones under the next number.",
        find=_overwritten_version,
    ),
    Rule(
        "empty-version",
        "error",
        why="Triton finds nothing to load in the folder; a model without another version that loads is not served at "
        "all.",
        mend="Export that version again, or remove the folder and write what is published with `longtail export "
        "config`.",
        find=_empty_version,
    ),
    Rule(
        "unnamed-file",
        "warning",
        why="It came after the version was published: no release pins it and `longtail release pack` leaves it behind, "
        "so that another host serves without it what this one serves with it.",
        mend="Remove it, or publish the version with it under the next number.",
        find=_unnamed_file,
    ),
    Rule(
        "python-cache",
        "warning",
        why="Triton goes by the time at which a version folder changed: a `__pycache__` written into it makes Triton "
        "open an untouched version anew at the next load.",
        mend="Remove it, and keep code in a python-based backend, outside the version folders.",
        find=_python_cache,
    ),
    Rule(
        "dynamic-int8",
        "error",
        why="Dynamic quantisation takes one scale for the whole batch, so a text's vector depends on the texts that "
        "happen to share its batch: the same text came out as far as cosine .985 from itself.",
        mend="Export float32, or static quantisation (QDQ), whose scales are fixed when it is calibrated.",
        find=_dynamic_int8,
    ),
    Rule(
        "unreadable-graph",
        "error",
        why="ONNX Runtime cannot open the file, so the version does not load; a Git LFS pointer or half a copy looks "
        "like this.",
        mend="Copy or export the version again, under the next number if it was ever served.",
        find=_unreadable_graph,
    ),
)
"""The rules that read version folders."""
