"""The releases of a process in, what `GET /release` answers out."""

from __future__ import annotations

from longtail_bento.release_set import ReleaseSet
from longtail_bento.releases import LiveRelease
from longtail_bento.trials import Trials
from longtail_bento.wire import FingerprintOut, ReleaseOut, ReleasesResponse
from longtail_client.release_report import Thresholds, objections
from longtail_client.release_state import names_in_service


def overview(releases: ReleaseSet, trials: Trials, thresholds: Thresholds) -> ReleasesResponse:
    """Say what is serving, what is ready to, and what cannot."""
    state = releases.state
    names = dict.fromkeys([releases.live.name, *names_in_service(state), *releases.loaded])
    return ReleasesResponse(
        release=releases.live.name,
        revision=state.revision,
        releases=[_one(releases, trials, thresholds, name) for name in names],
    )


def _one(releases: ReleaseSet, trials: Trials, thresholds: Thresholds, name: str) -> ReleaseOut:
    state = releases.state
    place = state.place_of(name)
    release = releases.loaded.get(name)
    refusal = releases.refusals.get(name)
    report = trials.report(name)
    document = ReleaseOut(
        release=name,
        place=place if name in names_in_service(state) else None,
        percent=state.canary.percent if state.canary is not None and state.canary.name == name else None,
        status="waiting",
        reason=refusal.reason if refusal is not None else None,
        report=report,
        objections=objections(report, thresholds) if place in ("shadow", "canary") else None,
    )
    if release is None:
        status = "loading" if releases.loading == name else "refused" if refusal is not None else "waiting"
        return document.model_copy(update={"status": status})
    if release is releases.live or releases.is_canary(release):
        status = "serving"
    else:
        status = "loaded" if name in names_in_service(state) else "leaving"
    return document.model_copy(update={"status": status, **_loaded_facts(release)})


def _loaded_facts(release: LiveRelease) -> dict[str, object]:
    pinned, comparison = release.release, release.comparison
    fingerprint = None
    if comparison is not None and release.compared_at is not None:
        fingerprint = FingerprintOut(
            worst_cosine=comparison.worst_cosine,
            mean_cosine=comparison.mean_cosine,
            compared_at=release.compared_at.isoformat(timespec="seconds"),
            mismatch=release.mismatch,
        )
    return {
        "encoder_version": pinned.encoder.version,
        "encoder_sha256": pinned.encoder.files.get("model.onnx"),
        "tokenizer_sha256": pinned.encoder.files.get("tokenizer.json"),
        "generator_version": pinned.generator.version,
        "catalogue": pinned.catalogue.name,
        "n_items": len(release.catalogue.item_ids),
        "dim": release.catalogue.vectors.shape[1],
        "index_sha256": pinned.catalogue.files.get("vectors.npy"),
        "prompt_sha256": pinned.prompt_sha256,
        "in_flight": release.in_flight,
        "fingerprint": fingerprint,
        "measured": release.measured,
    }
