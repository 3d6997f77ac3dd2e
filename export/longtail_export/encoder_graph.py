"""A BERT checkpoint in, one ONNX graph out: BERT, masked mean pooling, L2 normalisation."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

import onnx
import torch
from safetensors import SafetensorError
from transformers import AutoModel, BertModel

from longtail_client.encoder import LENGTH_BUCKETS
from longtail_client.errors import ExportRejected

OPSET = 17
IR_VERSION = 8
"""Opset and IR that ONNX Runtime 1.19, the one in Triton's 24.10 container, reads (it reads IR <= 10)."""


_UNUSED = "pooler."
"""BERT's own pooling, which is not part of the graph and which checkpoints often lack."""

_STEPS = ("Transformer", "Pooling", "Normalize")
"""What sentence-transformers may do with a text so that the graph does the same."""


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
        ExportRejected: It cannot be read, is of another architecture, reads too few tokens, is pooled otherwise than by
            the mean, or lacks weights or has some that are no numbers.
    """
    _check_pooling(folder)
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
    n_positions = int(model.config.max_position_embeddings)
    if n_positions < LENGTH_BUCKETS[-1]:
        raise ExportRejected(
            f"{folder}: expected a BERT that reads {LENGTH_BUCKETS[-1]} tokens, the longest that rows are padded to, "
            f"got one of {n_positions} (max_position_embeddings)"
        )
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


def _check_pooling(folder: Path) -> None:
    """Refuse a checkpoint whose `modules.json` turns tokens into a vector in another way than the graph would."""
    try:
        steps = json.loads((folder / "modules.json").read_text())
        kinds = {step["type"].rpartition(".")[2]: folder / step["path"] for step in steps}
        pooling = json.loads((kinds["Pooling"] / "config.json").read_text()) if "Pooling" in kinds else {}
        chosen = {name for name, is_chosen in pooling.items() if name.startswith("pooling_mode_") and is_chosen}
    except FileNotFoundError:
        return  # it is no checkpoint of sentence-transformers, and says nothing of its pooling
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ExportRejected(
            f"{folder}: modules.json: expected the steps of a sentence-transformers model, got {error!r}"
        ) from error
    others = sorted(kinds.keys() - set(_STEPS)) + sorted(chosen - {"pooling_mode_mean_tokens"})
    if others:
        raise ExportRejected(
            f"{folder}: modules.json: expected BERT, the mean over its tokens and nothing but normalisation after it, "
            f"got {', '.join(others)}; its vectors would not be those of the source"
        )


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
