"""Texts in, unit vectors out: tokenise here, pad to a bucket, let Triton's model do the rest."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from tokenizers import Tokenizer

from longtail_client.contract import TEXT_ENCODER, Array, Matrix, Priority, check_config, check_tensor
from longtail_client.errors import ContractMismatch
from longtail_client.transport import Transport

LENGTH_BUCKETS = (32, 64, 128, 256)
"""Token counts that rows are padded to. Few and wide, because Triton only batches requests of equal shape."""


class TextTokenizer:
    """The tokenizer of one encoder version, loaded from the ``tokenizer.json`` that travels with it.

    Args:
        path: The ``tokenizer.json``.

    Raises:
        ContractMismatch: The file is missing, or is none.
    """

    def __init__(self, path: Path) -> None:
        try:
            self._tokenizer = Tokenizer.from_file(str(path))
        except Exception as error:  # the library raises nothing narrower
            raise ContractMismatch(
                f"tokenizer: {path}: expected a tokenizer.json of the tokenizers library, got {error}"
            ) from error
        self._tokenizer.no_padding()
        self._tokenizer.enable_truncation(LENGTH_BUCKETS[-1])

    def __call__(self, texts: Sequence[str]) -> list[list[int]]:
        """Turn each text into at most 256 token ids, special tokens included."""
        return [encoding.ids for encoding in self._tokenizer.encode_batch_fast(list(texts))]


def bucket_for(n_tokens: int) -> int:
    """Choose the smallest bucket that holds a row of ``n_tokens``."""
    return next(bucket for bucket in LENGTH_BUCKETS if n_tokens <= bucket)


def padded(rows: Sequence[Sequence[int]]) -> tuple[Array, Array]:
    """Stack token rows of unequal length.

    Args:
        rows: Token ids, each row at most as long as the widest bucket.

    Returns:
        ``input_ids`` and ``attention_mask``, both int64 ``(n_rows, bucket of the longest row)``; padding is 0.
    """
    width = bucket_for(max(len(row) for row in rows))
    input_ids = np.zeros((len(rows), width), dtype=np.int64)
    attention_mask = np.zeros_like(input_ids)
    for index, row in enumerate(rows):
        input_ids[index, : len(row)] = row
        attention_mask[index, : len(row)] = 1
    return input_ids, attention_mask


class Encoder:
    """One version of the text encoder, as Triton serves it.

    Use `connect`, which checks the served model against the contract first.
    """

    def __init__(
        self,
        transport: Transport,
        tokenizer: TextTokenizer,
        *,
        version: str,
        dim: int,
        max_batch_size: int,
        timeout_s: float,
    ) -> None:
        self._transport = transport
        self._tokenizer = tokenizer
        self._max_batch_size = max_batch_size
        self._timeout_s = timeout_s
        self.version = version
        self.dim = dim

    @classmethod
    async def connect(
        cls,
        transport: Transport,
        tokenizer: TextTokenizer,
        *,
        version: str,
        timeout_s: float = 10.0,
        connect_timeout_s: float = 5.0,
    ) -> Encoder:
        """Read the served model's configuration and return an encoder that fits it.

        Args:
            transport: The way to Triton.
            tokenizer: The tokenizer that belongs to this version.
            version: Model version, never left to Triton.
            timeout_s: Seconds that a later call may take which does not say how many.
            connect_timeout_s: Seconds that this call may take.

        Raises:
            ModelUnavailable: Triton does not answer or serves no such version.
            ContractMismatch: The model is not a text encoder as ``contract.py`` declares it.
        """
        config = await transport.model_config(TEXT_ENCODER.name, version, timeout_s=connect_timeout_s)
        check_config(TEXT_ENCODER, config)
        (embedding,) = config.outputs
        if embedding.dims[0] < 1:
            raise ContractMismatch(
                f"{TEXT_ENCODER.name}.embedding: expected the length of a vector, got {list(embedding.dims)}; "
                "write it into config.pbtxt"
            )
        return cls(
            transport,
            tokenizer,
            version=version,
            dim=embedding.dims[0],
            max_batch_size=max(config.max_batch_size, 1),
            timeout_s=timeout_s,
        )

    async def encode(
        self, texts: Sequence[str], *, timeout_s: float | None = None, priority: Priority = Priority.INTERACTIVE
    ) -> Matrix:
        """Embed texts.

        Texts are taken in order of length, so that a request holds rows of one bucket. Up to the model's
        ``max_batch_size`` they travel as one request.

        Args:
            texts: Any number of texts; what exceeds 256 tokens is cut.
            timeout_s: Seconds for the whole call; the encoder's own where None.
            priority: Whether it may wait behind calls that somebody waits for.

        Returns:
            Unit rows in the order of ``texts``. Shape ``(n_texts, dim)``, float32.

        Raises:
            ModelUnavailable: Triton does not answer.
            Overloaded: The model's queue is full.
            DeadlineExceeded: The time ran out.
            ContractMismatch: What came back is not one finite vector a text.
        """
        vectors = np.empty((len(texts), self.dim), dtype=np.float32)
        rows = self._tokenizer(texts)
        by_length = sorted(range(len(rows)), key=lambda index: len(rows[index]))
        chunks = [
            by_length[start : start + self._max_batch_size] for start in range(0, len(rows), self._max_batch_size)
        ]
        limit_s = self._timeout_s if timeout_s is None else timeout_s
        embedded = await asyncio.gather(*(self._infer([rows[i] for i in chunk], limit_s, priority) for chunk in chunks))
        for chunk, matrix in zip(chunks, embedded, strict=True):
            vectors[chunk] = matrix
        return vectors

    def n_tokens(self, texts: Sequence[str]) -> int:
        """Count the tokens that `encode` embeds of these texts, special ones included."""
        return sum(map(len, self._tokenizer(texts)))

    async def _infer(self, rows: Sequence[Sequence[int]], timeout_s: float, priority: Priority) -> Matrix:
        input_ids, attention_mask = padded(rows)
        outputs = await self._transport.infer(
            TEXT_ENCODER.name,
            self.version,
            {"input_ids": input_ids, "attention_mask": attention_mask},
            timeout_s=timeout_s,
            priority=priority,
        )
        check_tensor(TEXT_ENCODER.name, TEXT_ENCODER.outputs[0], outputs["embedding"], batched=True)
        matrix = outputs["embedding"].astype(np.float32, copy=False)
        if matrix.shape != (len(rows), self.dim) or not np.isfinite(matrix).all():
            raise ContractMismatch(
                f"{TEXT_ENCODER.name} version {self.version}: expected {len(rows)} finite vectors of {self.dim}, "
                f"got shape {matrix.shape}, {np.count_nonzero(~np.isfinite(matrix))} values not finite"
            )
        return matrix
