"""A model, opened: the one way the product runs anything.

``open_model`` clears the file as safe, picks the runtime and the device, and says what
it picked. The ``Session`` it returns adds to the bare runtime all that a caller should
not have to think about: feeds are checked, any batch size works, a full memory halves
the batch, values that are not finite are noticed, and the cost of it all is known.
"""

from __future__ import annotations

import logging
import re
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Literal, final

import numpy as np

from throughline.contracts.artifacts import Array, Passport, TensorSpec
from throughline.contracts.errors import InputError, ThroughlineError, Unavailable
from throughline.hardware import cores, detect
from throughline.models import feeding
from throughline.models import passport as passports
from throughline.models.backends import BACKENDS, OutOfMemory, Runner, devices, unusable
from throughline.models.choose import backend_for, choose
from throughline.models.formats import Description
from throughline.models.references import resolved
from throughline.models.splitting import Splitter
from throughline.models.timing import PerformanceStats, Stopwatch

_log = logging.getLogger("throughline")


@final
class Session:
    """One opened model: a ``Predictor`` that is safe to call from several threads, and to close meanwhile."""

    def __init__(
        self,
        runner: Runner,
        *,
        name: str,
        backend: str,
        device: str,
        threads: int,
        lanes: int = 1,
        max_batch: int | None = None,
        on_nonfinite: Literal["report", "raise"] = "report",
        notes: Sequence[str] = (),
    ) -> None:
        self.name = name
        self.backend = backend
        self.device = device
        self.threads = threads
        self.lanes = lanes
        self.notes = (*notes, *runner.notes)
        self._runner = runner
        self._watch = Stopwatch()
        self._splitter = Splitter(runner, max_batch, self._watch.batch)
        self._on_nonfinite = on_nonfinite
        self._gate = threading.Condition()
        self._inside = 0
        self._closed = False
        self._warned = False

    @property
    def inputs(self) -> tuple[TensorSpec, ...]:
        """What ``predict`` takes."""
        return self._runner.inputs

    @property
    def outputs(self) -> tuple[TensorSpec, ...]:
        """What ``predict`` returns."""
        return self._runner.outputs

    @property
    def fitting_batch(self) -> int | None:
        """The batch that memory was found to hold, once it has run out; None before."""
        return self._splitter.fitting

    def __str__(self) -> str:
        side_by_side = f", {self.lanes} calls at once" if self.lanes > 1 else ""
        plural = "s" * (self.threads != 1)
        return f"{self.name}: {self.backend} on {self.device}, {self.threads} thread{plural}{side_by_side}"

    def predict(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        """Run the model over a batch of any size, empty ones too."""
        with self._open():
            started = self._watch.start()
            samples, bad = None, 0
            try:
                outputs, rows = self._run(feeds)
                bad = self._non_finite(outputs)
                samples = 1 if rows is None else rows
                return outputs
            finally:
                self._watch.stop(started, samples, bad)

    def warm_up(self, runs: int = 3, feeds: Mapping[str, Array] | None = None) -> None:
        """Run the model without counting it, so that what comes after is its usual speed.

        Args:
            runs: how often.
            feeds: what to feed it; zeros, with dynamic axes at 32, when not given.
        """
        feeds = feeding.zeros(self.inputs) if feeds is None else feeds
        with self._open():
            for _ in range(runs):
                self._run(feeds)
            self._watch.reset()

    def get_performance_stats(self) -> PerformanceStats:
        """Latency percentiles, throughput, memory and counts since it was opened or last warmed up."""
        gpu_bytes = None
        with suppress(InputError), self._open():  # a closed session still has its figures, and holds nothing
            gpu_bytes = self._runner.gpu_bytes()
        return self._watch.stats(gpu_bytes)

    def close(self) -> None:
        """Give back what the model holds, once the calls now running have returned."""
        with self._gate:
            was_closed, self._closed = self._closed, True
            self._gate.wait_for(lambda: self._inside == 0)
        if not was_closed:
            self._runner.close()

    def __enter__(self) -> Session:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @contextmanager
    def _open(self) -> Iterator[None]:
        with self._gate:
            if self._closed:
                raise InputError(f"{self.name} is closed", "open it again with open_model")
            self._inside += 1
        try:
            yield
        finally:
            with self._gate:
                self._inside -= 1
                if self._closed:
                    self._gate.notify_all()

    def _run(self, feeds: Mapping[str, Array]) -> tuple[dict[str, Array], int | None]:
        batch = feeding.check(self.inputs, feeds)
        try:
            return self._splitter.run(feeds, batch), batch.rows
        except MemoryError:
            raise Unavailable("memory is full: the answers do not fit", "feed fewer rows at a time") from None

    def _non_finite(self, outputs: Mapping[str, Array]) -> int:
        bad = 0
        for name, array in outputs.items():
            if _all_finite(array):
                continue
            where = ~np.isfinite(array)
            count = int(np.count_nonzero(where))
            bad += count
            first = f", first in row {int(np.argwhere(where)[0][0])}" if array.ndim else ""
            line = f"{self.name}: output '{name}' holds {count} values that are not finite{first}"
            if self._on_nonfinite == "raise":
                raise ThroughlineError(line, "look at the input of that row; a half precision model may overflow")
            with self._gate:
                first_time, self._warned = not self._warned, True
            if first_time:
                _log.warning("%s (said once; the statistics count the rest)", line)
        return bad


def open_model(
    path: str | Path,
    *,
    backend: str = "auto",
    device: str = "auto",
    threads: int | None = None,
    lanes: int = 1,
    max_batch: int | None = None,
    trust: bool = False,
    class_: str | None = None,
    allow_cpu: bool = False,
    on_nonfinite: Literal["report", "raise"] = "report",
) -> Session:
    """Open a model file and say on one line (``str(session)``) what runs it.

    Args:
        path: the file; or its path without a suffix, or its folder, for the best of a model's forms
            (see ``throughline.models.choose``); or its registered name, ``models:/name@alias``.
        backend: the runtime; "auto" takes the one that the format is made for.
        device: "cpu", "gpu", "gpu:1"; "auto" takes a GPU where the backend can use one.
        threads: how many CPU threads predictions may use; all this process has when not given.
        lanes: share the threads between up to so many predictions at once, for the most frames a second rather
            than the soonest answer; ``Session.lanes`` says how many the runtime and the device have.
        max_batch: the largest batch to give the runtime; larger ones are split.
        trust: open programs (TorchScript, engines) that no passport of this machine vouches for.
        class_: "package.module:function" that builds the network which a state dict belongs to.
        allow_cpu: take the CPU, with a warning, where the GPU asked for is not there.
        on_nonfinite: "report" NaN and infinite outputs once, or "raise" on them.
    """
    path, seen = resolved(path), []
    if not path.is_file():
        choice = choose(path)
        path, seen = choice.path, list(map(str, choice.passed_over))
    description, passport, holds = _cleared(path, trust)
    name = backend_for(description) if backend == "auto" else backend
    formats = BACKENDS.get(name).facts["formats"]
    if description.format not in formats:
        raise InputError(
            f"{path} is {description.format}; backend '{name}' opens {', '.join(formats)}",
            f"leave the backend to be chosen: it is {backend_for(description)}",
        )
    if (reason := unusable(name)) is not None:
        raise reason
    chosen, said = _device(name, device, allow_cpu)
    threads = cores() if threads is None else threads
    if threads < 1:
        raise InputError(f"threads={threads}: a prediction takes at least one", "pass 1 or more")
    if lanes < 1:
        raise InputError(f"lanes={lanes}: there is at least one prediction at once", "pass 1 or more")
    lanes = min(lanes, threads) if chosen == "cpu" and BACKENDS.get(name).facts.get("lanes") else 1
    known = passport or description
    options: dict[str, Any] = {"inputs": known.inputs, "outputs": known.outputs}
    if lanes > 1:
        options["lanes"] = lanes
    if description.format in ("safetensors", "checkpoint"):
        options["build"] = _building(path, class_, trust)
    elif class_ is not None:
        raise InputError(f"{path} is {description.format}, which brings its own network", "leave the class away")
    if description.format == "skops":
        options["trust"] = trust or holds
    try:
        runner: Runner = BACKENDS.make(name, path, device=chosen, threads=threads, **options)
    except OutOfMemory as error:
        raise Unavailable(f"memory is full: {error}", "free memory, or use a smaller model") from None
    session = Session(
        runner,
        name=path.name,
        backend=name,
        device=chosen,
        threads=threads,
        lanes=lanes,
        max_batch=max_batch,
        on_nonfinite=on_nonfinite,
        notes=(*seen, *said),
    )
    for note in session.notes:
        _log.warning("%s: %s", session.name, note)
    _log.info("%s", session)
    return session


def _cleared(path: Path, trust: bool) -> tuple[Description, Passport | None, bool]:
    """What is known of a file that is safe to open, and whether its passport vouches for it; others are refused."""
    from throughline.models.loading import check

    if (passport := passports.read(path)) is not None:
        passports.verify(path, passport)
    holds = passport is not None and passports.lacks(passport) is None
    return check(path, trust=trust, passport_holds=holds), passport, holds


def _building(path: Path, class_: str | None, trust: bool) -> Callable[[Path], Any]:
    if class_ is None:
        raise InputError(
            f"{path} holds weights and not the network they belong to",
            "say what builds it: --class package.module:function",
        )

    def build(file: Path) -> Any:
        from throughline.models.loading import architecture, load_state_dict
        from throughline.models.loading.architectures import fill

        return fill(architecture(class_), load_state_dict(file, trust=trust).tensors)

    return build


def _device(backend: str, asked: str, allow_cpu: bool) -> tuple[str, tuple[str, ...]]:
    there = devices(backend)
    if asked == "auto":
        best = next((name for name in there if name != "cpu"), there[0])
        idle = detect().gpus if best == "cpu" else ()
        return best, tuple(f"{backend} cannot use the {gpu.name} here; running on the CPU" for gpu in idle[:1])
    wanted = re.fullmatch(r"(?:gpu|cuda)(?::(\d+))?|(\d+)", asked)
    if asked != "cpu" and wanted is None:
        raise InputError(f"there is no device '{asked}'", "one of: auto, cpu, gpu, gpu:0, gpu:1, ...")
    name = "cpu" if wanted is None else f"gpu:{wanted[1] or wanted[2] or 0}"
    if name in there:
        return name, ()
    problem = f"{backend} cannot use {name} here: it has {', '.join(there) or 'nothing to run on'}"
    if name != "cpu" and allow_cpu and "cpu" in there:
        return "cpu", (f"{problem}; running on the CPU instead",)
    raise Unavailable(problem, f"let the device be chosen (auto), or name one that is there: {', '.join(there)}")


def _all_finite(array: Array) -> bool:
    if array.dtype == np.float16:  # numpy's isfinite is six times slower on halves than a look at their bits
        return array.size == 0 or int((array.view(np.uint16) & 0x7FFF).max()) < 0x7C00
    return array.dtype.kind not in "fc" or bool(np.isfinite(array).all())
