"""Reading a GGUF file's facts, against files that gguf's own writer made."""

from __future__ import annotations

from pathlib import Path

import gguf
import numpy as np
import pytest

from longtail_client.errors import ExportRejected
from longtail_export.gguf_header import N_TENSORS, read_gguf_header


def write(path: Path) -> Path:
    writer = gguf.GGUFWriter(str(path), "llama")
    writer.add_name("tiny")
    writer.add_context_length(512)
    writer.add_rope_freq_base(10_000.5)
    writer.add_bool("flag", True)
    writer.add_token_list(["one", "zwölf", "three"])
    writer.add_token_types([1, 1, 3])
    writer.add_int64("below", -7)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.close()
    return path


def test_every_fact_is_read(tmp_path: Path) -> None:
    assert read_gguf_header(write(tmp_path / "a.gguf")) == {
        "general.architecture": "llama",
        "general.name": "tiny",
        "llama.context_length": 512,
        "llama.rope.freq_base": 10_000.5,
        "flag": True,
        "tokenizer.ggml.tokens": 3,
        "tokenizer.ggml.token_type": 3,
        "below": -7,
        N_TENSORS: 0,
    }


@pytest.mark.parametrize("n_bytes", [0, 3, 6, 20, 30, 60, 200])
def test_a_file_that_ends_early_is_refused_by_name(tmp_path: Path, n_bytes: int) -> None:
    path = write(tmp_path / "a.gguf")
    assert path.stat().st_size > 200
    path.write_bytes(path.read_bytes()[:n_bytes])
    with pytest.raises(ExportRejected, match=r"a\.gguf: expected a (whole )?GGUF file"):
        read_gguf_header(path)


def test_a_file_that_ends_before_its_last_tensor_is_refused(tmp_path: Path) -> None:
    writer = gguf.GGUFWriter(str(tmp_path / "a.gguf"), "llama")
    for name in ("first", "second"):
        writer.add_tensor(name, np.ones((64, 4), np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    whole = (tmp_path / "a.gguf").read_bytes()
    assert read_gguf_header(tmp_path / "a.gguf")[N_TENSORS] == 2
    (tmp_path / "a.gguf").write_bytes(whole[:-1100])
    with pytest.raises(ExportRejected, match="it ends before its last tensor"):
        read_gguf_header(tmp_path / "a.gguf")


def test_something_else_is_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "a.gguf"
    path.write_bytes(b"PK\x03\x04" + bytes(100))
    with pytest.raises(ExportRejected, match=r"a\.gguf: expected a GGUF file, got something else"):
        read_gguf_header(path)
    path.write_bytes(b"GGUF" + (99).to_bytes(4, "little") + bytes(100))
    with pytest.raises(ExportRejected, match="expected GGUF version 2 or 3, got 99"):
        read_gguf_header(path)
