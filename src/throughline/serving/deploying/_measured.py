"""What one copy of a model needs, measured here in the way it is going to be served: memory, cores, seconds.

A passport says what a model is and that it is right; what it costs depends on the machine and on the batch, and is
measured when it is asked for. The memory is that of a process of its own, which does nothing else.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, final

from throughline.contracts.artifacts import Array, Artifact, TensorSpec
from throughline.contracts.errors import InputError
from throughline.evaluation.footprint import footprint
from throughline.hardware import cores
from throughline.models.backends import ANY_SHAPE
from throughline.models.feeding import noise
from throughline.models.measuring import timed, warmed_up
from throughline.models.session import Session, open_model
from throughline.vision.detector import USUAL_SIZE

NUMBERS: Final = frozenset(
    ("bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "float16", "float32", "float64")
)
"""The types of which any amount can be made up."""
_DEVICE: Final = "cpu"
_TURNS: Final = 3


@final
@dataclass(frozen=True, slots=True)
class Needs:
    """What was measured.

    Attributes:
        memory_mb: the peak of a process that opens the model and runs full batches, and does nothing else.
        busy_cores: how many cores a full batch keeps busy.
        latency_ms: the middle of the calls with a full batch.
        per_second: rows a second, one batch after the other.
        batch: rows of a full batch; 1 where the model takes no more.
        threads: CPU threads.
        ran_on: the runtime and the device.
        cores: how many this machine has.
    """

    memory_mb: float
    busy_cores: float
    latency_ms: float
    per_second: float
    batch: int
    threads: int
    ran_on: str
    cores: int

    def __str__(self) -> str:
        return (
            f"{self.memory_mb:,.0f} MB, {self.busy_cores:.1f} of {self.cores} cores busy, {self.latency_ms:.1f} ms for "
            f"a batch of {self.batch}, {self.per_second:,.1f} rows a second ({self.ran_on}, --threads {self.threads})"
        )


def measured(model: Artifact, threads: int, max_batch_size: int) -> Needs:
    """Measure a model as one copy of a server runs it, on this machine's CPU."""
    with open_model(model.path, device=_DEVICE, threads=threads) as session:
        if not _can_be_made_up(session.inputs):
            raise InputError(
                f"{model.path} takes {', '.join(map(str, session.inputs)) or 'nothing'}: it cannot be measured here",
                "deploy a model whose inputs are numbers",
            )
        batch = largest_batch(session, model, max_batch_size)
        feeds = _feeds(session.inputs, model, batch)
        warmed_up(lambda _: session.predict(feeds))
        turns = [timed(lambda _: session.predict(feeds), batch) for _ in range(_TURNS)]
        turn = max(turns, key=lambda one: one.cpu / one.wall)  # others took the least of the machine then
        ran_on = f"{session.backend} on {session.device}"
    middle = sorted(turn.calls)[len(turn.calls) // 2]
    memory = footprint(model.path, feeds, 1, device=_DEVICE, threads=threads)
    return Needs(memory, turn.cpu / turn.wall, 1000 * middle, turn.samples / turn.wall, batch, threads, ran_on, cores())


def largest_batch(session: Session, model: Artifact, asked: int) -> int:
    """How many rows a batch may have: ``asked`` where every tensor's first axis is its rows, as running it shows."""
    specs = (*session.inputs, *session.outputs)
    open_rows = all(spec.shape and isinstance(spec.shape[0], str) for spec in specs)
    if asked < 2 or not open_rows or not _can_be_made_up(session.inputs):
        return 1
    answers = session.predict(_feeds(session.inputs, model, 2))
    return asked if all(array.ndim and len(array) == 2 for array in answers.values()) else 1


def _can_be_made_up(inputs: Sequence[TensorSpec]) -> bool:
    return bool(inputs) and all(spec.dtype in NUMBERS and spec.shape != ANY_SHAPE for spec in inputs)


def _feeds(inputs: Sequence[TensorSpec], model: Artifact, batch: int) -> Mapping[str, Array]:
    return noise(inputs, batch, model.passport.imgsz or (USUAL_SIZE, USUAL_SIZE))
