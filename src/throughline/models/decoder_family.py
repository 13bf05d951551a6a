"""Guess how a model's raw outputs are to be read, from their shapes and what the exporter wrote.

A guess is made only where the shapes allow no other reading; None leaves it to
the user to say.
"""

from __future__ import annotations

from collections.abc import Sequence

from throughline.contracts.artifacts import Axis, TensorSpec

_BOX = 4
_IMAGENET = (1000, 1001, 21_841, 21_843)


def decoder_family(
    outputs: Sequence[TensorSpec],
    task: str | None,
    labels: Sequence[str],
    imgsz: tuple[int, int] | None = None,
) -> str | None:
    """The decoder's name: ``yolo``, ``yolov5``, ``nanodet``, ``detr``, ``classify``; None where unsure."""
    shapes = [output.shape for output in outputs]
    names = [output.name.lower() for output in outputs]
    if any("cls_score" in name or "cls_pred" in name for name in names) and any("bbox_pred" in name for name in names):
        return "nanodet"
    if {"logits", "pred_boxes"} <= set(names) or {"pred_logits", "pred_boxes"} <= set(names):
        return "detr"
    if task == "classify":
        return "classify"
    if not shapes:
        return None
    first = shapes[0]
    if len(first) == 3:
        return _detector(first, task, len(labels), imgsz)
    if len(shapes) == 1 and len(first) == 2 and task is None:
        return "classify" if first[1] == len(labels) or (not labels and first[1] in _IMAGENET) else None
    return None


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


def _detector(shape: tuple[Axis, ...], task: str | None, labels: int, imgsz: tuple[int, int] | None) -> str | None:
    _, middle, last = shape
    if labels and last == labels + _BOX + 1 and middle != labels + _BOX:
        return "yolov5"
    if imgsz is not None and middle == 3 * _cells(imgsz) and last != middle:
        return "yolov5"
    channels = _channels(shape)
    if channels is None or channels <= _BOX:
        return None
    certain = task in ("detect", "segment", "pose", "obb") or channels == labels + _BOX
    return "yolo" if certain or (imgsz is not None and last == _cells(imgsz)) else None


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
