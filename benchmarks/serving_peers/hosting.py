"""Starting a server with everything that it starts, and ending all of it, whatever happens.

Each server carries a word of its own in its environment, which whatever it starts inherits: that is how processes
are found that have moved out of its family. Only processes with that word are counted or ended.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

from serving_peers import Server
from serving_peers.network import pictures
from serving_peers.wire import ask, get

ROOT = Path(__file__).parents[2]
_HERE = Path(__file__).parent
_WORD = "THROUGHLINE_BENCHMARK_WORD"
_SHARED = ("numpy", "onnxruntime")  # what must be the same release everywhere


class Absent(Exception):
    """A server that cannot be installed or started here, and why."""


@dataclass(frozen=True, slots=True)
class Rules:
    """What holds for all servers of a run."""

    model: Path
    threads: int
    batch: int
    objective_ms: int
    at_once: int


@dataclass(frozen=True, slots=True)
class Running:
    """A server that answers."""

    server: Server
    process: subprocess.Popen[bytes]
    port: int
    spare: int
    word: str
    model: Path
    log: Path

    def family(self) -> list[psutil.Process]:
        """Everything that it started and that is still there, itself too."""
        found = []
        for one in psutil.process_iter():
            with suppress(psutil.Error):
                if one.environ().get(_WORD) == self.word and one.status() != psutil.STATUS_ZOMBIE:
                    found.append(one)
        return found

    def memory(self) -> float:
        """MiB, of which pages that several processes share count once."""
        total = 0.0
        for one in self.family():
            with suppress(psutil.Error):
                total += one.memory_full_info().pss / 2**20
        return total

    def files(self) -> int:
        """How many files and sockets it holds open."""
        total = 0
        for one in self.family():
            with suppress(psutil.Error):
                total += one.num_fds()
        return total


def environment(server: Server, folder: Path) -> Path:
    """The folder of programs of a server's environment, which is made where there is none.

    The versions are those of constraints.txt; for a peer that cannot live with them, at least those of numpy and
    ONNX Runtime.

    Raises:
        Absent: it cannot be installed.
    """
    if not server.needs:
        return Path(sys.executable).parent
    home = folder / server.name.replace(" ", "_")
    done = home / "installed"
    if done.is_file() and done.read_text() == " ".join(server.needs):
        return home / "bin"
    shutil.rmtree(home, ignore_errors=True)
    print(f"installing {server.name} into {home}", file=sys.stderr, flush=True)
    subprocess.run([sys.executable, "-m", "venv", home], check=True)
    pinned = (ROOT / "constraints.txt").read_text().splitlines(keepends=True)
    for lines in (pinned, [line for line in pinned if line.split("==")[0] in _SHARED]):
        constraints = home / "constraints.txt"
        constraints.write_text("".join(lines))
        told = subprocess.run(
            [home / "bin/pip", "install", "--quiet", "-c", constraints, *server.needs, *_SHARED],
            capture_output=True,
            text=True,
            check=False,
        )
        if told.returncode == 0:
            done.write_text(" ".join(server.needs))
            return home / "bin"
    raise Absent(" ".join(line for line in told.stderr.splitlines() if "ERROR" in line) or told.stderr[-300:])


@contextmanager
def started(
    server: Server, rules: Rules, venvs: Path, files: int | None = None, more: tuple[str, ...] = ()
) -> Iterator[Running]:
    """Inside, the server runs and is well; afterwards nothing of it does.

    ``files`` is the limit of open files under which it is started, ``more`` are further arguments.

    Raises:
        Absent: it does not start.
    """
    programs = environment(server, venvs)
    port, spare = _free_ports(2)
    word = uuid.uuid4().hex
    filled = {
        "bin": programs, "here": _HERE, "model": rules.model, "port": port, "spare": spare, "batch": rules.batch,
        "threads": rules.threads,
    }  # fmt: skip
    command = [part.format_map(filled) for part in (*server.command, *more)]
    if files:
        command = ["/bin/sh", "-c", f'ulimit -n {files}; exec "$@"', "sh", *command]
    with tempfile.TemporaryDirectory(prefix="srv", ignore_cleanup_errors=True) as folder:
        told = {
            "MODEL": rules.model, "PORT": port, "SPARE_PORT": spare, "THREADS": rules.threads, "BATCH": rules.batch,
            "WAIT_MS": server.wait_ms, "OBJECTIVE_MS": rules.objective_ms, "AT_ONCE": rules.at_once, "FOLDER": folder,
            "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}", _WORD: word,
            "BENTOML_HOME": folder, "BENTOML_DO_NOT_TRACK": "True", "RAY_USAGE_STATS_ENABLED": "0",
        }  # fmt: skip
        log = Path(folder) / "log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                command,
                env={**os.environ, **{name: str(value) for name, value in told.items()}},
                stdout=output,
                stderr=output,
                cwd=folder,
                start_new_session=True,
            )
        running = Running(server, process, port, spare, word, rules.model, log)
        try:
            _wait(running)
            yield running
        finally:
            end(running)


def end(running: Running, patience: float = 15.0) -> None:
    """End a server as a system does, then by force what is left of it."""
    if running.process.poll() is None:
        running.process.terminate()
        with suppress(subprocess.TimeoutExpired):
            running.process.wait(patience)
    for _ in range(50):
        family = running.family()
        for one in family:
            with suppress(psutil.Error):
                one.send_signal(signal.SIGKILL)
        psutil.wait_procs(family, 1)
        if not family:
            break
    running.process.wait()


def _wait(running: Running, seconds: float = 90.0) -> None:
    """Until it says that it is well and answers a picture."""
    until, picture = time.monotonic() + seconds, running.server.form.request(pictures(1)[0], None)
    while time.monotonic() < until and running.process.poll() is None:
        with suppress(OSError):
            if all(ask(running.port, one, 5.0)[0] == 200 for one in (get(running.server.health), picture)):
                return
        time.sleep(0.1)
    last = running.log.read_text(errors="replace").strip().splitlines()[-3:]
    ended = running.process.poll()
    how = f"not well after {seconds:.0f} s" if ended is None else f"ended with {ended}"
    raise Absent(f"{how}: {' '.join(last)[-200:]}")


def _free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports
