"""What is measured of a server under load: its speed, what it does with too much, and whether it grows.

Every measure takes a server that runs and gives plain figures. The load comes from a process of its own (``load.py``).
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from serving_peers.hosting import Running
from serving_peers.load import FIRST
from serving_peers.network import pictures
from serving_peers.wire import ask, get

PROBE_S = 1.0  # how long who asks for health waits, as Kubernetes does
PATIENCE_S = 1.0  # after which a client of the overload hangs up
_LOAD = Path(__file__).parent / "load.py"


@dataclass(slots=True)
class Client:
    """The load generator at work."""

    process: subprocess.Popen[str]
    last: str = ""

    def report(self) -> dict[str, Any]:
        """What it counted, once it has ended."""
        assert self.process.stdout is not None
        said = self.process.stdout.read().strip().splitlines() or [self.last]
        if self.process.wait() != 0:
            raise RuntimeError(f"the client ended with {self.process.returncode}")
        found: dict[str, Any] = json.loads(said[-1])
        return found


@contextmanager
def client(running: Running, picture: np.ndarray, limit: float | None = None, **asked: Any) -> Iterator[Client]:
    """Inside, a client puts load on the server, and has had its first answer."""
    with tempfile.NamedTemporaryFile(suffix=".request") as file:
        file.write(running.server.form.request(picture, limit))
        file.flush()
        spec = json.dumps({"port": running.port, "request": file.name, **asked})
        process = subprocess.Popen([sys.executable, "-I", _LOAD, spec], stdout=subprocess.PIPE, text=True)
        try:
            assert process.stdout is not None
            yield Client(process, process.stdout.readline())
        finally:
            process.kill()
            process.communicate()


def speed(running: Running, clients: int, seconds: float) -> dict[str, Any]:
    """So many clients, each sending its next request when its last is answered."""
    with client(running, pictures(1)[0], mode="closed", clients=clients, seconds=seconds) as load:
        return load.report()


def wrk(running: Running, clients: int, seconds: float) -> float | None:
    """The same, measured by ``wrk``; None where it is not installed, or where not every answer was one."""
    if shutil.which("wrk") is None:
        return None
    head, _, body = running.server.form.request(pictures(1)[0], None).partition(b"\r\n\r\n")
    first, *headers = head.decode().split("\r\n")
    told = [(name, value) for name, _, value in (line.partition(": ") for line in headers) if name != "Content-Length"]
    lines = [f'wrk.headers["{name}"] = "{value}"' for name, value in told]
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "body").write_bytes(body)
        script = [f'local file = io.open("{folder}/body", "rb")', 'wrk.method, wrk.body = "POST", file:read("*a")']
        (Path(folder) / "ask.lua").write_text("\n".join([*script, *lines]))
        url = f"http://127.0.0.1:{running.port}{first.split()[1]}"
        command = ["wrk", "-t1", f"-c{clients}", f"-d{max(1, round(seconds))}s", "-s", f"{folder}/ask.lua", url]
        said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    if "Non-2xx" in said:
        return None
    return float(said.partition("Requests/sec:")[2].split()[0])


@dataclass(slots=True)
class Probe:
    """Asks a port for health ten times a second, on a new connection each time."""

    port: int
    path: str
    taken: list[float] = field(default_factory=list)
    missed: int = 0
    _thread: threading.Thread | None = None
    _over: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> Probe:
        self._thread = threading.Thread(target=self._go, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        if self._thread is not None:
            self._thread.join()

    def _go(self) -> None:
        with suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), FIRST)
        while not self.taken or not self._over.wait(0.1):
            began = time.monotonic()
            try:
                good = ask(self.port, get(self.path, "Connection: close\r\n"), PROBE_S)[0] == 200
            except OSError:
                good = False
            took = time.monotonic() - began
            self.missed += not good or took > PROBE_S
            self.taken.append(1000 * took)

    def figures(self) -> dict[str, float]:
        ordered = sorted(self.taken)
        return {
            "p99_ms": ordered[min(int(0.99 * len(ordered)), len(ordered) - 1)],
            "asked": len(ordered),
            "missed": self.missed,
        }


def overload(running: Running, rate: float, seconds: float, objective_ms: int) -> dict[str, Any]:
    """More requests than it can answer, each of use only within the objective."""
    objective = objective_ms / 1000
    before = running.memory()
    told = {"mode": "open", "rate": rate, "seconds": seconds, "patience": PATIENCE_S, "objective": objective}
    main, spare = (Probe(port, running.server.health) for port in (running.port, running.spare))
    with ExitStack() as stack:
        for probe in (main, spare) if running.server.ops else (main,):
            stack.enter_context(probe)
        report = stack.enter_context(client(running, pictures(1)[0], objective, **told)).report()
    counts = report["counts"]
    due = counts["begun"] + counts.get("not sent", 0)
    refused = {code: taken for code, taken in report["latency"].items() if code != "200"}
    return {
        "asked": due / seconds,
        "sent": counts["begun"] / seconds,
        "good": report["within"] / seconds,
        "refused": sum(taken["n"] for taken in refused.values()) / due,
        "refused_p99_ms": max((taken["p99"] for taken in refused.values()), default=None),
        "late": (counts.get("200", 0) - report["within"]) / due,
        "unanswered": sum(counts.get(kind, 0) for kind in ("gave up", "not sent", "reset", "no connection")) / due,
        "client_late_p99_ms": report["late"]["p99"],
        "client_cpu": report["cpu"] / seconds,
        "health": main.figures(),
        "ops": spare.figures() if running.server.ops else None,
        "before_mb": before,
        "after_mb": running.memory(),
        "counts": counts,
    }


def soak(running: Running, rate: float, seconds: float, every: float = 30.0) -> dict[str, Any]:
    """A long time of work: memory and open files as it goes on. The clients come anew every half minute."""
    rows: list[dict[str, Any]] = []
    began = time.monotonic()
    while (left := seconds - (time.monotonic() - began)) > 0:
        told = {"mode": "open", "rate": rate, "seconds": min(every, max(left, 1)), "patience": PATIENCE_S}
        with client(running, pictures(1)[0], None, **told) as load:
            counts = load.report()["counts"]
        minutes, answered = (time.monotonic() - began) / 60, counts.get("200", 0)
        rows.append({"minutes": minutes, "mb": running.memory(), "files": running.files(), "answered": answered})
        last = rows[-1] | {"begun": counts["begun"] + counts.get("not sent", 0)}
        print(
            f"{minutes:6.1f} min  {last['mb']:8.1f} MiB  {last['files']:5} files  "
            f"{answered:,} of {last['begun']:,} answered",
            flush=True,
        )
    return {"rows": rows}
