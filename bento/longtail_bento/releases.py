"""A release's name in, everything that it serves with out, verified."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

from longtail_bento.catalogue import Catalogue
from longtail_bento.description_cache import DescriptionCache
from longtail_bento.measured import Measured, read_measured
from longtail_bento.retriever import OnnxRetriever, Retriever
from longtail_bento.settings import ServiceSettings
from longtail_bento.shared_writing import SharedWriting
from longtail_client.contract import TEXT_ENCODER
from longtail_client.encoder import Encoder, TextTokenizer
from longtail_client.errors import ContractMismatch, ModelUnavailable, ReleaseInvalid
from longtail_client.fingerprint import FINGERPRINT_FILE, Comparison, Fingerprint, compare_fingerprint
from longtail_client.generator import Generator
from longtail_client.parts import verify_parts
from longtail_client.release import Release, read_release
from longtail_client.release_state import read_state
from longtail_client.transport import Transport

_MISMATCH_RETRY_S = 30.0


class LiveRelease:
    """A release in memory, and the way to its models.

    The models are connected when they are first needed, so that the service starts, and answers what needs no model,
    while Triton is away. The encoder is handed out only while Triton's vectors are those of the index: see `compare`.

    Args:
        release: What is pinned.
        catalogue: Its items.
        retriever: Its search.
        tokenizer: Its encoder's tokenizer.
        fingerprint: What the encoder made of the probes when the index was built.
        transport: The way to Triton.
        settings: Time limits.
        measured: What its parts measured when they were exported; None where nothing says so.

    Attributes:
        in_flight: Requests that hold it.
        cache: Descriptions that its generator wrote.
        writing: What its generator writes now.
        bulk_turns: Lets few generations of priority bulk run at a time.
        comparison: What the last comparison with its fingerprint measured; None before the first.
        compared_at: When that was.
        mismatch: What moved, while Triton's vectors are not those of the index.
    """

    def __init__(
        self,
        release: Release,
        catalogue: Catalogue,
        retriever: Retriever,
        tokenizer: TextTokenizer,
        fingerprint: Fingerprint,
        transport: Transport,
        settings: ServiceSettings,
        measured: Measured | None = None,
    ) -> None:
        self.release = release
        self.measured = measured
        self.catalogue = catalogue
        self.retriever = retriever
        self.name = release.name
        self.in_flight = 0
        self.compared_at: datetime | None = None
        self.comparison: Comparison | None = None
        self.mismatch: str | None = None
        self._tokenizer = tokenizer
        self._fingerprint = fingerprint
        self._transport = transport
        self._settings = settings
        self.cache = DescriptionCache(
            capacity=settings.description_cache_size, max_age_s=settings.description_cache_age_s
        )
        self.writing = SharedWriting()
        self.bulk_turns = asyncio.Semaphore(settings.bulk_generations)
        self._encoder: Encoder | None = None
        self._generator: Generator | None = None

    @property
    def is_sound(self) -> bool:
        """Whether Triton's vectors were those of the index when they were last compared."""
        return self.comparison is not None and self.mismatch is None

    async def encoder(self, *, timeout_s: float) -> Encoder:
        """Return the release's encoder.

        Args:
            timeout_s: Seconds that connecting may take, the first time.

        Raises:
            ModelUnavailable: Triton does not answer or does not serve the pinned version, its vectors are not those of
                the index, or nobody has compared them yet.
            ContractMismatch: It serves something else under this name.
        """
        if self.mismatch is not None:
            raise ModelUnavailable(
                f"release {self.release.name} gives out no vectors: {self.mismatch}", retry_after_s=_MISMATCH_RETRY_S
            )
        encoder = await self._connected_encoder(timeout_s=timeout_s)
        if self.comparison is None:
            raise ModelUnavailable(
                f"release {self.release.name} gives out no vectors until they are compared with its fingerprint"
            )
        return encoder

    async def compare(self, *, timeout_s: float, in_flight: int = 1) -> Comparison:
        """Compare Triton's vectors of the probes with those that the index was built with, and remember how they fare.

        Args:
            timeout_s: Seconds that connecting may take.
            in_flight: Requests at a time.

        Raises:
            ReleaseInvalid: They differ; the message names the part that moved.
            Unavailable: Triton does not answer; what is remembered stays.
            DeadlineExceeded: It did not in time; what is remembered stays.
        """
        try:
            encoder = await self._connected_encoder(timeout_s=timeout_s)
            comparison = await compare_fingerprint(encoder, self._tokenizer, self._fingerprint, in_flight=in_flight)
            self.compared_at = datetime.now(UTC)
            if not comparison.matches:
                self.comparison = comparison
                raise ReleaseInvalid(await asyncio.to_thread(self._what_moved, comparison))
        except (ReleaseInvalid, ContractMismatch) as error:
            self.mismatch = str(error)
            self._encoder = None  # whoever mends Triton may mend the configuration too
            raise
        self.comparison, self.mismatch = comparison, None
        return comparison

    def _what_moved(self, comparison: Comparison) -> str:
        """Name the part: a file that changed since the release was loaded, or else what the vectors tell."""
        try:
            verify_parts(self.release, var=self._settings.var, model_repository=self._settings.model_repository)
        except ReleaseInvalid as error:
            return f"{error} (worst cosine of the probes {comparison.worst_cosine:.5f})"
        return f"{comparison.diagnosis()}; the files in {self._settings.model_repository} are the pinned ones"

    async def _connected_encoder(self, *, timeout_s: float) -> Encoder:
        if self._encoder is None:
            self._encoder = await Encoder.connect(
                self._transport,
                self._tokenizer,
                version=self.release.encoder.version,
                timeout_s=self._settings.encode_timeout_s,
                connect_timeout_s=timeout_s,
            )
        return self._encoder

    async def generator(self, *, timeout_s: float) -> Generator:
        """Return the release's generator; arguments and errors as those of `encoder`."""
        if self._generator is None:
            self._generator = await Generator.connect(
                self._transport,
                version=self.release.generator.version,
                timeout_s=self._settings.generate_timeout_s,
                connect_timeout_s=timeout_s,
            )
        return self._generator


def load_release(settings: ServiceSettings, transport: Transport, name: str | None = None) -> LiveRelease:
    """Load a release and check every file that it pins.

    Args:
        settings: Where catalogues, releases and models are.
        transport: The way to Triton.
        name: The release; None takes the live one.

    Raises:
        ReleaseInvalid: A part is missing or changed; the message names it.
    """
    release = read_release(settings.var, name or read_state(settings.var).live_name())
    verify_parts(release, var=settings.var, model_repository=settings.model_repository)
    folder = settings.var / "catalogues" / release.catalogue.name
    fingerprint = Fingerprint.read(folder / FINGERPRINT_FILE)
    catalogue = Catalogue.load(folder)
    if catalogue.vectors.shape[1] != fingerprint.vectors.shape[1]:
        raise ReleaseInvalid(
            f"index: {folder / 'vectors.npy'}: expected vectors of {fingerprint.vectors.shape[1]} dimensions, as its "
            f"fingerprint has, got {catalogue.vectors.shape[1]}; export the catalogue again"
        )
    encoder_folder = settings.model_repository / TEXT_ENCODER.name / release.encoder.version
    return LiveRelease(
        release,
        catalogue,
        OnnxRetriever(folder / "top_k.onnx", catalogue.vectors),
        TextTokenizer(encoder_folder / "tokenizer.json"),
        fingerprint,
        transport,
        settings,
        read_measured(encoder_folder),
    )
