"""Exact top-k on this machine, against numpy."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from longtail_bento.retriever import OnnxRetriever
from longtail_client.errors import ReleaseInvalid
from longtail_export.top_k_graph import write_top_k


@pytest.fixture(scope="module")
def graph(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("graph") / "top_k.onnx"
    write_top_k(path, dim=8)
    return path


def unit_rows(n_rows: int, seed: int) -> np.ndarray:
    matrix = np.random.default_rng(seed).standard_normal((n_rows, 8)).astype(np.float32)
    return matrix / np.linalg.norm(matrix, axis=1, keepdims=True)


@pytest.mark.parametrize(("n_queries", "n_items", "k"), [(1, 50, 10), (5, 300, 100), (3, 7, 7), (2, 1, 1)])
def test_the_nearest_are_those_that_numpy_finds(graph: Path, n_queries: int, n_items: int, k: int) -> None:
    items, queries = unit_rows(n_items, 1), unit_rows(n_queries, 2)
    allowed = np.random.default_rng(3).random(n_items) < 0.6
    allowed[0] = True
    rows, cosines = OnnxRetriever(graph, items).search(queries, allowed, k)
    expected = np.where(allowed, queries @ items.T, -2.0)
    order = np.argsort(-expected, axis=1, kind="stable")[:, :k]
    assert rows.shape == cosines.shape == (n_queries, k)
    np.testing.assert_allclose(cosines, np.take_along_axis(expected, order, axis=1), atol=1e-6)
    n_allowed = min(k, int(allowed.sum()))
    np.testing.assert_array_equal(rows[:, :n_allowed], order[:, :n_allowed])


def test_masked_items_stand_at_the_end_with_a_cosine_below_all(graph: Path) -> None:
    items = unit_rows(6, 4)
    allowed = np.array([False, True, False, False, True, False])
    rows, cosines = OnnxRetriever(graph, items).search(items[:1], allowed, 6)
    assert set(rows[0, :2].tolist()) == {1, 4}
    assert cosines[0, 2:].tolist() == [-2.0] * 4
    assert (cosines[0, :2] >= -1.0001).all()


def test_an_item_finds_itself_first(graph: Path) -> None:
    items = unit_rows(40, 5)
    rows, cosines = OnnxRetriever(graph, items).search(items, np.ones(40, dtype=bool), 1)
    assert rows[:, 0].tolist() == list(range(40))
    np.testing.assert_allclose(cosines[:, 0], 1, atol=1e-5)


def test_equal_cosines_keep_the_order_of_the_catalogue(graph: Path) -> None:
    items = np.eye(8, dtype=np.float32)[[0, 3, 0, 3, 3, 0, 3]]
    query = np.eye(8, dtype=np.float32)[[3]]
    rows, _ = OnnxRetriever(graph, items).search(query, np.ones(7, dtype=bool), 7)
    assert rows[0].tolist() == [1, 3, 4, 6, 0, 2, 5]


def test_more_than_there_are_gives_all_there_are(graph: Path) -> None:
    items = unit_rows(5, 6)
    rows, _ = OnnxRetriever(graph, items).search(items[:2], np.ones(5, dtype=bool), 100)
    assert [sorted(row) for row in rows.tolist()] == [[0, 1, 2, 3, 4]] * 2


@pytest.mark.parametrize("shape", [(4, 9), (8,)])
def test_vectors_of_another_length_are_refused(graph: Path, shape: tuple[int, ...]) -> None:
    with pytest.raises(ReleaseInvalid, match="expected vectors of 8 dimensions"):
        OnnxRetriever(graph, np.ones(shape, dtype=np.float32))
