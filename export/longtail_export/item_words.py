"""Attribute columns in, words out: the text that the encoder reads of each item, and the kind that it is of."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

MAX_TEXT = 4000
"""Characters of a text that are kept; the encoder reads 256 tokens of it."""

_COMMA = ", "


def texts_of(batch: pa.RecordBatch, attributes: list[str]) -> pa.Array:
    """Take each item's own text, or write one from its title and attributes; cut what is too long.

    Args:
        batch: Items, with ``title``, maybe ``text``, and the attributes.
        attributes: Their columns, in the order in which they are told.

    Returns:
        Shape ``(n_items,)``, string.
    """
    told = []
    for name in attributes:
        words = _joined(batch[name])
        told.append(pc.binary_join_element_wise(f"{name}: ", words, ""))
    texts = pc.binary_join_element_wise(batch["title"].cast(pa.string()), *told, ". ", null_handling="skip")
    if "text" in batch.schema.names:
        own = batch["text"].cast(pa.string())
        texts = pc.if_else(pc.equal(pc.fill_null(own, ""), ""), texts, own)
    return pc.utf8_slice_codeunits(texts, 0, MAX_TEXT)


def kinds_of(batch: pa.RecordBatch, shared: Mapping[str, Collection[str]]) -> pa.Array:
    """Say of what kind each item is: those of its attributes' values that many items share.

    Args:
        batch: Items.
        shared: Those values, by attribute.

    Returns:
        Shape ``(n_items,)``, string; empty where nothing is known.
    """
    told = [_joined(batch[name], only) for name, only in shared.items() if only]
    nothing = pa.array([""] * len(batch), pa.string())  # a row in which all is null would be left out of the result
    joined = pc.binary_join_element_wise(nothing, *told, _COMMA, null_handling="skip")
    return pc.utf8_slice_codeunits(joined, len(_COMMA))


def _joined(column: pa.Array, only: Collection[str] | None = None) -> pa.Array:
    """Write each cell's values with commas between; null where it has none, or none of ``only``."""
    is_list = pa.types.is_list(column.type) or pa.types.is_large_list(column.type)
    values = _words(pc.list_flatten(column) if is_list else column)
    if only is not None:
        values = pc.if_else(pc.is_in(values, value_set=pa.array(sorted(only), pa.string())), values, None)
    if not is_list:
        return values
    kept = pc.is_valid(values)
    n_values = np.bincount(pc.list_parent_indices(column).filter(kept).to_numpy(), minlength=len(column))
    offsets = np.concatenate([[0], np.cumsum(n_values)]).astype(np.int32)
    lists = pa.ListArray.from_arrays(pa.array(offsets), values.filter(kept))
    return pc.if_else(pa.array(n_values > 0), pc.binary_join(lists, _COMMA), None)


def _words(values: pa.Array) -> pa.Array:
    """Write values as text; null where there is none. Each that occurs is written once, however often it does."""
    encoded = values if pa.types.is_dictionary(values.type) else values.dictionary_encode()
    return pa.array([_word(value) for value in encoded.dictionary.to_pylist()], pa.string()).take(encoded.indices)


def _word(value: Any) -> str | None:
    return str(value) if value not in (None, "") and value == value else None  # NaN differs from itself
