"""A generator version's folder in, the engine that it names out."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from longtail_bento.triton.backends.longtail_generator.engine import Engine, SamplingParameters

RECIPE = "generator.json"


def engine_opener(folder: Path, *, device: str | None = None) -> Callable[[], Engine]:
    """Read a version's recipe.

    Args:
        folder: The version folder, with ``generator.json`` and the weights that it names.
        device: Where the engine shall run, as ``cpu`` or ``cuda:0``; None leaves it to the recipe.

    Returns:
        A function that opens the engine anew each time it is called, and has seen it write before it returns it.

    Raises:
        ValueError: The recipe is missing, is no JSON object, names an unknown engine or option, or an engine that does
            not run on the device or is not installed.
    """
    recipe = _read(folder)
    engine = recipe.get("engine")
    if engine not in ("openvino", "transformers"):
        raise ValueError(f"{RECIPE}: expected engine 'openvino' or 'transformers', got {engine!r}")
    weights = folder / recipe.get("weights", ".")
    if not weights.exists():
        raise ValueError(f"{RECIPE}: expected weights at '{weights.name}', found nothing there")
    try:
        opener = (_openvino if engine == "openvino" else _transformers)(weights, recipe.get("options", {}), device)
    except TypeError as error:
        raise ValueError(f"{RECIPE}: {error}") from error
    except ImportError as error:
        raise ValueError(f"{RECIPE}: engine '{engine}' is not installed here ({error})") from error
    return lambda: _warmed(opener())


def _read(folder: Path) -> dict[str, Any]:
    try:
        recipe = json.loads((folder / RECIPE).read_text())
    except (OSError, json.JSONDecodeError) as error:
        hint = "; it holds a model.json, which the backend 'vllm' reads" if (folder / "model.json").exists() else ""
        raise ValueError(f"expected {RECIPE}, a JSON object that names the engine, got {error}{hint}") from error
    if not isinstance(recipe, dict):
        raise ValueError(f"expected {RECIPE}, a JSON object that names the engine, got {recipe!r:.80}")
    return recipe


def _openvino(weights: Path, given: dict[str, Any], device: str | None) -> Callable[[], Engine]:
    from longtail_bento.triton.backends.longtail_generator.openvino_engine import OpenVinoEngine, OpenVinoOptions

    options = OpenVinoOptions(**given)
    if device not in (None, "cpu"):
        raise ValueError(f"{RECIPE}: engine 'openvino' runs on the CPU, got an instance on {device}; use KIND_CPU")
    return lambda: OpenVinoEngine(weights, options)


def _transformers(weights: Path, given: dict[str, Any], device: str | None) -> Callable[[], Engine]:
    from longtail_bento.triton.backends.longtail_generator.transformers_engine import (
        TransformersEngine,
        TransformersOptions,
    )

    options = TransformersOptions(**given)
    return lambda: TransformersEngine(weights, options if device is None else replace(options, device=device))


def _warmed(engine: Engine) -> Engine:
    """Run a prompt and a batch of the usual size, so that the first caller does not pay for compiling their shapes."""
    sampling = SamplingParameters(max_tokens=4, temperature=0.0)
    texts = [engine.start("Hello, world. " * 100, sampling, seed=0) for _ in range(4)]
    while not all(text.finished for text in texts):
        engine.step()
        for text in texts:
            text.read()
    return engine
