"""How an encoder behaves: probe texts and the vectors that an index was built with in, a comparison with Triton's out.

Hashes say that the files are the pinned ones. They do not say that Triton serves those files, at the same precision,
on a runtime that computes the same. Vectors do.
"""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from longtail_client.contract import Matrix, Vector
from longtail_client.encoder import Encoder, TextTokenizer
from longtail_client.errors import ReleaseInvalid

FINGERPRINT_FILE = "fingerprint.json"

MIN_WORST_COSINE = 0.9995
"""The smallest cosine that a probe may show to the vector of its text that the index was built with."""

# Below this mean, no precision of one model that we measured is left: dynamic int8 keeps 0.993, 4 bits keep 0.972.
_SAME_MODEL_MEAN_COSINE = 0.95
_UNIT_TOLERANCE = 1e-2
_GROUP_SIZE = 4

_SENTENCES = (
    "sea",
    "A quiet drama about an old lighthouse keeper and his daughter.",
    "Western, 1960s, United States",
    "Comedy: The Wedding Nobody Wanted (1994)",
    "日本の古い映画、雨の夜。",
    "Un été à Marseille, trois frères et une vieille voiture.",
    "Horror, Mystery, Thriller",
    "🎬🌊 two surfers, one wave",
    "Документальный фильм о последнем трамвае города.",
    "Something gentle, please!",
    "He said: \"it's 1.5 × as long — isn't it?\" (and it was)",
    "naïve café façade, Übergröße, smørrebrød",
    "SCIENCE FICTION; SPACE STATION; A.I.; 2001",
    "The spy who counted to 1,000,000 and back again",
    "a film about music, war, love, a child and a small town far from anywhere",
    "???",
)


def _joined(first: int, n_sentences: int) -> str:
    return " ".join(_SENTENCES[(first + step) % len(_SENTENCES)] for step in range(n_sentences))


PROBE_TEXTS: tuple[str, ...] = (
    *_SENTENCES,
    *(_joined(first, 2) for first in range(0, 16, 2)),
    *(_joined(first, 3) for first in (1, 5, 9, 13)),
    *(_joined(first, 7) for first in (1, 6, 11)),
    _joined(7, 13),
)
"""32 texts, most of them short as titles are, and a few, since they cost the most, in each longer bucket."""


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """What one encoder version made of the probes.

    Attributes:
        encoder_version: The version that the index was built with.
        texts: The probes.
        token_ids: Each probe as the tokenizer cut it.
        vectors: Shape ``(n_probes, dim)``, float32.
    """

    encoder_version: str
    texts: tuple[str, ...]
    token_ids: tuple[tuple[int, ...], ...]
    vectors: Matrix

    def write(self, path: Path) -> None:
        """Write it, so that it reads back bit by bit."""
        document = {
            "encoder_version": self.encoder_version,
            "dim": self.vectors.shape[1],
            "texts": self.texts,
            "token_ids": self.token_ids,
            "vectors_base64_float32": base64.b64encode(self.vectors.astype("<f4").tobytes()).decode(),
        }
        path.write_text(json.dumps(document, ensure_ascii=False) + "\n", encoding="utf-8")

    @classmethod
    def read(cls, path: Path) -> Fingerprint:
        """Read one.

        Raises:
            ReleaseInvalid: There is none, or it is no fingerprint.
        """
        try:
            document = json.loads(path.read_text(encoding="utf-8"))
            vectors = np.frombuffer(base64.b64decode(document["vectors_base64_float32"]), dtype="<f4")
            fingerprint = cls(
                encoder_version=document["encoder_version"],
                texts=tuple(document["texts"]),
                token_ids=tuple(tuple(ids) for ids in document["token_ids"]),
                vectors=vectors.reshape(len(document["texts"]), document["dim"]),
            )
        except OSError as error:
            raise ReleaseInvalid(
                f"fingerprint: expected one at {path}, found none; export the catalogue again, and release that"
            ) from error
        except (ValueError, KeyError, TypeError) as error:
            raise ReleaseInvalid(f"fingerprint: {path}: expected probes and vectors, got {error!r}") from error
        return fingerprint


@dataclass(frozen=True, slots=True)
class Comparison:
    """What Triton's vectors are to those of a fingerprint.

    Attributes:
        cosines: By grouping, the cosine of each probe to its vector in the fingerprint. Shape ``(n_probes,)``.
        neighbours_cosine: The smallest cosine of a probe alone to the same probe beside others.
        norm_error: The largest distance of a vector's length from 1.
        texts: The probes.
        n_tokens: Length of each probe.
    """

    cosines: Mapping[str, Vector]
    neighbours_cosine: float
    norm_error: float
    texts: tuple[str, ...]
    n_tokens: tuple[int, ...]

    @property
    def worst_cosine(self) -> float:
        """The smallest cosine of any probe in any grouping."""
        return float(min(cosines.min() for cosines in self.cosines.values()))

    @property
    def mean_cosine(self) -> float:
        """The mean over probes and groupings."""
        return float(np.mean(list(self.cosines.values())))

    @property
    def matches(self) -> bool:
        """Whether the index and Triton's encoder speak of the same space."""
        return self.worst_cosine >= MIN_WORST_COSINE and self.norm_error <= _UNIT_TOLERANCE

    def diagnosis(self) -> str:
        """Say what moved, as far as vectors can tell; files are taken to be the pinned ones."""
        grouping, cosines = min(self.cosines.items(), key=lambda item: float(item[1].min()))
        worst = int(cosines.argmin())
        measured = (
            f"expected a worst cosine of at least {MIN_WORST_COSINE} to the vectors that the index was built with, "
            f"got {self.worst_cosine:.5f} (mean {self.mean_cosine:.5f}) on {self.texts[worst][:40]!r}, {grouping}"
        )
        return f"encoder: {measured}: {self._meaning()}"

    def _meaning(self) -> str:
        alone = self.cosines["alone"]
        off = alone < MIN_WORST_COSINE
        if self.norm_error > _UNIT_TOLERANCE:
            return f"vectors are not of length 1 (off by {self.norm_error:.3f}): another pooling or normalisation"
        if not off.any():
            return (
                f"alone each probe is right, beside others it falls to {self.neighbours_cosine:.5f}: "
                "its vectors depend on their batch, as those of dynamic quantisation do"
            )
        shortest_off = min(n for n, wrong in zip(self.n_tokens, off, strict=True) if wrong)
        if not off.all() and all(wrong for n, wrong in zip(self.n_tokens, off, strict=True) if n >= shortest_off):
            return (
                f"only probes of {shortest_off} tokens or more moved: long texts are cut, or attended to, in another "
                "way, or the precision is another"
            )
        if self.mean_cosine >= _SAME_MODEL_MEAN_COSINE:
            return (
                "the directions are nearly kept, as they are between precisions or runtimes of one model; "
                "Triton serves another precision or other weights than those the release pins, or on another runtime"
            )
        return (
            "the directions are others: Triton serves another model, another pooling, or a model that reads token ids "
            "in another way"
        )


def groupings(n_tokens: Sequence[int]) -> dict[str, list[list[int]]]:
    """Say which probes travel together.

    Args:
        n_tokens: Length of each probe.

    Returns:
        By name, requests as lists of probes. ``alone``: each by itself. ``beside its like``: neighbours of nearly the
        same length. ``beside longer ones``: each request has short and long probes, so that the short ones are padded.
    """
    by_length = sorted(range(len(n_tokens)), key=lambda probe: n_tokens[probe])
    n_groups = max(1, len(by_length) // _GROUP_SIZE)
    return {
        "alone": [[probe] for probe in by_length],
        "beside its like": [by_length[start : start + _GROUP_SIZE] for start in range(0, len(by_length), _GROUP_SIZE)],
        "beside longer ones": [by_length[start::n_groups] for start in range(n_groups)],
    }


async def take_fingerprint(encoder: Encoder, tokenizer: TextTokenizer) -> Fingerprint:
    """Embed the probes, each alone.

    Args:
        encoder: The version that embeds an index.
        tokenizer: Its tokenizer.

    Raises:
        Unavailable: Triton does not answer.
        DeadlineExceeded: It did not in time.
    """
    vectors = np.concatenate([await encoder.encode([text]) for text in PROBE_TEXTS])
    token_ids = tuple(tuple(ids) for ids in tokenizer(PROBE_TEXTS))
    return Fingerprint(encoder.version, PROBE_TEXTS, token_ids, vectors)


async def compare_fingerprint(
    encoder: Encoder, tokenizer: TextTokenizer, fingerprint: Fingerprint, *, in_flight: int = 1
) -> Comparison:
    """Embed the probes of a fingerprint, alone and in two kinds of company, and compare.

    Args:
        encoder: What serves now.
        tokenizer: What cuts texts now.
        fingerprint: What the index was built with.
        in_flight: Requests at a time. More lets Triton put them into one batch too; fewer disturb others less.

    Raises:
        ReleaseInvalid: The dimension, or how the tokenizer cuts a probe, differs; the message says which.
        Unavailable: Triton does not answer.
        DeadlineExceeded: It did not in time.
    """
    if encoder.dim != fingerprint.vectors.shape[1]:
        raise ReleaseInvalid(
            f"encoder: expected vectors of {fingerprint.vectors.shape[1]} dimensions, as the index has, got "
            f"{encoder.dim} from version {encoder.version}: Triton serves another model under this version"
        )
    cut = tokenizer(fingerprint.texts)
    for text, now, then in zip(fingerprint.texts, cut, fingerprint.token_ids, strict=True):
        if tuple(now) != then:
            raise ReleaseInvalid(
                f"tokenizer: {text[:40]!r}: expected the {len(then)} token ids that the index was built with, got "
                f"{len(now)} others: its file, or the tokenizers package, is another"
            )
    unit = fingerprint.vectors / np.linalg.norm(fingerprint.vectors, axis=1, keepdims=True)
    slots = asyncio.Semaphore(in_flight)

    async def embed(probes: Sequence[int]) -> Matrix:
        async with slots:
            return await encoder.encode([fingerprint.texts[probe] for probe in probes])

    vectors = {}
    for name, requests in groupings([len(ids) for ids in cut]).items():
        vectors[name] = np.empty_like(fingerprint.vectors)
        embedded = await asyncio.gather(*(embed(probes) for probes in requests))
        for probes, matrix in zip(requests, embedded, strict=True):
            vectors[name][probes] = matrix
    norms = {name: np.linalg.norm(matrix, axis=1, keepdims=True) for name, matrix in vectors.items()}
    units = {name: matrix / np.maximum(norms[name], 1e-12) for name, matrix in vectors.items()}
    return Comparison(
        cosines={name: (matrix * unit).sum(axis=1) for name, matrix in units.items()},
        neighbours_cosine=float(min((matrix * units["alone"]).sum(axis=1).min() for matrix in units.values())),
        norm_error=float(max(np.abs(norm - 1).max() for norm in norms.values())),
        texts=fingerprint.texts,
        n_tokens=tuple(len(ids) for ids in cut),
    )
