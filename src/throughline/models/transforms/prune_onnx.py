"""Whole channels taken out of an ONNX graph, where there is no checkpoint to prune: no training, and no PyTorch.

What is left computes what it did, on fewer channels. Nothing wins back what was lost, so this is for what can spare
much, or for a look at how much that is; a network that can be trained is better pruned there, with ``prune``.
"""

from __future__ import annotations

from math import prod
from pathlib import Path
from typing import Any

from throughline.contracts.artifacts import Artifact, Step
from throughline.contracts.errors import ModelRefused
from throughline.models.transforms import Made
from throughline.models.transforms import _graph as graph
from throughline.models.transforms._channels import check, least
from throughline.models.transforms._graph_channels import follow, unshared, without
from throughline.plugins import Plugin


def prune_onnx(source: Artifact, target: Path, *, ratio: float = 0.25, importance: str = "l1") -> Made:
    """Take the least important channels out of every layer that can spare them.

    Args:
        source: the model.
        target: what to write.
        ratio: the share of channels that goes, of each layer; rounded so that multiples of four stay.
        importance: "l1": a channel counts as much as the weights that make it; "scale": as much as its batch
            normalisation scales it, where that is not folded into the layer before it.
    """
    check(ratio, importance)
    original = graph.load(source, "prune_onnx")
    import onnx

    model = onnx.ModelProto()
    model.CopyFrom(original)
    graph.lift_constants(model)
    unshared(model)
    model = graph.inferred(model)
    channels = follow(model)
    gone, layers = least(channels, graph.constants(model).__getitem__, ratio, importance)
    if not gone:
        raise ModelRefused(
            f"{source.path}: it has no channels that can go at ratio={ratio}",
            "give a larger ratio; layers whose results are reshaped, or are the answer, keep all of theirs",
        )
    before = _size(model)
    without(model, channels, gone)
    companions = graph.save(model, target, like=original)
    options = {"ratio": ratio, "importance": importance, "parameters": [before, _size(model)]}
    return Made(
        Step("prune_onnx", options, graph.tool("onnx")),
        companions,
        notes=(
            f"{layers} layers lost channels: {before:,} parameters became {_size(model):,}",
            "nothing was done to win back what it lost: prune and fine-tune the checkpoint where there is one",
        ),
    )


def _size(model: Any) -> int:
    return sum(prod(tensor.dims) for tensor in model.graph.initializer)


PLUGIN = Plugin(
    make=prune_onnx,
    summary="whole channels taken out of an ONNX graph (structured pruning)",
    needs=("onnx",),
    facts={"takes": ("onnx",), "gives": None},
)
