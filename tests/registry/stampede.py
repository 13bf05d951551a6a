"""Many processes that register at the same moment, in one registry, under one name; what became of it as one JSON line.

python stampede.py FOLDER PROCESSES VERSIONS SHARED

Each process registers so many models that nobody else has, and the same SHARED ones as all the others. The first is
killed half way and begins again. Meanwhile a program that knows nothing of us writes runs into the same database
through plain MLflow.
"""

from __future__ import annotations

import collections
import itertools
import json
import os
import signal
import sqlite3
import sys
import time
import traceback
from collections.abc import Callable
from contextlib import closing, redirect_stderr, suppress
from functools import partial
from pathlib import Path

NAME = "stampede"
_APART = 10_000


def main(folder: Path, processes: int, versions: int, shared: int) -> dict[str, object]:
    os.chdir(folder)
    os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
    os.environ["XDG_CACHE_HOME"] = str(folder / "cache")
    for name in ("MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI"):
        os.environ.pop(name, None)
    import onnx  # noqa: F401 - loaded once, before there are many of us

    start, began = time.time() + 1.0, time.perf_counter()
    stranger = _apart(partial(_write_runs, folder))
    children = [_apart(partial(_register, folder, at, versions, shared, start)) for at in range(1, processes)]
    children.append(_apart(partial(_killed_half_way, folder, versions, shared, start)))
    codes = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
    seconds = time.perf_counter() - began - 1.0
    os.kill(stranger, signal.SIGTERM)
    os.waitpid(stranger, 0)
    return {**_found(folder, processes, versions, shared), "failed": sum(map(bool, codes)), "seconds": seconds}


def _register(folder: Path, at: int, versions: int, shared: int, start: float) -> None:
    from throughline.registry.registering import open_store, register
    from throughline.testing.stores import small_model

    own = folder / f"own-{at}"
    own.mkdir(exist_ok=True)
    took = []
    with (folder / f"said-{at}.txt").open("a") as said, redirect_stderr(said):
        os.dup2(said.fileno(), 2)
        try:
            time.sleep(max(0.0, start - time.time()))
            store = open_store(new=True)
            for number in range(shared + versions):
                number = number if number < shared else _APART * (at + 1) + number
                path = small_model(own / f"{number}.onnx", number)
                began = time.perf_counter()
                register(path, NAME, store=store)
                took.append(time.perf_counter() - began)
        except BaseException:
            traceback.print_exc()
            raise
        finally:
            (folder / f"took-{at}.json").write_text(json.dumps(took))


def _killed_half_way(folder: Path, versions: int, shared: int, start: float) -> None:
    child = _apart(partial(_register, folder, 0, versions, shared, start))
    while len(list((folder / "own-0").glob("*.onnx"))) < (versions + shared) / 2:
        time.sleep(0.002)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    _register(folder, 0, versions, shared, start)


def _write_runs(folder: Path) -> None:
    """Plain MLflow, which holds no lock of ours; what it meets is its own affair."""
    from mlflow import MlflowClient

    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    while not (folder / "mlruns").exists():  # two who make one database at once is a fault of MLflow's own
        time.sleep(0.01)
    uri = f"sqlite:///{folder / 'mlflow.db'}"
    client = MlflowClient(uri, uri)
    run = client.create_run("0").info.run_id
    for step in itertools.count():
        with suppress(Exception):
            client.log_metric(run, "loss", 1.0, step=step)
        time.sleep(0.02)  # a training run has something to do between its steps


def _found(folder: Path, processes: int, versions: int, shared: int) -> dict[str, object]:
    from throughline.registry.stores.mlflow import MlflowStore

    there = MlflowStore().versions(NAME)
    contents = collections.Counter(version.content for version in there)
    said = "".join((folder / f"said-{at}.txt").read_text() for at in range(processes))
    took = sorted(one for at in range(processes) for one in json.loads((folder / f"took-{at}.json").read_text()))
    with closing(sqlite3.connect(folder / "mlflow.db")) as handle:
        steps = handle.execute("SELECT count(*), max(step) FROM metrics").fetchone()
    return {
        "expected": processes * versions + shared,
        "registered": len(there),
        "lost": processes * versions + shared - len(contents),
        "doubled": sum(count - 1 for count in contents.values()),
        "numbers": sorted(version.number for version in there) == list(range(1, len(there) + 1)),
        "files": all((Path(version.native.source) / "MLmodel").is_file() for version in there),
        "locked": said.count("locked"),
        "said": "\n".join(line for line in said.splitlines() if "is made now" not in line)[:2000],
        "calls": len(took),
        "median": took[len(took) // 2] if took else None,
        "p99": took[int(len(took) * 0.99)] if took else None,
        "longest": took[-1] if took else None,
        "others": steps[0],
        "others_lost": (steps[1] or 0) + 1 - steps[0],
    }


def _apart(do: Callable[[], None]) -> int:
    child = os.fork()
    if child:
        return child
    code = 1
    try:
        do()
        code = 0
    finally:
        os._exit(code)


if __name__ == "__main__":
    place, *counts = sys.argv[1:]
    print(json.dumps(main(Path(place).absolute(), *map(int, counts))))
