"""Fixtures that every folder of tests shares."""

from __future__ import annotations

import gc
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.postgres_server import PostgresServer
from tokenizers import Tokenizer
from tokenizers.models import WordPiece
from tokenizers.normalizers import BertNormalizer
from tokenizers.pre_tokenizers import BertPreTokenizer
from tokenizers.processors import TemplateProcessing
from xdist.remote import Producer
from xdist.scheduler import LoadFileScheduling

from longtail_client.encoder import TextTokenizer

WORDS = (
    "a an and the of in with film number more quiet loud short drama comedy western horror thriller romance crime "
    "lighthouse sea about from war love child old new city small town spy music space"
)


LIVE = Path(__file__).parent / "live"


class LiveTogether(LoadFileScheduling):
    """How ``pytest -n 2`` shares the tests out: the live ones all to one process, any other file whole to either."""

    def _split_scope(self, nodeid: str) -> str:
        return "live" if nodeid.startswith("tests/live/") else super()._split_scope(nodeid)


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> LiveTogether:
    """Keep the live tests, which share servers and mind the time, in one process."""
    return LiveTogether(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the live tests. Where processes share the tests, these come first: they take longest."""
    live = {item for item in items if LIVE in item.path.parents}
    for item in live:
        item.add_marker(pytest.mark.live)
    if "PYTEST_XDIST_WORKER" in os.environ:
        items.sort(key=lambda item: item not in live)


def pytest_collection_finish() -> None:
    """Leave the tests and what they imported, which stay to the end, out of every later collection of garbage."""
    gc.collect()
    gc.freeze()


def write_tiny_tokenizer(path: Path) -> Path:
    """Write a real WordPiece tokenizer with a vocabulary of words, letters and digits."""
    letters = [chr(code) for code in range(ord("a"), ord("z") + 1)] + [str(digit) for digit in range(10)]
    pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *WORDS.split(), *letters, *(f"##{letter}" for letter in letters)]
    vocabulary = {piece: index for index, piece in enumerate(dict.fromkeys(pieces))}
    tokenizer = Tokenizer(WordPiece(vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer = BertNormalizer()
    tokenizer.pre_tokenizer = BertPreTokenizer()
    tokenizer.post_processor = TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", vocabulary["[CLS]"]), ("[SEP]", vocabulary["[SEP]"])]
    )
    tokenizer.save(str(path))
    return path


@pytest.fixture(scope="session")
def tiny_tokenizer_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The path of a tiny real tokenizer."""
    return write_tiny_tokenizer(tmp_path_factory.mktemp("tokenizer") / "tokenizer.json")


@pytest.fixture(scope="session")
def tiny_tokenizer(tiny_tokenizer_path: Path) -> TextTokenizer:
    """A tiny real tokenizer."""
    return TextTokenizer(tiny_tokenizer_path)


def free_port() -> int:
    """Return a port of loopback that nothing listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """A running PostgreSQL."""
    server = PostgresServer(free_port())
    server.start()
    yield server
    server.close()


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of an empty database, of either kind."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'new' / 'folder' / 'longtail.db'}"
    server: PostgresServer = request.getfixturevalue("postgres")
    return server.new_database()
