"""Choosing a token, on five logits worked out by hand."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
import torch

from longtail_bento.triton.backends.longtail_generator.engine import SamplingParameters
from longtail_bento.triton.backends.longtail_generator.token_choice import choose_token

PROBABILITIES = torch.tensor([0.05, 0.4, 0.3, 0.2, 0.05])
LOGITS = PROBABILITIES.log()


def drawn(n: int = 2000, *, used: tuple[int, ...] = (), forbidden: tuple[int, ...] = (), **sampling: Any) -> Counter:
    generator = torch.Generator().manual_seed(0)
    parameters = SamplingParameters(**sampling)
    return Counter(
        choose_token(LOGITS, parameters, used=used, forbidden=forbidden, generator=generator) for _ in range(n)
    )


def test_temperature_0_takes_the_likeliest() -> None:
    assert drawn(20, temperature=0.0) == {1: 20}


def test_temperature_1_draws_by_probability() -> None:
    counts = drawn()
    assert all(abs(counts[token] / 2000 - float(PROBABILITIES[token])) < 0.03 for token in range(5))


def test_a_low_temperature_sharpens() -> None:
    # p^2 / sum(p^2): 0.16 / 0.295 for token 1
    assert drawn(temperature=0.5)[1] / 2000 == pytest.approx(0.16 / 0.295, abs=0.03)


def test_top_k_leaves_the_likeliest() -> None:
    assert set(drawn(top_k=2)) == {1, 2}
    assert set(drawn(top_k=99)) == set(range(5))


@pytest.mark.parametrize(("top_p", "left"), [(0.3, {1}), (0.4, {1}), (0.41, {1, 2}), (0.75, {1, 2, 3})])
def test_top_p_leaves_the_fewest_that_reach_its_mass(top_p: float, left: set[int]) -> None:
    assert set(drawn(top_p=top_p)) == left


def test_top_p_counts_the_mass_that_top_k_left() -> None:
    # of tokens 1 and 2 the first holds 4 / 7
    assert set(drawn(top_k=2, top_p=0.55)) == {1}
    assert set(drawn(top_k=2, top_p=0.6)) == {1, 2}


def test_a_penalty_discourages_used_tokens_whatever_the_sign_of_their_logit() -> None:
    generator = torch.Generator()
    logits = torch.tensor([2.0, 1.5, -1.0, -1.5])
    greedy = SamplingParameters(temperature=0.0, repetition_penalty=2.0)
    assert choose_token(logits, greedy, used=(0,), forbidden=(), generator=generator) == 1
    assert choose_token(logits, greedy, used=(0, 1, 0), forbidden=(), generator=generator) == 0
    assert choose_token(logits[2:], greedy, used=(0,), forbidden=(), generator=generator) == 1
    assert logits.tolist() == [2.0, 1.5, -1.0, -1.5]


def test_a_forbidden_token_never_comes() -> None:
    assert set(drawn(forbidden=(1, 0))) == {2, 3, 4}
    assert drawn(5, temperature=0.0, forbidden=(1,)) == {2: 5}


def test_the_same_numbers_give_the_same_tokens() -> None:
    assert drawn(50) == drawn(50)


def test_a_flat_vocabulary_keeps_more_tokens_than_are_usually_enough() -> None:
    generator = torch.Generator().manual_seed(0)
    parameters = SamplingParameters(top_p=0.9)
    drawn = [
        choose_token(torch.zeros(4000), parameters, used=(), forbidden=(), generator=generator) for _ in range(400)
    ]
    assert len(set(drawn)) > 300
