"""Inputs where nobody gave data: from a seed, and as like real ones as the model file lets one know.

Noise without structure drives a network of pictures into places where it never works, and tells little. What is
made here has a photograph's spectrum: strong in the coarse, weak in the fine, its channels alike.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from throughline.contracts.artifacts import Array, Artifact, TensorSpec
from throughline.contracts.samples import DataSet, Sample

PICTURES: Final = 16
OPEN: Final = 32
"""What an open axis is filled with."""


def natural_pictures(size: tuple[int, int], count: int = PICTURES) -> DataSet:
    """Pictures of this height and width with a natural spectrum, which nobody has labelled."""
    samples = [Sample(f"seeded {seed}", partial(_natural, size, seed), f"{seed:064x}") for seed in range(count)]
    return DataSet("seeded pictures", "seeded", None, (), samples, "0" * 64)


def seeded_arrays(artifact: Artifact, count: int = PICTURES) -> dict[str, Array]:
    """Rows for every input, one beside the other along the batch."""
    random = np.random.default_rng(0)
    tables, thresholds = _hints(artifact)
    return {spec.name: _rows(spec, count, random, tables.get(spec.name), thresholds) for spec in artifact.inputs}


def _natural(size: tuple[int, int], seed: int) -> npt.NDArray[np.uint8]:
    random = np.random.default_rng(seed)
    height, width = size
    up = np.fft.fftfreq(height)[:, None]
    across = np.fft.rfftfreq(width)[None]
    falling = 1 / np.maximum(np.hypot(up, across), 1 / max(size))

    def plane() -> npt.NDArray[np.float64]:
        made = np.fft.irfft2(np.fft.rfft2(random.standard_normal(size)) * falling, size)
        return np.asarray((made - made.mean()) / made.std(), np.float64)

    light = plane()
    channels = [0.9 * light + 0.4 * plane() for _ in range(3)]
    picture = 118 + 55 * np.stack(channels, axis=2)
    # edges, as between things and what is behind them
    for _ in range(6):
        top, left = int(random.integers(height)), int(random.integers(width))
        tall, wide = int(random.integers(4, height // 2 + 5)), int(random.integers(4, width // 2 + 5))
        picture[top : top + tall, left : left + wide] += random.normal(0, 45, 3)
    return np.asarray(np.clip(picture, 0, 255), np.uint8)


def _rows(
    spec: TensorSpec, count: int, random: np.random.Generator, table: int | None, thresholds: Array | None
) -> Array:
    rest = tuple(size if isinstance(size, int) else OPEN for size in spec.shape[1:])
    shape = (count, *rest) if spec.shape else ()
    kind = np.dtype(spec.dtype)
    if kind.kind == "f":
        if thresholds is not None and len(shape) == 2 and shape[1] == len(thresholds):
            low, high = thresholds.T
            return np.asarray(random.uniform(low, high, shape), kind)
        if len(shape) == 4:
            return np.asarray(_maps(shape, random), kind)
        return np.asarray(random.standard_normal(shape), kind)
    if kind.kind == "b":
        return np.asarray(random.random(shape) < 0.5)
    if kind.kind in "iu":
        return np.asarray(random.integers(0, table or 2, shape), kind)
    return np.full(shape, "", kind)


def _maps(shape: tuple[int, ...], random: np.random.Generator) -> Array:
    """Planes from 0 to 1 with a natural spectrum."""
    count, channels, height, width = shape
    made = np.empty(shape, np.float32)
    for row in range(count):
        for start in range(0, channels, 3):
            picture = _natural((height, width), int(random.integers(2**31))) / np.float32(255)
            made[row, start : start + 3] = picture.transpose(2, 0, 1)[: channels - start]
    return made


def _hints(artifact: Artifact) -> tuple[dict[str, int], Array | None]:
    """From an ONNX file: how many rows the table has that an input looks up in, and where trees divide features."""
    tables: dict[str, int] = {}
    if artifact.format != "onnx":
        return tables, None
    model = _graph(artifact.path)
    sizes = {tensor.name: tuple(tensor.dims) for tensor in model.graph.initializer}
    divided: dict[int, list[float]] = {}
    same: dict[str, str] = {}
    for node in model.graph.node:
        if node.op_type in ("Cast", "Identity", "Unsqueeze", "Squeeze", "Reshape"):
            same[node.output[0]] = same.get(node.input[0], node.input[0])
        if node.op_type == "Gather" and sizes.get(node.input[0]):
            asked = same.get(node.input[1], node.input[1])
            tables[asked] = min(tables.get(asked, sizes[node.input[0]][0]), sizes[node.input[0]][0])
        if node.op_type.startswith("TreeEnsemble"):
            facts: Mapping[str, Any] = {one.name: one for one in node.attribute}
            if "nodes_featureids" in facts and "nodes_values" in facts:
                for feature, value in zip(facts["nodes_featureids"].ints, facts["nodes_values"].floats, strict=True):
                    divided.setdefault(feature, []).append(value)
    return tables, _reach(divided, artifact.inputs)


def _graph(path: Path) -> Any:
    import onnx

    from throughline.models.loading.onnx_guard import check_onnx

    check_onnx(path)
    return onnx.load(path, load_external_data=False)


def _reach(divided: Mapping[int, list[float]], inputs: Sequence[TensorSpec]) -> Array | None:
    """From where to where each feature is worth looking at."""
    if not divided or len(inputs) != 1 or len(inputs[0].shape) != 2 or not isinstance(inputs[0].shape[1], int):
        return None
    reach = np.tile(np.array([-1.0, 1.0]), (inputs[0].shape[1], 1))
    for feature, values in divided.items():
        if feature < len(reach):
            low, high = min(values), max(values)
            margin = max(0.1 * (high - low), 1e-3)
            reach[feature] = low - margin, high + margin
    return reach
