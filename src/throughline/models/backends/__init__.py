"""Running a model on one runtime: the family of backends, one file each.

A backend opens a file that was already cleared as safe and runs it, and nothing
else: checking what is fed, splitting batches, surviving a full memory and keeping
statistics are done once, for all of them, by ``throughline.models.session``.

A member's ``make(path, *, device, threads, inputs, outputs, **options)`` returns a
``Runner``; ``inputs`` and ``outputs`` are what is already known of the model, for
formats that do not say it themselves. Its ``facts`` are ``formats`` (what it opens, the
native one first) and ``devices`` (a function: what it can run on here, now).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping

from throughline.contracts.artifacts import Array, TensorSpec
from throughline.contracts.errors import InputError, MissingExtra, Unavailable
from throughline.plugins import Family

BACKENDS = Family("backend", "throughline.models.backends")
UNKNOWN = "any"
"""The dtype of a tensor about which the model's file says nothing."""
ANY_SHAPE = ("...",)
"""The shape of a tensor about which the model's file says nothing."""
UNNAMED = "?"
"""A dynamic axis to which the model's file gives no name."""


_MEMORY = (
    "bad_alloc",
    "failed to allocate",
    "can't allocate memory",
    "out of memory",
    "outofmemory",
    "not enough memory",
)


class OutOfMemory(Exception):
    """What every backend turns its runtime's own out-of-memory error into; ``Session`` answers it."""


class Runner(ABC):
    """One opened model on one runtime. ``predict`` may be called from several threads at once.

    Attributes:
        inputs: what ``predict`` takes, in the model's order.
        outputs: what ``predict`` returns, in the model's order; empty until known.
        max_batch: the largest batch it can be given, where something other than the shapes limits it.
        notes: what the user should know about how this model is run here, a line each.
    """

    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    max_batch: int | None = None
    notes: tuple[str, ...] = ()

    @abstractmethod
    def predict(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        """Run the model once; the arrays returned are the caller's own, and the feeds are left as they were."""

    @abstractmethod
    def close(self) -> None:
        """Give back what the model holds; nothing runs on it by then."""

    def gpu_bytes(self) -> int | None:
        """How much GPU memory it holds; None where that is not known or there is no GPU."""
        return None


def devices(name: str) -> tuple[str, ...]:
    """The devices a backend can use here: "cpu", "gpu:0", ... Empty when it cannot run at all."""
    plugin = BACKENDS.get(name)
    return () if plugin.missing() else tuple(plugin.facts["devices"]())


def unusable(name: str) -> Unavailable | None:
    """Why a backend cannot run anything here, and the fix; None when it can."""
    plugin = BACKENDS.get(name)
    if (lacking := plugin.missing()) is not None:
        return MissingExtra(lacking, f"backend '{name}'", plugin.extra or "all")
    try:
        if plugin.facts["devices"]():
            return None
    except Exception as error:
        return Unavailable(f"backend '{name}' does not load: {error}", f"reinstall {', '.join(plugin.needs)}")
    return Unavailable(f"backend '{name}' needs an NVIDIA GPU; none was found", "use a backend that runs on the CPU")


def failure(error: Exception, what: str) -> Exception:
    """A runtime's own error as one of ours: ``OutOfMemory`` or, with its first line, an ``InputError``."""
    text = str(error).strip()
    lines = [line.strip() for line in text.splitlines() if line.strip() and not line.startswith("Exception from")]
    lines = lines or [type(error).__name__]
    # TorchScript puts its own traceback before the reason
    problem = f"{what}: {next((line for line in reversed(lines) if line.startswith('RuntimeError: ')), lines[0])}"
    if isinstance(error, MemoryError) or any(sign in text.lower() for sign in _MEMORY):
        return OutOfMemory(problem)
    return InputError(problem, "check that the file is whole and that the feeds fit it")
