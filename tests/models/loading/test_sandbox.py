"""What the throwaway child cannot do, tried out in it."""

from __future__ import annotations

import socket
import sys
from pathlib import Path
from typing import Any

import pytest

from throughline.models.loading.sandbox import Limits, run_confined

LIMITS = Limits(memory=1 << 30, cpu_seconds=5, wall_seconds=20, file_bytes=1 << 20)
PROBE = """
import json, os, sys
sys.path.append({here!r})
from pathlib import Path
from throughline.models.loading.confine import confine

def main():
    task = json.loads(Path(sys.argv[2]).read_text())
    memory, cpu, size = task["limits"]
    lacking = confine(task["folder"], memory=memory, cpu_seconds=cpu, file_bytes=size)
    try:
        value = ATTEMPTS[task["attempt"]](task)
        report = {{"value": value, "lacking": lacking}}
    except BaseException as error:
        report = {{"error": type(error).__name__, "lacking": lacking}}
    (Path(task["folder"]) / "report.json").write_text(json.dumps(report))

def connect(task):
    import socket
    socket.create_connection(("127.0.0.1", task["port"]), timeout=5).close()
    return "connected"

def write_outside(task):
    Path(task["outside"]).write_text("x")
    return "written"

def overwrite(task):
    with open(task["victim"], "r+") as file:
        file.write("x")
    return "written"

def run(task):
    import subprocess
    return subprocess.run(["/bin/true"]).returncode

def environment(task):
    return dict(os.environ)

def memory(task):
    return len(bytearray(4 << 30))

def big_file(task):
    import signal
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    (Path(task["folder"]) / "big").write_bytes(b"x" * (4 << 20))
    return "written"

def descriptors(task):
    return sorted(int(name) for name in os.listdir("/proc/self/fd"))

def spin(task):
    while True:
        pass

ATTEMPTS = dict(connect=connect, write_outside=write_outside, overwrite=overwrite, run=run, environment=environment,
                memory=memory, big_file=big_file, descriptors=descriptors, spin=spin)
"""


def _attempt(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, attempt: str, limits: Limits = LIMITS, **task: Any
) -> Any:
    modules, folder = tmp_path / "modules", tmp_path / "folder"
    modules.mkdir()
    folder.mkdir()
    (modules / "attempting_child.py").write_text(PROBE.format(here=str(modules)))
    monkeypatch.setattr(sys, "path", [str(modules), *sys.path])
    return run_confined("attempting_child", {"attempt": attempt, **task}, folder, limits)


def _lacks(outcome: Any, word: str) -> bool:
    """Whether the kernel here does not offer this; the child must then have said so."""
    return any(word in line for line in outcome.report["lacking"])


def test_it_cannot_reach_the_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        outcome = _attempt(tmp_path, monkeypatch, "connect", port=server.getsockname()[1])
    assert "error" in outcome.report or _lacks(outcome, "network")


def test_it_cannot_write_elsewhere_nor_start_a_program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    outcome = _attempt(tmp_path, monkeypatch, "write_outside", outside=str(tmp_path / "canary"))
    assert (outcome.report.get("error") == "PermissionError" and not (tmp_path / "canary").exists()) or _lacks(
        outcome, "Landlock"
    )


def test_it_cannot_change_a_file_that_is_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    victim = tmp_path / "victim"
    victim.write_text("mine")
    outcome = _attempt(tmp_path, monkeypatch, "overwrite", victim=str(victim))
    assert victim.read_text() == "mine" or _lacks(outcome, "Landlock")


def test_it_cannot_start_a_program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    outcome = _attempt(tmp_path, monkeypatch, "run")
    assert outcome.report.get("error") == "PermissionError" or _lacks(outcome, "Landlock")


def test_it_inherits_no_environment_and_no_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET_TOKEN", "hunter2")
    outcome = _attempt(tmp_path, monkeypatch, "environment")
    assert "SECRET_TOKEN" not in outcome.report["value"]
    assert outcome.report["value"]["HOME"] == str(tmp_path / "folder")


def test_it_inherits_no_open_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with (tmp_path / "open").open("w"):
        outcome = _attempt(tmp_path, monkeypatch, "descriptors")
    assert len(outcome.report["value"]) <= 4


def test_its_memory_is_limited(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert _attempt(tmp_path, monkeypatch, "memory").report["error"] == "MemoryError"


def test_its_files_are_limited(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert _attempt(tmp_path, monkeypatch, "big_file").report["error"] == "OSError"


def test_its_time_is_limited(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    outcome = _attempt(tmp_path, monkeypatch, "spin", Limits(1 << 30, 1, 30, 1 << 20))
    assert outcome.signal == "SIGXCPU" or outcome.signal == "SIGKILL"


def test_it_is_stopped_when_it_takes_too_long(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    outcome = _attempt(tmp_path, monkeypatch, "spin", Limits(1 << 30, 60, 1, 1 << 20))
    assert outcome.timed_out
    assert outcome.report == {}
