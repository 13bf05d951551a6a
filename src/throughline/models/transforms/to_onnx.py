"""From PyTorch to an ONNX graph: the form that every other transform, and every engine, starts from."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from throughline.contracts.artifacts import Artifact, Step
from throughline.contracts.errors import ModelRefused, first_line
from throughline.models.transforms import Made
from throughline.models.transforms import _graph as graph
from throughline.models.transforms._network import (
    WEIGHTS,
    Followed,
    export,
    network_of,
    network_of_program,
    takes,
    unadvised,
)
from throughline.plugins import Plugin

OPSET: Final = 20
_FORMATS = (*WEIGHTS, "pt2")


def to_onnx(
    source: Artifact,
    target: Path,
    *,
    class_: str | None = None,
    trust: bool = False,
    dynamic: bool = False,
    imgsz: tuple[int, int] | None = None,
    followed: Followed | None = None,
) -> Made:
    """Write a network as ONNX. Its batch stays open wherever its code allows that.

    Args:
        source: weights, or a .pt2 program.
        target: what to write.
        class_: what builds the network that weights belong to: package.module:factory.
        trust: open a program or the pickle of a whole model that no passport of this machine vouches for.
        dynamic: leave the sides of pictures open, too: any multiples of the model's stride.
        imgsz: height and width; those of its passport when not given.
        followed: what a .pt2 holds, where this process has just made it: following a network takes its time.
    """
    takes(source, "to_onnx", _FORMATS)
    if source.format != "pt2":
        network = network_of(source, class_, trust=trust, dynamic=dynamic, imgsz=imgsz)
        found = export(network, source.outputs)
    else:
        found = followed or export(network_of_program(source, trust=trust))
    model = _converted(source, found)
    _tidy(model, found)
    facts = graph.facts_of(source)
    if imgsz is not None and not dynamic and source.format != "pt2":
        facts["imgsz"] = str(list(imgsz))
    graph.set_metadata(model, facts)
    companions = graph.save(model, target)
    return Made(
        Step(
            "to_onnx",
            {"opset": OPSET, "class": class_, "inputs": _interface(model.graph.input)},
            graph.tool("torch", "onnx", "onnxscript"),
        ),
        companions,
        changes={"imgsz": imgsz} if "imgsz" in facts and imgsz is not None else {},
        notes=found.notes,
    )


def _converted(source: Artifact, found: Followed) -> Any:
    import torch

    try:
        with unadvised():
            made = torch.onnx.export(
                found.program,
                dynamo=True,
                opset_version=OPSET,
                external_data=False,
                input_names=list(found.inputs),
                output_names=list(found.outputs),
                verbose=False,
            )
    except Exception as error:
        raise ModelRefused(
            f"{source.path}: PyTorch's exporter cannot write it as ONNX: {first_line(error)[:300]}",
            "take what has no ONNX form out of forward, or do it after the model",
        ) from None
    return made.model_proto


def _tidy(model: Any, found: Followed) -> None:
    """Take out where on this machine each line of code lies, and give the open axes names that people can read."""
    for inner in (model.graph, *model.functions):
        for node in inner.node:
            del node.metadata_props[:]
            node.doc_string = ""
        del inner.metadata_props[:]
    for tensor in model.graph.initializer:
        del tensor.metadata_props[:]
        tensor.doc_string = ""
    graph.forget_shapes(model)
    del model.metadata_props[:]
    model.graph.name = "network"
    for value in (*model.graph.input, *model.graph.output):
        for dimension in value.type.tensor_type.shape.dim:
            if dimension.dim_param.isdecimal():
                dimension.dim_value = int(dimension.dim_param)
    called: dict[str, str] = {}
    for value in model.graph.input:
        names = ("batch", "channels", "height", "width")
        dimensions = value.type.tensor_type.shape.dim
        for axis, dimension in enumerate(dimensions):
            if dimension.dim_param:
                name = names[axis] if axis == 0 or len(dimensions) == 4 else f"{value.name}_{axis}"
                called.setdefault(dimension.dim_param, name)
    for value in (*model.graph.input, *model.graph.output):
        del value.metadata_props[:]
        for axis, dimension in enumerate(value.type.tensor_type.shape.dim):
            if dimension.dim_param:
                dimension.dim_param = called.setdefault(
                    dimension.dim_param, "anchors" if value.name == "output0" and axis == 2 else f"{value.name}_{axis}"
                )


def _interface(values: Sequence[Any]) -> list[str]:
    return [f"{value.name}{list(graph.axes(value))}" for value in values]


PLUGIN = Plugin(
    make=to_onnx,
    summary="PyTorch to an ONNX graph (torch.export)",
    needs=("torch", "onnx", "onnxscript"),
    extra="torch",
    facts={"takes": _FORMATS, "gives": "onnx"},
)
