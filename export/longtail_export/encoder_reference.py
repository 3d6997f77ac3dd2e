"""A float32 encoder in, the same encoder out, which computes a batch once and reads its vectors ever after.

Every precision of one checkpoint is compared with the same float32 vectors of the same texts. They are kept on the
disk, by the bytes of the batch, in a folder that names what gives them: another graph or another release of the runtime
has another.
"""

from __future__ import annotations

import hashlib
import secrets
import zipfile
from pathlib import Path

import numpy as np
import onnxruntime
import torch
import transformers

from longtail_client.contract import Array, Matrix
from longtail_client.manifest import sha256_of
from longtail_client.room import room_for
from longtail_export.encoder_graph import SentenceEncoder
from longtail_export.encoder_runtimes import Embed, onnx_embed, torch_embed


class Reference:
    """An encoder that others are compared with; call it as any other.

    Args:
        computed: The encoder itself, which whoever times it calls.
        folder: Where its vectors are kept; made where it is missing.
    """

    def __init__(self, computed: Embed, folder: Path) -> None:
        self.computed = computed
        self._folder = folder

    def __call__(self, input_ids: Array, attention_mask: Array) -> Matrix:
        """Embed a batch, as `Embed` says."""
        path = self._folder / f"{_digest(input_ids, attention_mask)}.npz"
        try:
            with path.open("rb") as file, np.load(file) as kept:
                found: Matrix = kept["vectors"]
                return found
        except (OSError, EOFError, ValueError, KeyError, zipfile.BadZipFile):
            pass  # it is not there, or not whole: the archive has a checksum
        vectors = self.computed(input_ids, attention_mask)
        self._folder.mkdir(parents=True, exist_ok=True)
        staged = path.with_name(f".{secrets.token_hex(4)}.npz")
        try:
            with room_for(path, staged):
                np.savez(staged, vectors=vectors)
                staged.replace(path)
        finally:
            staged.unlink(missing_ok=True)
        return vectors


def graph_reference(graph: Path, folder: Path) -> Reference:
    """Open a float32 graph in ONNX Runtime.

    Args:
        graph: The ``.onnx`` file; it is read here.
        folder: Where the vectors of every reference are kept.
    """
    return Reference(onnx_embed(graph), folder / f"{sha256_of(graph)[:16]}-onnxruntime-{onnxruntime.__version__}")


def torch_reference(encoder: SentenceEncoder, graph: Path, folder: Path) -> Reference:
    """Wrap the torch model that a graph was traced from.

    Args:
        encoder: The model.
        graph: Its graph, which names it: weights, pooling and all.
        folder: Where the vectors of every reference are kept.
    """
    runtime = f"torch-{torch.__version__}-transformers-{transformers.__version__}"
    return Reference(torch_embed(encoder), folder / f"{sha256_of(graph)[:16]}-{runtime}")


def _digest(input_ids: Array, attention_mask: Array) -> str:
    digest = hashlib.sha256(repr(input_ids.shape).encode())
    digest.update(input_ids.tobytes())
    digest.update(attention_mask.tobytes())
    return digest.hexdigest()[:32]
