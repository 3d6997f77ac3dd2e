"""Build a Bento from the wheel in dist/ and print its tag.

The Bento holds the wheel and the exact versions of what it needs to serve on CPU. Models, catalogue and releases stay
outside: they are deployed as versions of their own.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import zipfile
from email.parser import HeaderParser
from pathlib import Path

from packaging.requirements import Requirement

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
EXTRAS = ("serve", "postgres", "cpu")


def pinned_requirements(wheel: Path, constraints: Path) -> list[str]:
    """List what the wheel needs, each at the version that the constraints fix."""
    with zipfile.ZipFile(wheel) as archive:
        metadata = next(name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        declared = HeaderParser().parsestr(archive.read(metadata).decode()).get_all("Requires-Dist", [])
    lines = (line.partition("==") for line in constraints.read_text().splitlines() if "==" in line)
    versions = {_normal(name): version for name, _, version in lines}
    wanted = []
    for requirement in map(Requirement, declared):
        marker = requirement.marker
        if marker is None or any(marker.evaluate({"extra": extra}) for extra in EXTRAS):
            extras = f"[{','.join(sorted(requirement.extras))}]" if requirement.extras else ""
            wanted.append(f"{requirement.name}{extras}=={versions[_normal(requirement.name)]}")
    return sorted(set(wanted))


def build(dist: Path, staging: Path, bentoml_home: Path) -> str:
    """Build the Bento.

    Args:
        dist: Folder with exactly one wheel.
        staging: Folder that the Bento is built from; what is there is replaced.
        bentoml_home: Where the Bento is stored.

    Returns:
        Its tag, ``longtail:…``.
    """
    (wheel,) = dist.glob("longtail-*.whl")
    shutil.rmtree(staging, ignore_errors=True)
    staging.mkdir(parents=True)
    bentoml_home.mkdir(parents=True, exist_ok=True)
    shutil.copy(HERE / "service.py", staging)
    shutil.copy(wheel, staging)
    requirements = pinned_requirements(wheel, ROOT / "constraints.txt")
    (staging / "requirements.txt").write_text("\n".join(requirements) + "\n")
    (staging / "bentofile.yaml").write_text(
        "service: service:Longtail\n"
        "name: longtail\n"
        "include: [service.py]\n"
        "python:\n"
        "  requirements_txt: ./requirements.txt\n"
        "  lock_packages: false\n"
        f"  wheels: [./{wheel.name}]\n"
    )
    variables = dict(os.environ) | {"BENTOML_HOME": str(bentoml_home.absolute()), "BENTOML_DO_NOT_TRACK": "True"}
    done = subprocess.run(
        [sys.executable, "-m", "bentoml", "build", "--output", "tag", "."],
        cwd=staging,
        env=variables,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise SystemExit(f"bentoml build failed:\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}")
    return done.stdout.strip().removeprefix("__tag__:")


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


if __name__ == "__main__":
    print(build(ROOT / "dist", ROOT / "var" / "bento", ROOT / "var" / "bentoml"))  # noqa: T201
