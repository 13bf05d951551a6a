"""What a loop learns: the seam between the loop, which knows no data, and data, which know no loop."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Protocol, final

from throughline.contracts.artifacts import Array, TensorSpec

if TYPE_CHECKING:
    import torch

    from throughline.contracts.samples import DataSet


class Lesson(Protocol):
    """What is learned, and how it is told whether it was.

    Attributes:
        task: detect, classify or regress.
        size: how many samples there are to learn from.
        metric: the measure that decides.
        higher_is_better: whether more of it is better.
        sha256: the hash of what is learned from.
        used: all that is used of the data, by its part in it: what it is called, its hash, how many samples.
    """

    task: str
    size: int
    metric: str
    higher_is_better: bool
    sha256: str
    used: Mapping[str, Mapping[str, Any]]

    def batch(self, rows: Sequence[int], epoch: int) -> tuple[torch.Tensor, ...]:
        """What the network is shown, and then what is true of it. The same rows and epoch give the same."""

    def loss(self, network: torch.nn.Module, answer: Any, truth: Sequence[torch.Tensor]) -> torch.Tensor:
        """How wrong an answer is."""

    def measure(self, network: torch.nn.Module, device: torch.device) -> dict[str, float]:
        """What a network that is set to answer (``eval``) is worth on data that it does not learn from."""

    def baseline(self) -> dict[str, float]:
        """The same of the plainest thing that could do the job; nothing where there is none."""

    def interface(self) -> Interface:
        """What the network takes and is, for the file that is made of it."""


@final
@dataclass(frozen=True, slots=True, eq=False)
class Interface:
    """What a network takes, and what is known of it.

    Attributes:
        inputs: what it takes; an axis that is named may vary.
        example: the sizes of one batch of it.
        about: by the names of a passport's fields.
        arrays: inputs on which its file is proven.
        pictures: or pictures.
    """

    inputs: tuple[TensorSpec, ...]
    example: tuple[torch.Tensor, ...]
    about: Mapping[str, Any] = field(default_factory=dict)
    arrays: Mapping[str, Array] | None = None
    pictures: DataSet | None = None

    def named_for(self, network: torch.nn.Module) -> Interface:
        """The same, its one input called as the network's own code calls it: a file takes its names from there."""
        (spec,) = self.inputs
        name = next(iter(inspect.signature(network.forward).parameters))
        arrays = None if self.arrays is None else {name: self.arrays[spec.name]}
        return replace(self, inputs=(TensorSpec(name, spec.dtype, spec.shape),), arrays=arrays)
