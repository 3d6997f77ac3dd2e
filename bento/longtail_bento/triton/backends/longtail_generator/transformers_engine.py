"""A transformers checkpoint behind the engine seam: torch on any device, texts batched as they come and go."""

from __future__ import annotations

from collections import OrderedDict, deque
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer
from torch import Tensor
from transformers import AutoModelForCausalLM, DynamicCache
from transformers.cache_utils import DynamicLayer

from longtail_bento.triton.backends.longtail_generator.engine import SamplingParameters
from longtail_bento.triton.backends.longtail_generator.growing_text import GrowingText
from longtail_bento.triton.backends.longtail_generator.key_value_batch import KeyValueBatch, Layers
from longtail_bento.triton.backends.longtail_generator.token_choice import choose_token

DTYPES = {"bf16": torch.bfloat16, "fp32": torch.float32}


@dataclass(frozen=True, slots=True)
class TransformersOptions:
    """What trades memory and latency in the engine.

    Attributes:
        precision: ``bf16`` or ``fp32``: the type of weights, products and cache. bf16 halves memory.
        device: Where torch runs, as ``cpu`` or ``cuda:0``.
        context_tokens: Longest prompt plus text, if the model itself does not end earlier. Longer ones are refused.
        prefill_tokens: Prompt tokens after which a step takes in no further text. More starts many texts sooner, and
            delays running ones.
        cached_prompts: Prompts whose keys and values are kept, so that the next text from the same one starts at once.
    """

    precision: str = "bf16"
    device: str = "cpu"
    context_tokens: int = 2048
    prefill_tokens: int = 1024
    cached_prompts: int = 8


class TransformersEngine:
    """See `Engine`.

    Args:
        model_path: A folder with ``config.json``, safetensors and ``tokenizer.json``.
        options: What trades memory and latency.

    Raises:
        ValueError: An unknown precision, a device that is not here, or a model that the batch cannot hold.
        OSError: A file is missing.
    """

    def __init__(self, model_path: Path, options: TransformersOptions) -> None:
        if options.precision not in DTYPES:
            raise ValueError(f"precision: expected one of {sorted(DTYPES)}, got {options.precision!r}")
        self._device = _device(options.device)
        if not (model_path / "tokenizer.json").is_file():
            raise ValueError(f"expected tokenizer.json beside the weights in {model_path}, found none")
        self._tokenizer = Tokenizer.from_file(str(model_path / "tokenizer.json"))
        model: Any = AutoModelForCausalLM.from_pretrained(
            model_path, dtype=DTYPES[options.precision], local_files_only=True, use_safetensors=True
        )
        self._model: Any = model.to(self._device).eval()
        config = model.config
        other = {
            type(layer).__name__ for layer in DynamicCache(config=config).layers if type(layer) is not DynamicLayer
        }
        if other:
            raise ValueError(f"expected a model whose layers all attend to every earlier token, got {sorted(other)}")
        ends = model.generation_config.eos_token_id
        self._end_ids = frozenset([ends] if isinstance(ends, int) else ends or ())
        self._context_tokens = min(options.context_tokens, config.max_position_embeddings)
        self._options = options
        self._joining: deque[TransformersRunning] = deque()
        self._running: list[TransformersRunning] = []
        self._batch = KeyValueBatch()
        self._prompts: OrderedDict[tuple[int, ...], _Prompt] = OrderedDict()

    def start(self, prompt: str, sampling: SamplingParameters, *, seed: int) -> TransformersRunning:
        """See `Engine.start`."""
        prompt_ids = tuple(self._tokenizer.encode(prompt, add_special_tokens=False).ids)
        if not prompt_ids:
            raise ValueError("text_input: expected a prompt, got an empty text")
        if len(prompt_ids) + sampling.max_tokens > self._context_tokens:
            raise ValueError(
                f"text_input: {len(prompt_ids)} tokens and max_tokens {sampling.max_tokens} exceed the context of "
                f"{self._context_tokens} tokens"
            )
        text = TransformersRunning(prompt_ids, sampling, seed, GrowingText(self._tokenizer.decode, sampling))
        self._joining.append(text)
        return text

    @torch.inference_mode()
    def step(self) -> None:
        """See `Engine.step`. Texts that join get their first token now, like all others."""
        rows = [row for row, text in enumerate(self._running) if not text.ended]
        if len(rows) < len(self._running):
            self._batch.keep(rows)
            self._running = [self._running[row] for row in rows]
        if self._running:
            mask, positions = self._batch.grow()
            last = torch.tensor([[text.token_ids[-1]] for text in self._running])
            logits = self._forward(last, mask, positions, self._batch.cache)
            for text, row in zip(self._running, logits, strict=True):
                text.accept(row, self._end_ids)
        self._admit()

    def _admit(self) -> None:
        n_prefilled = 0
        while self._joining and n_prefilled < self._options.prefill_tokens:
            text = self._joining.popleft()
            if text.ended:
                continue
            prompt = self._prompts.pop(text.prompt_ids, None)
            if prompt is None:
                prompt = self._prefill(text.prompt_ids)
                n_prefilled += len(text.prompt_ids)
            self._prompts[text.prompt_ids] = prompt
            while len(self._prompts) > self._options.cached_prompts:
                self._prompts.popitem(last=False)
            text.accept(prompt.logits, self._end_ids)
            if not text.ended:
                self._batch.join(prompt.layers, len(text.prompt_ids))
                self._running.append(text)

    def _prefill(self, prompt_ids: tuple[int, ...]) -> _Prompt:
        cache: Any = DynamicCache()
        ids = torch.tensor([prompt_ids])
        (logits,) = self._forward(ids, torch.ones_like(ids), torch.arange(len(prompt_ids))[None], cache)
        return _Prompt([(layer.keys, layer.values) for layer in cache.layers], logits)

    def _forward(self, ids: Tensor, mask: Tensor, positions: Tensor, cache: DynamicCache) -> Tensor:
        """Run the model, and return the logits behind each row's last token, as float32 on the CPU."""
        logits: Tensor = self._model(
            input_ids=ids.to(self._device),
            attention_mask=mask.to(self._device),
            position_ids=positions.to(self._device),
            past_key_values=cache,
            use_cache=True,
            logits_to_keep=1,
        ).logits
        return logits[:, -1].float().cpu()


class TransformersRunning:
    """See `Running`.

    Attributes:
        ended: Whether no further token is chosen.
    """

    def __init__(self, prompt_ids: tuple[int, ...], sampling: SamplingParameters, seed: int, text: GrowingText) -> None:
        self.prompt_ids = prompt_ids
        self.ended = False
        self.finished = False
        self._sampling = sampling
        self._text = text
        self._generator = torch.Generator().manual_seed(seed % 2**63)

    @property
    def token_ids(self) -> list[int]:
        """The tokens so far, without the prompt's."""
        return self._text.token_ids

    def accept(self, logits: Tensor, end_ids: frozenset[int]) -> None:
        """Choose the next token by its logits."""
        token_id = choose_token(
            logits,
            self._sampling,
            used=(*self.prompt_ids, *self.token_ids),
            forbidden=end_ids if len(self.token_ids) < self._sampling.min_tokens else (),
            generator=self._generator,
        )
        if token_id in end_ids:
            self.ended = True
            return
        self._text.add([token_id])
        self.ended = len(self.token_ids) == self._sampling.max_tokens

    def read(self) -> str:
        """See `Running.read`."""
        if self.finished:
            return ""
        piece = self._text.take(ended=self.ended)
        self.ended = self.finished = self.ended or self._text.stopped
        return piece

    def cancel(self) -> None:
        """See `Running.cancel`."""
        self.ended = self.finished = True


@dataclass(frozen=True, slots=True)
class _Prompt:
    """What one forward pass over a prompt gave."""

    layers: Layers
    logits: Tensor


def _device(name: str) -> torch.device:
    """Ask for a device and get it, or an error: never another one."""
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = str(error).splitlines()[0]
        raise ValueError(f"device: expected {name!r} on this machine, found none ({reason})") from error
    return device
