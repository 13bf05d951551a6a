"""How far two models' raw answers are apart, output by output, gathered as the answers come and then forgotten.

An output is held against its own size: an error of 0.01 is nothing beside coordinates in pixels and everything
beside a probability. Both often share one tensor, so size is taken channel by channel.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, final

import numpy as np
import numpy.typing as npt

from throughline.contracts.artifacts import Array
from throughline.contracts.verdicts import Check

_DECADES: Final = (-13, 9)
_BINS: Final = 40 * (_DECADES[1] - _DECADES[0])


@final
@dataclass(frozen=True, slots=True)
class Tolerance:
    """What may differ in one precision. docs/verify.md says why these numbers.

    Attributes:
        atol: the largest error, as a share of the channel's own size (its root mean square).
        rtol: and, on top, as a share of the value itself.
        cosine: the least cosine between all answers of one output.
        outside: how many of the values may be beyond ``atol`` and ``rtol``, as a share.
        absolute: ``atol`` was given by hand, and means the output's own unit.
    """

    atol: float
    rtol: float
    cosine: float
    outside: float
    absolute: bool = False


TOLERANCES: Final[Mapping[str, Tolerance]] = {
    "float32": Tolerance(5e-4, 5e-4, 0.999999, 1e-4),
    "float16": Tolerance(np.inf, np.inf, 0.9995, 1.0),
    "bfloat16": Tolerance(np.inf, np.inf, 0.995, 1.0),
    "int8": Tolerance(np.inf, np.inf, 0.97, 1.0),
}
"""By the precision that was asked for."""


@final
@dataclass(frozen=True, slots=True)
class OutputError:
    """What one output differs by over all inputs. Relative errors are shares of the channel's own size.

    Attributes:
        not_finite: values that are infinite or no numbers in the candidate alone.
        compared: how many values were compared.
        ranked: its rows are in the order of their scores, so that row by row nothing can be said.
    """

    name: str
    max_abs: float
    mean_abs: float
    p99_abs: float
    max_rel: float
    mean_rel: float
    p99_rel: float
    cosine: float
    outside: float
    not_finite: int
    compared: int
    ranked: bool = False
    problem: str = ""

    def checks(self, tolerance: Tolerance) -> list[Check]:
        """This output against what may differ."""
        name = f"numeric {self.name}"
        if self.problem:
            return [Check(name, self.problem, "the reference's shape and kind", False)]
        checks = [Check(f"{name}: finite", f"{self.not_finite} values are not", 0, self.not_finite == 0)]
        if self.ranked:
            return checks
        checks.append(
            Check(
                f"{name}: cosine",
                round(self.cosine, 7),
                tolerance.cosine,
                bool(self.cosine >= tolerance.cosine or self.max_abs == 0),
            )
        )
        if np.isfinite(tolerance.atol) or np.isfinite(tolerance.rtol):
            unit = "" if tolerance.absolute else " of the channel's size"
            checks.append(
                Check(
                    f"{name}: beyond tolerance",
                    f"{self.outside:.3%}, at most {self.max_rel:.2g} off",
                    f"{tolerance.outside:.2%} beyond {tolerance.atol:g}{unit} + {tolerance.rtol:g} of the value",
                    bool(self.outside <= tolerance.outside),
                )
            )
        return checks


@final
@dataclass
class NumericDifference:
    """Gathers one output's differences."""

    name: str
    tolerance: Tolerance
    ranked: bool = False
    _counts: npt.NDArray[np.int64] = field(default_factory=lambda: np.zeros((2, _BINS), np.int64))
    _sums: npt.NDArray[np.float64] = field(default_factory=lambda: np.zeros(5))
    _most: npt.NDArray[np.float64] = field(default_factory=lambda: np.zeros(2))
    _outside: int = 0
    _not_finite: int = 0
    _compared: int = 0
    _problem: str = ""

    def add(self, reference: Array, candidate: Array) -> float:
        """Take in one pair of answers; how far they are apart, as a share of the reference's size."""
        if reference.shape != candidate.shape:
            self._problem = self._problem or f"{list(candidate.shape)} instead of {list(reference.shape)}"
            return float("inf")
        if reference.dtype.kind not in "fc" or candidate.dtype.kind not in "fc":
            return self._exact(reference, candidate)
        finite = np.isfinite(reference)
        broken = int(np.count_nonzero(finite & ~np.isfinite(candidate)))
        self._not_finite += broken
        if not reference.size:
            return 0.0
        if self.ranked:
            self._compared += reference.size
            return 0.0
        plain, other = reference.astype(np.float32, copy=False), candidate.astype(np.float32, copy=False)
        if broken or not finite.all():
            both = finite & np.isfinite(candidate)
            plain, other = np.where(both, plain, 0), np.where(both, other, 0)
        error = np.abs(other - plain)
        size = np.abs(plain)
        own = sizes(plain)
        allowed = np.float32(self.tolerance.atol) * (np.float32(1) if self.tolerance.absolute else own)
        if np.isfinite(self.tolerance.rtol) or np.isfinite(self.tolerance.atol):
            self._outside += int(np.count_nonzero(error > allowed + np.float32(self.tolerance.rtol) * size)) + broken
        relative = error / np.maximum(own, size)
        self._most = np.maximum(self._most, [float(error.max()), float(relative.max())])
        self._counts[0] += _binned(error)
        self._counts[1] += _binned(relative)
        # not by BLAS: its threads would fight for the processor with those of the models
        products = [(plain * other).sum(dtype=np.float64), np.square(plain).sum(dtype=np.float64)]
        products.append(np.square(other).sum(dtype=np.float64))
        here = np.array([*products, error.sum(dtype=np.float64), relative.sum(dtype=np.float64)])
        self._sums += here
        self._compared += error.size
        return float(np.sqrt(np.square(error).sum(dtype=np.float64) / max(here[1], 1e-30)))

    def done(self) -> OutputError:
        """What was gathered."""
        product, a, b, absolute, relative = self._sums.tolist()
        count = max(1, self._compared)
        return OutputError(
            self.name,
            float(self._most[0]),
            absolute / count,
            min(float(self._most[0]), _quantile(self._counts[0], 0.99)),
            float(self._most[1]),
            relative / count,
            min(float(self._most[1]), _quantile(self._counts[1], 0.99)),
            float(product / (np.sqrt(a) * np.sqrt(b))) if a and b else float(a == b),
            self._outside / count,
            self._not_finite,
            self._compared,
            self.ranked,
            self._problem,
        )

    def _exact(self, reference: Array, candidate: Array) -> float:
        """Whole numbers and words are the same or they are not."""
        self._compared += reference.size
        if self.ranked or not reference.size:
            return 0.0
        unlike = int(np.count_nonzero(reference != candidate))
        self._outside += unlike
        share = unlike / reference.size
        self._most = np.maximum(self._most, [float(unlike > 0), share])
        self._sums += [reference.size - unlike, reference.size, reference.size, unlike, unlike]
        return share


def sizes(values: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Each channel's root mean square, in a shape that goes with the values; never nothing.

    A channel that is nearly silent is held against a hundredth of the loudest one's size, as long as that is below 0.1:
    probabilities of a class that is nowhere in the picture are not to be told apart in their sixth digit.
    """
    if values.ndim < 3:
        own = np.sqrt(np.mean(np.square(values, dtype=np.float64)))
        return np.asarray(np.maximum(own, 1e-12), np.float32).reshape((1,) * values.ndim)
    channel = 1 if values.ndim == 4 or values.shape[1] <= values.shape[2] else values.ndim - 1
    others = tuple(axis for axis in range(values.ndim) if axis != channel)
    own = np.sqrt(np.mean(np.square(values, dtype=np.float32), axis=others, keepdims=True, dtype=np.float64))
    floor = min(0.1, 1e-2 * float(own.max()))
    return np.asarray(np.maximum(own, max(floor, 1e-12)), np.float32)


def apart(reference: Mapping[str, Array], candidate: Mapping[str, Array]) -> float:
    """How far two sets of answers are apart: the worst output's error, as a share of the reference's size."""
    worst = 0.0
    for one, other in zip(reference.values(), candidate.values(), strict=True):
        worst = max(worst, NumericDifference("", TOLERANCES["float32"]).add(one, other))
        if one.shape == other.shape and other.dtype.kind == "f" and np.isfinite(one).all() > np.isfinite(other).all():
            return float("inf")
    return worst


def _binned(values: npt.NDArray[np.float32]) -> npt.NDArray[np.int64]:
    """How many values lie in each bin, by their logarithm."""
    low, high = _DECADES
    # twenty thousand values tell a percentile as well as all of them, and logarithms are dear
    some: Any = values.ravel()[:: max(1, values.size // 20_000)]
    places = (np.log10(np.maximum(some, 10.0**low)) - low) * (_BINS / (high - low))
    return np.bincount(np.clip(places, 0, _BINS - 1).astype(np.int64), minlength=_BINS)


def _quantile(counts: npt.NDArray[np.int64], share: float) -> float:
    """The upper edge of the bin that holds the quantile: right to six hundredths."""
    total = int(counts.sum())
    if not total:
        return 0.0
    low, high = _DECADES
    place = int(np.searchsorted(np.cumsum(counts), share * total))
    return 0.0 if place == 0 else float(10.0 ** (low + (place + 1) * (high - low) / _BINS))
