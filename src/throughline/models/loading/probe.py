"""Open a graph for the first time where it can do no harm: in a child with little memory and little time.

Runtimes compute constants while they open a model, so a graph of a hundred
bytes can ask for a terabyte, and a damaged one can end the process. Either
happens to the child. A model whose passport holds was opened before, and is not
probed again.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

from throughline.contracts.errors import InputError, ModelRefused
from throughline.models.formats import Description
from throughline.models.loading.confine import confine
from throughline.models.loading.sandbox import Limits, run_confined

_LEAST_MEMORY = 4 << 30
_MEMORY_PER_BYTE = 6
_SECONDS = 60
_BYTES_PER_SECOND = 10 << 20


def probe_in_child(description: Description, memory_limit: int | None = None) -> None:
    """Open the model, and run it once on zeros, in a throwaway child; refuse it where the child does not survive.

    Args:
        description: what ``identify`` said of it.
        memory_limit: bytes of address space for the child; by default half of what is free now, and never
            less than a model of its size needs.
    """
    path, size = description.path, sum(file.stat().st_size for file in description.files)
    seconds = _SECONDS + size // _BYTES_PER_SECOND
    memory = memory_limit or max(_LEAST_MEMORY + _MEMORY_PER_BYTE * size, _available() // 2)
    limits = Limits(memory, seconds, 2 * seconds, 1 << 20)
    task = {
        "path": str(path.absolute()),
        "format": description.format,
        "feeds": [[spec.name, spec.dtype, list(spec.concrete())] for spec in description.inputs],
    }
    with tempfile.TemporaryDirectory(prefix="throughline-", ignore_cleanup_errors=True) as folder:
        outcome = run_confined(__name__, task, Path(folder), limits)
    report = outcome.report
    if "done" in report:
        return
    if report.get("opened") and (outcome.timed_out or outcome.signal == "SIGXCPU"):
        return
    if report.get("failed") == "open":
        raise InputError(f"{path} cannot be opened: {report.get('what', '')}", "export the model again")
    if report.get("failed") == "memory" or (outcome.signal is None and not outcome.timed_out and "done" not in report):
        what = str(report.get("what") or (outcome.errors.strip().splitlines() or ["it ended without a word"])[-1])
        raise ModelRefused(
            f"{path} asked for more than {limits.memory:,} bytes when it was opened, or broke its runtime: {what}",
            "export the model with smaller sizes",
        )
    if outcome.timed_out or outcome.signal == "SIGXCPU":
        raise ModelRefused(f"{path} was still being opened after {seconds} s and was stopped", "simplify the model")
    if outcome.signal is not None:
        raise ModelRefused(
            f"{path} ended the process that opened it ({outcome.signal})", "get the model from its author again"
        )


def _available() -> int:
    try:
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (ValueError, OSError):
        return 0


def main() -> None:
    """In the child: confine, open, run once, report."""
    task = json.loads(Path(sys.argv[2]).read_text())
    folder = Path(task["folder"])
    memory, cpu_seconds, file_bytes = task["limits"]
    confine(str(folder), memory=memory, cpu_seconds=cpu_seconds, file_bytes=file_bytes)
    report = folder / "report.json"
    try:
        run = _open_onnx(task) if task["format"] == "onnx" else _open_openvino(task)
    except MemoryError:
        report.write_text(json.dumps({"failed": "memory"}))
        return
    except Exception as error:
        failed = "memory" if _is_memory(error) else "open"
        report.write_text(json.dumps({"failed": failed, "what": _line(error)}))
        return
    report.write_text(json.dumps({"opened": True}))
    try:
        run()
        report.write_text(json.dumps({"done": True}))
    except Exception as error:
        # Zeros of a guessed shape may be no input at all; only memory counts against the model here.
        memory_failed = isinstance(error, MemoryError) or _is_memory(error)
        report.write_text(json.dumps({"failed": "memory", "what": _line(error)} if memory_failed else {"done": True}))


def _open_onnx(task: dict[str, Any]) -> Any:
    import numpy as np
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(task["path"], options, providers=["CPUExecutionProvider"])
    return lambda: session.run(None, {name: np.zeros(shape, dtype) for name, dtype, shape in task["feeds"]})


def _open_openvino(task: dict[str, Any]) -> Any:
    import numpy as np
    import openvino

    compiled = openvino.Core().compile_model(task["path"], "CPU", {"INFERENCE_NUM_THREADS": 1})
    return lambda: compiled([np.zeros(shape, dtype) for _, dtype, shape in task["feeds"]])


def _is_memory(error: Exception) -> bool:
    text = str(error).lower()
    return any(
        sign in text for sign in ("bad_alloc", "failed to allocate", "out of memory", "not enough memory", "bad alloc")
    )


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:400]
