"""Faults as exports really have them, each planted in a model that was right."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import architectures
import numpy as np
import onnx
from edits import arrays_of, carried, edited, insert_after, insert_after_input, node_of, set_weights, streets
from onnx import TensorProto, helper, numpy_helper

from throughline.bundled import DETECTOR
from throughline.contracts.artifacts import Artifact, Step
from throughline.contracts.samples import DataSet
from throughline.models.artifact import read_artifact
from throughline.models.transforms import TRANSFORMS


@dataclass(frozen=True)
class Fault:
    """A right model and a wrong one.

    ``layers`` are the reference's layers at which they really part; empty where the graphs are alike on one picture.
    """

    reference: Artifact
    candidate: Artifact
    layers: tuple[str, ...] = ()
    asked: str | None = None
    data: DataSet | None = None
    steps: tuple[Step, ...] = ()


FIRST = "node_Conv_1280"
DEEP = "coarse.1.steps.0.1.0.weight"


def _detector() -> Artifact:
    return read_artifact(DETECTOR)


def _by_weight(name: str) -> tuple[str, ...]:
    model = onnx.load(DETECTOR)
    return tuple(node.name for node in model.graph.node if name in node.input)


def _in_detector(folder: Path, change: Callable[[Any], None], *layers: str, **facts: Any) -> Fault:
    reference = _detector()
    return Fault(reference, edited(reference, folder, change, **facts), layers, data=streets(3))


def swapped_channels(folder: Path) -> Fault:
    return _in_detector(folder, lambda m: set_weights(m, "stem.0.0.weight", lambda w: w[:, ::-1]), FIRST)


def wrong_normalisation(folder: Path) -> Fault:
    scale = np.array([0.229, 0.224, 0.225], np.float32).reshape(1, 3, 1, 1)
    return _in_detector(folder, lambda m: insert_after_input(m, "Div", scale), FIRST)


def bgr(folder: Path) -> Fault:
    order = np.array([2, 1, 0], np.int64)
    return _in_detector(folder, lambda m: insert_after_input(m, "Gather", order, axis=1), FIRST)


def wrong_preprocessing_in_the_passport(folder: Path) -> Fault:
    reference = architectures.classifier(folder)
    other = folder / "other"
    other.mkdir()
    return Fault(reference, edited(reference, other, lambda m: None, decoder="yolo_cls"))


def labels_off_by_one(folder: Path) -> Fault:
    labels = _detector().labels
    return _in_detector(folder, lambda m: None, labels=("background", *labels[:-1]))


def classes_off_by_one(folder: Path) -> Fault:
    def change(model: Any) -> None:
        for head in range(3):
            for part in ("weight", "bias"):
                set_weights(model, f"heads.{head}.score.2.{part}", lambda w: np.roll(w, 1, axis=0))

    return _in_detector(folder, change, *_by_weight("heads.0.score.2.weight"))


def missing_sigmoid(folder: Path) -> Fault:
    def change(model: Any) -> None:
        for node in model.graph.node:
            if node.op_type == "Sigmoid":
                node.op_type = "Identity"

    return _in_detector(folder, change, "node_sigmoid")


def wrong_anchor_grid(folder: Path) -> Fault:
    reads = [node.name for node in onnx.load(DETECTOR).graph.node if "val_843" in node.input]
    return _in_detector(folder, lambda m: set_weights(m, "val_843", lambda w: w * 0), *reads[:2])


def wrong_stride(folder: Path) -> Fault:
    return _in_detector(folder, lambda m: set_weights(m, "scalar_tensor_default_8", lambda w: w / 2), "node_mul_1828")


def corners_for_centres(folder: Path) -> Fault:
    def change(model: Any) -> None:
        cut = {"from4": [4], "from0": [0], "from2": [2], "end": [99], "axis1": [1]}
        for name, values in cut.items():
            model.graph.initializer.append(numpy_helper.from_array(np.array(values, np.int64), name))
        model.graph.initializer.append(numpy_helper.from_array(np.array(0.5, np.float32), "a_half"))

        def nodes(before: str, after: str) -> list[Any]:
            make = helper.make_node
            return [
                make("Slice", [before, "from0", "from2", "axis1"], ["centre"]),
                make("Slice", [before, "from2", "from4", "axis1"], ["size"]),
                make("Slice", [before, "from4", "end", "axis1"], ["scores"]),
                make("Mul", ["size", "a_half"], ["half_size"]),
                make("Sub", ["centre", "half_size"], ["low"]),
                make("Add", ["centre", "half_size"], ["high"]),
                make("Concat", ["low", "high", "scores"], [after], axis=1),
            ]

        insert_after(model, "output0", nodes)

    return _in_detector(folder, change, "node_cat_11")


def saturating_half(folder: Path) -> Fault:
    from onnxruntime.transformers.float16 import convert_float_to_float16

    known = architectures.classifier(folder)
    model = onnx.load(known.path)
    set_weights(model, "stem.weight", lambda w: w * 60)
    set_weights(model, "block1.conv1.weight", lambda w: w * 3000)
    set_weights(model, "block1.conv2.weight", lambda w: w / 3000)
    set_weights(model, "top.weight", lambda w: w / 60)
    onnx.save(model, folder / "loud.onnx")
    reference = carried(folder / "loud.onnx", known)
    halved = convert_float_to_float16(model, keep_io_types=True, disable_shape_infer=True)
    onnx.save(halved, folder / "candidate.onnx")
    return Fault(reference, carried(folder / "candidate.onnx", reference), ("block1.conv1",), "float16")


def silent_float32(folder: Path) -> Fault:
    def change(model: Any) -> None:
        casts = []
        for tensor in model.graph.initializer:
            values = numpy_helper.to_array(tensor)
            if values.dtype == np.float32 and values.ndim == 4:
                name = tensor.name
                tensor.CopyFrom(numpy_helper.from_array(values.astype(np.float16), f"{name}.half"))
                casts.append(helper.make_node("Cast", [f"{name}.half"], [name], to=TensorProto.FLOAT))
        for cast in casts:
            model.graph.node.insert(0, cast)

    reference = _detector()
    return Fault(reference, edited(reference, folder, change), (), "float16", streets(3))


def _int8(folder: Path, change: Callable[[Any], Any] = lambda x: x, **options: Any) -> tuple[Artifact, Path]:
    reference = _detector()
    made = folder / "candidate.onnx"
    options = {"method": "percentile", "sensitive": "none", **options}
    TRANSFORMS.make("int8", reference, made, feeds=arrays_of(reference, streets(6, 100), change), **options)
    return reference, made


def calibrated_on_noise(folder: Path) -> Fault:
    random = np.random.default_rng(0)
    reference, made = _int8(folder, lambda x: random.uniform(0.45, 0.55, x.shape).astype(np.float32))
    return Fault(reference, carried(made, reference), (FIRST,), "int8", streets(3))


def broken_int8_bias(folder: Path) -> Fault:
    reference, made = _int8(folder)
    model = onnx.load(made)
    name = next(
        tensor.name
        for tensor in model.graph.initializer
        if "fine.1.merge.0.weight_bias" in tensor.name and tensor.data_type == TensorProto.INT32
    )
    set_weights(model, name, lambda w: w * -3)
    onnx.save(model, made)
    return Fault(reference, carried(made, reference), _by_weight("fine.1.merge.0.weight"), "int8", streets(3))


def wrong_nms_threshold(folder: Path) -> Fault:
    reference = _detector()
    made = TRANSFORMS.make("nms", reference, folder / "candidate.onnx", conf=0.25, iou=0.05)
    candidate = carried(folder / "candidate.onnx", reference, **made.changes)
    return Fault(reference, candidate, (), "float32", streets(8), (Step("nms", {"conf": 0.25, "iou": 0.7}),))


def mixing_batch(folder: Path) -> Fault:
    def change(model: Any) -> None:
        model.graph.initializer.append(numpy_helper.from_array(np.array([0], np.int64), "over_the_batch"))
        model.graph.initializer.append(numpy_helper.from_array(np.array(0.0, np.float32), "nothing"))

        def nodes(before: str, after: str) -> list[Any]:
            make = helper.make_node
            return [
                make("ReduceMean", [before, "over_the_batch"], ["of_all"], keepdims=1),
                make("Mul", [before, "nothing"], ["none"]),
                make("Add", ["none", "of_all"], [after]),
            ]

        insert_after(model, "getitem_6", nodes)

    return _in_detector(folder, change, "node_Conv_1284")


def fixed_side(folder: Path) -> Fault:
    def change(model: Any) -> None:
        node = node_of(model, "node_view_6")
        shape = np.array([1, 4, 16, (384 // 16) * (640 // 16)], np.int64)
        model.graph.initializer.append(numpy_helper.from_array(shape, "fixed"))
        node.input[1] = "fixed"

    return _in_detector(folder, change, "node_view_6")


def fixed_batch(folder: Path) -> Fault:
    reference = architectures.transformer(folder)

    def change(model: Any) -> None:
        set_weights(model, "join", lambda w: np.array([1, 64, 32], np.int64))

    other = folder / "other"
    other.mkdir()
    return Fault(reference, edited(reference, other, change), ("block0.joined",))


def zeroed_layer(folder: Path) -> Fault:
    name = "middle.1.steps.0.0.0.weight"
    return _in_detector(folder, lambda m: set_weights(m, name, lambda w: w * 0), *_by_weight(name))


def scaled_deep_layer(folder: Path) -> Fault:
    return _in_detector(folder, lambda m: set_weights(m, DEEP, lambda w: w * 1.02), *_by_weight(DEEP))


def shuffled_labels(folder: Path) -> Fault:
    labels = _detector().labels
    return _in_detector(folder, lambda m: None, labels=(labels[2], labels[0], labels[1], *labels[3:]))


def dropped_activation(folder: Path) -> Fault:
    def change(model: Any) -> None:
        node_of(model, "node_relu_1").op_type = "Identity"

    return _in_detector(folder, change, "node_relu_1")


def wrong_upscaling(folder: Path) -> Fault:
    reference = architectures.segmenter(folder)

    def change(model: Any) -> None:
        for attribute in node_of(model, "up0").attribute:
            if attribute.name == "mode":
                attribute.s = b"linear"

    other = folder / "other"
    other.mkdir()
    return Fault(reference, edited(reference, other, change), ("up0",))


def wrong_softmax_axis(folder: Path) -> Fault:
    reference = architectures.transformer(folder)

    def change(model: Any) -> None:
        node_of(model, "block1.attention").attribute[0].i = 2

    other = folder / "other"
    other.mkdir()
    return Fault(reference, edited(reference, other, change), ("block1.attention",))


def swapped_gates(folder: Path) -> Fault:
    reference = architectures.recurrent(folder)

    def change(model: Any) -> None:
        for name in ("lstm.weight", "lstm.state"):
            set_weights(model, name, lambda w: np.roll(w, 24, axis=1))

    other = folder / "other"
    other.mkdir()
    return Fault(reference, edited(reference, other, change), ("lstm",))


FAULTS: dict[str, Callable[[Path], Fault]] = {
    "input channels swapped in the first layer": swapped_channels,
    "wrong normalisation built in": wrong_normalisation,
    "BGR taken for RGB": bgr,
    "wrong preprocessing in the passport": wrong_preprocessing_in_the_passport,
    "class labels off by one": labels_off_by_one,
    "classes off by one in the graph": classes_off_by_one,
    "labels shuffled in the metadata": shuffled_labels,
    "sigmoid missing": missing_sigmoid,
    "wrong anchor grid": wrong_anchor_grid,
    "wrong stride": wrong_stride,
    "corners in place of centre and size": corners_for_centres,
    "a layer that saturates in FP16": saturating_half,
    "FP32 inside what was asked as FP16": silent_float32,
    "INT8 calibrated on noise": calibrated_on_noise,
    "INT8 with a broken bias": broken_int8_bias,
    "NMS with a wrong threshold built in": wrong_nms_threshold,
    "a batch that mixes its pictures": mixing_batch,
    "an open side that is fixed inside": fixed_side,
    "an open batch that is fixed inside": fixed_batch,
    "weights of one layer zeroed": zeroed_layer,
    "weights of one deep layer 2 % too large": scaled_deep_layer,
    "an activation left out": dropped_activation,
    "linear upscaling for nearest": wrong_upscaling,
    "softmax over the wrong axis": wrong_softmax_axis,
    "gates of an LSTM in the wrong order": swapped_gates,
}
