"""Non-maximum suppression inside the graph: boxes come out finished, whoever runs the model.

The nodes added do what ``throughline.vision.suppress`` does: each place keeps its best class, the 3000 best places
are candidates, and of two of one class that overlap too much the better stays. Rows are filled up with zeros.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import numpy as np

from throughline.contracts.artifacts import Artifact, Step
from throughline.contracts.errors import InputError
from throughline.models.transforms import Made
from throughline.models.transforms import _graph as graph
from throughline.plugins import Plugin

_CANDIDATES: Final = 3000
_ABSURD: Final = 1e6
_FAMILIES: Final = ("yolo", "yolov5")
_IN: Final = "throughline_nms_"


def nms(source: Artifact, target: Path, *, conf: float = 0.25, iou: float = 0.7, max_det: int = 300) -> Made:
    """Add suppression to a detector of the families ``yolo`` and ``yolov5``.

    Args:
        source: the model; its one output becomes [batch, max_det, 6]: x1, y1, x2, y2, score, class.
        target: what to write.
        conf: the least confidence that counts.
        iou: two boxes of a class that overlap more are one object.
        max_det: the rows of each picture.
    """
    _check(conf, iou, max_det)
    model = graph.raised_to(graph.load(source, "nms"), 13, "suppression in the graph")
    family = source.passport.decoder
    if family not in _FAMILIES:
        raise InputError(
            f"{source.path} is read by the decoder {family or 'nobody knows'}; 'nms' takes {', '.join(_FAMILIES)}",
            "leave suppression to the decoder, which does it at every run",
        )
    output = _output(source, model, family)
    if len(source.labels) + 4 == max_det:
        raise InputError(
            f"max_det={max_det} with {len(source.labels)} classes cannot be told from a head without suppression",
            f"pass max_det={max_det - 1} or {max_det + 1}",
        )
    _append(model, output, family, conf, iou, max_det)
    settled = {"decoder": "yolo", "conf": f"{conf:g}", "iou": f"{iou:g}", "max_det": str(max_det)}
    # the shapes no longer tell the number of classes: what only the passport knows goes into the file
    graph.set_metadata(model, {**graph.facts_of(source), **settled})
    companions = graph.save(model, target)
    return Made(
        Step("nms", {"conf": conf, "iou": iou, "max_det": max_det, "family": family}, graph.tool("onnx")),
        companions,
        {"decoder": "yolo"},
        (f"suppression is inside: conf {conf:g}, iou {iou:g}, at most {max_det} objects; fixed for good",),
    )


def _check(conf: float, iou: float, max_det: int) -> None:
    for name, value in (("conf", conf), ("iou", iou)):
        if not 0 <= value <= 1:
            raise InputError(f"{name}={value}: it is a share", "give a number from 0 to 1")
    if not 1 <= max_det <= _CANDIDATES:
        raise InputError(f"max_det={max_det}", f"give 1 to {_CANDIDATES}")


def _output(source: Artifact, model: Any, family: str) -> Any:
    if len(model.graph.output) != 1:
        raise InputError(
            f"{source.path} has {len(model.graph.output)} outputs; 'nms' takes detectors with one",
            "masks and keypoints cannot go through suppression in the graph; leave it to the decoder",
        )
    output = model.graph.output[0]
    shape, kind = graph.axes(output), output.type.tensor_type.elem_type
    if len(shape) != 3 or (shape[2] == 6 and family == "yolo"):
        raise InputError(
            f"{source.path} gives {source.outputs[0]}, which is no head before suppression",
            "it may have suppression inside already; leave 'nms' away",
        )
    if kind not in (1, 10):
        raise InputError(f"{source.path} gives {source.outputs[0]}", "export it with a float32 or float16 output")
    return output


def _append(model: Any, output: Any, family: str, conf: float, iou: float, max_det: int) -> None:
    from onnx import TensorProto, helper, numpy_helper

    version = graph.opset(model)
    nodes: list[Any] = []

    def const(name: str, value: Any, dtype: Any = np.int64) -> str:
        full = f"{_IN}const_{name}"
        model.graph.initializer.append(numpy_helper.from_array(np.asarray(value, dtype), full))
        return full

    def node(kind: str, takes: list[str], gives: str, **attributes: Any) -> str:
        full = gives if gives == name else _IN + gives
        nodes.append(helper.make_node(kind, takes, [full], f"{_IN}{gives}", **attributes))
        return full

    def top(takes: str, count: str, gives: str) -> tuple[str, str]:
        values, places = f"{_IN}{gives}", f"{_IN}{gives}_places"
        nodes.append(helper.make_node("TopK", [takes, count], [values, places], f"{_IN}{gives}", axis=1))
        return values, places

    def best(takes: str, gives: str) -> str:
        if version >= 18:
            return node("ReduceMax", [takes, const(f"{gives}_axis", [2])], gives, keepdims=0)
        return node("ReduceMax", [takes], gives, axes=[2], keepdims=0)

    def slice_(takes: str, start: int, stop: int, gives: str) -> str:
        ends = [const(f"{gives}_{part}", [value]) for part, value in (("from", start), ("to", stop), ("axis", 2))]
        return node("Slice", [takes, *ends], gives)

    def with_axes(takes: str, axes: list[int], gives: str) -> str:
        return node("Unsqueeze", [takes, const(f"{gives}_axes", axes)], gives)

    name = output.name
    raw = f"{_IN}head"
    for one in model.graph.node:
        one.output[:] = [raw if made == name else made for made in one.output]
        one.input[:] = [raw if read == name else read for read in one.input]
    rows = node("Cast", [raw], "rows_float", to=TensorProto.FLOAT)
    if family == "yolo":
        rows = node("Transpose", [rows], "rows", perm=[0, 2, 1])
    xywh = slice_(rows, 0, 4, "xywh")
    last = np.iinfo(np.int64).max
    if family == "yolo":
        scores = slice_(rows, 4, last, "scores")
    else:
        scores = node("Mul", [slice_(rows, 4, 5, "objectness"), slice_(rows, 5, last, "classes")], "scores")
    # a broken model's NaN and absurd numbers are no objects: comparing with NaN is false
    zero = const("zero", 0, np.float32)
    farthest = best(node("Abs", [xywh], "abs"), "farthest")
    sound = node("Less", [farthest, const("absurd", _ABSURD, np.float32)], "sound")
    confidence = node("Where", [sound, best(scores, "best"), zero], "confidence")
    kind = node("ArgMax", [scores], "kind", axis=2, keepdims=0)

    # the candidates: the best places of each picture
    count = node("Shape", [confidence], "shape")
    places = node("Slice", [count, const("one", [1]), const("two", [2])], "places")
    candidates = node("Min", [places, const("most", [_CANDIDATES])], "candidates")
    confidence, where = top(confidence, candidates, "top")
    column = with_axes(where, [2], "column")
    kind = node("GatherND", [kind, column], "top_kind", batch_dims=1)
    xywh = node("GatherND", [xywh, column], "top_xywh", batch_dims=1)

    # one score for each class, all but the best class's nought
    classes = node("Shape", [scores], "scores_shape")
    classes = node("Gather", [classes, const("third", 2)], "class_count")
    numbers = node("Range", [const("first", 0), classes, const("step", 1)], "numbers")
    numbers = with_axes(numbers, [0, 2], "numbers_column")
    row = with_axes(kind, [1], "kind_row")
    score_row = with_axes(confidence, [1], "score_row")
    by_class = node("Where", [node("Equal", [row, numbers], "is_kind"), score_row, zero], "by_class")
    # ours keeps what reaches conf, and ONNX what exceeds it
    least = float(np.nextafter(np.float32(conf), np.float32(-1)))
    kept = node(
        "NonMaxSuppression",
        [xywh, by_class, const("per_class", [max_det]), const("iou", [iou], np.float32),
         const("conf", [max(least, 0.0)], np.float32)],
        "kept",
        center_point_box=1,
    )  # fmt: skip

    # mark what was kept, and take the best of each picture
    pairs = node("Gather", [kept, const("picture_and_place", [0, 2])], "pairs", axis=1)
    values = node("GatherND", [confidence, pairs], "values")
    empty = node("Mul", [confidence, zero], "empty")
    standing = node("ScatterND", [empty, pairs, values], "standing")
    rest = node(
        "Sub", [const("rows", [max_det]), node("Min", [candidates, const("rows_2", [max_det])], "some")], "rest"
    )
    score, where = top(standing, node("Sub", [const("rows_3", [max_det]), rest], "taken"), "finished")
    column = with_axes(where, [2], "finished_column")
    kind = node("GatherND", [kind, column], "finished_kind", batch_dims=1)
    box = node("GatherND", [xywh, column], "box", batch_dims=1)
    centre, size = slice_(box, 0, 2, "centre"), slice_(box, 2, 4, "size")
    half = node("Mul", [size, const("half", 0.5, np.float32)], "half")
    score = with_axes(score, [2], "score")
    kind = with_axes(node("Cast", [kind], "kind_float", to=TensorProto.FLOAT), [2], "class")
    table = node(
        "Concat",
        [node("Sub", [centre, half], "from"), node("Add", [centre, half], "to"), score, kind],
        "table",
        axis=2,
    )
    there = node("Greater", [score, zero], "there")
    table = node("Where", [there, table, zero], "clean")
    pads = node("Concat", [const("before", [0, 0, 0, 0]), rest, const("after", [0])], "pads", axis=0)
    if output.type.tensor_type.elem_type == TensorProto.FLOAT:
        node("Pad", [table, pads], name)
    else:
        node("Cast", [node("Pad", [table, pads], "padded")], name, to=output.type.tensor_type.elem_type)
    model.graph.node.extend(nodes)
    batch = output.type.tensor_type.shape.dim[0]
    sizes = [batch.dim_value if batch.HasField("dim_value") else batch.dim_param or "batch", max_det, 6]
    output.CopyFrom(helper.make_tensor_value_info(name, output.type.tensor_type.elem_type, sizes))
    kept_values = [value for value in model.graph.value_info if value.name != raw]
    del model.graph.value_info[:]
    model.graph.value_info.extend(kept_values)


PLUGIN = Plugin(
    make=nms,
    summary="suppression of doubles inside the graph (YOLO heads)",
    needs=("onnx",),
    facts={"takes": ("onnx",), "gives": None},
)
