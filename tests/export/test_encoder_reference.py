"""The vectors that versions are compared with: computed once a batch, read ever after, and never timed so."""

from __future__ import annotations

import shutil
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest

from longtail_client.contract import Array, Matrix
from longtail_export import encoder_reference
from longtail_export.encoder_export import SampleTexts, export_encoder
from longtail_export.encoder_graph import SentenceEncoder
from longtail_export.encoder_reference import Reference, graph_reference, torch_reference
from longtail_export.encoder_report import Report
from longtail_export.encoder_runtimes import Embed
from longtail_export.encoder_speed import ROUNDS
from longtail_export.progress import SilentProgress


class Counting:
    """Counts batches; a vector is its row's sum and the number of the call."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, input_ids: Array, attention_mask: Array) -> Matrix:
        self.calls += 1
        sums = (input_ids * attention_mask).sum(axis=1)
        return np.stack([sums, np.full(len(sums), self.calls)], axis=1).astype(np.float32)


def batch(*rows: list[int], mask: list[list[int]] | None = None) -> tuple[Array, Array]:
    ids = np.array(rows, dtype=np.int64)
    return ids, np.ones_like(ids) if mask is None else np.array(mask, dtype=np.int64)


def test_a_batch_is_computed_once_whoever_asks(tmp_path: Path) -> None:
    embed = Counting()
    first = Reference(embed, tmp_path / "kept")(*batch([1, 2], [3, 4]))
    again = Reference(embed, tmp_path / "kept")(*batch([1, 2], [3, 4]))
    assert embed.calls == 1
    assert first.dtype == again.dtype == np.float32
    assert first.tolist() == again.tolist() == [[3, 1], [7, 1]]


def test_other_ids_another_mask_and_another_shape_are_other_batches(tmp_path: Path) -> None:
    embed = Counting()
    reference = Reference(embed, tmp_path)
    for asked in (batch([1, 2]), batch([2, 1]), batch([1, 2], mask=[[1, 0]]), batch([1], [2])):
        reference(*asked)
    assert embed.calls == 4


@pytest.mark.parametrize("damage", ["torn", "changed", "empty"])
def test_vectors_that_are_not_whole_are_computed_again(tmp_path: Path, damage: str) -> None:
    embed = Counting()
    reference = Reference(embed, tmp_path)
    reference(*batch([1, 2]))
    (path,) = tmp_path.iterdir()
    content = path.read_bytes()
    (start,) = [index for index in range(len(content)) if content[index:].startswith(np.float32([3, 1]).tobytes())]
    changed = content[:start] + b"\x01" + content[start + 1 :]
    path.write_bytes({"torn": content[: len(content) // 2], "changed": changed, "empty": b""}[damage])
    assert reference(*batch([1, 2])).tolist() == [[3, 2]]
    assert reference(*batch([1, 2])).tolist() == [[3, 2]]
    assert len(list(tmp_path.iterdir())) == 1


def test_another_graph_and_another_runtime_have_other_vectors(
    tiny_encoder: SentenceEncoder, model_repository: Path, tmp_path: Path
) -> None:
    graph = model_repository / "text_encoder" / "1" / "model.onnx"
    other = shutil.copy(graph, tmp_path / "other.onnx")
    graph_reference(graph, tmp_path / "kept")(*batch([2, 7, 3]))
    with Path(other).open("ab") as file:
        file.write(b"\x72\x00")  # an empty entry of metadata
    graph_reference(other, tmp_path / "kept")(*batch([2, 7, 3]))
    torch_reference(tiny_encoder, graph, tmp_path / "kept")(*batch([2, 7, 3]))
    folders = sorted((tmp_path / "kept").iterdir())
    assert len(folders) == 3
    vectors = [np.load(path)["vectors"] for folder in folders for path in folder.iterdir()]
    np.testing.assert_allclose(vectors[1], vectors[0], atol=1e-5)
    np.testing.assert_allclose(vectors[2], vectors[0], atol=1e-5)


def test_the_next_export_computes_no_reference_but_to_time_it(
    tiny_bert_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    texts = [f"film number {number} about the sea" for number in range(40)]

    def export(repository: str) -> Report:
        return export_encoder(
            tiny_bert_folder,
            source_name="tiny",
            precision="fp32",
            samples=SampleTexts(texts, []),
            references=tmp_path / "references",
            model_repository=tmp_path / repository,
            version=1,
            progress=SilentProgress(),
        )[1]

    def counted(open_embed: object) -> tuple[Embed, list[int]]:
        calls: list[int] = []

        def opened(*arguments: object) -> Embed:
            embed = open_embed(*arguments)  # type: ignore[operator]

            def run(input_ids: Array, attention_mask: Array) -> Matrix:
                calls.append(len(input_ids))
                return embed(input_ids, attention_mask)

            return run

        return opened, calls  # type: ignore[return-value]

    first = export("first")
    by_torch, torch_calls = counted(encoder_reference.torch_embed)
    by_onnx, onnx_calls = counted(encoder_reference.onnx_embed)
    monkeypatch.setattr(encoder_reference, "torch_embed", by_torch)
    monkeypatch.setattr(encoder_reference, "onnx_embed", by_onnx)
    second = export("second")
    assert torch_calls == []
    assert len(onnx_calls) == ROUNDS + 1
    unlike = {"throughput_ratio", "texts_per_s"}
    assert {name: value for name, value in asdict(first.measured).items() if name not in unlike} == {
        name: value for name, value in asdict(second.measured).items() if name not in unlike
    }
