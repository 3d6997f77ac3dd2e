"""Ending a process ends what it started, also when it is dead already."""

from __future__ import annotations

import os
import subprocess

import pytest

from longtail_bento.triton.ending import end_group


@pytest.mark.parametrize("crashed", [False, True])
def test_nothing_of_a_group_is_left(crashed: bool) -> None:
    leader = subprocess.Popen(
        ["sh", "-c", "trap '' TERM; sleep 60 & echo started; wait"], stdout=subprocess.PIPE, start_new_session=True
    )
    assert leader.stdout is not None
    assert leader.stdout.readline() == b"started\n"
    if crashed:
        leader.kill()
        leader.wait()
    end_group(leader, grace_s=0.1)
    leader.stdout.close()
    with pytest.raises(ProcessLookupError):
        os.killpg(leader.pid, 0)
