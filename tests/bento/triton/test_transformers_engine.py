"""The transformers engine on a tiny real Llama: it passes every engine's suite, and a batch changes no text."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.bento.triton.engine_suite import PROMPT, EngineSuite, alone, greedy, written
from tests.tiny_llama import CONTEXT_TOKENS, write_tiny_llama
from transformers import AutoModelForCausalLM, AutoTokenizer, MistralConfig, MistralForCausalLM

from longtail_bento.triton.backends.longtail_generator.engine import SamplingParameters
from longtail_bento.triton.backends.longtail_generator.transformers_engine import (
    TransformersEngine,
    TransformersOptions,
)

FP32 = TransformersOptions(precision="fp32")


@pytest.fixture(scope="session")
def tiny_llama(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the checkpoint; tests only read it."""
    return write_tiny_llama(tmp_path_factory.mktemp("llama"))


@pytest.fixture
def engine(tiny_llama: Path) -> TransformersEngine:
    return TransformersEngine(tiny_llama, FP32)


class TestTransformersEngine(EngineSuite):
    """Every promise of an engine, in float32."""


class TestTransformersEngineInBf16(EngineSuite):
    """The same in bfloat16."""

    @pytest.fixture
    def engine(self, tiny_llama: Path) -> TransformersEngine:
        return TransformersEngine(tiny_llama, TransformersOptions(precision="bf16"))


def sampled(max_tokens: int, **more: Any) -> SamplingParameters:
    return SamplingParameters(**{"max_tokens": max_tokens, "min_tokens": max_tokens, "temperature": 0.9, **more})


def test_a_greedy_text_is_the_one_that_transformers_writes(engine: TransformersEngine, tiny_llama: Path) -> None:
    model = AutoModelForCausalLM.from_pretrained(tiny_llama, dtype=torch.float32)
    tokenizer = AutoTokenizer.from_pretrained(tiny_llama)
    ids = tokenizer(PROMPT, return_tensors="pt", add_special_tokens=False)
    expected = model.generate(**ids, max_new_tokens=24, min_new_tokens=24, do_sample=False)[0, ids.input_ids.shape[1] :]
    assert alone(engine, greedy(24)) == tokenizer.decode(expected)


def test_texts_that_come_and_go_are_those_that_they_are_alone(engine: TransformersEngine) -> None:
    """Prompts of every length, joining and leaving at different steps: padding and row order change nothing."""
    asked = [
        ("a quiet film about the sea" * (number % 3 + 1), sampled(5 + 7 * number % 19, top_p=0.9), number)
        for number in range(8)
    ]
    expected = [written(engine, [engine.start(prompt, how, seed=seed)])[0] for prompt, how, seed in asked]
    running, pieces, waiting = [], [""] * len(asked), list(asked)
    for step in range(200):
        if waiting and step % 3 == 0:
            prompt, how, seed = waiting.pop(0)
            running.append(engine.start(prompt, how, seed=seed))
        engine.step()
        for index, text in enumerate(running):
            pieces[index] += text.read()
    assert all(text.finished for text in running)
    assert pieces == expected
    assert len(set(pieces)) == len(pieces)


def test_a_step_writes_one_token_of_every_text(engine: TransformersEngine) -> None:
    texts = [engine.start(PROMPT, greedy(9), seed=0), engine.start("the sea", greedy(9), seed=0)]
    for n_tokens in range(1, 10):
        engine.step()
        assert [len(text.token_ids) for text in texts] == [n_tokens, n_tokens]


def test_a_long_wait_of_prompts_does_not_hold_up_what_runs(tiny_llama: Path) -> None:
    engine = TransformersEngine(tiny_llama, TransformersOptions(precision="fp32", prefill_tokens=1))
    texts = [engine.start(f"{word} of the sea", greedy(9), seed=0) for word in ("film", "music", "love")]
    n_tokens = []
    for _ in range(3):
        engine.step()
        n_tokens.append([len(text.token_ids) for text in texts])
    assert n_tokens == [[1, 0, 0], [2, 1, 0], [3, 2, 1]]


def test_a_prompt_is_read_once_for_all_its_texts(engine: TransformersEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    widths = []
    forward = engine._model.forward
    monkeypatch.setattr(
        engine._model, "forward", lambda **given: (widths.append(given["input_ids"].shape[1]), forward(**given))[1]
    )
    written(engine, [engine.start(PROMPT, sampled(4), seed=seed) for seed in range(4)])
    assert sum(width > 1 for width in widths) == 1
    written(engine, [engine.start(PROMPT + " sea" * number, greedy(2), seed=0) for number in range(1, 9)])
    written(engine, [engine.start(PROMPT, greedy(2), seed=0)])
    assert sum(width > 1 for width in widths) == 1 + 8 + 1


def test_the_seed_decides_a_sampled_text(engine: TransformersEngine) -> None:
    texts = written(engine, [engine.start(PROMPT, sampled(12), seed=seed) for seed in (7, 8, 7)])
    assert texts[0] == texts[2] != texts[1]


def test_the_end_token_ends_a_text_and_is_not_in_it(engine: TransformersEngine) -> None:
    texts = written(
        engine,
        [engine.start(PROMPT, SamplingParameters(max_tokens=400, temperature=2.0), seed=seed) for seed in range(6)],
    )
    assert any(len(text) < 400 for text in texts)
    assert not any("<|im_end|>" in text for text in texts)


def test_no_stop_string_ends_a_text_before_its_least_length(engine: TransformersEngine) -> None:
    full = alone(engine, greedy(16))
    stop = full[:1]
    assert len(alone(engine, SamplingParameters(max_tokens=16, min_tokens=8, temperature=0.0, stop=(stop,)))) > 1


def test_nothing_is_held_of_texts_that_ended(engine: TransformersEngine) -> None:
    written(engine, [engine.start(PROMPT, sampled(4 + seed), seed=seed) for seed in range(3)])
    engine.step()
    assert (engine._running, engine._batch.lengths, engine._batch.cache.get_seq_length()) == ([], [], 0)


@pytest.mark.parametrize(("precision", "dtype"), [("bf16", torch.bfloat16), ("fp32", torch.float32)])
def test_the_precision_is_that_of_weights_and_cache(tiny_llama: Path, precision: str, dtype: torch.dtype) -> None:
    engine = TransformersEngine(tiny_llama, TransformersOptions(precision=precision))
    engine.start(PROMPT, greedy(4), seed=0)
    engine.step()
    assert {parameter.dtype for parameter in engine._model.parameters()} == {dtype}
    assert engine._batch.cache.layers[0].keys.dtype == dtype


def test_a_text_may_fill_the_context_and_not_more(engine: TransformersEngine) -> None:
    n_prompt = len(engine._tokenizer.encode(PROMPT, add_special_tokens=False).ids)
    engine.start(PROMPT, greedy(CONTEXT_TOKENS - n_prompt), seed=0)
    with pytest.raises(ValueError, match=f"text_input: {n_prompt} tokens and max_tokens .* exceed the context of 2048"):
        engine.start(PROMPT, greedy(CONTEXT_TOKENS - n_prompt + 1), seed=0)


def test_a_precision_that_torch_has_no_way_to_is_refused(tiny_llama: Path) -> None:
    with pytest.raises(ValueError, match=r"precision: expected one of \['bf16', 'fp32'\], got 'int8'"):
        TransformersEngine(tiny_llama, TransformersOptions(precision="int8"))


@pytest.mark.parametrize("device", ["cuda:99", "warp"])
def test_a_device_that_is_not_here_is_an_error(tiny_llama: Path, device: str) -> None:
    with pytest.raises(ValueError, match=f"device: expected '{device}' on this machine, found none"):
        TransformersEngine(tiny_llama, TransformersOptions(device=device))


def test_weights_without_a_tokenizer_are_refused(tiny_llama: Path, tmp_path: Path) -> None:
    shutil.copytree(tiny_llama, tmp_path / "bare")
    (tmp_path / "bare" / "tokenizer.json").unlink()
    with pytest.raises(ValueError, match=r"expected tokenizer\.json beside the weights"):
        TransformersEngine(tmp_path / "bare", FP32)


def test_a_model_whose_layers_forget_is_refused(tiny_llama: Path, tmp_path: Path) -> None:
    folder = tmp_path / "sliding"
    shutil.copytree(tiny_llama, folder)
    MistralForCausalLM(
        MistralConfig(
            vocab_size=300,
            hidden_size=16,
            intermediate_size=16,
            num_hidden_layers=1,
            num_attention_heads=2,
            num_key_value_heads=1,
            sliding_window=8,
        )
    ).save_pretrained(folder)
    with pytest.raises(ValueError, match="whose layers all attend to every earlier token"):
        TransformersEngine(folder, FP32)
