"""Releases follow the state file: loaded behind the back of users, swapped whole, refused without harm, let go."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from tests.waiting import until

from longtail_bento.release_set import ReleaseSet, in_share
from longtail_bento.settings import ServiceSettings
from longtail_client.contract import GENERATOR, TEXT_ENCODER
from longtail_client.errors import ModelUnavailable, ReleaseInvalid, UnknownRelease
from longtail_client.manifest import MANIFEST, write_manifest
from longtail_client.release_state import ReleaseState, changing_state, write_state
from longtail_client.testing import FAKE_VERSION, FakeTransport
from longtail_export.release_writer import create

SettingsFor = Callable[[Path], ServiceSettings]
Move = Callable[[Callable[[ReleaseState], ReleaseState]], None]


@pytest.fixture
def triton() -> FakeTransport:
    """A fake that can load the encoder's versions 1 and 2, and serves 1."""
    transport = FakeTransport()
    transport.loadable[TEXT_ENCODER.name] = {"1", "2"}
    return transport


@pytest.fixture
async def releases(two_releases: Path, settings_for: SettingsFor, triton: FakeTransport) -> AsyncIterator[ReleaseSet]:
    """The releases of a house, ``first`` serving."""
    releases = ReleaseSet(settings_for(two_releases), triton)
    await releases.start()
    await until(lambda: releases.live.is_sound)
    yield releases
    await releases.stop()


@pytest.fixture
def move(two_releases: Path) -> Move:
    """What `longtail release` does to the state file."""

    def change(transition: Callable[[ReleaseState], ReleaseState]) -> None:
        with changing_state(two_releases / "var") as state:
            write_state(two_releases / "var", transition(state))

    return change


async def test_a_release_is_staged_promoted_and_rolled_back(
    releases: ReleaseSet, move: Move, triton: FakeTransport
) -> None:
    move(lambda state: state.stage("second"))
    await until(lambda: "second" in releases.loaded)
    assert releases.live.name == "first"
    assert triton.loads == [(TEXT_ENCODER.name, ("1", "2"))]
    with releases.taken("second") as named:
        assert named.is_sound
        assert named.comparison is not None
        assert named.comparison.worst_cosine > 0.99999
    move(lambda state: state.promote("second"))
    await until(lambda: releases.live.name == "second")
    assert set(releases.loaded) == {"first", "second"}
    move(lambda state: state.rollback())
    await until(lambda: releases.live.name == "first")
    assert len(triton.loads) == 1, "what is loaded already was loaded again"


async def test_triton_is_told_what_the_manifest_says_of_a_version_that_it_never_heard_of(
    releases: ReleaseSet, two_releases: Path, triton: FakeTransport
) -> None:
    models, var = two_releases / "model_repository", two_releases / "var"
    folder = models / TEXT_ENCODER.name / "2"
    (folder / MANIFEST).unlink()
    write_manifest(folder, {"precision": "bf16", "dim": 16})
    shutil.rmtree(var / "releases" / "second")
    create(
        "second",
        catalogue_name="tiny-2",
        encoder_version="2",
        generator_version=FAKE_VERSION,
        model_repository=models,
        var=var,
    )
    await until(lambda: "second" in releases.loaded)
    assert triton.parameters[TEXT_ENCODER.name] == {"longtail.2.precision": "bf16"}


async def test_a_request_keeps_the_release_that_it_began_with(releases: ReleaseSet, move: Move) -> None:
    with releases.taken() as release:
        move(lambda state: state.stage("second").promote("second"))
        await until(lambda: releases.live.name == "second")
        assert release.name == "first"
        assert (await release.encoder(timeout_s=1.0)).version == "1"
        with releases.taken() as later:
            assert (await later.encoder(timeout_s=1.0)).version == "2"


async def test_what_left_service_is_unloaded_after_its_last_request(
    releases: ReleaseSet, move: Move, triton: FakeTransport
) -> None:
    move(lambda state: state.stage("second").promote("second"))
    await until(lambda: releases.live.name == "second")
    with releases.taken("first") as held:
        move(lambda state: state.retire("first", force=True))
        await until(lambda: releases.state.place_of("first") == "retired")
        await asyncio.sleep(0.5)
        assert (await held.encoder(timeout_s=1.0)).version == "1"
        assert triton.served[TEXT_ENCODER.name] == {"1", "2"}
        with pytest.raises(UnknownRelease, match="first' cannot be asked"), releases.taken("first"):
            pass
    await until(lambda: "first" not in releases.loaded)
    await until(lambda: triton.served[TEXT_ENCODER.name] == {"2"})
    assert triton.served[GENERATOR.name] == {"1"}


async def test_a_canary_serves_its_share_and_always_the_same_users(releases: ReleaseSet, move: Move) -> None:
    move(lambda state: state.stage("second").to_canary("second", 10))
    await until(lambda: "second" in releases.loaded)
    served: dict[str, str] = {}
    for _ in range(2):
        for user in range(4000):
            with releases.taken(sticky=f"user {user}") as release:
                assert served.setdefault(f"user {user}", release.name) == release.name
    share = sum(name == "second" for name in served.values()) / len(served)
    assert 0.08 < share < 0.12
    with releases.taken() as nobody:
        assert nobody.name == "first"


def test_a_larger_share_keeps_the_users_of_a_smaller_one() -> None:
    users = [f"user {number}" for number in range(2000)]
    small = {user for user in users if in_share(user, "two", 5)}
    large = {user for user in users if in_share(user, "two", 25)}
    assert 60 < len(small) < 140
    assert small < large
    assert {user for user in users if in_share(user, "two", 100)} == set(users)
    assert {user for user in users if in_share(user, "three", 5)} != small


async def test_a_version_that_triton_cannot_load_leaves_the_live_release_serving(
    releases: ReleaseSet, move: Move, triton: FakeTransport
) -> None:
    triton.loadable[TEXT_ENCODER.name] = {"1"}
    move(lambda state: state.stage("second").promote("second"))
    await until(lambda: "second" in releases.refusals)
    assert "text_encoder version 2: the fake cannot load it" in releases.refusals["second"].reason
    assert releases.live.name == "first"
    assert (await releases.live.encoder(timeout_s=1.0)).version == "1"
    with pytest.raises(UnknownRelease, match="cannot load it"), releases.taken("second"):
        pass


@pytest.mark.parametrize(
    ("file", "part"),
    [
        ("var/catalogues/tiny-2/vectors.npy", "index: "),
        ("model_repository/text_encoder/2/model.onnx", "encoder: "),
        ("model_repository/text_encoder/2/tokenizer.json", "tokenizer: "),
        ("var/releases/second/release.json", "release.json"),
    ],
)
async def test_a_flipped_byte_leaves_the_live_release_serving(
    releases: ReleaseSet, move: Move, two_releases: Path, file: str, part: str
) -> None:
    flip(two_releases / file)
    move(lambda state: state.stage("second").promote("second"))
    await until(lambda: "second" in releases.refusals)
    assert part in releases.refusals["second"].reason
    assert releases.live.name == "first"


async def test_vectors_of_another_model_are_refused(
    releases: ReleaseSet, move: Move, triton: FakeTransport, monkeypatch: pytest.MonkeyPatch
) -> None:
    true_vector = triton._vector
    monkeypatch.setattr(triton, "_vector", lambda ids, version: true_vector(ids, "of another model"))
    move(lambda state: state.stage("second"))
    await until(lambda: "second" in releases.refusals)
    assert releases.refusals["second"].reason.startswith("encoder: expected a worst cosine of at least 0.9995")
    assert releases.live.name == "first"


async def test_the_model_versions_of_a_refused_release_are_unloaded_when_it_is_retired(
    releases: ReleaseSet, move: Move, triton: FakeTransport, monkeypatch: pytest.MonkeyPatch
) -> None:
    true_vector = triton._vector
    monkeypatch.setattr(triton, "_vector", lambda ids, version: true_vector(ids, "of another model"))
    move(lambda state: state.stage("second"))
    await until(lambda: "second" in releases.refusals)
    assert triton.served[TEXT_ENCODER.name] == {"1", "2"}
    move(lambda state: state.retire("second"))
    await until(lambda: triton.served[TEXT_ENCODER.name] == {"1"})
    assert triton.served[GENERATOR.name] == {"1"}


async def test_a_mended_release_is_loaded_with_the_next_move(
    releases: ReleaseSet, move: Move, two_releases: Path
) -> None:
    index = two_releases / "var" / "catalogues" / "tiny-2" / "vectors.npy"
    whole = copied(index)
    flip(index)
    move(lambda state: state.stage("second"))
    await until(lambda: "second" in releases.refusals)
    shutil.copy(whole, index)
    move(lambda state: state.to_shadow("second"))
    await until(lambda: "second" in releases.loaded)
    assert not releases.refusals


async def test_a_broken_state_file_changes_nothing(releases: ReleaseSet, two_releases: Path, move: Move) -> None:
    overwrite(two_releases / "var" / "releases" / "state.json", "{")
    await asyncio.sleep(0.5)
    assert releases.live.name == "first"
    overwrite(two_releases / "var" / "releases" / "state.json", ReleaseState(live="first").model_dump_json())
    move(lambda state: state.stage("second"))
    await until(lambda: "second" in releases.loaded)


async def test_a_triton_that_was_started_anew_gets_the_versions_back(
    releases: ReleaseSet, move: Move, triton: FakeTransport
) -> None:
    move(lambda state: state.stage("second").promote("second"))
    await until(lambda: releases.live.name == "second")
    triton.down = True
    await asyncio.sleep(1.2)
    triton.served[TEXT_ENCODER.name] = {"1"}
    triton.down = False
    await until(lambda: triton.served[TEXT_ENCODER.name] == {"1", "2"})


async def test_the_service_starts_without_triton_and_gives_out_no_vector_before_it_compared(
    two_releases: Path, settings_for: SettingsFor, triton: FakeTransport
) -> None:
    triton.down = True
    releases = ReleaseSet(settings_for(two_releases), triton)
    await releases.start()
    assert releases.live.name == "first"
    with pytest.raises(ModelUnavailable):
        await releases.live.encoder(timeout_s=1.0)
    triton.down = False
    await until(lambda: releases.live.is_sound)
    await releases.stop()


async def test_a_live_release_with_a_broken_file_does_not_start(
    two_releases: Path, settings_for: SettingsFor, triton: FakeTransport
) -> None:
    flip(two_releases / "var" / "catalogues" / "tiny" / "vectors.npy")
    with pytest.raises(ReleaseInvalid, match=r"^index: "):
        await ReleaseSet(settings_for(two_releases), triton).start()


async def test_a_fixed_release_follows_nothing(
    two_releases: Path, settings_for: SettingsFor, triton: FakeTransport, move: Move
) -> None:
    settings = settings_for(two_releases).model_copy(update={"release": "second"})
    triton.served[TEXT_ENCODER.name] = {"1", "2"}
    releases = ReleaseSet(settings, triton)
    await releases.start()
    move(lambda state: state.stage("second"))
    await until(lambda: releases.live.is_sound)
    await asyncio.sleep(0.3)
    assert releases.live.name == "second"
    assert set(releases.loaded) == {"second"}
    await releases.stop()


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def copied(path: Path) -> Path:
    return Path(shutil.copy(path, path.with_suffix(".whole")))


def overwrite(path: Path, content: str) -> None:
    path.write_text(content)
