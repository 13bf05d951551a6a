"""The forms of a model that are worth trying on this machine: which graph, in which precision, on which runtime."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple, final

from throughline.contracts.artifacts import Artifact
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
        source: the graph that it is made from.
    """

    name: str
    links: tuple[Link, ...]
    backend: str
    precision: str
    source: Artifact


def recipes(source: Artifact, feeds: Feeds, device: str, called: str = "") -> Iterator[Recipe]:
    """Those that can be made of a graph and run here, the plainest first.

    Args:
        source: the plain graph.
        feeds: its inputs, which calibrate INT8.
        device: where it is to run.
        called: what tells this graph from the others that are searched.
    """
    on_gpu = device != "cpu" and any(name.startswith("gpu") for name in devices("onnxruntime"))
    able = [_Form("onnxruntime float32", (), "onnxruntime", "float32")]
    able += [form for forms in (_openvino, _tensorrt, _onnxruntime) for form in forms(feeds, on_gpu)]
    for name, links, backend, precision in able:
        yield Recipe(f"{called} {name}".strip(), links, backend, precision, source)


class _Form(NamedTuple):
    name: str
    links: tuple[Link, ...]
    backend: str
    precision: str


def _onnxruntime(feeds: Feeds, on_gpu: bool) -> Iterator[_Form]:
    if on_gpu:
        yield _Form("onnxruntime float16", (Link("half", {"feeds": feeds}),), "onnxruntime", "float16")
    yield _Form("onnxruntime int8", (Link("int8", {"feeds": feeds}),), "onnxruntime", "int8")


def _openvino(feeds: Feeds, on_gpu: bool) -> Iterator[_Form]:
    if on_gpu or unusable("openvino") is not None:
        return
    yield _Form("openvino float32", (Link("openvino"),), "openvino", "float32")
    if "bf16" in " ".join(detect().cpu.features):
        yield _Form("openvino bfloat16", (Link("openvino", {"bfloat16": True}),), "openvino", "bfloat16")
    if TRANSFORMS.get("openvino_int8").missing() is None:
        yield _Form("openvino int8", (Link("openvino_int8", {"feeds": feeds}),), "openvino", "int8")


def _tensorrt(feeds: Feeds, on_gpu: bool) -> Iterator[_Form]:
    for name in ("tensorrt", "tensorrt_rtx"):
        if not on_gpu or unusable(name) is not None:
            continue
        half, int8 = Link("half", {"feeds": feeds}), Link("int8", {"feeds": feeds, "for_": "nvidia"})
        yield _Form(f"{name} float32", (Link(name),), name, "float32")
        yield _Form(f"{name} float16", (half, Link(name)), name, "float16")
        yield _Form(f"{name} int8", (int8, Link(name)), name, "int8")
