"""A tiny real BERT, its published export, and a small catalogue: what the export tests share."""

from __future__ import annotations

import itertools
import shutil
from pathlib import Path

import pyarrow as pa
import pytest
import torch
from tokenizers import Tokenizer
from transformers import BertConfig, BertModel

from longtail_client.encoder import TextTokenizer
from longtail_export.catalogue_sources import Tables
from longtail_export.encoder_export import SampleTexts, export_encoder
from longtail_export.encoder_graph import SentenceEncoder, load_encoder
from longtail_export.progress import SilentProgress
from longtail_export.rows import Rows

GENRES = ("drama", "comedy", "western")
N_ITEMS = 60


@pytest.fixture(scope="session")
def tiny_bert_folder(tiny_tokenizer_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint of a 2-layer BERT with its tokenizer; weights wide enough that texts differ."""
    folder = tmp_path_factory.mktemp("bert")
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=Tokenizer.from_file(str(tiny_tokenizer_path)).get_vocab_size(),
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=256,
        initializer_range=0.3,
    )
    BertModel(config).save_pretrained(folder)
    shutil.copy(tiny_tokenizer_path, folder / "tokenizer.json")
    return folder


@pytest.fixture(scope="session")
def tiny_encoder(tiny_bert_folder: Path) -> SentenceEncoder:
    """The torch model of `tiny_bert_folder`, with its pooling."""
    return load_encoder(tiny_bert_folder)


def tiny_samples() -> SampleTexts:
    """64 texts to find neighbours among, and 64 others to calibrate on."""
    texts = [
        " ".join(words)
        for words in itertools.permutations(("quiet", "drama", "space", "war", "town", "spy", "music", "sea"), 4)
    ]
    return SampleTexts(texts[0:640:10], texts[5:640:10])


@pytest.fixture(scope="session")
def model_repository(tiny_bert_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model repository with the tiny encoder published as version 1; tests only read it."""
    repository = tmp_path_factory.mktemp("model_repository")
    export_encoder(
        tiny_bert_folder,
        source_name="tiny",
        precision="fp32",
        samples=tiny_samples(),
        references=tmp_path_factory.mktemp("references"),
        model_repository=repository,
        version=1,
        progress=SilentProgress(),
    )
    return repository


@pytest.fixture
def tables() -> Tables:
    """60 items of 3 genres; item n was rated by the users 0 to n % 7, who all know at least 8 items."""
    item_ids = [str(number) for number in range(N_ITEMS)]
    items = pa.table(
        {
            "item_id": item_ids,
            "title": [f"film {number}" for number in range(N_ITEMS)],
            "genre": [GENRES[number % 3] for number in range(N_ITEMS)],
        }
    )
    pairs = [(f"u{user}", str(number)) for number in range(N_ITEMS) for user in range(number % 7 + 1)]
    unknown = [("u0", "gone"), ("stranger", "gone")]
    users, rated = zip(*pairs, *unknown, strict=True)
    interactions = pa.table(
        {
            "user_id": pa.array(users),
            "item_id": pa.array(rated),
            "weight": pa.array([5.0] * len(users), pa.float32()),
            "timestamp": pa.array(range(len(users)), pa.int64()),
        }
    )
    return Tables(Rows.of(items), Rows.of(interactions), "sixty films")


@pytest.fixture(scope="session")
def tiny_text_tokenizer(model_repository: Path) -> TextTokenizer:
    """The tokenizer as it was published."""
    return TextTokenizer(model_repository / "text_encoder" / "1" / "tokenizer.json")
