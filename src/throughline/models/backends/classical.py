"""Classical estimators as they were trained, so that what is made of them can be held against them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import final

import numpy as np

from throughline.contracts.artifacts import Array, TensorSpec
from throughline.models.backends import Runner, failure
from throughline.models.loading.estimators import FORMATS, open_estimator
from throughline.plugins import Plugin


@final
class EstimatorRunner(Runner):
    """One estimator: rows of numbers in, classes or values out."""

    def __init__(self, path: Path, *, trust: bool) -> None:
        from throughline.models.identify import identify

        self._estimator = open_estimator(path, identify(path).format, trust=trust)
        self.inputs = (TensorSpec("X", "float32", ("batch", self._estimator.features)),)
        asked = self.predict({"X": np.zeros((1, self._estimator.features), np.float32)})
        self.outputs = tuple(
            TensorSpec(name, str(array.dtype), ("batch", *array.shape[1:])) for name, array in asked.items()
        )

    def predict(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        """What the estimator says of these rows."""
        try:
            return self._estimator.answers(np.ascontiguousarray(feeds["X"]))
        except Exception as error:
            raise failure(error, "the estimator could not be run") from None

    def close(self) -> None:
        """Let go of it."""
        del self._estimator


def _open(
    path: Path,
    *,
    device: str,
    threads: int,
    inputs: tuple[TensorSpec, ...] = (),
    outputs: tuple[TensorSpec, ...] = (),
    trust: bool = False,
) -> Runner:
    del device, threads, inputs, outputs  # an estimator says itself what it takes, and runs where Python does
    return EstimatorRunner(path, trust=trust)


def _devices() -> tuple[str, ...]:
    return ("cpu",)


PLUGIN = Plugin(
    make=_open,
    summary="scikit-learn, XGBoost and LightGBM estimators",
    needs=("skops",),
    extra="classical",
    facts={"formats": FORMATS, "devices": _devices},
)
