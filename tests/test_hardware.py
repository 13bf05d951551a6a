from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from throughline import Unavailable, hardware


def test_it_counts_the_cores_this_process_may_use() -> None:
    one = min(os.sched_getaffinity(0))
    program = (
        f"import os; os.sched_setaffinity(0, {{{one}}}); from throughline import hardware; print(hardware.cores())"
    )
    assert subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout == "1\n"


def test_a_containers_limits_win_over_the_machines(monkeypatch: pytest.MonkeyPatch) -> None:
    files = {"cpu.max": "150000 100000", "memory.max": str(2**20), "memory.current": str(2**18)}
    real = hardware._read
    monkeypatch.setattr(hardware, "_read", lambda path: files.get(path.name) or real(path))
    assert hardware.cores() == min(2, len(os.sched_getaffinity(0)))
    assert hardware.memory_limit() == 2**20
    assert hardware.memory_available() == 2**20 - 2**18


def test_features_are_those_the_kernel_lists() -> None:
    found = hardware.detect()
    flags = Path("/proc/cpuinfo").read_text()
    assert ("AVX-512" in found.cpu.features) == ("avx512f" in flags)
    assert not set(found.cpu.features) & set(found.cpu.lacks)
    assert 0 < hardware.memory_available() <= hardware.memory_limit()


def test_gpus_are_read_from_the_drivers_own_program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    driver = tmp_path / "nvidia-smi"
    driver.write_text("#!/bin/sh\necho '0, NVIDIA H200, 580.65.06, 143771, 9.0'\necho 'a line nobody expects'\n")
    driver.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    assert hardware._gpus() == (hardware.Gpu(0, "NVIDIA H200", "580.65.06", 143771, "9.0"),)
    driver.write_text("#!/bin/sh\necho 'no devices were found'; exit 9\n")
    assert hardware._gpus() == ()


def test_a_gpus_memory_is_read_from_the_drivers_own_program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    driver = tmp_path / "nvidia-smi"
    driver.write_text("#!/bin/sh\necho '0, 1024, 2048'\necho '1, 3, 143771'\n")
    driver.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    assert hardware.gpu_memory(1) == hardware.GpuMemory(3 * 2**20, 143771 * 2**20)
    with pytest.raises(Unavailable, match="no NVIDIA GPU 2"):
        hardware.gpu_memory(2)


def test_what_a_gpu_is_doing_is_read_from_the_drivers_own_program(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    driver = tmp_path / "nvidia-smi"
    driver.write_text("#!/bin/sh\necho '0, [N/A], 1980, 1024'\necho '1, 87, 1755, 2048'\n")
    driver.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    assert hardware.gpu_now(1) == hardware.GpuNow(0.87, 1755.0, 2048.0)
    assert hardware.gpu_now(0) is None  # under MIG the driver does not say
    assert hardware.gpu_now(2) is None
