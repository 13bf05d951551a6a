"""Run one job on one doubtful file in a process that is thrown away, and get back a small report.

The child is a fresh interpreter with nothing inherited: no environment, no open
files, its own session. It confines itself (``confine``) before it touches the
file. Whatever it becomes afterwards, it is killed with all it started, and only
a bounded report and one folder survive it.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import stat
import subprocess
import sys
import sysconfig
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_MAX_REPORT = 64 << 20
_MAX_ERRORS = 8192
_ENTRY = (
    "import sys; sys.path[:] = sys.argv[3].split('\\n'); import importlib; importlib.import_module(sys.argv[1]).main()"
)


@dataclass(frozen=True, slots=True)
class Limits:
    """What the child may use; ``wall_seconds`` counts from its start, imports included."""

    memory: int
    cpu_seconds: int
    wall_seconds: float
    file_bytes: int


@dataclass(frozen=True, slots=True)
class Outcome:
    """How the child ended.

    Attributes:
        report: what it wrote as its result; empty where it wrote none.
        signal: the signal that ended it; None where it ended by itself.
        timed_out: whether it was killed for taking too long.
        errors: the end of what it printed.
    """

    report: dict[str, Any]
    signal: str | None
    timed_out: bool
    errors: str


def run_confined(module: str, task: dict[str, Any], folder: Path, limits: Limits) -> Outcome:
    """Run ``module.main()`` on ``task`` in a throwaway child that may write to ``folder`` alone."""
    task = {**task, "folder": str(folder), "limits": [limits.memory, limits.cpu_seconds, limits.file_bytes]}
    (folder / "task.json").write_text(json.dumps(task))
    output = folder / "output.txt"
    with output.open("wb") as sink:
        child = subprocess.Popen(
            [sys.executable, "-I", "-B", "-c", _ENTRY, module, str(folder / "task.json"), "\n".join(_import_path())],
            stdin=subprocess.DEVNULL,
            stdout=sink,
            stderr=sink,
            cwd=folder,
            env=_environment(folder),
            close_fds=True,
            start_new_session=True,
        )
        timed_out = False
        try:
            code = child.wait(limits.wall_seconds)
        except subprocess.TimeoutExpired:
            timed_out, code = True, -signal.SIGKILL
        finally:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(child.pid, signal.SIGKILL)
            child.wait()
    name = signal.Signals(-code).name if code < 0 and not timed_out else None
    errors = read_bounded(output, _MAX_REPORT)[-_MAX_ERRORS:].decode("utf-8", "replace")
    try:
        report = json.loads(read_bounded(folder / "report.json", _MAX_REPORT) or b"{}")
    except (ValueError, RecursionError):
        report = {}
    return Outcome(report if isinstance(report, dict) else {}, name, timed_out, errors)


def read_bounded(path: Path, limit: int) -> bytes:
    """A regular file that a child left, as far as ``limit``; nothing where it is anything else."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return b""
    with os.fdopen(descriptor, "rb") as stream:
        status = os.fstat(descriptor)
        return stream.read(limit) if stat.S_ISREG(status.st_mode) and status.st_nlink == 1 else b""


def _import_path() -> list[str]:
    """Where this process imports from, and nothing relative: the child's own folder must not be among it."""
    return [entry for entry in [*sys.path, sysconfig.get_path("purelib")] if os.path.isabs(entry)]


def _environment(folder: Path) -> dict[str, str]:
    kept = {name: os.environ[name] for name in ("LD_LIBRARY_PATH", "SYSTEMROOT") if name in os.environ}
    threads = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
    return {**kept, **threads, "PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8", "HOME": str(folder), "TMPDIR": str(folder)}
