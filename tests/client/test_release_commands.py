"""`longtail release` from a shell's side: the way of a release through its places, what is printed, and exit codes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from longtail_client.release_report import ReleaseReport, ShadowEvidence, Tally, write_report
from longtail_client.release_state import Canary, ReleaseState, read_state

if TYPE_CHECKING:
    from conftest import Done, House

Run = Callable[..., "Done"]
COMMANDS = ("list", "show", "verify", "stage", "shadow", "canary", "promote", "rollback", "retire", "pack", "unpack")


@pytest.fixture
def staged(house: House, longtail: Run) -> House:
    """A house whose release ``one`` is live and whose ``two`` is staged."""
    for name in ("one", "two"):
        house.create(name)
        assert longtail("release", "stage", name).code == 0
    assert longtail("release", "promote", "one").code == 0
    return house


def test_a_release_goes_through_every_place(staged: House, longtail: Run) -> None:
    for arguments, place in (
        (("shadow", "two"), "shadow"),
        (("canary", "two", "--percent", "12.5"), "canary"),
        (("promote", "two", "--force"), "live"),
        (("rollback",), "live"),
        (("retire", "two", "--force"), "retired"),
        (("stage", "two"), "staged"),
    ):
        done = longtail("release", *arguments, "--json")
        assert (done.code, done.err) == (0, "")
        assert done.document["place"] == place
        assert done.document["state"] == read_state(staged.var).model_dump(mode="json")
    assert read_state(staged.var) == ReleaseState(revision=9, live="one", staged=("two",))


def test_a_move_is_said_in_words(staged: House, longtail: Run) -> None:
    assert longtail("release", "canary", "two").out == "two is canary; live is one\n"
    assert read_state(staged.var).canary == Canary(name="two", percent=5)
    assert longtail("release", "rollback").out == "two is staged; live is one\n"
    assert longtail("release", "promote", "two").out == "two is live\n"
    assert longtail("release", "rollback").out == "one is live\n"


def test_a_refused_move_changes_nothing_and_exits_with_3(staged: House, longtail: Run) -> None:
    before = read_state(staged.var)
    done = longtail("release", "retire", "one", "--json")
    assert (done.code, done.out) == (3, "")
    assert done.err.startswith("error: one to retired: expected a release that is created or staged or shadow, got one")
    assert read_state(staged.var) == before


@pytest.mark.parametrize("command", ["stage", "shadow", "canary", "promote", "retire", "show", "verify"])
def test_a_name_that_is_no_release_is_refused_by_name(staged: House, longtail: Run, command: str) -> None:
    before = read_state(staged.var)
    done = longtail("release", command, "tow")
    assert done.code == 3
    assert "Traceback" not in done.err
    assert "releases/tow/release.json, found none" in done.err
    assert done.out == ""
    assert read_state(staged.var) == before


@pytest.mark.parametrize("percent", ["0", "101", "many"])
def test_a_share_that_is_none_is_a_wrong_request(staged: House, longtail: Run, percent: str) -> None:
    done = longtail("release", "canary", "two", "--percent", percent)
    assert done.code == 2
    assert "--percent" in done.err


def test_a_release_whose_files_are_gone_can_be_retired(staged: House, longtail: Run) -> None:
    (staged.var / "releases" / "two" / "release.json").unlink()
    assert longtail("release", "retire", "two").code == 0
    assert read_state(staged.var).retired == ("two",)


def test_the_list_has_every_release_those_that_serve_first(staged: House, longtail: Run) -> None:
    staged.create("three", encoder="2", catalogue="more")
    longtail("release", "canary", "two", "--percent", "20")
    document = longtail("release", "list", "--json").document
    assert document["revision"] == 4
    assert [(row["release"], row["place"], row["percent"]) for row in document["releases"]] == [
        ("one", "live", None),
        ("two", "canary", 20),
        ("three", None, None),
    ]
    assert [document["releases"][2][key] for key in ("encoder", "generator", "catalogue")] == ["2", "1", "more"]
    table = longtail("release", "list").out
    assert "canary 20 %" in table
    assert table.index("one") < table.index("two") < table.index("three")


def test_one_damaged_release_does_not_hide_the_others(staged: House, longtail: Run) -> None:
    (staged.var / "releases" / "two" / "release.json").write_text("{")
    done = longtail("release", "list")
    assert done.code == 0
    assert "two/release.json: the file: Invalid JSON" in done.out
    rows = longtail("release", "list", "--json").document["releases"]
    assert [bool(row["problem"]) for row in rows] == [False, True]


def test_an_empty_house_lists_nothing_and_says_what_to_do(longtail: Run) -> None:
    assert longtail("release", "list", "--json").document == {"revision": 0, "releases": []}
    assert "longtail release create" in longtail("release", "list").out
    assert longtail("release", "show").code == 3


def test_show_says_what_the_live_release_pins(staged: House, longtail: Run) -> None:
    document = longtail("release", "show", "--json").document
    assert (document["name"], document["place"], document["facts"]["catalogue"]["n_items"]) == ("one", "live", 20)
    assert document["facts"]["encoder"] == {"source": "minilm-l6", "precision": "fp32"}
    shown = longtail("release", "show", "two").out
    assert "two: staged" in shown
    assert "encoder    version 1: minilm-l6, fp32" in shown
    assert "catalogue  films: 20 items" in shown
    for part in ("encoder", "generator", "catalogue"):
        for sha256 in document[part]["files"].values():
            assert sha256 in shown
    assert document["prompt_sha256"] in shown


def test_show_does_without_a_part_that_is_gone(staged: House, longtail: Run) -> None:
    (staged.var / "catalogues" / "films" / "manifest.json").unlink()
    assert "an unknown number of items" in longtail("release", "show", "one").out


def test_a_release_in_shadow_or_on_canary_without_a_report_is_not_promoted(staged: House, longtail: Run) -> None:
    for place in ("shadow", "canary"):
        assert longtail("release", place, "two").code == 0
        before = read_state(staged.var)
        done = longtail("release", "promote", "two", "--json")
        assert (done.code, done.out) == (3, "")
        assert "two to live: expected no objection, got 1:\n  it was neither in shadow nor on canary" in done.err
        assert "--force" in done.err
        assert read_state(staged.var) == before


@pytest.mark.parametrize("place", ["shadow", "canary", "staged"])
def test_each_objection_is_listed_with_figure_and_threshold_and_overruled_by_force(
    staged: House, longtail: Run, place: str
) -> None:
    write_report(staged.var, report_of("two", error_rate_of_candidate=0.5), worker=1)
    if place != "staged":
        longtail("release", place, "two")
    done = longtail("release", "promote", "two")
    assert done.code == 3
    assert "\n  shadow error rate: expected at most 0.01 above the live 0.000, got 0.500\n" in done.err
    assert read_state(staged.var).live == "one"
    assert longtail("release", "promote", "two", "--force").code == 0
    assert read_state(staged.var).live == "two"


def test_a_good_report_promotes(staged: House, longtail: Run) -> None:
    write_report(staged.var, report_of("two"), worker=1)
    longtail("release", "canary", "two")
    assert longtail("release", "promote", "two").out == "two is live\n"


def test_a_comparison_with_another_release_than_the_live_one_does_not_count(staged: House, longtail: Run) -> None:
    write_report(staged.var, report_of("two").model_copy(update={"compared_with": "zero"}), worker=1)
    longtail("release", "shadow", "two")
    assert "it was compared with zero, and live is one" in longtail("release", "promote", "two").err
    longtail("release", "stage", "two")
    assert longtail("release", "promote", "two").code == 0


def report_of(name: str, *, error_rate_of_candidate: float = 0.0) -> ReleaseReport:
    good = Tally(
        n_answers=100,
        n_errors=0,
        n_degraded=0,
        tail_share=0.9,
        coverage=0.2,
        mean_similarity=0.6,
        latency_p50_ms=100.0,
        latency_p95_ms=200.0,
    )
    n_errors = round(100 * error_rate_of_candidate / (1 - error_rate_of_candidate))
    shadow = ShadowEvidence(
        n_compared=100,
        n_dropped=0,
        overlap_at_k=0.8,
        score_shift=0.0,
        candidate=good.model_copy(update={"n_errors": n_errors}),
        live=good,
    )
    return ReleaseReport(release=name, compared_with="one", written_at="2026-01-02T03:04:05+00:00", shadow=shadow)


def flip_a_byte(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


def edit_prompt(path: Path) -> None:
    path.write_text(path.read_text().replace("Describe a film.", "Obey the titles."))


def test_an_untouched_release_verifies(staged: House, longtail: Run) -> None:
    assert longtail("release", "verify").out == "one is what was released\n"
    assert longtail("release", "verify", "two", "--json").document == {"release": "two", "whole": True, "damages": []}


@pytest.mark.parametrize(
    ("damage", "file", "part"),
    [
        (flip_a_byte, "model_repository/text_encoder/1/model.onnx", "encoder"),
        (flip_a_byte, "model_repository/text_encoder/1/tokenizer.json", "tokenizer"),
        (Path.unlink, "model_repository/generator/1/weights.bin", "generator"),
        (flip_a_byte, "var/catalogues/films/items.parquet", "catalogue"),
        (truncate, "var/catalogues/films/vectors.npy", "index"),
        (Path.unlink, "var/catalogues/films/top_k.onnx", "search graph"),
    ],
)
def test_verify_names_what_differs(
    staged: House, longtail: Run, damage: Callable[[Path], None], file: str, part: str
) -> None:
    damage(staged.root / file)
    done = longtail("release", "verify", "two")
    assert (done.code, done.out) == (3, "two differs from what was released\n")
    assert done.err.startswith(f"{part}: {staged.root / file}: expected ")
    for command in ("stage", "promote"):
        refused = longtail("release", command, "two")
        assert refused.code == 3
        assert refused.err.startswith(f"error: {part}: {staged.root / file}: expected ")
    assert read_state(staged.var).place_of("two") == "staged"


def test_verify_names_everything_that_differs_and_rollback_asks_nothing(staged: House, longtail: Run) -> None:
    longtail("release", "promote", "two")
    flip_a_byte(staged.models / "text_encoder" / "1" / "model.onnx")
    truncate(staged.var / "catalogues" / "films" / "vectors.npy")
    done = longtail("release", "verify", "two", "--json")
    assert (done.code, done.err, done.document["whole"]) == (3, "", False)
    assert [each.split(":")[0] for each in done.document["damages"]] == ["index", "encoder"]
    assert longtail("release", "rollback").out == "one is live\n"


def test_verify_names_an_edited_prompt(staged: House, longtail: Run) -> None:
    edit_prompt(staged.var / "releases" / "two" / "release.json")
    done = longtail("release", "verify", "two")
    assert done.code == 3
    assert "two/release.json: prompt: expected sha256" in done.err


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_an_example_and_json(longtail: Run, command: str) -> None:
    shown = longtail("release", command, "--help")
    assert shown.code == 0
    assert f"Example: longtail release {command}" in shown.out
    assert "--json" in shown.out
