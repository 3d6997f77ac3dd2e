"""What this machine's CPU can multiply: the units that decide which precision is worth serving here."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

_CPU_INFO = Path("/proc/cpuinfo")
_INT8 = {"avx512_vnni", "avx_vnni", "amx_int8"}
_BF16 = {"avx512_bf16", "amx_bf16"}


@dataclass(frozen=True, slots=True)
class Cpu:
    """A CPU and its units.

    Attributes:
        name: As the kernel tells it.
        has_int8: It multiplies 8-bit numbers and adds them in 32 bits (VNNI or AMX).
        has_bf16: It multiplies bfloat16 (AVX-512 BF16 or AMX).
        has_amx: It has tiles: bf16 at a multiple of float32's rate, where AVX-512 BF16 reaches twice at most.
    """

    name: str
    has_int8: bool
    has_bf16: bool
    has_amx: bool


def this_cpu(cpu_info: Path = _CPU_INFO) -> Cpu:
    """Read this machine's CPU; one without a Linux ``/proc/cpuinfo`` counts as one without units."""
    try:
        lines = cpu_info.read_text().splitlines()
    except OSError:
        lines = []
    facts = dict(reversed([line.split(":", 1) for line in lines if ":" in line]))  # the first processor's
    facts = {key.strip(): value.strip() for key, value in facts.items()}
    flags = set(facts.get("flags", "").split())
    return Cpu(
        name=facts.get("model name", "unknown"),
        has_int8=bool(flags & _INT8),
        has_bf16=bool(flags & _BF16),
        has_amx="amx_bf16" in flags,
    )
