"""What `make export` would do again: nothing that is published."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[1]
PUBLISHED = (
    "model_repository/text_encoder/1/manifest.json",
    "model_repository/text_encoder/2/manifest.json",
    "model_repository/generator/1/manifest.json",
    "var/catalogues/demo/manifest.json",
    "var/releases/demo-1/release.json",
)


def planned(folder: Path) -> str:
    return subprocess.run(["make", "-n", "export"], cwd=folder, capture_output=True, text=True, check=True).stdout


def checkout(folder: Path, published: tuple[str, ...]) -> Path:
    shutil.copy(ROOT / "Makefile", folder)
    for name in ("pyproject.toml", "constraints.txt", ".venv/ready", *published):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    return folder


def test_what_is_published_is_never_made_again_whatever_its_age(tmp_path: Path) -> None:
    folder = checkout(tmp_path, PUBLISHED)
    for age_s, name in enumerate(PUBLISHED):
        os.utime(folder / name, (2_000_000_000 - age_s, 2_000_000_000 - age_s))
    assert "longtail export" not in planned(folder)
    assert "longtail release" not in planned(folder)


def test_what_is_missing_is_made_alone(tmp_path: Path) -> None:
    plan = planned(checkout(tmp_path, PUBLISHED[:-1]))
    assert "longtail release create --name demo-1" in plan
    assert "longtail export" not in plan


def test_interactions_are_loaded_each_time_since_the_database_may_be_new(tmp_path: Path) -> None:
    assert "longtail interactions load var/catalogues/demo/interactions.parquet" in planned(
        checkout(tmp_path, PUBLISHED)
    )
