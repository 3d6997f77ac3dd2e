"""A large catalogue is exported under a hard limit of memory, which the kernel holds."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).parents[2] / "bench" / "bounded_export.py"
N_ITEMS = 200_000
LIMIT_MIB = 2048


def run(folder: Path, tokenizer: Path, *, n_items: int, limit_mib: int) -> subprocess.CompletedProcess[str]:
    folder.mkdir()
    arguments = ("--items", n_items, "--limit-mib", limit_mib, "--tokenizer", tokenizer, "--folder", folder)
    # What libraries reserve for each core of a large machine is no part of what is measured.
    threads = {f"{name}_NUM_THREADS": "2" for name in ("OMP", "OPENBLAS", "RAYON")} | {"MALLOC_ARENA_MAX": "2"}
    return subprocess.run(
        [sys.executable, str(SCRIPT), *map(str, arguments)],
        env=dict(os.environ) | threads,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )


def test_memory_does_not_grow_with_the_catalogue(tiny_tokenizer_path: Path, tmp_path: Path) -> None:
    small = run(tmp_path / "small", tiny_tokenizer_path, n_items=20_000, limit_mib=LIMIT_MIB)
    large = run(tmp_path / "large", tiny_tokenizer_path, n_items=N_ITEMS, limit_mib=LIMIT_MIB)
    assert (small.returncode, large.returncode) == (0, 0), small.stderr + large.stderr
    few, many = json.loads(small.stdout), json.loads(large.stdout)
    assert (many["n_items"], many["n_encoded"], many["n_interactions"]) == (N_ITEMS, N_ITEMS, 5 * N_ITEMS)
    assert many["peak_virtual_mib"] <= LIMIT_MIB
    vectors_mib = (tmp_path / "large/var/catalogues/large/vectors.npy").stat().st_size / 2**20
    assert vectors_mib > 290
    assert many["peak_resident_mib"] - few["peak_resident_mib"] < vectors_mib


def test_the_limit_is_a_real_one(tiny_tokenizer_path: Path, tmp_path: Path) -> None:
    assert run(tmp_path / "none", tiny_tokenizer_path, n_items=1000, limit_mib=64).returncode != 0
