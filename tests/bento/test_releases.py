"""Loading a release: everything that it pins is checked first."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from longtail_bento.releases import LiveRelease, load_release
from longtail_bento.settings import ServiceSettings
from longtail_client.contract import Array, Matrix
from longtail_client.errors import DeadlineExceeded, ModelUnavailable, ReleaseInvalid
from longtail_client.release_state import changing_state, write_state
from longtail_client.testing import FAKE_VERSION, FakeTransport

CATALOGUE = "var/catalogues/tiny"
PINNED = [
    f"{CATALOGUE}/items.parquet",
    f"{CATALOGUE}/vectors.npy",
    f"{CATALOGUE}/top_k.onnx",
    "model_repository/text_encoder/1/model.onnx",
    "model_repository/text_encoder/1/tokenizer.json",
    "model_repository/generator/1/generator.json",
]
SettingsFor = Callable[[Path], ServiceSettings]


def load(house: Path, settings_for: SettingsFor, name: str | None = None) -> LiveRelease:
    return load_release(settings_for(house), FakeTransport(), name)


def test_the_live_release_is_loaded_when_none_is_named(published: Path, settings_for: SettingsFor) -> None:
    live = load(published, settings_for)
    assert live.release.name == "first"
    assert len(live.catalogue.item_ids) == 20


@pytest.mark.parametrize("part", PINNED)
def test_a_missing_file_is_named(house: Path, settings_for: SettingsFor, part: str) -> None:
    (house / part).unlink()
    with pytest.raises(ReleaseInvalid, match=re.escape(str(house / part))):
        load(house, settings_for)


@pytest.mark.parametrize("part", PINNED)
def test_one_flipped_byte_is_noticed_and_its_file_named(house: Path, settings_for: SettingsFor, part: str) -> None:
    content = bytearray((house / part).read_bytes())
    content[len(content) // 2] ^= 1
    (house / part).write_bytes(content)
    with pytest.raises(ReleaseInvalid, match=f"{re.escape(str(house / part))}: expected sha256"):
        load(house, settings_for)


def test_a_release_that_is_none_is_refused_by_name(published: Path, settings_for: SettingsFor) -> None:
    with pytest.raises(ReleaseInvalid, match="release create --name second"):
        load(published, settings_for, "second")


def test_without_a_live_release_nothing_is_loaded(house: Path, settings_for: SettingsFor) -> None:
    (house / "var" / "releases" / "state.json").unlink()
    with pytest.raises(ReleaseInvalid, match="expected a live release, found none; run `longtail release create`"):
        load(house, settings_for)
    assert load(house, settings_for, "first").release.name == "first"
    with changing_state(house / "var") as state:
        write_state(house / "var", state.stage("first").promote("first"))
    assert load(house, settings_for).release.name == "first"


def test_an_edited_prompt_is_refused(house: Path, settings_for: SettingsFor) -> None:
    path = house / "var" / "releases" / "first" / "release.json"
    document = json.loads(path.read_text())
    document["prompt"]["system"] += " Be brief."
    path.write_text(json.dumps(document))
    with pytest.raises(ReleaseInvalid, match="prompt: expected sha256"):
        load(house, settings_for)


async def test_models_are_connected_when_they_are_first_needed_and_only_once(
    settings: ServiceSettings, transport: FakeTransport
) -> None:
    live = load_release(settings, transport)
    transport.down = True
    with pytest.raises(ModelUnavailable):
        await live.encoder(timeout_s=1.0)
    with pytest.raises(ModelUnavailable):
        await live.generator(timeout_s=1.0)
    transport.down = False
    await live.compare(timeout_s=1.0)
    encoder, generator = await live.encoder(timeout_s=1.0), await live.generator(timeout_s=1.0)
    transport.down = True
    assert await live.encoder(timeout_s=1.0) is encoder
    assert await live.generator(timeout_s=1.0) is generator
    assert encoder.version == generator.version == "1"


async def test_connecting_takes_no_longer_than_allowed(settings: ServiceSettings, transport: FakeTransport) -> None:
    live = load_release(settings, transport)
    transport.delay_s = 5.0
    with pytest.raises(DeadlineExceeded):
        await live.encoder(timeout_s=0.05)
    with pytest.raises(DeadlineExceeded):
        await live.generator(timeout_s=0.05)


async def test_a_version_that_triton_does_not_serve_is_unavailable(house: Path, settings_for: SettingsFor) -> None:
    path = house / "var" / "releases" / "first" / "release.json"
    document = json.loads(path.read_text())
    (house / "model_repository" / "text_encoder" / "1").rename(house / "model_repository" / "text_encoder" / "7")
    document["encoder"]["version"] = "7"
    document["release_sha256"] = None
    path.write_text(json.dumps(document))
    live = load(house, settings_for)
    with pytest.raises(ModelUnavailable, match="text_encoder version 7"):
        await live.encoder(timeout_s=1.0)


class SkewedTransport(FakeTransport):
    """Serves other vectors from the moment that it is told to."""

    skew = 0.0

    def _vector(self, ids: Array, version: str = FAKE_VERSION) -> Matrix:
        skewed = super()._vector(ids, version) + self.skew * super()._vector(ids[::-1] + 1, version)
        return skewed / np.linalg.norm(skewed)


async def test_no_vector_leaves_a_release_before_its_fingerprint_is_compared(
    settings: ServiceSettings, transport: FakeTransport
) -> None:
    live = load_release(settings, transport)
    with pytest.raises(ModelUnavailable, match="first gives out no vectors until they are compared"):
        await live.encoder(timeout_s=1.0)
    comparison = await live.compare(timeout_s=1.0)
    assert comparison.worst_cosine > 0.99999
    assert (await live.encoder(timeout_s=1.0)).dim == 16


async def test_vectors_that_moved_are_held_back_until_they_are_right_again(settings: ServiceSettings) -> None:
    transport = SkewedTransport()
    live = load_release(settings, transport)
    await live.compare(timeout_s=1.0)
    transport.skew = 0.5
    with pytest.raises(ReleaseInvalid, match=r"encoder: .* the files in .* are the pinned ones"):
        await live.compare(timeout_s=1.0)
    with pytest.raises(ModelUnavailable, match="release first gives out no vectors: encoder: "):
        await live.encoder(timeout_s=1.0)
    transport.skew = 0.0
    await live.compare(timeout_s=1.0)
    assert (await live.encoder(timeout_s=1.0)).dim == 16


async def test_a_version_overwritten_under_triton_is_named_when_vectors_move(
    house: Path, settings_for: SettingsFor
) -> None:
    transport = SkewedTransport()
    live = load_release(settings_for(house), transport)
    transport.skew = 0.5
    (house / "model_repository" / "text_encoder" / "1" / "model.onnx").write_bytes(b"other weights")
    with pytest.raises(ReleaseInvalid, match=r"encoder: .*model\.onnx: expected sha256 .*worst cosine of the probes"):
        await live.compare(timeout_s=1.0)


async def test_a_comparison_that_could_not_be_made_changes_nothing(live: LiveRelease, transport: FakeTransport) -> None:
    transport.down = True
    with pytest.raises(ModelUnavailable):
        await live.compare(timeout_s=1.0)
    transport.down = False
    assert (await live.encoder(timeout_s=1.0)).dim == 16


async def test_another_dimension_is_refused_by_name(settings: ServiceSettings) -> None:
    live = load_release(settings, FakeTransport(dim=8))
    with pytest.raises(ReleaseInvalid, match="expected vectors of 16 dimensions, as the index has, got 8"):
        await live.compare(timeout_s=1.0)


@pytest.mark.parametrize("part", ["index", "fingerprint", "encoder", "tokenizer", "generator"])
def test_a_changed_file_is_named_by_its_part(house: Path, settings_for: SettingsFor, part: str) -> None:
    path = {
        "index": "var/catalogues/tiny/vectors.npy",
        "fingerprint": "var/catalogues/tiny/fingerprint.json",
        "encoder": "model_repository/text_encoder/1/model.onnx",
        "tokenizer": "model_repository/text_encoder/1/tokenizer.json",
        "generator": "model_repository/generator/1/generator.json",
    }[part]
    content = (house / path).read_bytes()
    (house / path).write_bytes(content[:-1])
    with pytest.raises(ReleaseInvalid, match=f"^{part}: "):
        load(house, settings_for)


def test_a_truncated_index_says_how_many_vectors_are_left(house: Path, settings_for: SettingsFor) -> None:
    path = house / CATALOGUE / "vectors.npy"
    np.save(path, np.load(path)[:13])
    with pytest.raises(ReleaseInvalid, match=r"^index: .*it holds 13 whole vectors, 20 were written"):
        load(house, settings_for)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(ReleaseInvalid, match=r"^index: .*bytes are cut short, 20 were written"):
        load(house, settings_for)
