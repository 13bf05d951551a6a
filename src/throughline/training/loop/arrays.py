"""Rows of numbers to learn from: an ``.npz`` with ``x`` and ``y``, and ``x_val`` and ``y_val`` where it has them."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, final

import numpy as np

from throughline.contracts.artifacts import Array, TensorSpec
from throughline.contracts.errors import InputError
from throughline.data.arrays import read_arrays
from throughline.data.splits import split
from throughline.training.loop.lessons import Interface

if TYPE_CHECKING:
    import torch

_AT_ONCE, _PROVEN_ON = 256, 16


@final
class ArrayLesson:
    """Whole numbers in ``y`` are classes, broken ones are values to come near to."""

    def __init__(self, path: Path, task: str, holdout: float, seed: int) -> None:
        """Read it; where it holds nothing to validate on, a share of the rows is held out."""
        held = _held(path)
        self.sha256 = _hash(held)
        x, y = held["x"], held["y"]
        if "x_val" in held:
            self._x, self._y, self._x_val, self._y_val = x, y, held["x_val"], held["y_val"]
        else:
            rows = split(
                [str(row) for row in range(len(x))], [""] * len(x), {"train": 1 - holdout, "val": holdout}, seed
            )
            self._x, self._y, self._x_val, self._y_val = (
                part[rows[name]] for name in ("train", "val") for part in (x, y)
            )
        kinds = np.issubdtype(y.dtype, np.integer)
        self.task = task if task != "auto" else "classify" if kinds else "regress"
        if self.task == "classify" and not kinds:
            raise InputError(f"{path}: y is of {y.dtype}; classes are whole numbers", "task: regress")
        self._y, self._y_val = (
            one.astype(np.int64 if self.task == "classify" else np.float32) for one in (self._y, self._y_val)
        )
        self.size = len(self._x)
        named = {"name": path.name, "sha256": self.sha256}
        self.used: Mapping[str, Mapping[str, Any]]
        self.used = {"training": named | {"rows": self.size}, "validation": named | {"rows": len(self._x_val)}}
        self.metric, self.higher_is_better = ("accuracy", True) if self.task == "classify" else ("rmse", False)

    def batch(self, rows: Sequence[int], epoch: int) -> tuple[torch.Tensor, ...]:
        """These rows, and what is true of them."""
        import torch

        return torch.from_numpy(self._x[rows]), torch.from_numpy(self._y[rows])

    def loss(self, network: torch.nn.Module, answer: Any, truth: Sequence[torch.Tensor]) -> torch.Tensor:
        """Cross entropy for classes, the squared error for values; the network's own where it has one."""
        return plain_loss(self.task, network, answer, truth)

    def measure(self, network: torch.nn.Module, device: torch.device) -> dict[str, float]:
        """Accuracy and loss, or the root of the mean squared error and the share of the variance explained."""
        import torch

        answers = [
            network(torch.from_numpy(self._x_val[at : at + _AT_ONCE]).to(device)).float().cpu()
            for at in range(0, len(self._x_val), _AT_ONCE)
        ]
        return self._measured(torch.cat(answers).numpy())

    def baseline(self) -> dict[str, float]:
        """The commonest class, or the mean."""
        if self.task == "classify":
            commonest = np.bincount(self._y.ravel()).argmax()
            return {"accuracy": float(np.mean(self._y_val == commonest))}
        return self._measured(np.broadcast_to(self._y.mean(axis=0), self._y_val.shape))

    def interface(self) -> Interface:
        """Rows of this width, any number of them."""
        import torch

        shape = self._x.shape[1:]
        proof = {"x": self._x_val[:_PROVEN_ON]}
        about = {"task": "classify"} if self.task == "classify" else {}
        return Interface((TensorSpec("x", "float32", ("batch", *shape)),), (torch.zeros(2, *shape),), about, proof)

    def _measured(self, answer: Array) -> dict[str, float]:
        if self.task == "classify":
            answer = answer.reshape(len(answer), -1).astype(np.float64)
            if answer.shape[1] <= int(self._y_val.max(initial=0)):
                raise InputError(
                    f"the network answers with {answer.shape[1]} scores, and y has class {self._y_val.max()}",
                    "let it have a score for every class",
                )
            likely = answer - np.logaddexp.reduce(answer, axis=1, keepdims=True)
            true = self._y_val.ravel()
            return {
                "accuracy": float(np.mean(answer.argmax(axis=1) == true)),
                "loss": float(-likely[np.arange(len(true)), true].mean()),
            }
        error = answer.reshape(self._y_val.shape).astype(np.float64) - self._y_val
        spread = float(((self._y_val - self._y_val.mean(axis=0)) ** 2).mean()) or 1.0
        return {"rmse": float(np.sqrt((error**2).mean())), "r2": float(1 - (error**2).mean() / spread)}


def plain_loss(task: str, network: torch.nn.Module, answer: Any, truth: Sequence[torch.Tensor]) -> torch.Tensor:
    """What a network's answer costs: as it says itself (its method ``loss``), else what is usual for the task."""
    from torch.nn import functional

    own: Any = getattr(network, "loss", None)
    if callable(own):
        return own(answer, *truth)
    if task == "classify":
        return functional.cross_entropy(answer.float(), truth[0])
    return functional.mse_loss(answer.float().reshape(truth[0].shape), truth[0])


def _held(path: Path) -> dict[str, Array]:
    held = read_arrays(path)
    if missing := [name for name in ("x", "y") if name not in held]:
        raise InputError(f"{path}: holds no '{missing[0]}'", "save what is shown as x, and what is true of it as y")
    if ("x_val" in held) != ("y_val" in held):
        raise InputError(f"{path}: has one of x_val and y_val", "save both, or none")
    for x, y in (("x", "y"), ("x_val", "y_val")):
        if x in held and (len(held[x]) != len(held[y]) or not len(held[x])):
            raise InputError(
                f"{path}: {x} has {len(held[x])} rows and {y} has {len(held[y])}", "one of y for each of x"
            )
        if x in held:
            held[x] = np.ascontiguousarray(held[x], np.float32)
    return held


def _hash(held: Mapping[str, Array]) -> str:
    digest = hashlib.sha256(b"throughline arrays 1")
    for name in sorted(held):
        digest.update(f"{name} {held[name].dtype} {held[name].shape}".encode())
        digest.update(np.ascontiguousarray(held[name]).tobytes())
    return digest.hexdigest()
