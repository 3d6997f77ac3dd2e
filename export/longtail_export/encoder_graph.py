"""A BERT checkpoint in, one ONNX graph out: BERT, masked mean pooling, L2 normalisation."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import onnx
import torch
from safetensors import SafetensorError
from transformers import AutoModel, BertModel

from longtail_client.errors import ExportRejected

OPSET = 17
IR_VERSION = 8
"""Opset and IR that ONNX Runtime 1.19, the one in Triton's 24.10 container, reads (it reads IR <= 10)."""


_UNUSED = "pooler."
"""BERT's own pooling, which is not part of the graph and which checkpoints often lack."""


class SentenceEncoder(torch.nn.Module):
    """Token ids to unit vectors.

    Args:
        bert: The transformer.

    Source: Reimers, Gurevych, *Sentence-BERT* (2019), mean pooling.
    """

    def __init__(self, bert: BertModel) -> None:
        super().__init__()
        self.bert = bert

    @property
    def dim(self) -> int:
        """Length of a vector."""
        return int(self.bert.config.hidden_size)

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        """Embed a batch.

        Args:
            input_ids: Token ids. Shape ``(n_texts, n_tokens)``, int64.
            attention_mask: 1 where there is a token, 0 where there is padding. The same shape.

        Returns:
            Unit rows. Shape ``(n_texts, dim)``, float32.
        """
        hidden = self.bert(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
        mask = attention_mask.unsqueeze(-1).to(hidden.dtype)
        mean = (hidden * mask).sum(dim=1) / mask.sum(dim=1).clamp(min=1e-9)
        return torch.nn.functional.normalize(mean, dim=-1)


def load_encoder(folder: Path) -> SentenceEncoder:
    """Load a checkpoint with its pooling.

    Args:
        folder: A transformers checkpoint of a BERT.

    Raises:
        ExportRejected: It cannot be read, is of another architecture, or lacks weights or has some that are no numbers.
    """
    try:
        loaded: Any = AutoModel.from_pretrained(
            folder, attn_implementation="eager", dtype=torch.float32, local_files_only=True, output_loading_info=True
        )
    except (OSError, ValueError, KeyError, RuntimeError, ImportError, SafetensorError) as error:
        reason = " ".join(str(error).split())[:300]
        raise ExportRejected(f"{folder}: expected a BERT checkpoint, got one that cannot be read: {reason}") from error
    model, told = loaded
    if not isinstance(model, BertModel):
        raise ExportRejected(f"{folder}: expected a BERT checkpoint, got {type(model).__name__}")
    missing = sorted(name for name in told["missing_keys"] if not name.startswith(_UNUSED))
    if missing:
        raise ExportRejected(
            f"{folder}: expected every weight of the model, found none for {len(missing)}, as {missing[0]}"
        )
    for name, weights in model.named_parameters():
        n_wrong = int((~torch.isfinite(weights)).sum())
        if n_wrong:
            raise ExportRejected(
                f"{folder}: weights {name}: expected finite numbers, got NaN or infinity in {n_wrong} of "
                f"{weights.numel()} places"
            )
    return SentenceEncoder(model).eval()


def write_graph(encoder: SentenceEncoder, path: Path) -> None:
    """Trace the encoder with open batch and length.

    Args:
        encoder: The torch model.
        path: The ``.onnx`` file to write.

    Raises:
        ExportRejected: The exporter wrote an opset or IR that the serving runtime does not read.
    """
    example = torch.ones((2, 8), dtype=torch.int64)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the tracer warns of constants that the parity check covers
        torch.onnx.export(
            encoder,
            (example, example),
            str(path),
            input_names=["input_ids", "attention_mask"],
            output_names=["embedding"],
            dynamic_axes={
                "input_ids": {0: "n_texts", 1: "n_tokens"},
                "attention_mask": {0: "n_texts", 1: "n_tokens"},
                "embedding": {0: "n_texts"},
            },
            opset_version=OPSET,
            dynamo=False,
        )
    graph = onnx.load(path)
    opset = next(entry.version for entry in graph.opset_import if entry.domain in ("", "ai.onnx"))
    if graph.ir_version != IR_VERSION or opset != OPSET:
        raise ExportRejected(
            f"{path.name}: expected IR {IR_VERSION} and opset {OPSET}, got IR {graph.ir_version} and opset {opset}"
        )
    onnx.checker.check_model(str(path))
