"""A generator version's folder in, the engine that it names out."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from longtail_bento.triton.backends.longtail_generator.engine import Engine, SamplingParameters

RECIPE = "generator.json"


def engine_opener(folder: Path) -> Callable[[], Engine]:
    """Read a version's recipe.

    Args:
        folder: The version folder, with ``generator.json`` and the weights that it names.

    Returns:
        A function that opens the engine anew each time it is called, and has seen it write before it returns it.

    Raises:
        ValueError: The recipe is missing, is no JSON object, or names an unknown engine or option.
    """
    path = folder / RECIPE
    try:
        recipe = json.loads(path.read_text())
    except (OSError, json.JSONDecodeError) as error:
        raise ValueError(f"expected {RECIPE}, a JSON object that names the engine, got {error}") from error
    if not isinstance(recipe, dict):
        raise ValueError(f"expected {RECIPE}, a JSON object that names the engine, got {recipe!r:.80}")
    engine = recipe.get("engine")
    if engine != "openvino":
        raise ValueError(f"{RECIPE}: expected engine 'openvino', got {engine!r}")
    from longtail_bento.triton.backends.longtail_generator.openvino_engine import OpenVinoEngine, OpenVinoOptions

    try:
        options = OpenVinoOptions(**recipe.get("options", {}))
    except TypeError as error:
        raise ValueError(f"{RECIPE}: {error}") from error
    weights = folder / recipe.get("weights", ".")
    if not weights.exists():
        raise ValueError(f"{RECIPE}: expected weights at '{weights.name}', found nothing there")
    return lambda: _warmed(OpenVinoEngine(weights, options))


def _warmed(engine: Engine) -> Engine:
    """Run a prompt and a batch of the usual size, so that the first caller does not pay for compiling their shapes."""
    sampling = SamplingParameters(max_tokens=4, temperature=0.0)
    texts = [engine.start("Hello, world. " * 100, sampling, seed=0) for _ in range(4)]
    while not all(text.finished for text in texts):
        engine.step()
        for text in texts:
            text.read()
    return engine
