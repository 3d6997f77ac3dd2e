"""Run by `test_full_disk`: publishes something on a disk of 1 MiB, then something that has no room on it.

Arguments: a JSON object with ``what`` to publish, an empty folder ``disk``, and a folder ``model_repository`` with an
encoder. Prints one JSON object: what was said, what is under ``disk``, whether it was a disk of its own.
"""

from __future__ import annotations

import json
import os
import resource
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

from longtail_client.errors import DiskFull
from longtail_client.manifest import publishing, read_manifest, sha256_of, verify_files, write_manifest
from longtail_client.release_pack import pack
from longtail_client.release_state import read_state
from longtail_client.testing import FakeTransport
from longtail_export import catalogue_export, sources
from longtail_export.catalogue_sources import read_tables
from longtail_export.progress import SilentProgress
from longtail_export.release_writer import create

DISK_BYTES = 2**20
job = json.loads(sys.argv[1])
disk = Path(job["disk"])
var, models, tables = disk / "var", disk / "model_repository", disk.parent / "tables"
catalogue_export.TritonTransport = lambda url: FakeTransport(dim=384)  # type: ignore[assignment, misc]


def write_tables(*, n_items: int, n_interactions: int) -> None:
    tables.mkdir(exist_ok=True)
    items = "".join(f"{n},film {n}\n" for n in range(n_items))
    (tables / "items.csv").write_text(f"item_id,title\n{items}")
    pairs = "".join(f"user {n * 7919 % 100_003},{n % n_items},{n % 977}\n" for n in range(n_interactions))
    (tables / "interactions.csv").write_text(f"user_id,item_id,weight\n{pairs}")


def export(name: str) -> None:
    catalogue_export.export_catalogue(
        read_tables(tables / "items.csv", tables / "interactions.csv"),
        folder=var / "catalogues" / name,
        var=var,
        model_repository=models,
        encoder_version="1",
        triton_url="127.0.0.1:1",
        timeout_s=5.0,
        progress=SilentProgress(),
    )


def release(name: str) -> None:
    create(name, catalogue_name="first", encoder_version="1", generator_version="1", model_repository=models, var=var)


def model(name: str, n_bytes: int, version: str) -> None:
    with publishing(models / name / version) as folder:
        (folder / "weights").write_bytes(os.urandom(n_bytes))
        write_manifest(folder, {})


def download() -> None:
    """Fetch a pinned wheel that is larger than the disk, from a folder beside it."""
    wheel = disk.parent / "too_large-1.0-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("too_large/weights.bin", os.urandom(2 * DISK_BYTES))
        archive.writestr("too_large-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: too-large\nVersion: 1.0\n")
        archive.writestr("too_large-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
        archive.writestr("too_large-1.0.dist-info/RECORD", "")
    os.environ |= {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(wheel.parent), "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    sources.PINNED["large"] = sources.WheelSource("too-large==1.0", sha256_of(wheel), "too_large", "MIT")
    sources.fetch("large", var / "sources")


def fill() -> None:
    """Leave no byte on the disk."""
    with (disk / "filling").open("wb", buffering=0) as file:
        while True:
            try:
                file.write(b"x" * 4096)
            except OSError:
                return


def released() -> None:
    if is_mounted:
        fill()
    release("second")


TOO_LARGE: dict[str, Callable[[], object]] = {
    "interactions": lambda: export("second"),
    "vectors": lambda: export("second"),
    "text_encoder": lambda: model("text_encoder", 2 * DISK_BYTES, "2"),
    "generator": lambda: model("generator", 2 * DISK_BYTES, "2"),
    "release": released,
    "download": download,
    "pack": lambda: pack("first", disk / "pack.tar", var=var, model_repository=models, advance=lambda _: None),
}
LARGE_TABLES = {"interactions": (5, 80_000), "vectors": (2000, 10)}


def files() -> dict[str, str]:
    return {
        path.relative_to(disk).as_posix(): sha256_of(path)
        for path in disk.rglob("*")
        if path.is_file() and path.name != "filling" and "vectors" not in path.parts[:-1]
    }


mount = ["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "tmpfs", str(disk)]
is_mounted = subprocess.run(mount, capture_output=True, check=False).returncode == 0
shutil.copytree(Path(job["model_repository"]) / "text_encoder" / "1", models / "text_encoder" / "1")
model("generator", 500_000, "1")
write_tables(n_items=5, n_interactions=10)
export("first")
release("first")
before = files()
if job["what"] in LARGE_TABLES:
    n_items, n_interactions = LARGE_TABLES[job["what"]]
    write_tables(n_items=n_items, n_interactions=n_interactions)
if not is_mounted:  # without the right to mount, no file may grow beyond what is left on a full disk
    limit = 1 if job["what"] == "release" else 100_000
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
said = "nothing"
try:
    TOO_LARGE[job["what"]]()
except DiskFull as error:
    said = str(error)
verify_files(var / "catalogues" / "first", read_manifest(var / "catalogues" / "first")["files"])
folders = [path.relative_to(disk).as_posix() for path in disk.rglob("*") if path.is_dir()]
report = {
    "said": said,
    "is_mounted": is_mounted,
    "same": files() == before,
    "live": read_state(var).live,
    "hidden": [folder for folder in folders if "/." in folder],
}
sys.stdout.write(json.dumps(report))
