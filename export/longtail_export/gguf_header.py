"""A GGUF file in, its facts out, weights unread: architecture, sizes, and whether a tokenizer is inside."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import BinaryIO

from longtail_client.errors import ExportRejected

_SCALARS = {0: "<B", 1: "<b", 2: "<H", 3: "<h", 4: "<I", 5: "<i", 6: "<f", 7: "<?", 10: "<Q", 11: "<q", 12: "<d"}
_STRING, _ARRAY = 8, 9

N_TENSORS = "GGUF.tensor_count"

Fact = str | int | float | bool


def read_gguf_header(path: Path) -> dict[str, Fact]:
    """Read a file's key-value part.

    Args:
        path: A GGUF file of version 2 or 3.

    Returns:
        Each fact by its key, of an array only its length; and the number of tensors as `N_TENSORS`.

    Raises:
        ExportRejected: This is no GGUF file, or it ends before its last tensor begins.

    Source: ggml-org/ggml, ``docs/gguf.md``, version 3.
    """
    with path.open("rb") as file:
        try:
            if file.read(4) != b"GGUF":
                raise ExportRejected(f"{path}: expected a GGUF file, got something else")
            version = _scalar(file, 4)
            if version not in (2, 3):
                raise ExportRejected(f"{path}: expected GGUF version 2 or 3, got {version}")
            n_tensors, n_facts = int(_scalar(file, 10)), int(_scalar(file, 10))
            facts = {_string(file): _value(file, int(_scalar(file, 4))) for _ in range(n_facts)}
            last = max((_tensor_offset(file) for _ in range(n_tensors)), default=-1)
            if last >= 0 and path.stat().st_size <= file.tell() + last:
                raise struct.error("it ends before its last tensor")
            return {**facts, N_TENSORS: n_tensors}
        except (struct.error, UnicodeDecodeError, KeyError, OverflowError) as error:
            raise ExportRejected(f"{path}: expected a whole GGUF file, got a damaged one ({error})") from error


def _tensor_offset(file: BinaryIO) -> int:
    """Read one tensor's description, and return where its content begins, counted from the end of all descriptions."""
    _string(file)
    for _ in range(int(_scalar(file, 4))):
        _scalar(file, 10)
    _scalar(file, 4)
    return int(_scalar(file, 10))


def _value(file: BinaryIO, kind: int) -> Fact:
    if kind == _STRING:
        return _string(file)
    if kind == _ARRAY:
        of, length = int(_scalar(file, 4)), int(_scalar(file, 10))
        if of in _SCALARS:
            file.seek(length * struct.calcsize(_SCALARS[of]), 1)
        else:
            for _ in range(length):
                _value(file, of)
        return length
    return _scalar(file, kind)


def _string(file: BinaryIO) -> str:
    length = int(_scalar(file, 10))
    content = file.read(length)
    if len(content) != length:
        raise struct.error("it ends inside a string")
    return content.decode()


def _scalar(file: BinaryIO, kind: int) -> int | float | bool:
    form = _SCALARS[kind]
    value: int | float | bool = struct.unpack(form, file.read(struct.calcsize(form)))[0]
    return value
