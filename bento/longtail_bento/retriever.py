"""Exact cosine top-k on this machine: the catalogue's ONNX graph, run by ONNX Runtime."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

import numpy as np
import onnxruntime as ort

from longtail_bento.domain import Mask, Rows
from longtail_client.contract import Matrix
from longtail_client.errors import ReleaseInvalid


class Retriever(Protocol):
    """Finds the items nearest to queries; where one machine ends, a vector database takes this seam."""

    def search(self, query_vectors: Matrix, allowed: Mask, k: int) -> tuple[Rows, Matrix]:
        """Find, for each query, the allowed items at the smallest angle.

        Args:
            query_vectors: Unit rows. Shape ``(n_queries, dim)``, float32.
            allowed: Items that may be found. Shape ``(n_items,)``, bool.
            k: Items a query, at most ``n_items`` are returned.

        Returns:
            Item rows and cosines, both ``(n_queries, k)``, best first; equal cosines keep catalogue order. Where fewer
            than ``k`` items are allowed, masked items stand at the end with a cosine of -2.
        """
        ...


class OnnxRetriever:
    """See `Retriever`.

    Args:
        graph: The catalogue's ``top_k.onnx``.
        item_vectors: Unit rows. Shape ``(n_items, dim)``, float32; held, not copied.
    """

    def __init__(self, graph: Path, item_vectors: Matrix) -> None:
        options = ort.SessionOptions()
        options.log_severity_level = 3
        self._session = ort.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
        self._item_vectors = item_vectors
        expected = {node.name: node.shape for node in self._session.get_inputs()}["query_vectors"][1]
        if item_vectors.ndim != 2 or item_vectors.shape[1] != expected:
            raise ReleaseInvalid(f"{graph}: expected vectors of {expected} dimensions, got shape {item_vectors.shape}")

    def search(self, query_vectors: Matrix, allowed: Mask, k: int) -> tuple[Rows, Matrix]:
        """See `Retriever.search`."""
        cosines, rows = self._session.run(
            ["cosines", "rows"],
            {
                "query_vectors": query_vectors,
                "item_vectors": self._item_vectors,
                "allowed": allowed,
                "k": np.array([min(k, len(self._item_vectors))], dtype=np.int64),
            },
        )
        return rows, cosines
