"""`longtail release` from a shell's side: the way of a release through its places, what is printed, and exit codes."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

from longtail_client.release_state import Canary, ReleaseState, read_state

if TYPE_CHECKING:
    from conftest import Done, House

Run = Callable[..., "Done"]
COMMANDS = ("list", "show", "stage", "shadow", "canary", "promote", "rollback", "retire", "pack", "unpack")


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
        (("promote", "two"), "live"),
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


@pytest.mark.parametrize("command", ["stage", "shadow", "canary", "promote", "retire", "show"])
def test_a_name_that_is_no_release_is_refused_by_name(staged: House, longtail: Run, command: str) -> None:
    before = read_state(staged.var)
    done = longtail("release", command, "tow")
    assert done.code == 3
    assert "releases/tow/release.json, found none" in done.err
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


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_an_example_and_json(longtail: Run, command: str) -> None:
    shown = longtail("release", command, "--help")
    assert shown.code == 0
    assert f"Example: longtail release {command}" in shown.out
    assert "--json" in shown.out
