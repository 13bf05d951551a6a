"""Guess how a model's raw outputs are to be read, from their shapes and what the exporter wrote.

A guess is made only where the shapes allow no other reading; None leaves it to
the user to say.
"""

from __future__ import annotations

from collections.abc import Sequence

from throughline.contracts.artifacts import Axis, TensorSpec

_BOX = 4
_COCO = 80
_ROWS = 300
"""How many results a detector gives that suppresses doubles itself, unless told otherwise."""
_IMAGENET = (1000, 1001, 21_841, 21_843)


def decoder_family(
    outputs: Sequence[TensorSpec],
    task: str | None,
    labels: Sequence[str],
    imgsz: tuple[int, int] | None = None,
) -> str | None:
    """The name of the decoder (see ``throughline.vision.decoders``); None where unsure."""
    names = [output.name.lower() for output in outputs]
    shapes = [output.shape for output in outputs]
    by_name = _by_names(names)
    if by_name is not None or not shapes:
        return by_name
    first = shapes[0]
    if task == "classify" or (len(shapes) == 1 and len(first) == 2 and task is None and _counts(first[1], labels)):
        return "yolo_cls" if task == "classify" and names == ["output0"] else "classify"
    if len(first) != 3 or task == "obb":
        return None
    if task == "pose":
        return "yolo_pose"
    if len(shapes) == 2 and len(shapes[1]) == 4 and task in (None, "segment"):
        return "yolo_seg" if task or _has_masks(first, shapes[1], len(labels)) else None
    return _detector(first, task, len(labels), imgsz)


def classes_of(outputs: Sequence[TensorSpec], decoder: str | None, task: str | None) -> int | None:
    """How many classes the outputs have room for; None where the shapes do not tell."""
    if not outputs:
        return None
    shape = outputs[0].shape
    last = shape[-1] if shape else None
    if decoder == "yolo" and len(shape) == 3 and task in (None, "detect"):
        channels = _channels(shape)
        return channels - _BOX if channels is not None and channels > _BOX else None
    if decoder == "yolov5" and isinstance(last, int) and task in (None, "detect"):
        return last - _BOX - 1
    if decoder == "classify" and isinstance(last, int):
        return last
    if decoder == "nanodet" and isinstance(last, int) and "cls" in outputs[0].name.lower():
        return last
    return None


def _by_names(names: Sequence[str]) -> str | None:
    """The family of detectors whose exporter gives its outputs names of their own."""
    if any("cls_score" in name or "cls_pred" in name for name in names) and any("bbox_pred" in name for name in names):
        return "nanodet"
    known = (
        ({"logits", "pred_boxes"}, "detr"),
        ({"pred_logits", "pred_boxes"}, "detr"),
        ({"labels", "boxes", "scores"}, "detr"),
        ({"dets", "labels"}, "rfdetr"),
    )
    return next((family for outputs, family in known if outputs <= set(names)), None)


def _counts(classes: Axis, labels: Sequence[str]) -> bool:
    return classes == len(labels) if labels else classes in _IMAGENET


def _has_masks(shape: tuple[Axis, ...], prototypes: tuple[Axis, ...], labels: int) -> bool:
    """Whether there is room for box, classes and one coefficient for each prototype, and for nothing else."""
    _, middle, last = shape
    masks = prototypes[1]
    return isinstance(masks, int) and (last == _BOX + 2 + masks or (labels > 0 and middle == _BOX + labels + masks))


def _detector(shape: tuple[Axis, ...], task: str | None, labels: int, imgsz: tuple[int, int] | None) -> str | None:
    _, middle, last = shape
    cells = None if imgsz is None else _cells(imgsz)
    with_objectness = (labels or _COCO) + _BOX + 1
    if cells is not None and middle == cells and last == with_objectness:
        return "yolox"
    if cells is not None and middle == 3 * cells and last != middle:
        return "yolov5"
    if last == _BOX + 2 and middle == _ROWS:
        return None if labels == 2 else "yolo"  # two classes beside four coordinates look the same
    if labels and last == labels + _BOX and middle == _ROWS:
        return "detr"
    if labels and last == with_objectness and middle != labels + _BOX:
        return "yolov5"
    channels = _channels(shape)
    if channels is None or channels <= _BOX:
        return None
    certain = task == "detect" or channels == labels + _BOX
    return "yolo" if certain or (cells is not None and last == cells) else None


def _cells(imgsz: tuple[int, int]) -> int:
    """How many places a detector with strides 8, 16 and 32 predicts at."""
    height, width = imgsz
    return sum((height // stride) * (width // stride) for stride in (8, 16, 32))


def _channels(shape: tuple[Axis, ...]) -> int | None:
    """The channels of ``[batch, 4 + classes, anchors]``: the middle axis, unless that one is plainly the anchors."""
    _, middle, last = shape
    if not isinstance(middle, int) or (isinstance(last, int) and middle > last):
        return None
    return middle
