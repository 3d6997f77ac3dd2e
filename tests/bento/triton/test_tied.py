"""A tied child runs its command as it is, and does not outlive a parent that was killed."""

from __future__ import annotations

import subprocess
import sys

import psutil

from longtail_bento.triton.tied import tied

PARENT = """
import subprocess, sys
from longtail_bento.triton.tied import tied
child = subprocess.Popen(tied(["sleep", "600"]), start_new_session=True)
print(child.pid, flush=True)
child.wait()
"""


def test_a_tied_child_is_its_command() -> None:
    done = subprocess.run(
        tied(["sh", "-c", 'echo "$0 $1"; exit 7', "a b", "c"]), capture_output=True, text=True, check=False
    )
    assert (done.stdout, done.stderr, done.returncode) == ("a b c\n", "", 7)


def test_a_tied_child_ends_when_its_parent_is_killed() -> None:
    parent = subprocess.Popen([sys.executable, "-c", PARENT], stdout=subprocess.PIPE)
    assert parent.stdout is not None
    child = psutil.Process(int(parent.stdout.readline()))
    while child.name() != "sleep":
        child.status()
    parent.kill()
    parent.communicate()
    gone, _ = psutil.wait_procs([child], timeout=30)
    assert gone == [child]
