"""An encoder in, a function from token arrays to unit vectors out: in torch, ONNX Runtime or OpenVINO."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnxruntime as ort
import openvino
import torch

from longtail_client.contract import Array, Matrix, inference_options
from longtail_export.encoder_graph import SentenceEncoder

Embed = Callable[[Array, Array], Matrix]
"""``input_ids`` and ``attention_mask``, int64 ``(n_texts, n_tokens)``, to unit rows, float32 ``(n_texts, dim)``."""


def torch_embed(encoder: SentenceEncoder) -> Embed:
    """Wrap the torch model."""

    def embed(input_ids: Array, attention_mask: Array) -> Matrix:
        with torch.inference_mode():
            vectors: Matrix = encoder(torch.from_numpy(input_ids), torch.from_numpy(attention_mask)).numpy()
            return vectors

    return embed


def onnx_embed(path: Path) -> Embed:
    """Wrap a graph, on ONNX Runtime's CPU provider."""
    session = ort.InferenceSession(path, providers=["CPUExecutionProvider"])

    def embed(input_ids: Array, attention_mask: Array) -> Matrix:
        vectors: Matrix = session.run(["embedding"], {"input_ids": input_ids, "attention_mask": attention_mask})[0]
        return vectors

    return embed


def openvino_embed(path: Path, precision: str) -> Embed:
    """Wrap a graph as the `openvino` accelerator runs a version of this precision."""
    compiled = openvino.Core().compile_model(str(path), "CPU", inference_options(precision))
    request = compiled.create_infer_request()

    def embed(input_ids: Array, attention_mask: Array) -> Matrix:
        request.infer({"input_ids": input_ids, "attention_mask": attention_mask}, share_inputs=True)
        return np.array(request.get_tensor("embedding").data)

    return embed
