"""PyTorch's own way to ship a network: a ``torch.export`` program, which needs no class to be opened."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

from throughline.contracts.artifacts import Artifact, Step, TensorSpec
from throughline.models.transforms import Made
from throughline.models.transforms._graph import facts_of, tool
from throughline.models.transforms._network import (
    WEIGHTS,
    Followed,
    axis_name,
    export,
    is_open,
    network_of,
    takes,
    unadvised,
)
from throughline.plugins import Plugin

_TOLD: Final = ("stack_trace", "nn_module_stack", "source_fn_stack", "torch_fn", "from_node")
"""Where on this machine each line of code lay, and counters that differ from run to run: not part of a model."""


def pt2(
    source: Artifact,
    target: Path,
    *,
    class_: str | None = None,
    trust: bool = False,
    dynamic: bool = True,
    imgsz: tuple[int, int] | None = None,
) -> Made:
    """Write weights and the network that they belong to as one program.

    Args:
        source: the weights.
        target: what to write.
        class_: what builds the network: package.module:factory.
        trust: read the pickle of a whole model that no passport of this machine vouches for.
        dynamic: leave the sides of pictures open: any multiples of the model's stride.
        imgsz: height and width; those of its passport when not given.
    """
    takes(source, "pt2", WEIGHTS)
    network = network_of(source, class_, trust=trust, dynamic=dynamic, imgsz=imgsz)
    found = export(network, source.outputs)
    save_program(source, found, target)
    return Made(Step("pt2", {"class": class_}, tool("torch")), changes=interface_of(found), notes=found.notes)


def interface_of(found: Followed) -> dict[str, tuple[TensorSpec, ...]]:
    """What a program takes and returns, by the names that it is called with."""
    values = {node.name: node.meta["val"] for node in found.program.graph.nodes if "val" in node.meta}
    signature, known = found.program.graph_signature, dict[str, str]()

    def spec(called: str, value: Any) -> TensorSpec:
        axes = tuple(
            known.setdefault(str(size), axis_name(axis, value.ndim, len(known))) if is_open(size) else int(size)
            for axis, size in enumerate(value.shape)
        )
        return TensorSpec(called, str(value.dtype).removeprefix("torch."), axes)

    return {
        "inputs": tuple(spec(str(name), values[str(name)]) for name in signature.user_inputs),
        "outputs": tuple(
            spec(called, values[str(name)]) for called, name in zip(found.outputs, signature.user_outputs, strict=True)
        ),
    }


def save_program(source: Artifact, found: Followed, target: Path) -> None:
    """Write a program, with what is known of its model beside the graph."""
    import torch

    for node in found.program.graph.nodes:
        for told in _TOLD:
            node.meta.pop(told, None)
    with unadvised():
        torch.export.save(found.program, target, extra_files={"metadata": json.dumps(facts_of(source))})


PLUGIN = Plugin(
    make=pt2,
    summary="a PyTorch program that brings its network along (.pt2)",
    needs=("torch",),
    extra="torch",
    facts={"takes": WEIGHTS, "gives": "pt2"},
)
