"""What every engine of the generator does; a subclass brings the fixture ``engine``, a freshly opened `Engine`."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from longtail_bento.triton.backends.longtail_generator.engine import Engine, Running, SamplingParameters

PROMPT = "Once upon a time there was"
MAX_STEPS = 600
"""More than any text of the suite takes, prefill included."""


def greedy(max_tokens: int, **more: object) -> SamplingParameters:
    """Take the likeliest token, and neither end early nor late."""
    fields = {"max_tokens": max_tokens, "min_tokens": max_tokens, "temperature": 0.0, **more}
    return SamplingParameters(**fields)  # type: ignore[arg-type]


def written(engine: Engine, texts: Sequence[Running]) -> list[str]:
    """Step until all of some texts have ended, reading as they grow."""
    pieces = [""] * len(texts)
    for _ in range(MAX_STEPS):
        engine.step()
        for index, text in enumerate(texts):
            pieces[index] += text.read()
        if all(text.finished for text in texts):
            return pieces
    raise AssertionError(f"{[text.finished for text in texts]} after {MAX_STEPS} steps")


def alone(engine: Engine, sampling: SamplingParameters, prompt: str = PROMPT) -> str:
    """Write one text and nothing beside it."""
    (text,) = written(engine, [engine.start(prompt, sampling, seed=0)])
    return text


class EngineSuite:
    """Inherit from it, and bring ``engine``."""

    def test_several_texts_run_to_their_ends(self, engine: Engine) -> None:
        sampling = SamplingParameters(max_tokens=8, min_tokens=8, temperature=0.8)
        texts = written(engine, [engine.start(PROMPT, sampling, seed=seed) for seed in range(3)])
        assert len(texts) == 3
        assert all(text.strip() for text in texts)
        assert not any(PROMPT in text for text in texts)

    def test_texts_of_different_prompts_do_not_mix(self, engine: Engine) -> None:
        prompts = ["The capital of France is", "One, two, three, four,"]
        apart = [alone(engine, greedy(4), prompt) for prompt in prompts]
        together = written(engine, [engine.start(prompt, greedy(4), seed=0) for prompt in prompts])
        assert apart[0] != apart[1]
        assert together == apart

    def test_a_late_short_text_ends_before_an_early_long_one(self, engine: Engine) -> None:
        long = engine.start(PROMPT, greedy(32), seed=0)
        early = ""
        for _ in range(4):
            engine.step()
            early += long.read()
        short = engine.start(PROMPT, greedy(8), seed=1)
        assert written(engine, [short])[0].strip()
        assert not long.finished
        rest = written(engine, [long])[0]
        assert len(early + rest) > len(rest) > 0

    def test_pieces_come_before_the_end(self, engine: Engine) -> None:
        text = engine.start(PROMPT, greedy(16), seed=0)
        pieces = []
        while not text.finished:
            engine.step()
            pieces.append(text.read())
        assert sum(bool(piece) for piece in pieces) > 4
        assert "".join(pieces) == alone(engine, greedy(16))

    def test_a_stop_string_ends_a_text_and_is_no_part_of_it(self, engine: Engine) -> None:
        full = alone(engine, greedy(16))
        stop = full.split()[4]
        text = alone(engine, SamplingParameters(max_tokens=16, temperature=0.0, stop=(stop,)))
        assert text.strip()
        assert stop not in text
        assert full.startswith(text)
        assert len(text) < len(full)

    def test_a_cancelled_text_ends_and_leaves_room_for_others(self, engine: Engine) -> None:
        before = alone(engine, greedy(8))
        running = [engine.start(PROMPT, greedy(512), seed=seed) for seed in range(4)]
        engine.step()
        for text in running:
            text.cancel()
        assert all(text.finished for text in running)
        assert [text.read() for text in running] == [""] * 4
        assert alone(engine, greedy(8)) == before

    def test_max_tokens_bounds_a_text(self, engine: Engine) -> None:
        one, eight = alone(engine, greedy(1)), alone(engine, greedy(8))
        assert eight.startswith(one)
        assert len(one) < len(eight)
        assert len(one.split()) <= 1
        assert len(eight.split()) <= 8

    def test_a_lone_greedy_text_is_the_same_every_time(self, engine: Engine) -> None:
        first = alone(engine, greedy(12))
        assert first.strip()
        assert [alone(engine, greedy(12)) for _ in range(2)] == [first, first]

    def test_an_empty_prompt_is_refused(self, engine: Engine) -> None:
        with pytest.raises(ValueError, match="text_input"):
            engine.start("", greedy(4), seed=0)
        assert alone(engine, greedy(4)).strip()

    def test_a_prompt_that_does_not_fit_is_refused(self, engine: Engine) -> None:
        with pytest.raises(ValueError, match="text_input"):
            engine.start("word " * 20_000, greedy(4), seed=0)
        assert alone(engine, greedy(4)).strip()

    def test_a_step_with_nothing_to_do_does_nothing(self, engine: Engine) -> None:
        engine.step()
        assert alone(engine, greedy(4)).strip()
        engine.step()
