"""A served encoder in, the fingerprint of the index that it embeds out, once the encoder agrees with itself."""

from __future__ import annotations

from pathlib import Path

from longtail_client.encoder import Encoder, TextTokenizer
from longtail_client.errors import ExportRejected
from longtail_client.fingerprint import FINGERPRINT_FILE, Fingerprint, compare_fingerprint, take_fingerprint


async def write_fingerprint(encoder: Encoder, tokenizer: TextTokenizer, folder: Path) -> Fingerprint:
    """Embed the probes through the encoder that embeds the index, and keep what came.

    Args:
        encoder: What embeds the index.
        tokenizer: The encoder version's tokenizer.
        folder: The catalogue's folder, before its manifest is written.

    Raises:
        ExportRejected: A probe's vector depends on its batch: no index can be built with such an encoder.
        Unavailable: Triton does not answer.
    """
    fingerprint = await take_fingerprint(encoder, tokenizer)
    comparison = await compare_fingerprint(encoder, tokenizer, fingerprint, in_flight=4)
    if not comparison.matches:
        raise ExportRejected(f"{comparison.diagnosis()}; nothing was published")
    fingerprint.write(folder / FINGERPRINT_FILE)
    return fingerprint
