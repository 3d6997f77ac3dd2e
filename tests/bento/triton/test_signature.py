"""Comparing a configuration with the graph that it describes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import onnxruntime as ort
import pytest

from longtail_bento.triton.backends.onnxruntime.signature import check_signature


@pytest.fixture(scope="module")
def session(lookup_graph: Path) -> Any:
    return ort.InferenceSession(lookup_graph / "1" / "model.onnx", providers=["CPUExecutionProvider"])


def tensor(name: str, data_type: str, *dims: int, **more: Any) -> dict[str, Any]:
    return {"name": name, "data_type": data_type, "dims": [str(dim) for dim in dims], **more}


IDS = tensor("ids", "TYPE_INT64", -1)
ROWS = tensor("rows", "TYPE_FP32", -1, 2)
UNBATCHED = {
    "max_batch_size": 0,
    "input": [tensor("ids", "TYPE_INT64", -1, -1)],
    "output": [tensor("rows", "TYPE_FP32", -1, -1, 2)],
}


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"output": [ROWS]},
        {"input": [tensor("ids", "TYPE_INT64", 32)]},
        {"input": [tensor("ids", "TYPE_INT64", 5, 6, reshape={"shape": ["30"]})]},
        {
            "max_batch_size": 0,
            "input": [tensor("ids", "TYPE_INT64", -1, -1)],
            "output": [tensor("rows", "TYPE_FP32", -1, -1, 2)],
        },
    ],
)
def test_a_configuration_that_describes_the_graph_is_accepted(
    lookup_config: dict[str, Any], session: Any, change: dict[str, Any]
) -> None:
    check_signature({**lookup_config, **change}, session)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"input": [IDS, tensor("mask", "TYPE_INT64", -1)]},
            "unable to load model 'lookup', configuration expects 2 inputs, model provides 1",
        ),
        ({"input": [tensor("words", "TYPE_INT64", -1)]}, "unexpected inference input 'words', allowed inputs are: ids"),
        (
            {"output": [ROWS, tensor("cols", "TYPE_FP32", -1)]},
            "unexpected inference output 'cols', allowed outputs are: n_rows, rows",
        ),
        (
            {"input": [tensor("ids", "TYPE_INT32", -1)]},
            r"unexpected datatype TYPE_INT32 for input 'ids' of model 'lookup', the graph has tensor\(int64\)",
        ),
        ({"output": [tensor("rows", "TYPE_FP16", -1, 2)]}, r"datatype TYPE_FP16 for output 'rows'.*tensor\(float\)"),
        ({"output": [tensor("rows", "TYPE_BF16", -1, 2)]}, "datatype TYPE_BF16"),
        (
            {"output": [tensor("rows", "TYPE_FP32", -1, 3)]},
            r"tensor 'rows': the configuration expects shape \[-1, -1, 3\], the graph has \[-1, -1, 2\]",
        ),
        ({"output": [tensor("rows", "TYPE_FP32", 7, 2)]}, r"tensor 'rows': .*\[-1, 7, 2\]"),
        ({"output": [tensor("rows", "TYPE_FP32", 2)]}, r"tensor 'rows': .*\[-1, 2\]"),
        ({"input": [tensor("ids", "TYPE_INT64", -1, -1)]}, r"tensor 'ids': .*\[-1, -1, -1\], the graph has \[-1, -1\]"),
        ({"max_batch_size": 0}, r"tensor 'ids': the configuration expects shape \[-1\]"),
    ],
)
def test_a_difference_is_refused_and_its_tensor_named(
    lookup_config: dict[str, Any], session: Any, change: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        check_signature({**lookup_config, **change}, session)
