"""The exact search graph, run by ONNX Runtime, against numpy."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest

from longtail_export.top_k_graph import EXCLUDED, write_top_k

DIM = 8


@pytest.fixture(scope="module")
def graph(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("top_k") / "top_k.onnx"
    write_top_k(path, dim=DIM)
    return path


@pytest.fixture(scope="module")
def session(graph: Path) -> ort.InferenceSession:
    return ort.InferenceSession(graph, providers=["CPUExecutionProvider"])


def unit_rows(n_rows: int, seed: int) -> np.ndarray:
    rows = np.random.default_rng(seed).standard_normal((n_rows, DIM)).astype(np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def search(session, queries, items, allowed, k: int) -> tuple[np.ndarray, np.ndarray]:
    inputs = {"query_vectors": queries, "item_vectors": items, "allowed": allowed, "k": np.array([k], dtype=np.int64)}
    cosines, rows = session.run(["cosines", "rows"], inputs)
    return cosines, rows


@pytest.mark.parametrize(("n_queries", "n_items", "k"), [(1, 1, 1), (1, 50, 7), (5, 400, 10), (3, 1000, 1000)])
def test_rows_and_cosines_are_numpys(session, n_queries: int, n_items: int, k: int) -> None:
    queries, items = unit_rows(n_queries, 1), unit_rows(n_items, 2)
    cosines, rows = search(session, queries, items, np.ones(n_items, dtype=bool), k)
    products = queries.astype(np.float64) @ items.astype(np.float64).T
    expected = np.argsort(-products, axis=1, kind="stable")[:, :k]
    np.testing.assert_array_equal(rows, expected)
    np.testing.assert_allclose(cosines, np.take_along_axis(products, expected, axis=1), atol=1e-6)


def test_masked_items_are_never_found_before_allowed_ones(session) -> None:
    queries, items = unit_rows(4, 3), unit_rows(300, 4)
    allowed = np.random.default_rng(5).random(300) < 0.1
    n_allowed = int(allowed.sum())
    cosines, rows = search(session, queries, items, allowed, n_allowed + 3)
    products = queries.astype(np.float64) @ items.astype(np.float64).T
    for query in range(4):
        best_first = [row for row in np.argsort(-products[query], kind="stable") if allowed[row]]
        assert rows[query, :n_allowed].tolist() == best_first
    assert (cosines[:, n_allowed:] == EXCLUDED).all()
    assert (cosines[:, :n_allowed] >= -1.000001).all()


@pytest.mark.parametrize("k", [1, 5, 120, 400])
def test_equal_cosines_keep_catalogue_order(session, k: int) -> None:
    distinct = np.eye(DIM, dtype=np.float32)[:4]
    items = distinct[np.random.default_rng(6).integers(0, 4, 400)]
    query = np.array([[0.8, 0.6, 0, 0, 0, 0, 0, 0]], dtype=np.float32)
    _, rows = search(session, query, items, np.ones(400, dtype=bool), k)
    expected = np.argsort(-(query @ items.T)[0], kind="stable")[:k]
    assert rows[0].tolist() == expected.tolist()


def test_a_cosine_is_the_worked_examples(session) -> None:
    interest = np.zeros((1, DIM), dtype=np.float32)
    description = np.zeros((1, DIM), dtype=np.float32)
    interest[0, :5] = np.array([1, 0, 1, 0, 1]) / np.sqrt(3)
    description[0, :5] = np.array([0.9, 0.8, 0.7, 0.6, 0.5]) / np.sqrt(2.55)
    cosines, _ = search(session, interest, description, np.ones(1, dtype=bool), 1)
    assert cosines[0, 0] == pytest.approx(0.7593, abs=1e-4)


def test_tritons_runtime_can_read_it(graph: Path) -> None:
    model = onnx.load(graph)
    assert model.ir_version <= 10
    assert [(entry.domain, entry.version) for entry in model.opset_import] == [("", 17)]
