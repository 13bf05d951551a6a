"""Conversions that are right, over seven architectures: none of them may be refused."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import architectures
import onnx
from edits import arrays_of, carried, streets
from onnx import version_converter

from throughline.bundled import DETECTOR
from throughline.contracts.artifacts import Array, Artifact, Step
from throughline.contracts.samples import DataSet
from throughline.evaluation.seeded import natural_pictures, seeded_arrays
from throughline.models.artifact import read_artifact
from throughline.models.transforms import TRANSFORMS


@dataclass(frozen=True)
class Conversion:
    """A model and another form of it."""

    reference: Artifact
    candidate: Artifact
    asked: str | None = None
    data: DataSet | None = None
    steps: tuple[Step, ...] = ()


def model_of(name: str, folder: Path) -> Artifact:
    return read_artifact(DETECTOR) if name == "detector" else architectures.ARCHITECTURES[name](folder)


def feeds_of(reference: Artifact) -> Callable[[], Iterator[Mapping[str, Array]]]:
    """Real inputs to calibrate on, others than those that prove."""
    if reference.path == DETECTOR:
        return arrays_of(reference, streets(8, 100))
    if len(reference.inputs[0].shape) == 4:
        pictures = natural_pictures(reference.passport.imgsz or (64, 64), 40)
        classes = architectures.decoder_preprocess(reference)
        return arrays_of(reference, DataSet("", "", None, (), pictures.samples[16:], ""), classes)
    arrays = seeded_arrays(reference, 64)

    def rows() -> Iterator[Mapping[str, Array]]:
        for row in range(16, 64):
            yield {name: values[row : row + 1] for name, values in arrays.items()}

    return rows


def by_transform(
    transform: str, asked: str, suffix: str = ".onnx", **options: Any
) -> Callable[[str, Path], Conversion]:
    def make(name: str, folder: Path) -> Conversion:
        reference = model_of(name, folder)
        target = folder / f"candidate{suffix}"
        more = {"feeds": feeds_of(reference)} if transform in ("half", "int8", "openvino_int8") else {}
        made = TRANSFORMS.make(transform, reference, target, **options, **more)
        data = streets(3) if name == "detector" else None
        return Conversion(reference, carried(target, reference, **made.changes), asked, data, (made.step,))

    return make


def rewritten(change: Callable[[Any], Any]) -> Callable[[str, Path], Conversion]:
    def make(name: str, folder: Path) -> Conversion:
        reference = model_of(name, folder)
        onnx.save(change(onnx.load(reference.path)), folder / "candidate.onnx")
        data = streets(3) if name == "detector" else None
        return Conversion(reference, carried(folder / "candidate.onnx", reference), "float32", data)

    return make


def _renamed(model: Any) -> Any:
    """Every node and every inner tensor under another name."""
    kept = {value.name for value in (*model.graph.input, *model.graph.output)}
    names: dict[str, str] = {"": ""}

    def new(name: str) -> str:
        return name if name in kept else names.setdefault(name, f"t{len(names)}")

    for tensor in model.graph.initializer:
        tensor.name = new(tensor.name)
    for number, node in enumerate(model.graph.node):
        node.name = f"n{number}"
        node.input[:] = [new(name) for name in node.input]
        node.output[:] = [new(name) for name in node.output]
    del model.graph.value_info[:]
    return model


def _optimised(model: Any) -> Any:
    """As ONNX Runtime writes it after its basic optimisations."""
    import tempfile

    import onnxruntime

    with tempfile.TemporaryDirectory() as folder:
        options = onnxruntime.SessionOptions()
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
        options.optimized_model_filepath = f"{folder}/optimised.onnx"
        onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
        made = onnx.load(f"{folder}/optimised.onnx")
    made.metadata_props.extend(model.metadata_props)
    return made


def _newer(model: Any) -> Any:
    return version_converter.convert_version(model, 21)


def _opened(model: Any) -> Any:
    """The batch of the result under another name: what an axis is called means nothing."""
    for value in (*model.graph.input, *model.graph.output):
        value.type.tensor_type.shape.dim[0].dim_param = "N"
    return model


HOW: dict[str, Callable[[str, Path], Conversion]] = {
    "simplified (onnxslim)": by_transform("simplify", "float32"),
    "OpenVINO IR": by_transform("openvino", "float32", ".xml"),
    "FP16": by_transform("half", "float16"),
    "INT8, calibrated": by_transform("int8", "int8"),
    "INT8 by NNCF": by_transform("openvino_int8", "int8", ".xml"),
    "suppression inside": by_transform("nms", "float32"),
    "optimised by ONNX Runtime": rewritten(_optimised),
    "newer operators": rewritten(_newer),
    "nodes and tensors renamed": rewritten(_renamed),
    "axes renamed": rewritten(_opened),
}
CONVERSIONS = [
    *(("detector", how) for how in HOW if how != "axes renamed"),
    *(("classifier", how) for how in HOW if how != "suppression inside"),
    *(("depthwise", how) for how in ("simplified (onnxslim)", "OpenVINO IR", "FP16", "INT8, calibrated")),
    *(
        ("transformer", how)
        for how in ("simplified (onnxslim)", "OpenVINO IR", "FP16", "optimised by ONNX Runtime", "INT8, calibrated")
    ),
    *(
        ("segmenter", how)
        for how in ("OpenVINO IR", "FP16", "INT8, calibrated", "nodes and tensors renamed", "INT8 by NNCF")
    ),
    *(("recurrent", how) for how in ("simplified (onnxslim)", "OpenVINO IR", "newer operators", "FP16")),
    *(("perceptron", how) for how in ("OpenVINO IR", "FP16", "INT8, calibrated", "axes renamed")),
]
