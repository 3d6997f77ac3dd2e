"""openvino-genai's continuous batching behind the engine seam."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import openvino_genai

from longtail_bento.triton.backends.longtail_generator.engine import SamplingParameters
from longtail_bento.triton.backends.longtail_generator.growing_text import GrowingText


@dataclass(frozen=True, slots=True)
class OpenVinoOptions:
    """What trades memory and latency in the engine.

    Attributes:
        precision: ``bf16`` or ``f32``: the type of what is not quantised. bf16 halves its memory traffic.
        quantisation_group: Activations in a group that share one int8 scale in matrix products; 0 keeps the products in
            ``precision``. OpenVINO's own default is 32; it is slower and closer to the source with 0.
        cache_precision: ``u8``, ``bf16`` or ``f32``: the type of keys and values. u8 holds four times as many tokens.
        context_tokens: Longest prompt plus text. Longer ones are refused, since the pipeline would accept them.
        kv_cache_gib: Memory for keys and values, shared by every running text and by cached prefixes.
        prefill_tokens: Prompt tokens taken in one step. More starts long prompts sooner, and delays running texts.
    """

    precision: str = "bf16"
    quantisation_group: int = 32
    cache_precision: str = "u8"
    context_tokens: int = 2048
    kv_cache_gib: int = 1
    prefill_tokens: int = 1024

    @property
    def properties(self) -> dict[str, str | int]:
        """What OpenVINO compiles the model with."""
        return {
            "INFERENCE_PRECISION_HINT": self.precision,
            "DYNAMIC_QUANTIZATION_GROUP_SIZE": self.quantisation_group,
            "KV_CACHE_PRECISION": self.cache_precision,
        }


class OpenVinoEngine:
    """See `Engine`.

    Args:
        model_path: A folder with OpenVINO IR and its tokenizer, or a GGUF file.
        options: What trades memory and latency.
    """

    def __init__(self, model_path: Path, options: OpenVinoOptions) -> None:
        scheduler = openvino_genai.SchedulerConfig()
        scheduler.cache_size = options.kv_cache_gib
        scheduler.max_num_batched_tokens = options.prefill_tokens
        scheduler.enable_prefix_caching = True
        self._pipeline = openvino_genai.ContinuousBatchingPipeline(
            str(model_path),
            scheduler,
            "CPU",
            options.properties,
        )
        self._tokenizer = self._pipeline.get_tokenizer()
        self._context_tokens = options.context_tokens
        self._ids = count()  # an id used twice breaks the pipeline for good

    def start(self, prompt: str, sampling: SamplingParameters, *, seed: int) -> OpenVinoRunning:
        """See `Engine.start`."""
        tokens = self._tokenizer.encode(prompt, add_special_tokens=False).input_ids
        n_tokens = tokens.shape[1]
        if n_tokens == 0:
            raise ValueError("text_input: expected a prompt, got an empty text")
        if n_tokens + sampling.max_tokens > self._context_tokens:
            raise ValueError(
                f"text_input: {n_tokens} tokens and max_tokens {sampling.max_tokens} exceed the context of "
                f"{self._context_tokens} tokens"
            )
        handle = self._pipeline.add_request(next(self._ids), tokens, self._config(sampling, seed))
        return OpenVinoRunning(handle, GrowingText(self._tokenizer.decode, sampling))

    def step(self) -> None:
        """See `Engine.step`."""
        if self._pipeline.has_non_finished_requests():
            self._pipeline.step()

    def _config(self, sampling: SamplingParameters, seed: int) -> Any:
        config = self._pipeline.get_config()
        config.max_new_tokens = sampling.max_tokens
        config.min_new_tokens = sampling.min_tokens
        config.do_sample = sampling.temperature > 0
        if config.do_sample:
            config.temperature = sampling.temperature
            config.top_p = sampling.top_p
            if sampling.top_k > 0:
                config.top_k = sampling.top_k
            config.rng_seed = seed % 2**63
        config.repetition_penalty = sampling.repetition_penalty
        return config


class OpenVinoRunning:
    """See `Running`. Holds the handle: a request whose handle is collected is dropped."""

    def __init__(self, handle: Any, text: GrowingText) -> None:
        self._handle = handle
        self._text = text
        self.finished = False

    def read(self) -> str:
        """See `Running.read`."""
        if self.finished:
            return ""
        ended = self._handle.get_status() != openvino_genai.GenerationStatus.RUNNING
        while self._handle.can_read():
            for output in self._handle.read().values():
                self._text.add(output.generated_ids)
        # The pipeline's own stop strings stay in the text where they end inside a token, so they are cut here.
        piece = self._text.take(ended=ended)
        if self._text.stopped:
            self._handle.stop()
        self.finished = ended or self._text.stopped
        return piece

    def cancel(self) -> None:
        """See `Running.cancel`."""
        self._handle.cancel()
        self.finished = True
