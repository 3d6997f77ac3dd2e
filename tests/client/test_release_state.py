"""Where releases are: the moves that are allowed, what a refused one says, and writers that never lose an update."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from longtail_client.errors import ReleaseInvalid, TransitionRefused
from longtail_client.release_state import (
    Canary,
    ReleaseState,
    changing_state,
    names_in_service,
    read_state,
    write_state,
)

FULL = ReleaseState(
    revision=7,
    live="live",
    previous="previous",
    canary=Canary(name="canary", percent=5),
    shadow="shadow",
    staged=("staged", "other"),
    retired=("retired",),
)
PLACES = ("live", "previous", "canary", "shadow", "staged", "retired")
Move = Callable[[ReleaseState, str], ReleaseState]
MOVES: dict[str, Move] = {
    "stage": lambda state, name: state.stage(name),
    "shadow": lambda state, name: state.to_shadow(name),
    "canary": lambda state, name: state.to_canary(name, 20),
    "promote": lambda state, name: state.promote(name),
    "rollback": lambda state, _name: state.rollback(),
    "retire": lambda state, name: state.retire(name),
    "retire --force": lambda state, name: state.retire(name, force=True),
}


def put(var: Path, state: ReleaseState) -> ReleaseState:
    with changing_state(var):
        return write_state(var, state)


def test_each_release_is_found_in_its_place() -> None:
    assert [FULL.place_of(name) for name in PLACES] == list(PLACES)
    assert FULL.place_of("nowhere") is None


def test_what_must_be_served_leaves_out_what_is_retired() -> None:
    assert names_in_service(FULL) == ("live", "previous", "canary", "shadow", "staged", "other")
    assert names_in_service(ReleaseState()) == ()


def test_the_way_of_a_release_from_staged_to_retired() -> None:
    state = ReleaseState().stage("a").promote("a").stage("b").to_shadow("b")
    assert (state.live, state.shadow, state.staged) == ("a", "b", ())
    state = state.to_canary("b", 10)
    assert (state.canary, state.shadow) == (Canary(name="b", percent=10), None)
    state = state.promote("b")
    assert (state.live, state.previous, state.canary) == ("b", "a", None)
    state = state.stage("c").promote("c")
    assert (state.live, state.previous, state.retired) == ("c", "b", ("a",))


def test_rollback_trades_the_live_and_the_previous_release_and_back() -> None:
    state = ReleaseState(live="new", previous="old", shadow="s", staged=("t",))
    back = state.rollback()
    assert back == ReleaseState(live="old", previous="new", shadow="s", staged=("t",))
    assert back.rollback() == state


def test_rollback_of_a_canary_leaves_the_live_release_live() -> None:
    state = ReleaseState(live="new", previous="old", canary=Canary(name="c", percent=5))
    assert state.rollback() == ReleaseState(live="new", previous="old", staged=("c",))


def test_the_canarys_share_can_be_changed() -> None:
    assert FULL.to_canary("canary", 50).canary == Canary(name="canary", percent=50)


@pytest.mark.parametrize("percent", [0, -1, 100.5])
def test_a_share_that_is_none_is_refused(percent: float) -> None:
    with pytest.raises(ValidationError, match="percent"):
        ReleaseState(live="a", staged=("b",)).to_canary("b", percent)


def test_the_previous_release_is_retired_only_by_force() -> None:
    assert FULL.retire("previous", force=True).previous is None
    with pytest.raises(TransitionRefused, match="got one that is previous; first `longtail release retire previous --"):
        FULL.retire("previous")


@pytest.mark.parametrize(
    ("state", "move", "name", "message"),
    [
        (
            FULL,
            "stage",
            "live",
            "that is created or shadow or canary or retired, got one that is live; first `longtail",
        ),
        (FULL, "stage", "previous", "got one that is previous; first `longtail release retire previous --force`"),
        (
            FULL,
            "shadow",
            "canary",
            "expected a release that is staged, got one that is canary; first `longtail release",
        ),
        (
            FULL,
            "shadow",
            "staged",
            "expected no other release there, got shadow; first `longtail release stage shadow`",
        ),
        (
            FULL,
            "canary",
            "staged",
            "expected no other release there, got canary; first `longtail release stage canary`",
        ),
        (FULL, "canary", "retired", "got one that is retired; first `longtail release stage retired`"),
        (FULL, "promote", "retired", "got one that is retired; first `longtail release stage retired`"),
        (FULL, "promote", "nowhere", "got one that is created; first `longtail release stage nowhere`"),
        (FULL, "promote", "previous", "got one that is previous; first `longtail release rollback`"),
        (FULL, "retire", "live", "got one that is live; first `longtail release promote` another one"),
        (FULL, "retire --force", "live", "got one that is live; first `longtail release promote` another one"),
        (FULL, "retire --force", "canary", "got one that is canary; first `longtail release stage canary`"),
        (ReleaseState(staged=("a",)), "shadow", "a", "expected a live release .*; first `longtail release promote a`"),
        (ReleaseState(staged=("a",)), "canary", "a", "expected a live release .*; first `longtail release promote a`"),
        (ReleaseState(live="a"), "rollback", "", "expected a canary or a previous release .*, got live a alone"),
        (ReleaseState(), "rollback", "", "got live none alone"),
    ],
)
def test_a_refused_move_says_where_the_release_is_and_what_comes_first(
    state: ReleaseState, move: str, name: str, message: str
) -> None:
    with pytest.raises(TransitionRefused, match=message):
        MOVES[move](state, name)


@pytest.mark.parametrize(
    ("move", "name"),
    [("stage", "staged"), ("shadow", "shadow"), ("promote", "live"), ("retire", "retired")],
)
def test_a_move_to_where_the_release_is_changes_nothing(move: str, name: str) -> None:
    assert MOVES[move](FULL, name) == FULL


@given(st.lists(st.tuples(st.sampled_from(sorted(MOVES)), st.sampled_from("abcd")), max_size=30))
def test_no_series_of_moves_loses_or_doubles_a_release(moves: list[tuple[str, str]]) -> None:
    state, known = ReleaseState(), set[str]()
    for move, name in moves:
        try:
            after = MOVES[move](state, name)
        except TransitionRefused:
            continue
        if move != "rollback":
            known.add(name)
        everywhere = [*names_in_service(after), *after.retired]
        assert sorted(everywhere) == sorted(known)
        assert state.live is None or after.live is not None
        state = after


def test_a_state_comes_back_as_it_was_written(tmp_path: Path) -> None:
    written = put(tmp_path, FULL)
    assert written == FULL.model_copy(update={"revision": 1})
    assert read_state(tmp_path) == written


def test_each_write_has_the_next_revision_and_none_is_made_for_nothing(tmp_path: Path) -> None:
    first = put(tmp_path, ReleaseState(live="a"))
    assert put(tmp_path, ReleaseState(live="b")).revision == first.revision + 1 == 2
    path = tmp_path / "releases" / "state.json"
    inode = path.stat().st_ino
    assert put(tmp_path, ReleaseState(live="b")).revision == 2
    assert path.stat().st_ino == inode


def test_a_state_that_is_being_read_is_never_half_written(tmp_path: Path) -> None:
    put(tmp_path, ReleaseState(live="a"))
    with (tmp_path / "releases" / "state.json").open() as reader:
        put(tmp_path, ReleaseState(live="b"))
        assert ReleaseState.model_validate_json(reader.read()).live == "a"
    assert sorted(path.name for path in (tmp_path / "releases").iterdir()) == [".lock", "state.json"]


def test_without_a_file_no_release_is_anywhere(tmp_path: Path) -> None:
    assert read_state(tmp_path) == ReleaseState()
    with pytest.raises(ReleaseInvalid, match="expected a live release, found none; run `longtail release create`"):
        read_state(tmp_path).live_name()
    assert FULL.live_name() == "live"


@pytest.mark.parametrize(
    ("content", "place"),
    [
        ("{", "the file: Invalid JSON"),
        ('{"live": 3}', "live: "),
        ('{"colour": "red"}', "colour: "),
        ('{"canary": {"name": "a", "percent": 0}}', "canary.percent: "),
        ('{"live": "a", "staged": ["a"]}', "the file: Value error, expected each release in one place, got a in more"),
    ],
)
def test_a_malformed_file_names_the_place_and_what_to_do(tmp_path: Path, content: str, place: str) -> None:
    (tmp_path / "releases").mkdir()
    (tmp_path / "releases" / "state.json").write_text(content)
    with pytest.raises(ReleaseInvalid, match=rf"releases/state\.json: {re.escape(place)}.*remove it, then stage and"):
        read_state(tmp_path)


def test_two_writers_never_lose_an_update(tmp_path: Path) -> None:
    def stage_ten(prefix: str) -> None:
        for number in range(10):
            with changing_state(tmp_path) as state:
                write_state(tmp_path, state.stage(f"{prefix}{number}"))

    writers = [threading.Thread(target=stage_ten, args=(prefix,)) for prefix in "ab"]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    state = read_state(tmp_path)
    assert state.revision == 20
    assert sorted(state.staged) == sorted(f"{prefix}{number}" for prefix in "ab" for number in range(10))


def test_a_change_that_fails_writes_nothing_and_frees_the_lock(tmp_path: Path) -> None:
    put(tmp_path, FULL)
    with pytest.raises(TransitionRefused), changing_state(tmp_path) as state:
        write_state(tmp_path, state.promote("retired"))
    assert put(tmp_path, ReleaseState(live="a")).revision == 2
