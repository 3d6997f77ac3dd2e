"""A checkpoint in, the same model as transformers saves it out: safetensors and tokenizer, compared with the source."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from tokenizers import Tokenizer
from transformers import AutoModelForCausalLM, AutoTokenizer, DynamicCache
from transformers.cache_utils import DynamicLayer
from transformers.utils import logging

from longtail_client.errors import ExportRejected
from longtail_export.generator_source import GeneratorSource
from longtail_export.progress import Progress

DTYPES = {"bf16": torch.bfloat16, "fp32": torch.float32}
_PROBE = "The quick brown fox jumps over"
_PROBE_TOKENS = 32
_MIN_KEPT = {"bf16": 0.9, "fp32": 1.0}
"""Share of the source's greedy tokens that must stay the likeliest: bf16 may turn a near tie around."""


def write_checkpoint(source: GeneratorSource, folder: Path, *, precision: str, progress: Progress) -> float:
    """Save and compare.

    Args:
        source: The checkpoint; a GGUF is dequantised.
        folder: Where to write.
        precision: ``bf16`` or ``fp32``, the type of the weights.
        progress: Hears of each step.

    Returns:
        The share of the source's greedy continuation, taken in float32, that the written model holds likeliest too.

    Raises:
        ExportRejected: The source cannot be read, is a model that the engine cannot batch, or the share is too small.
    """
    progress.step("reading the checkpoint")
    with _quietly():
        model, tokenizer = _load(source)
        other = {
            type(layer).__name__
            for layer in DynamicCache(config=model.config).layers
            if type(layer) is not DynamicLayer
        }
        if other:
            raise ExportRejected(
                f"{source.folder}: expected a model whose layers all attend to every earlier token, got {sorted(other)}"
            )
        prompt = tokenizer(_PROBE, return_tensors="pt", add_special_tokens=False).input_ids
        expected = model.generate(
            prompt, attention_mask=torch.ones_like(prompt), max_new_tokens=_PROBE_TOKENS, do_sample=False
        )
        progress.step("writing safetensors")
        model.hf_quantizer = None  # else a model that was read from GGUF cannot be saved
        if hasattr(model.config, "quantization_config"):
            del model.config.quantization_config
        model.to(DTYPES[precision]).save_pretrained(folder)
        tokenizer.save_pretrained(folder)
        for path in folder.iterdir():
            path.chmod(0o644)  # the server may run as another user
        progress.step("comparing with the checkpoint")
        kept = _share_kept(folder, expected, n_prompt=prompt.shape[1], precision=precision)
    ids = Tokenizer.from_file(str(folder / "tokenizer.json")).encode(_PROBE, add_special_tokens=False).ids
    if ids != prompt[0].tolist() or not kept >= _MIN_KEPT[precision]:
        raise ExportRejected(
            f"expected the written model to read {_PROBE!r} as {prompt[0].tolist()} and to keep at least "
            f"{_MIN_KEPT[precision]:.0%} of its source's continuation, got {ids} and {kept:.0%}; nothing was published"
        )
    return kept


def _load(source: GeneratorSource) -> tuple[Any, Any]:
    """Read model and tokenizer in float32, from files alone."""
    given: dict[str, Any] = {"local_files_only": True}
    if source.gguf is not None:
        given["gguf_file"] = source.gguf.name
    try:
        with redirect_stderr(io.StringIO()):  # reading GGUF draws a bar of its own, whatever it is told
            loaded: Any = AutoModelForCausalLM.from_pretrained(
                source.folder,
                dtype=torch.float32,
                use_safetensors=source.gguf is None,
                output_loading_info=True,
                **given,
            )
        tokenizer = AutoTokenizer.from_pretrained(source.folder, **given)
    except (OSError, ValueError, KeyError, RuntimeError, ImportError, SafetensorError) as error:
        reason = " ".join(str(error).split())[:300]
        raise ExportRejected(f"{source.folder}: transformers cannot read it: {reason}") from error
    model, told = loaded
    if told["missing_keys"]:
        missing = sorted(told["missing_keys"])
        raise ExportRejected(
            f"{source.folder}: expected every weight of the model, found none for {len(missing)}, as {missing[0]}"
        )
    for name, weights in model.named_parameters():
        if not torch.isfinite(weights).all():
            raise ExportRejected(f"{source.folder}: weights {name}: expected finite numbers, got NaN or infinity")
    return model.eval(), tokenizer


@torch.inference_mode()
def _share_kept(folder: Path, expected: torch.Tensor, *, n_prompt: int, precision: str) -> float:
    """Let the written model read what its source wrote, and count the tokens that it would have written too."""
    model: Any = AutoModelForCausalLM.from_pretrained(folder, dtype=DTYPES[precision], local_files_only=True)
    likeliest = model.eval()(expected).logits[0, n_prompt - 1 : -1].argmax(-1)
    return float((likeliest == expected[0, n_prompt:]).float().mean())


@contextmanager
def _quietly() -> Iterator[None]:
    """Keep transformers' own progress bars off the terminal, which has ours."""
    transformers: Any = logging  # its functions have no types
    shown = transformers.is_progress_bar_enabled()
    transformers.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            transformers.enable_progress_bar()
