"""Which published version of the encoder suits a host."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from longtail_client.errors import ReleaseInvalid
from longtail_client.manifest import write_manifest
from longtail_export.cpu import Cpu, this_cpu
from longtail_export.encoder_choice import preferred_version

PLAIN = Cpu("plain", has_int8=False, has_bf16=False, has_amx=False)
VNNI = Cpu("vnni", has_int8=True, has_bf16=True, has_amx=False)


def publish(repository: Path, version: str, precision: str, ratio: float) -> None:
    folder = repository / "text_encoder" / version
    folder.mkdir(parents=True)
    report = {"measured": {"throughput_ratio": ratio}, "thresholds": {"throughput_ratio": 2.5}}
    (folder / "report.json").write_text(json.dumps(report))
    write_manifest(folder, {"precision": precision})


@pytest.mark.parametrize(
    ("cpu", "profile", "ratio", "expected"),
    [
        (VNNI, "cpu", 2.5, "1"),
        (VNNI, "cpu", 2.4, "2"),
        (PLAIN, "cpu", 9.0, "2"),
        (VNNI, "gpu", 9.0, "2"),
    ],
)
def test_high_fidelity_where_it_is_fast_and_int8_elsewhere(
    tmp_path: Path, cpu: Cpu, profile: str, ratio: float, expected: str
) -> None:
    publish(tmp_path, "1", "bf16", ratio)
    publish(tmp_path, "2", "int8", 3.0)
    assert preferred_version(tmp_path, profile=profile, cpu=cpu) == expected


def test_the_newest_where_there_is_no_int8(tmp_path: Path) -> None:
    publish(tmp_path, "3", "fp32", 1.0)
    publish(tmp_path, "4", "fp32", 1.0)
    assert preferred_version(tmp_path, profile="cpu", cpu=PLAIN) == "4"


def test_nothing_published_says_what_to_run(tmp_path: Path) -> None:
    with pytest.raises(ReleaseInvalid, match="found none; run `longtail export encoder`"):
        preferred_version(tmp_path, profile="cpu", cpu=PLAIN)


@pytest.mark.parametrize(
    ("flags", "units"),
    [
        ("sse2 avx2", (False, False, False)),
        ("avx512_vnni avx512_bf16", (True, True, False)),
        ("avx_vnni", (True, False, False)),
        ("avx512_vnni amx_int8 amx_bf16", (True, True, True)),
    ],
)
def test_the_units_are_read_from_the_kernels_flags(tmp_path: Path, flags: str, units: tuple[bool, bool, bool]) -> None:
    path = tmp_path / "cpuinfo"
    path.write_text(f"processor\t: 0\nmodel name\t: Some CPU\nflags\t\t: fpu {flags}\n\nprocessor\t: 1\nflags\t: fpu\n")
    cpu = this_cpu(path)
    assert (cpu.name, (cpu.has_int8, cpu.has_bf16, cpu.has_amx)) == ("Some CPU", units)
    assert this_cpu(tmp_path / "none") == Cpu("unknown", False, False, False)
