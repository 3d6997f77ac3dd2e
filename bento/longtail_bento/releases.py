"""A release's name in, everything that it serves with out, verified."""

from __future__ import annotations

from pathlib import Path

from longtail_bento.catalogue import Catalogue
from longtail_bento.retriever import OnnxRetriever, Retriever
from longtail_bento.settings import ServiceSettings
from longtail_client.contract import GENERATOR, TEXT_ENCODER
from longtail_client.encoder import Encoder, TextTokenizer
from longtail_client.generator import Generator
from longtail_client.manifest import verify_files
from longtail_client.release import PinnedModel, Release, read_release
from longtail_client.release_state import read_state
from longtail_client.transport import Transport


class LiveRelease:
    """A release in memory, and the way to its models.

    The models are connected when they are first needed, so that the service starts, and answers what needs no model,
    while Triton is away.

    Args:
        release: What is pinned.
        catalogue: Its items.
        retriever: Its search.
        tokenizer: Its encoder's tokenizer.
        transport: The way to Triton.
        settings: Time limits.
    """

    def __init__(
        self,
        release: Release,
        catalogue: Catalogue,
        retriever: Retriever,
        tokenizer: TextTokenizer,
        transport: Transport,
        settings: ServiceSettings,
    ) -> None:
        self.release = release
        self.catalogue = catalogue
        self.retriever = retriever
        self._tokenizer = tokenizer
        self._transport = transport
        self._settings = settings
        self._encoder: Encoder | None = None
        self._generator: Generator | None = None

    async def encoder(self, *, timeout_s: float) -> Encoder:
        """Return the release's encoder.

        Args:
            timeout_s: Seconds that connecting may take, the first time.

        Raises:
            ModelUnavailable: Triton does not answer or does not serve the pinned version.
            ContractMismatch: It serves something else under this name.
        """
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
    folder = settings.var / "catalogues" / release.catalogue.name
    verify_files(folder, release.catalogue.files)
    encoder_folder = _verified_model(settings.model_repository, TEXT_ENCODER.name, release.encoder)
    _verified_model(settings.model_repository, GENERATOR.name, release.generator)
    catalogue = Catalogue.load(folder)
    return LiveRelease(
        release,
        catalogue,
        OnnxRetriever(folder / "top_k.onnx", catalogue.vectors),
        TextTokenizer(encoder_folder / "tokenizer.json"),
        transport,
        settings,
    )


def _verified_model(model_repository: Path, model: str, pinned: PinnedModel) -> Path:
    folder = model_repository / model / pinned.version
    verify_files(folder, pinned.files)
    return folder
