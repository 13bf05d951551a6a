"""Several models measured beside each other: each in a process of its own, round after round in an order that is drawn.

A busy moment of the machine, a processor that grows warm, a neighbour that wakes up: in turn, it hits all of
them. While one works the others wait on their input, and cost nothing.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import random
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, final

from throughline.contracts import errors
from throughline.contracts.errors import ThroughlineError
from throughline.hardware import GpuNow, gpu_now
from throughline.models.measuring import Turn
from throughline.video.measuring_worker import Held, Setup

_MODULE: Final = "throughline.video.measuring_worker"
_RUN_SECONDS: Final = 4.0
"""A whole run takes so long at most, by the slowest of the models: the first frames of a longer source are taken."""
_FEWEST_FRAMES: Final = 32


@final
@dataclass(frozen=True, slots=True)
class Measured:
    """What one model took in one round.

    Attributes:
        turn: the times, and every sample of them.
        place: how many others had worked before it in this round.
        gpu: what the GPU said right after; None where the model does not run on one.
    """

    turn: Turn
    place: int
    gpu: GpuNow | None


@final
@dataclass(frozen=True, slots=True)
class Series:
    """One model's rounds, and what it was measured with."""

    held: Held
    rounds: tuple[Measured, ...]


def measure_in_turn(setups: Mapping[str, Setup], rounds: int, seed: int) -> dict[str, Series]:
    """Measure each of these in every round, in an order that the seed draws.

    Args:
        setups: what is measured, by name; all of one level.
        rounds: how often it is each one's turn.
        seed: which orders.
    """
    with ExitStack() as stack:
        at_work = {name: stack.enter_context(_process(setup)) for name, setup in setups.items()}
        held = {name: process.held() for name, process in at_work.items()}
        slowest = max(one.seconds for one in held.values())
        most = max(_FEWEST_FRAMES, round(_RUN_SECONDS / slowest)) if slowest else 0
        told: dict[str, list[Measured]] = {name: [] for name in setups}
        chance = random.Random(seed)
        for number in range(rounds):
            order = chance.sample(sorted(setups), len(setups))
            for place, name in enumerate(order):
                turn = at_work[name].measure(number, most)
                told[name].append(Measured(turn, place, _gpu(held[name].device)))
    return {name: Series(held[name], tuple(told[name])) for name in setups}


@final
class _Process:
    """The other process, as this one sees it."""

    def __init__(self, process: subprocess.Popen[str], errors_at: Path) -> None:
        self._process, self._errors = process, errors_at

    def held(self) -> Held:
        told = self._answer("held")
        return Held(**{**told, "inputs": tuple(told["inputs"]), "notes": tuple(told["notes"])})

    def measure(self, number: int, most: int) -> Turn:
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # it has ended: its answer, or that there is none, says why
            print(json.dumps([number, most]), file=self._process.stdin, flush=True)
        told = self._answer("turn")
        return Turn(**{**told, "calls": tuple(told["calls"])})

    def _answer(self, kind: str) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            code = self._process.wait()
            said = self._errors.read_text("utf-8", "replace").strip().splitlines()
            raise ThroughlineError(
                f"the process that measures ended with code {code}: {said[-1] if said else 'it said nothing'}",
                "where that is a signal (a negative code), the machine may be out of memory; else report it",
            )
        told = json.loads(line)
        if "error" in told:
            name, problem, fix = told["error"]
            raise _error(name, problem, fix)
        answer: dict[str, Any] = told[kind]
        return answer


@contextlib.contextmanager
def _process(setup: Setup) -> Iterator[_Process]:
    """Start one; whatever happens here, it is ended, and what it wrote is gone."""
    path = os.pathsep.join(entry for entry in sys.path if os.path.isabs(entry))
    with tempfile.TemporaryDirectory(prefix="throughline-bench-") as scratch:
        errors_at, told = Path(scratch) / "errors", dataclasses.replace(setup, scratch=scratch)
        with errors_at.open("wb") as sink:
            process = subprocess.Popen(
                [sys.executable, "-P", "-m", _MODULE, json.dumps(dataclasses.asdict(told))],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=sink,
                text=True,
                env={**os.environ, "PYTHONPATH": path},
            )
        try:
            yield _Process(process, errors_at)
        finally:
            process.kill()
            process.communicate()


def _error(name: str, problem: str, fix: str) -> ThroughlineError:
    kind = getattr(errors, name, ThroughlineError)
    return (errors.Unavailable if kind is errors.MissingExtra else kind)(problem, fix)


def _gpu(device: str) -> GpuNow | None:
    return None if device == "cpu" else gpu_now(int(device.partition(":")[2] or 0))


def names_apart(names: Sequence[str]) -> list[str]:
    """These names, those that are alike told apart by a number."""
    return [
        name if names.index(name) == at else f"{name} ({names[:at].count(name) + 1})" for at, name in enumerate(names)
    ]
