"""The encoder client: buckets, padding, order, what travels as one request, and what it refuses."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from longtail_client.contract import Array, ModelConfig, TensorSpec
from longtail_client.encoder import Encoder, TextTokenizer, bucket_for, padded
from longtail_client.errors import ContractMismatch, DeadlineExceeded, ModelUnavailable
from longtail_client.testing import FAKE_VERSION, EncoderSuite, FakeTransport


class TestEncoderOnTheFake(EncoderSuite):
    @pytest.fixture
    async def encoder(self, tiny_tokenizer: TextTokenizer) -> Encoder:
        return await Encoder.connect(FakeTransport(), tiny_tokenizer, version=FAKE_VERSION)


class TokenCountTransport(FakeTransport):
    """Answers each row with its number of tokens in every place."""

    async def infer(
        self, model: str, version: str, inputs: Mapping[str, Array], *, timeout_s: float, **more: Any
    ) -> Mapping[str, Array]:
        await super().infer(model, version, inputs, timeout_s=timeout_s, **more)
        counts = inputs["attention_mask"].sum(axis=1, keepdims=True)
        return {"embedding": np.repeat(counts, self.dim, axis=1).astype(np.float32)}


class ScriptedTransport(FakeTransport):
    """Answers with what the test gives it."""

    def __init__(self, embedding: Any) -> None:
        super().__init__(dim=4)
        self.embedding = embedding

    async def infer(
        self, model: str, version: str, inputs: Mapping[str, Array], *, timeout_s: float, **more: Any
    ) -> Mapping[str, Array]:
        return {"embedding": self.embedding}


class OpenDimTransport(FakeTransport):
    """Serves an encoder whose config leaves the vector's length open."""

    async def model_config(self, model: str, version: str, *, timeout_s: float) -> ModelConfig:
        self.dim = -1
        return await super().model_config(model, version, timeout_s=timeout_s)


def words(n: int) -> str:
    return " ".join(["sea"] * n)


@pytest.mark.parametrize(
    ("n_tokens", "bucket"),
    [(1, 32), (32, 32), (33, 64), (64, 64), (65, 128), (128, 128), (129, 256), (256, 256)],
)
def test_a_row_goes_to_the_smallest_bucket_that_holds_it(n_tokens: int, bucket: int) -> None:
    assert bucket_for(n_tokens) == bucket


def test_rows_are_padded_on_the_right_with_masked_zeros() -> None:
    input_ids, attention_mask = padded([[5, 6, 7], [8]])
    assert input_ids.dtype == attention_mask.dtype == np.int64
    assert input_ids.shape == attention_mask.shape == (2, 32)
    assert input_ids.tolist() == [[5, 6, 7] + [0] * 29, [8] + [0] * 31]
    assert attention_mask.tolist() == [[1, 1, 1] + [0] * 29, [1] + [0] * 31]


def test_rows_are_padded_to_the_bucket_of_the_longest() -> None:
    input_ids, attention_mask = padded([[1], [1] * 33])
    assert input_ids.shape == (2, 64)
    assert attention_mask.sum(axis=1).tolist() == [1, 33]


def test_tokens_include_the_special_ones_and_stop_at_256(tiny_tokenizer: TextTokenizer) -> None:
    assert [len(row) for row in tiny_tokenizer(["", "sea", words(254), words(255), words(5000)])] == [
        2,
        3,
        256,
        256,
        256,
    ]


def test_a_tokenizer_that_pads_by_itself_is_told_not_to(tiny_tokenizer_path: Path, tmp_path: Path) -> None:
    from tokenizers import Tokenizer

    padding = Tokenizer.from_file(str(tiny_tokenizer_path))
    padding.enable_padding(length=16)
    padding.enable_truncation(8)
    padding.save(str(tmp_path / "tokenizer.json"))
    assert [len(row) for row in TextTokenizer(tmp_path / "tokenizer.json")(["sea", words(20)])] == [3, 22]


async def test_vectors_come_back_in_the_order_of_the_texts(tiny_tokenizer: TextTokenizer) -> None:
    encoder = await Encoder.connect(TokenCountTransport(max_batch_size=2), tiny_tokenizer, version=FAKE_VERSION)
    vectors = await encoder.encode([words(n) for n in (40, 1, 7, 200, 3)])
    assert vectors[:, 0].tolist() == [42, 3, 9, 202, 5]


async def test_texts_of_one_call_travel_as_one_request(tiny_tokenizer: TextTokenizer) -> None:
    transport = FakeTransport(max_batch_size=32)
    encoder = await Encoder.connect(transport, tiny_tokenizer, version=FAKE_VERSION)
    await encoder.encode([words(1 + n % 5) for n in range(32)])
    assert transport.calls == [("text_encoder", {"input_ids": (32, 32), "attention_mask": (32, 32)})]


async def test_more_texts_than_a_batch_holds_are_cut_shortest_first(tiny_tokenizer: TextTokenizer) -> None:
    transport = FakeTransport(max_batch_size=4)
    encoder = await Encoder.connect(transport, tiny_tokenizer, version=FAKE_VERSION)
    await encoder.encode([words(n) for n in (250, 1, 100, 2, 60, 3, 4, 50, 5)])
    assert sorted(call["input_ids"] for _, call in transport.calls) == [(1, 256), (4, 32), (4, 128)]


async def test_no_texts_ask_nothing_of_triton(tiny_tokenizer: TextTokenizer) -> None:
    transport = FakeTransport()
    encoder = await Encoder.connect(transport, tiny_tokenizer, version=FAKE_VERSION)
    await encoder.encode([])
    assert transport.calls == []


@pytest.mark.parametrize(
    ("embedding", "message"),
    [
        (np.ones((1, 4), np.float32), r"expected 2 finite vectors of 4, got shape \(1, 4\)"),
        (np.ones((2, 5), np.float32), r"expected 2 finite vectors of 4, got shape \(2, 5\)"),
        (np.ones((2, 4, 1), np.float32), r"text_encoder\.embedding: expected FP32 \[-1\], got float32 \[4, 1\]"),
        (np.ones(4, np.float32), r"text_encoder\.embedding: expected FP32 \[-1\], got float32 \[\]"),
        (np.array([[1, 0, 0, 0], [0, np.nan, np.inf, 0]], np.float32), r"2 values not finite"),
    ],
)
async def test_anything_but_one_finite_vector_a_text_is_a_mismatch(
    tiny_tokenizer: TextTokenizer, embedding: Array, message: str
) -> None:
    encoder = await Encoder.connect(ScriptedTransport(embedding), tiny_tokenizer, version=FAKE_VERSION)
    with pytest.raises(ContractMismatch, match=message):
        await encoder.encode(["sea", "space"])


async def test_a_served_model_with_an_open_vector_length_is_refused(tiny_tokenizer: TextTokenizer) -> None:
    with pytest.raises(ContractMismatch, match=r"text_encoder\.embedding: .*\[-1\]"):
        await Encoder.connect(OpenDimTransport(), tiny_tokenizer, version=FAKE_VERSION)


async def test_a_served_model_of_another_shape_is_refused(tiny_tokenizer: TextTokenizer) -> None:
    class Renamed(FakeTransport):
        async def model_config(self, model: str, version: str, *, timeout_s: float) -> ModelConfig:
            config = await super().model_config(model, version, timeout_s=timeout_s)
            return ModelConfig(
                config.name,
                config.backend,
                config.max_batch_size,
                config.decoupled,
                config.versions,
                config.inputs,
                (TensorSpec("last_hidden_state", "FP32", (4,)),),
            )

    with pytest.raises(ContractMismatch, match="last_hidden_state"):
        await Encoder.connect(Renamed(), tiny_tokenizer, version=FAKE_VERSION)


async def test_a_call_may_take_less_time_than_the_encoder_allows(tiny_tokenizer: TextTokenizer) -> None:
    transport = FakeTransport()
    encoder = await Encoder.connect(transport, tiny_tokenizer, version=FAKE_VERSION, timeout_s=30.0)
    transport.delay_s = 20.0
    with pytest.raises(DeadlineExceeded, match=r"0\.01 s were allowed"):
        await encoder.encode(["sea"], timeout_s=0.01)


async def test_a_call_that_says_no_time_has_the_encoders_own(tiny_tokenizer: TextTokenizer) -> None:
    transport = FakeTransport()
    encoder = await Encoder.connect(transport, tiny_tokenizer, version=FAKE_VERSION, timeout_s=0.02)
    transport.delay_s = 20.0
    with pytest.raises(DeadlineExceeded, match=r"0\.02 s were allowed"):
        await encoder.encode(["sea"])
    transport.delay_s = 0.05
    assert len(await encoder.encode(["sea"], timeout_s=60.0)) == 1


async def test_connecting_has_a_time_limit_of_its_own(tiny_tokenizer: TextTokenizer) -> None:
    transport = FakeTransport(delay_s=20.0)
    with pytest.raises(DeadlineExceeded, match=r"0\.03 s were allowed"):
        await Encoder.connect(transport, tiny_tokenizer, version=FAKE_VERSION, connect_timeout_s=0.03)


async def test_triton_away_is_unavailable(tiny_tokenizer: TextTokenizer) -> None:
    transport = FakeTransport()
    encoder = await Encoder.connect(transport, tiny_tokenizer, version=FAKE_VERSION)
    transport.down = True
    with pytest.raises(ModelUnavailable, match="text_encoder version 1"):
        await encoder.encode(["sea"])


@pytest.mark.parametrize("content", ["", "[]", '{"version": "1.0"}', None])
def test_what_is_no_tokenizer_is_named(tmp_path: Path, content: str | None) -> None:
    if content is not None:
        (tmp_path / "tokenizer.json").write_text(content)
    with pytest.raises(ContractMismatch, match=r"^tokenizer: .*/tokenizer\.json: expected a tokenizer\.json of the"):
        TextTokenizer(tmp_path / "tokenizer.json")
