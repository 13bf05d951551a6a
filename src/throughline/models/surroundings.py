"""What else was true of the machine while something was measured: a time without this cannot be compared with another.

Everything here is read, nothing is set: a governor or a clock that this process may not see is said to be unknown.
"""

from __future__ import annotations

import importlib.metadata
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from throughline.hardware import cores, detect

_LIBRARIES: Final = (
    "numpy", "onnxruntime", "onnxruntime-gpu", "openvino", "torch", "tensorrt", "tensorrt-rtx",
    "opencv-python-headless", "av", "scikit-learn", "xgboost", "lightgbm",
)  # fmt: skip
_THREADS: Final = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "KMP_AFFINITY", "GOMP_CPU_AFFINITY")
_GOVERNOR: Final = Path("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor")
_LISTENED: Final = 0.3
"""Seconds in which the machine is watched while nothing of ours works."""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """The machine as it was found.

    Attributes:
        processor: its name.
        cores: how many of them this process may keep busy.
        clock_mhz: the processor's clock as it was read; None where it cannot be.
        governor: what rules that clock; empty where it cannot be read.
        load: programs that wanted to work in the last minute, on average; None where the system does not say.
        busy: the share of the whole processor that was at work while nothing of ours was.
        gpus: the GPUs, with their drivers.
        system: kernel and Python.
        libraries: the versions of what does the work.
        environment: variables that decide how many threads a library takes.
    """

    processor: str
    cores: int
    clock_mhz: float | None
    governor: str
    load: float | None
    busy: float
    gpus: tuple[str, ...]
    system: str
    libraries: dict[str, str] = field(default_factory=dict)
    environment: dict[str, str] = field(default_factory=dict)


def look_around() -> Surroundings:
    """Look at the machine; takes a moment in which nothing else of ours may work."""
    import psutil

    found = detect()
    return Surroundings(
        processor=found.cpu.model,
        cores=cores(),
        clock_mhz=clock_mhz(),
        governor=_GOVERNOR.read_text().strip() if _GOVERNOR.is_file() else "",
        load=os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
        busy=psutil.cpu_percent(_LISTENED) / 100,
        gpus=tuple(f"{gpu.name}, driver {gpu.driver}" for gpu in found.gpus),
        system=f"{found.system}, Python {found.python}",
        libraries={name: version for name in _LIBRARIES if (version := _version(name))},
        environment={name: os.environ[name] for name in _THREADS if name in os.environ},
    )


def clock_mhz() -> float | None:
    """The processor's clock now, the mean of its cores; None where it cannot be read."""
    import psutil

    try:
        now = psutil.cpu_freq()
    except (OSError, NotImplementedError, AttributeError):
        return None
    return float(now.current) if now is not None and now.current else None


def _version(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return ""
