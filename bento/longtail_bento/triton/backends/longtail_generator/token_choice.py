"""Logits in, the next token out: vLLM's sampling parameters, applied in vLLM's order."""

from __future__ import annotations

from collections.abc import Collection

import torch
from torch import Tensor

from longtail_bento.triton.backends.longtail_generator.engine import SamplingParameters

_USUALLY_ENOUGH = 1024
"""Tokens that nearly always hold ``top_p`` of the mass; sorting a whole vocabulary takes several times as long."""


def choose_token(
    logits: Tensor,
    sampling: SamplingParameters,
    *,
    used: Collection[int],
    forbidden: Collection[int],
    generator: torch.Generator,
) -> int:
    """Choose one token.

    Args:
        logits: Of every token of the vocabulary. Shape ``(n_vocabulary,)``, float32, on the CPU.
        sampling: How to choose.
        used: Tokens of the prompt and of the text so far, for the repetition penalty.
        forbidden: Tokens that may not come now.
        generator: The text's own random numbers, so that its neighbours in a batch do not change them.

    Returns:
        A token id.

    Source: Keskar et al., *CTRL* (2019) for the repetition penalty; Holtzman et al., *The Curious Case of Neural Text
    Degeneration* (2020) for ``top_p``.
    """
    logits = logits.clone()
    if sampling.repetition_penalty != 1.0 and used:
        seen = torch.tensor(sorted(set(used)))
        scores = logits[seen]
        logits[seen] = torch.where(
            scores > 0, scores / sampling.repetition_penalty, scores * sampling.repetition_penalty
        )
    if forbidden:
        logits[list(forbidden)] = -torch.inf
    if sampling.temperature == 0:
        return int(logits.argmax())
    logits /= sampling.temperature
    token_ids = None
    if sampling.top_k > 0:
        logits, token_ids = logits.topk(min(sampling.top_k, len(logits)))
    probabilities = logits.softmax(-1)
    if sampling.top_p < 1:
        probabilities, order = _likeliest(probabilities, sampling.top_p)
        token_ids = order if token_ids is None else token_ids[order]
        mass_before = probabilities.cumsum(-1) - probabilities
        probabilities = probabilities[mass_before < sampling.top_p]
    chosen = int(torch.multinomial(probabilities, 1, generator=generator))
    return chosen if token_ids is None else int(token_ids[chosen])


def _likeliest(probabilities: Tensor, top_p: float) -> tuple[Tensor, Tensor]:
    """Sort as many probabilities as hold ``top_p`` of the mass, at least, and return them with their places."""
    few = probabilities.topk(min(_USUALLY_ENOUGH, len(probabilities)))
    if float(few.values.sum()) > top_p:
        return few.values, few.indices
    every = probabilities.sort(descending=True)
    return every.values, every.indices
