"""What this machine has, asked of the kernel and the driver, without loading a framework.

"Cores" are those this process may use: its affinity and its container's quota,
not the number printed on the box.
"""

from __future__ import annotations

import functools
import math
import os
import platform
import shutil
import subprocess
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from throughline.contracts.errors import Unavailable

_FEATURES = {
    "AVX2": "avx2",
    "AVX-512": "avx512f",
    "VNNI": "avx512_vnni",
    "AVX-VNNI": "avx_vnni",
    "bf16": "avx512_bf16",
    "AMX": "amx_tile",
    "NEON": "asimd",
    "dot product": "asimddp",
}


@dataclass(frozen=True, slots=True)
class Cpu:
    """The processor, as far as this process may use it."""

    model: str
    cores: int
    features: tuple[str, ...]
    lacks: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Gpu:
    """One NVIDIA GPU, as its driver reports it."""

    index: int
    name: str
    driver: str
    memory_mb: int
    compute: str


@dataclass(frozen=True, slots=True)
class GpuMemory:
    """What a GPU's memory holds now, in bytes, whoever put it there."""

    used: int
    total: int


@dataclass(frozen=True, slots=True)
class GpuNow:
    """What a GPU is doing, whoever makes it do that: the share of time at work, its clock, its memory in use."""

    busy: float
    clock_mhz: float
    memory_mb: float


@dataclass(frozen=True, slots=True)
class Hardware:
    """What a run can count on here."""

    system: str
    python: str
    cpu: Cpu
    memory_mb: int
    gpus: tuple[Gpu, ...]


@functools.cache
def detect() -> Hardware:
    """Look at this machine once."""
    return Hardware(
        system=f"{platform.system()} {platform.release()} {platform.machine()}",
        python=platform.python_version(),
        cpu=_cpu(),
        memory_mb=memory_limit() // 2**20,
        gpus=_gpus(),
    )


def cores() -> int:
    """How many cores this process may keep busy."""
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota = _cgroup("cpu.max").split()
    if len(quota) == 2 and quota[0] != "max":
        allowed = min(allowed, max(1, math.ceil(int(quota[0]) / int(quota[1]))))
    return allowed


def memory_limit() -> int:
    """The bytes of memory this process may use: the machine's, or its container's if that is less."""
    total = _meminfo("MemTotal")
    limit = _cgroup("memory.max").strip()
    return min(total, int(limit)) if limit.isdigit() else total


def memory_available() -> int:
    """The bytes of memory that can be had now without pushing anything out."""
    free = _meminfo("MemAvailable")
    limit, used = _cgroup("memory.max").strip(), _cgroup("memory.current").strip()
    return max(0, min(free, int(limit) - int(used))) if limit.isdigit() and used.isdigit() else free


def gpu_memory(index: int) -> GpuMemory:
    """The memory of the GPU of this number, as its driver counts it."""
    for row in _asked_of_the_driver("index", "memory.used", "memory.total"):
        if row[0] == str(index):
            return GpuMemory(*(int(float(cell) * 2**20) for cell in row[1:]))
    raise Unavailable(f"there is no NVIDIA GPU {index} here that its driver reports on", "see: throughline doctor")


def gpu_now(index: int) -> GpuNow | None:
    """What the GPU of this number is doing, over the driver's last moments; None where its driver does not say."""
    for row in _asked_of_the_driver("index", "utilization.gpu", "clocks.sm", "memory.used"):
        with suppress(ValueError):  # "[N/A]"
            if row[0] == str(index):
                return GpuNow(float(row[1]) / 100, float(row[2]), float(row[3]))
    return None


def fingerprint() -> dict[str, str]:
    """What a compiled engine depends on here; empty without a GPU."""
    gpus = detect().gpus
    return {"gpu": gpus[0].name, "compute": gpus[0].compute, "driver": gpus[0].driver} if gpus else {}


def _cpu() -> Cpu:
    model, flags = platform.processor() or platform.machine(), set[str]()
    for line in _read(Path("/proc/cpuinfo")).splitlines():
        key, _, value = line.partition(":")
        if key.strip() == "model name":
            model = value.strip()
        elif key.strip() in {"flags", "Features"}:
            flags.update(value.split())
    arm = platform.machine().startswith(("arm", "aarch"))
    asked = {name: flag for name, flag in _FEATURES.items() if flag.startswith("asimd") == arm}
    has = tuple(name for name, flag in asked.items() if flag in flags)
    return Cpu(model, cores(), has, tuple(name for name in asked if name not in has))


def _gpus() -> tuple[Gpu, ...]:
    return tuple(
        Gpu(int(index), name, driver, int(float(memory)), compute)
        for index, name, driver, memory, compute in _asked_of_the_driver(
            "index", "name", "driver_version", "memory.total", "compute_cap"
        )
    )


def _asked_of_the_driver(*what: str) -> list[list[str]]:
    """A row for each GPU; none where there is no driver or it does not answer."""
    if (program := shutil.which("nvidia-smi")) is None:
        return []
    query = f"--query-gpu={','.join(what)}"
    try:
        asked = subprocess.run(
            [program, query, "--format=csv,noheader,nounits"], capture_output=True, text=True, timeout=20, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return []
    rows = ([cell.strip() for cell in line.split(",")] for line in asked.stdout.splitlines())
    return [row for row in rows if len(row) == len(what)]


def _meminfo(key: str) -> int:
    for line in _read(Path("/proc/meminfo")).splitlines():
        if line.startswith(f"{key}:"):
            return int(line.split()[1]) * 1024
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def _cgroup(name: str) -> str:
    return _read(Path("/sys/fs/cgroup") / name)


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""
