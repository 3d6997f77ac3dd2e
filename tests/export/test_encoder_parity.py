"""The comparison of an export with its source: on which texts, and what it measures."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from longtail_client.encoder import TextTokenizer
from longtail_export.encoder_graph import SentenceEncoder, write_graph
from longtail_export.encoder_parity import measure_parity, parity_texts
from longtail_export.encoder_runtimes import onnx_embed, torch_embed


def right_of(input_ids: np.ndarray, attention_mask: np.ndarray) -> np.ndarray:
    """Embed every text as ``(1, 0)``."""
    return np.tile(np.array([1, 0], dtype=np.float32), (len(input_ids), 1))


def turned_by_length(input_ids: np.ndarray, attention_mask: np.ndarray) -> np.ndarray:
    """Embed a text of up to 4 tokens as ``(1, 0)``, a longer one 60 degrees away, at twice the length."""
    is_long = attention_mask.sum(axis=1) > 4
    return np.where(is_long[:, np.newaxis], [1, np.sqrt(3)], [1, 0]).astype(np.float32)


def test_texts_reach_from_one_token_to_the_longest_bucket(tiny_tokenizer_path: Path) -> None:
    texts = parity_texts(tiny_tokenizer_path)
    counts = [len(row) for row in TextTokenizer(tiny_tokenizer_path)(texts)]
    assert len(texts) == 256
    assert (min(counts), max(counts)) == (3, 256)
    assert counts == sorted(counts)
    assert len(set(counts)) > 240


def test_texts_are_the_same_every_time_and_others_with_another_seed(tiny_tokenizer_path: Path) -> None:
    texts = parity_texts(tiny_tokenizer_path, 5)
    assert [len(text.split()) for text in texts] == [1, 64, 128, 191, 254]
    assert texts == parity_texts(tiny_tokenizer_path, 5)
    assert texts != parity_texts(tiny_tokenizer_path, 5, seed=1)


def test_the_comparison_names_the_worst_text(tiny_tokenizer: TextTokenizer) -> None:
    texts = ["sea", "space music", "quiet", "a small town spy", "war"]
    parity = measure_parity(right_of, turned_by_length, tiny_tokenizer, texts)
    assert parity.n_texts == 5
    assert (parity.min_tokens, parity.max_tokens) == (1, 6)
    assert parity.worst_cosine == pytest.approx(0.5)
    assert parity.mean_cosine == pytest.approx(4.5 / 5)
    assert parity.worst_text == "a small town spy"


def test_every_text_of_many_batches_is_compared_in_its_place(tiny_tokenizer: TextTokenizer) -> None:
    texts = ["sea"] * 37 + ["a small town spy"] + ["war"] * 2
    parity = measure_parity(right_of, turned_by_length, tiny_tokenizer, texts)
    assert parity.worst_text == "a small town spy"
    assert parity.mean_cosine == pytest.approx(39.5 / 40)


def test_a_vector_that_is_not_a_number_is_the_worst(tiny_tokenizer: TextTokenizer) -> None:
    def sometimes_nan(input_ids: np.ndarray, attention_mask: np.ndarray) -> np.ndarray:
        vectors = right_of(input_ids, attention_mask)
        vectors[attention_mask.sum(axis=1) > 4] = np.nan
        return vectors

    parity = measure_parity(right_of, sometimes_nan, tiny_tokenizer, ["sea", "a small town spy", "war"])
    assert np.isnan(parity.worst_cosine)
    assert parity.worst_text == "a small town spy"


@pytest.mark.parametrize(("n_words", "n_tokens"), [(1, 3), (254, 256), (400, 256)])
def test_graph_and_torch_agree_on_the_shortest_and_the_longest_text(
    tiny_encoder: SentenceEncoder, tiny_tokenizer: TextTokenizer, tmp_path: Path, n_words: int, n_tokens: int
) -> None:
    write_graph(tiny_encoder, tmp_path / "model.onnx")
    texts = [" ".join(["lighthouse"] * n_words)]
    parity = measure_parity(torch_embed(tiny_encoder), onnx_embed(tmp_path / "model.onnx"), tiny_tokenizer, texts)
    assert parity.max_tokens == n_tokens
    assert parity.worst_cosine > 0.999999
