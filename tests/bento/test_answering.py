"""Which release answers whom, and what its answers tell of a release in shadow or on canary."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from tests.waiting import until

from longtail_bento.answering import Answering, sticky_of
from longtail_bento.clock import Clock
from longtail_bento.interactions import Interactions
from longtail_bento.release_overview import overview
from longtail_bento.release_set import ReleaseSet, in_share
from longtail_bento.running_tally import RunningTally
from longtail_bento.settings import ServiceSettings
from longtail_bento.trials import Trials
from longtail_bento.wire import DescribeRequest, EncodeRequest, RecommendRequest, RecommendResponse, SearchRequest
from longtail_client.contract import TEXT_ENCODER
from longtail_client.errors import ModelUnavailable, UnknownRelease
from longtail_client.release_report import CanaryEvidence, ReleaseReport, Thresholds, write_report
from longtail_client.release_report_merge import read_report
from longtail_client.release_state import ReleaseState, changing_state, write_state
from longtail_client.testing import FakeTransport

Move = Callable[[Callable[[ReleaseState], ReleaseState]], None]


@pytest.fixture
def triton() -> FakeTransport:
    """A fake that serves the encoder's versions 1 and 2."""
    transport = FakeTransport()
    transport.served[TEXT_ENCODER.name] = transport.loadable[TEXT_ENCODER.name] = {"1", "2"}
    return transport


@pytest.fixture
async def answering(
    two_releases: Path,
    settings_for: Callable[[Path], ServiceSettings],
    triton: FakeTransport,
    interactions: Interactions,
) -> AsyncIterator[Answering]:
    """Both releases loaded, ``first`` live and ``second`` staged."""
    settings = settings_for(two_releases)
    with changing_state(settings.var) as state:
        write_state(settings.var, state.stage("second"))
    releases = ReleaseSet(settings, triton)
    await releases.start()
    trials = Trials(settings, releases, interactions)
    trials.start()
    await until(lambda: releases.live.is_sound and "second" in releases.loaded)
    yield Answering(releases, interactions, trials)
    await trials.stop()
    await releases.stop()


@pytest.fixture
def move(answering: Answering, two_releases: Path) -> Callable[..., object]:
    """Move a release, and wait until the service knows."""

    async def change(transition: Callable[[ReleaseState], ReleaseState]) -> None:
        with changing_state(two_releases / "var") as state:
            after = write_state(two_releases / "var", transition(state))
        await until(lambda: answering.releases.state.revision == after.revision)

    return change


async def recommend(answering: Answering, **fields: object) -> RecommendResponse:
    request = RecommendRequest(**({"user_id": "ada", "k": 3} | fields))
    return await answering.recommend(request, Clock(5000), request_id="r")


CANARY_HISTORY = next(
    [{"item_id": str(a)}, {"item_id": str(b)}]
    for a in range(1, 21)
    for b in range(1, 21)
    if a != b and in_share(f"history {a} {b}", "second", 10)
)


async def test_a_release_in_service_is_asked_by_name(answering: Answering) -> None:
    texts = ["a western about space"]
    assert (await recommend(answering)).release == "first"
    assert (await recommend(answering, release="second")).release == "second"
    described = await answering.describe(DescribeRequest(user_id="ada", release="second"), Clock(5000), request_id="r")
    found = await answering.search(SearchRequest(text=texts[0], release="second"), Clock(5000), request_id="r")
    assert (described.release, found.release) == ("second", "second")
    first = await answering.encode(EncodeRequest(texts=texts), Clock(5000))
    second = await answering.encode(EncodeRequest(texts=texts, release="second"), Clock(5000))
    assert (first.release, second.release) == ("first", "second")
    assert first.vectors != second.vectors
    with pytest.raises(UnknownRelease, match="release 'third' cannot be asked") as refused:
        await recommend(answering, release="third")
    assert refused.value.field == "release"


async def test_a_canary_answers_its_users_and_encode_stays_with_the_live_release(
    answering: Answering, move: Callable[..., object]
) -> None:
    await move(lambda state: state.to_canary("second", 10))
    history = {"user_id": None, "history": CANARY_HISTORY}
    assert {(await recommend(answering, **history)).release for _ in range(3)} == {"second"}
    described = await answering.describe(DescribeRequest(history=CANARY_HISTORY), Clock(5000), request_id="r")
    assert described.release == "second"
    assert (await recommend(answering, **history, release="first")).release == "first"
    assert (await answering.encode(EncodeRequest(texts=["sea"]), Clock(5000))).release == "first"


async def test_the_live_release_answers_for_a_canary_that_cannot(
    answering: Answering, move: Callable[..., object], triton: FakeTransport, two_releases: Path
) -> None:
    await move(lambda state: state.to_canary("second", 100))
    wish = {"user_id": "ada", "descriptions": 0, "steer": ["sea"]}
    assert (await recommend(answering, **wish)).release == "second"
    canary = answering.releases.loaded["second"]
    canary.catalogue.row_of.clear()  # type: ignore[attr-defined]  it knows no item: nothing but the wish is left
    triton.served[TEXT_ENCODER.name] = {"1"}
    triton.loadable[TEXT_ENCODER.name] = {"1"}
    answer = await recommend(answering, **wish)
    assert (answer.release, answer.degraded) == ("first", [])
    report = answering.trials.report("second")
    assert report is not None
    assert report.canary is not None
    assert (report.canary.candidate.n_answers, report.canary.candidate.n_errors) == (1, 1)
    assert (report.canary.live.n_answers, report.canary.percent) == (1, 100)
    with pytest.raises(ModelUnavailable):
        await recommend(answering, **wish, release="second")


async def test_a_release_in_shadow_answers_copies_without_the_generator(
    answering: Answering, move: Callable[..., object], triton: FakeTransport, two_releases: Path
) -> None:
    await move(lambda state: state.to_shadow("second"))
    triton.calls.clear()
    answers = [await recommend(answering) for _ in range(4)]
    assert {answer.release for answer in answers} == {"first"}
    await until(
        lambda: (
            (report := answering.trials.report("second")) is not None
            and report.shadow is not None
            and report.shadow.n_compared == 4
        )
    )
    assert sum(model == "generator" for model, _ in triton.calls) == 4, "the generator wrote for the copies too"
    report = answering.trials.report("second")
    assert report is not None
    assert report.shadow is not None
    replayed = await recommend(
        answering, release="second", given_descriptions=[each.text for each in answers[0].descriptions]
    )
    theirs, mine = ({item.item_id for item in answer.items} for answer in (answers[0], replayed))
    assert report.shadow.overlap_at_k == pytest.approx(len(theirs & mine) / 3)
    means = [sum(item.similarity for item in answer.items) / 3 for answer in (answers[0], replayed)]
    assert report.shadow.score_shift == pytest.approx(means[1] - means[0], abs=1e-4)
    assert report.shadow.candidate.tail_share == 1.0
    assert report.shadow.candidate.coverage == pytest.approx(3 / 20)
    assert (report.compared_with, report.canary) == ("first", None)
    await until(
        lambda: (written := read_report(two_releases / "var", "second")) is not None and written.shadow == report.shadow
    )


async def test_a_shadow_that_fails_is_counted_and_nobody_notices(
    answering: Answering, move: Callable[..., object]
) -> None:
    await move(lambda state: state.to_shadow("second"))
    answering.releases.loaded["second"].catalogue.row_of.clear()  # type: ignore[attr-defined]
    answer = await recommend(answering, user_id=None, history=[{"item_id": "5"}])
    assert (answer.release, answer.degraded) == ("first", [])
    await until(
        lambda: (
            (report := answering.trials.report("second")) is not None
            and report.shadow is not None
            and report.shadow.candidate.n_errors == 1
        )
    )


async def test_a_busy_shadow_drops_copies_and_users_do_not_wait(
    answering: Answering, move: Callable[..., object], triton: FakeTransport
) -> None:
    await move(lambda state: state.to_shadow("second"))
    request = RecommendRequest(user_id="ada", k=3)
    answer = await recommend(answering)
    for _ in range(100):
        answering.trials.answered(answering.releases.live, request, answer)
    await until(lambda: (report := answering.trials.report("second")) is not None and report.shadow is not None)
    report = answering.trials.report("second")
    assert report is not None
    assert report.shadow is not None
    assert report.shadow.n_dropped >= 60


async def test_a_report_begins_anew_when_another_release_became_live(
    answering: Answering, move: Callable[..., object]
) -> None:
    await move(lambda state: state.to_canary("second", 100))
    await recommend(answering)
    report = answering.trials.report("second")
    assert report is not None
    assert report.canary is not None
    await move(lambda state: state.promote("second"))
    await until(lambda: answering.releases.live.name == "second")
    await move(lambda state: state.retire("first", force=True).stage("first"))
    await until(lambda: "first" in answering.releases.loaded)
    await move(lambda state: state.to_canary("first", 100))
    answer = await recommend(answering)
    report = answering.trials.report("first")
    assert answer.release == "first"
    assert report is not None
    assert report.compared_with == "second"


async def test_a_trial_forgets_what_an_earlier_one_saw_before_anybody_asks(
    answering: Answering, move: Callable[..., object], two_releases: Path
) -> None:
    report = ReleaseReport(
        release="second",
        compared_with="first",
        written_at="2026-01-01T00:00:00+00:00",
        canary=CanaryEvidence(percent=5, candidate=RunningTally().tally(20), live=RunningTally().tally(20)),
    )
    write_report(two_releases / "var", report, worker=1)
    await move(lambda state: state.to_shadow("second"))
    await until(lambda: (known := read_report(two_releases / "var", "second")) is not None and known.canary is None)


async def test_the_overview_names_places_parts_and_objections(
    answering: Answering, move: Callable[..., object], two_releases: Path
) -> None:
    await move(lambda state: state.to_canary("second", 25))
    await recommend(answering)
    shown = overview(answering.releases, answering.trials, Thresholds())
    assert (shown.release, shown.revision) == ("first", answering.releases.state.revision)
    first, second = shown.releases
    assert (first.release, first.place, first.status, first.encoder_version) == ("first", "live", "serving", "1")
    assert (second.release, second.place, second.status, second.percent) == ("second", "canary", "serving", 25)
    assert second.encoder_version == "2"
    assert (second.n_items, second.dim) == (20, 16)
    assert second.index_sha256 != first.index_sha256
    assert second.fingerprint is not None
    assert second.fingerprint.worst_cosine > 0.99999
    assert second.objections
    assert first.objections is None


def test_who_asks_is_the_user_or_the_history() -> None:
    assert sticky_of(DescribeRequest(user_id="ada")) == "user ada"
    assert sticky_of(DescribeRequest(history=[{"item_id": "1"}, {"item_id": "2"}])) == "history 1 2"
    assert sticky_of(DescribeRequest(steer=["sea"])) is None
