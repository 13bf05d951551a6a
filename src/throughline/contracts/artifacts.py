"""A model as Throughline knows it: a file, what it expects and returns, and its passport."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, TypeAlias, runtime_checkable

import numpy.typing as npt

from throughline.contracts.verdicts import Verdict

Array: TypeAlias = npt.NDArray[Any]
Axis: TypeAlias = int | str
"""A size, or the name of a size that may vary."""


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """A named input or output: numpy's dtype name, and a shape with named dynamic axes."""

    name: str
    dtype: str
    shape: tuple[Axis, ...]

    def __str__(self) -> str:
        return f"{self.name} {self.dtype}[{', '.join(map(str, self.shape))}]"

    def concrete(self, batch: int = 1, default: int = 32) -> tuple[int, ...]:
        """The shape with every dynamic axis filled: the first with ``batch``, the rest with ``default``."""
        return tuple(
            size if isinstance(size, int) else (batch if axis == 0 else default) for axis, size in enumerate(self.shape)
        )


@dataclass(frozen=True, slots=True)
class Step:
    """One thing that was done to a model on its way here."""

    name: str
    options: Mapping[str, Any] = field(default_factory=dict)
    tool: str = ""


@dataclass(frozen=True, slots=True)
class Passport:
    """Where a model came from, what it expects, and the evidence that it is right.

    It ties to its file by ``sha256`` (and to the ``companions`` that the file reads,
    by theirs); ``checksum`` covers the passport itself, and ``seal`` is made with this
    machine's key when the file was made here or trusted here. docs/passports.md tells the whole.
    """

    file: str
    sha256: str
    size: int
    format: str
    companions: Mapping[str, str] = field(default_factory=dict)
    task: str | None = None
    labels: tuple[str, ...] = ()
    decoder: str | None = None
    imgsz: tuple[int, int] | None = None
    stride: int | None = None
    inputs: tuple[TensorSpec, ...] = ()
    outputs: tuple[TensorSpec, ...] = ()
    precision: str | None = None
    licence: str | None = None
    parent: str | None = None
    steps: tuple[Step, ...] = ()
    evidence: tuple[Verdict, ...] = ()
    machine: Mapping[str, str] = field(default_factory=dict)
    checksum: str = ""
    seal: str = ""


@dataclass(frozen=True, slots=True)
class Artifact:
    """A model file and everything known about it without running it.

    Attributes:
        path: where the file is.
        passport: what is known of it, whether or not it was ever written down.
        issued: a passport lies beside the file, and matches it.
    """

    path: Path
    passport: Passport
    issued: bool

    @property
    def format(self) -> str:
        """The name of its format: "onnx", "openvino" and so on."""
        return self.passport.format

    @property
    def task(self) -> str | None:
        """What it is for: "detect", "segment", "classify"; None when nobody has said."""
        return self.passport.task

    @property
    def labels(self) -> tuple[str, ...]:
        """The names of its classes, by class number."""
        return self.passport.labels

    @property
    def inputs(self) -> tuple[TensorSpec, ...]:
        """What it takes."""
        return self.passport.inputs

    @property
    def outputs(self) -> tuple[TensorSpec, ...]:
        """What it returns."""
        return self.passport.outputs

    @property
    def sha256(self) -> str:
        """The hash of the file."""
        return self.passport.sha256


@runtime_checkable
class Predictor(Protocol):
    """Named arrays in, named arrays out: the only currency between frameworks.

    The first axis of every array is the batch. Safe to call from several threads.
    """

    @property
    def inputs(self) -> tuple[TensorSpec, ...]:
        """What ``predict`` takes."""

    @property
    def outputs(self) -> tuple[TensorSpec, ...]:
        """What ``predict`` returns."""

    def predict(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        """Run the model once over these arrays."""

    def close(self) -> None:
        """Give back what the model holds."""
