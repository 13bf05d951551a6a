"""Whole channels taken out of a network: it is smaller afterwards, and not the same size with zeros in it.

Channels that hang together (residual steps, concatenations, splits, depthwise steps) go or stay together. What is left
cannot be built by the original class any more, so the result is a ``.pt2``, which brings its network along.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from throughline.contracts.artifacts import Artifact, Step
from throughline.contracts.errors import ModelRefused
from throughline.models.transforms import Feeds, Made
from throughline.models.transforms._channels import check, least
from throughline.models.transforms._graph import tool
from throughline.models.transforms._network import (
    WEIGHTS,
    Network,
    export,
    network_of,
    network_of_program,
    takes,
    tensors,
    unadvised,
)
from throughline.models.transforms._network_channels import follow, owner_of, without
from throughline.models.transforms._running import each
from throughline.models.transforms.pt2 import interface_of, save_program
from throughline.plugins import Plugin

if TYPE_CHECKING:
    import torch

FineTune: TypeAlias = "Callable[[torch.nn.Module], None]"
_FORMATS = (*WEIGHTS, "pt2")


def prune(
    source: Artifact,
    target: Path,
    *,
    ratio: float = 0.25,
    importance: str = "l1",
    feeds: Feeds | None = None,
    finetune: FineTune | None = None,
    class_: str | None = None,
    trust: bool = False,
    imgsz: tuple[int, int] | None = None,
) -> Made:
    """Take the least important channels out of every layer that can spare them.

    Args:
        source: weights, or a .pt2 program.
        target: what to write: a .pt2.
        ratio: the share of channels that goes, of each layer; rounded so that multiples of four stay.
        importance: "l1": a channel counts as much as the weights that make it; "scale": as much as its batch
            normalisation scales it, which says more of networks that were trained for it.
        feeds: real inputs: the batch normalisation is measured anew on them, and kept where that brings the answers
            nearer to what they were.
        finetune: trains what is left, in place: it is given the network, with its gradients on. It has no train()
            or eval(): batch normalisation stays as it was measured.
        class_: what builds the network that weights belong to: package.module:factory.
        trust: open a program or the pickle of a whole model that no passport of this machine vouches for.
        imgsz: the height and width of its pictures, where nothing else says them.
    """
    takes(source, "prune", _FORMATS)
    check(ratio, importance)
    network = _network(source, class_, trust, imgsz)
    module: Any = network.module
    before, channels = _size(module), follow(module)
    gone, layers = least(
        channels, lambda name: getattr(*owner_of(module, name)).detach().float().numpy(), ratio, importance
    )
    if not gone:
        raise ModelRefused(
            f"{source.path}: it has no channels that can go at ratio={ratio}",
            "give a larger ratio; layers whose results are reshaped, or are the answer, keep all of theirs",
        )
    expected = None if feeds is None else _said(network, feeds)
    without(module, channels, gone)
    notes = [f"{layers} layers lost channels: {before:,} parameters became {_size(module):,}"]
    if feeds is not None and expected is not None:
        notes.append(_measured_anew(network, feeds, expected))
    if finetune is not None:
        _train(module, finetune)
    elif feeds is None:
        notes.append("nothing was done to win back what it lost: give feeds, or fine-tune it")
    found = export(network)
    save_program(source, found, target)
    notes.append("the original class does not build it any more: the .pt2 brings its network along")
    options = {
        "ratio": ratio,
        "importance": importance,
        "finetuned": finetune is not None,
        "parameters": [before, _size(module)],
        "class": class_,
    }
    return Made(
        Step("prune", options, tool("torch")),
        changes=interface_of(found),
        notes=(*network.notes, *(note for note in found.notes if note not in network.notes), *notes),
    )


def _network(source: Artifact, class_: str | None, trust: bool, imgsz: tuple[int, int] | None) -> Network:
    """The network as a plain graph, its weights beside it."""
    if source.format == "pt2":
        return network_of_program(source, trust=trust)
    asked = network_of(source, class_, trust=trust, dynamic=True, imgsz=imgsz)
    module = export(asked).program.module(check_guards=False)
    module._forward_pre_hooks.clear()
    return Network(module, asked.inputs, asked.example, asked.stride, asked.notes)


def _said(network: Network, feeds: Feeds) -> list[list[torch.Tensor]]:
    """What a network answers to every feed."""
    import torch
    from torch.utils import _pytree as pytree

    with unadvised(), torch.no_grad():
        asked = [network.module(*tensors(feed, network.inputs)) for feed in each(feeds)]
    return [[leaf.float() for leaf in pytree.tree_leaves(answer)] for answer in asked]


def _apart(network: Network, feeds: Feeds, expected: list[list[torch.Tensor]]) -> float:
    """How far the answers are from what they were, as a share of their size."""
    answers = zip(_said(network, feeds), expected, strict=True)
    pairs = [pair for said, was in answers for pair in zip(said, was, strict=True)]
    lost = sum(float((found - was).square().sum()) for found, was in pairs)
    return math.sqrt(lost / max(1e-12, sum(float(was.square().sum()) for _, was in pairs)))


def _measured_anew(network: Network, feeds: Feeds, expected: list[list[torch.Tensor]]) -> str:
    """Let every batch normalisation see what now comes in, over all feeds; undone where that was worse."""
    import torch
    from torch import fx

    class Measuring(fx.Interpreter):  # type: ignore[misc]
        seen = 0

        def call_function(self, target: Any, args: Any, kwargs: Any) -> Any:
            if "batch_norm" in str(target):
                args = (*args[:5], True, 1.0 / self.seen, *args[7:])
            return super().call_function(target, args, kwargs)

    before = _apart(network, feeds, expected)
    kept = {name: buffer.clone() for name, buffer in network.module.named_buffers()}
    measuring = Measuring(network.module)
    with unadvised(), torch.no_grad():
        for feed in each(feeds):
            measuring.seen += 1
            measuring.run(*tensors(feed, network.inputs))
    after = _apart(network, feeds, expected)
    what = f"batch normalisation measured anew on {measuring.seen} feeds: {before:.3f} off before, {after:.3f} after"
    if after <= before:
        return what
    with torch.no_grad():
        for name, buffer in network.module.named_buffers():
            buffer.copy_(kept[name])
    return f"{what}, so it was left as it was"


def _train(module: torch.nn.Module, finetune: FineTune) -> None:
    import torch

    for parameter in module.parameters():
        parameter.requires_grad_(parameter.is_floating_point())
    with unadvised(), torch.enable_grad():
        finetune(module)
    module.requires_grad_(False)


def _size(module: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


PLUGIN = Plugin(
    make=prune,
    summary="whole channels taken out (structured pruning)",
    needs=("torch",),
    extra="torch",
    facts={"takes": _FORMATS, "gives": "pt2"},
)
