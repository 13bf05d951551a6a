"""How many frames at once: as many as the memory holds, by what one was measured to need.

A batch that is too large does not fail where it was chosen but somewhere inside a
runtime, minutes later. So what a frame needs is measured on the opened model itself,
and a fifth of the memory is left alone.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Final

from throughline.contracts.errors import InputError
from throughline.hardware import gpu_memory
from throughline.models.session import Session

MOST: Final = 16
"""Beyond this, a larger batch makes no model faster that we know of; it only waits longer to be full."""
_PERCENT: Final = 80
_ROWS: Final = 4
_RESET_PEAK: Final = Path("/proc/self/clear_refs")


def fitting_batch(available_bytes: int, bytes_per_frame: int, most: int = MOST) -> int:
    """The largest batch, up to ``most``, whose frames need at most 80 % of these bytes; 1 where not even one does."""
    if available_bytes < 0 or bytes_per_frame < 1 or most < 1:
        raise InputError(
            f"no batch follows from {available_bytes} bytes, {bytes_per_frame} bytes a frame and at most {most} frames",
            "bytes_per_frame and most are 1 or more, available_bytes is 0 or more",
        )
    return max(1, min(most, available_bytes * _PERCENT // 100 // bytes_per_frame))


def bytes_per_frame(session: Session, run: Callable[[int], object], batch: int) -> int | None:
    """What one more frame in a batch costs where the model runs: on its GPU, or in this process's memory.

    The model is run for it, best before its first real frame, and its statistics then begin anew. What
    other threads take meanwhile counts too. None where this system does not say.

    Args:
        session: the opened model.
        run: runs the session over so many frames.
        batch: the most frames it is ever given at once.
    """
    try:
        used = _used(session, run, sorted({1, min(_ROWS, batch)}))
    finally:
        session.warm_up(runs=0)
    return None if used is None else max(1, used)


def _used(session: Session, run: Callable[[int], object], sizes: list[int]) -> int | None:
    """Bytes by which the larger batch exceeds the smaller, or the only one exceeds none, a frame."""
    readings = [(0, _most_held(session, lambda: None))]
    for size in sizes:
        readings.append((size, _most_held(session, partial(run, size))))
    (fewer, before), (more, after) = readings[-2:]
    return None if before is None or after is None else (after - before) // (more - fewer)


def _most_held(session: Session, run: Callable[[], object]) -> int | None:
    """Bytes in use on the session's GPU after a run; or the most that this process held during it."""
    measurable = session.device != "cpu" or begin_peak()
    run()
    if not measurable:
        return None
    if session.device == "cpu":
        return peak()
    own = session.get_performance_stats().gpu_mb
    return int(own * 2**20) if own is not None else gpu_memory(int(session.device.removeprefix("gpu:"))).used


def begin_peak() -> bool:
    """Give what is free back to the system, and let this process's peak begin at what it holds now."""
    try:
        ctypes.CDLL(None).malloc_trim(0)
        _RESET_PEAK.write_text("5")
    except (OSError, AttributeError):  # another C library than GNU's, or no such file: the peak would mislead
        return False
    return True


def peak() -> int:
    """The most bytes this process has held since ``begin_peak``, or since it started."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:"))
