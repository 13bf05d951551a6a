"""The forms of a model that are worth trying on this machine: which graph, in which precision, on which runtime."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import final

from throughline.hardware import detect
from throughline.models.backends import devices, unusable
from throughline.models.chain import Link
from throughline.models.transforms import TRANSFORMS, Feeds


@final
@dataclass(frozen=True, slots=True)
class Recipe:
    """One form of the model.

    Attributes:
        name: the runtime and the precision, as they are shown.
        links: how it is made from the plain ONNX graph.
        backend: what runs it.
        precision: what is asked of it: "float32", "bfloat16", "float16", "int8".
    """

    name: str
    links: tuple[Link, ...]
    backend: str
    precision: str


def recipes(feeds: Feeds, device: str) -> Iterator[Recipe]:
    """Those that can be made and run here, the plainest first; ``feeds`` calibrate INT8."""
    on_gpu = device != "cpu" and any(name.startswith("gpu") for name in devices("onnxruntime"))
    yield Recipe("onnxruntime float32", (), "onnxruntime", "float32")
    for made in (_openvino, _tensorrt, _onnxruntime):
        yield from made(feeds, on_gpu)


def _onnxruntime(feeds: Feeds, on_gpu: bool) -> Iterator[Recipe]:
    if on_gpu:
        yield Recipe("onnxruntime float16", (Link("half", {"feeds": feeds}),), "onnxruntime", "float16")
    yield Recipe("onnxruntime int8", (Link("int8", {"feeds": feeds}),), "onnxruntime", "int8")


def _openvino(feeds: Feeds, on_gpu: bool) -> Iterator[Recipe]:
    if on_gpu or unusable("openvino") is not None:
        return
    yield Recipe("openvino float32", (Link("openvino"),), "openvino", "float32")
    if "bf16" in " ".join(detect().cpu.features):
        yield Recipe("openvino bfloat16", (Link("openvino", {"bfloat16": True}),), "openvino", "bfloat16")
    if TRANSFORMS.get("openvino_int8").missing() is None:
        yield Recipe("openvino int8", (Link("openvino_int8", {"feeds": feeds}),), "openvino", "int8")


def _tensorrt(feeds: Feeds, on_gpu: bool) -> Iterator[Recipe]:
    for name in ("tensorrt", "tensorrt_rtx"):
        if not on_gpu or unusable(name) is not None:
            continue
        half, int8 = Link("half", {"feeds": feeds}), Link("int8", {"feeds": feeds, "for_": "nvidia"})
        yield Recipe(f"{name} float32", (Link(name),), name, "float32")
        yield Recipe(f"{name} float16", (half, Link(name)), name, "float16")
        yield Recipe(f"{name} int8", (int8, Link(name)), name, "int8")
