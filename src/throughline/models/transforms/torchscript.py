"""TorchScript, for what still runs it: a traced program. PyTorch itself advises ``.pt2`` for anything new."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from throughline.contracts.artifacts import Artifact, Step, TensorSpec
from throughline.contracts.errors import InputError, ModelRefused, first_line
from throughline.models.transforms import Made
from throughline.models.transforms._graph import facts_of, tool
from throughline.models.transforms._network import (
    WEIGHTS,
    Network,
    network_of,
    network_of_program,
    takes,
    unadvised,
)
from throughline.plugins import Plugin

_FORMATS = (*WEIGHTS, "pt2")
_AGREE = 1e-4


def torchscript(
    source: Artifact,
    target: Path,
    *,
    class_: str | None = None,
    trust: bool = False,
    dynamic: bool = True,
    imgsz: tuple[int, int] | None = None,
) -> Made:
    """Trace a network, and hold the trace against it at other sizes than the traced one.

    Args:
        source: weights; or a .pt2 whose sizes are all fixed.
        target: what to write.
        class_: what builds the network that weights belong to: package.module:factory.
        trust: open a program or the pickle of a whole model that no passport of this machine vouches for.
        dynamic: it is meant to take other sizes, too; one that cannot is refused.
        imgsz: height and width; those of its passport when not given.
    """
    takes(source, "torchscript", _FORMATS)
    if source.format == "pt2":
        network = _of_program(source, trust)
    else:
        network = network_of(source, class_, trust=trust, dynamic=dynamic, imgsz=imgsz)
    traced = _traced(source, network)
    names = [argument.name for argument in traced.forward.schema.arguments[1:]]
    inputs = tuple(TensorSpec(name, spec.dtype, spec.shape) for name, spec in zip(names, network.inputs, strict=True))
    notes = [*network.notes, *_held_against(source, network, traced)]
    import torch

    told = [{"name": spec.name, "dtype": spec.dtype, "shape": list(spec.shape)} for spec in inputs]
    facts = {**facts_of(source), "inputs": json.dumps(told)}
    with unadvised():
        torch.jit.save(traced, target, _extra_files={"config.txt": json.dumps(facts)})
    return Made(Step("torchscript", {"class": class_}, tool("torch")), changes={"inputs": inputs}, notes=tuple(notes))


def _of_program(source: Artifact, trust: bool) -> Network:
    network = network_of_program(source, trust=trust)
    if any(isinstance(axis, str) for spec in network.inputs for axis in spec.shape):
        raise InputError(
            f"{source.path} takes {', '.join(map(str, network.inputs))}; a trace of it forgets which sizes are open",
            "give the state dict and the class that builds its network, or keep the .pt2",
        )
    return network


def _traced(source: Artifact, network: Network) -> Any:
    import torch

    try:
        with unadvised(), torch.no_grad():
            return torch.jit.trace(network.module, network.example, check_trace=False, strict=False)
    except Exception as error:
        raise ModelRefused(
            f"{source.path}: it cannot be traced: {first_line(error)[:300]}", "export it --to pt2 instead"
        ) from None


def _held_against(source: Artifact, network: Network, traced: Any) -> list[str]:
    """Run both at the traced size and at others; a difference at the traced size, or in the batch, is an error."""
    import torch

    notes = []
    for what, sizes in _trials(network):
        given = tuple(
            torch.rand(size, generator=torch.Generator().manual_seed(0)).to(example.dtype)
            for size, example in zip(sizes, network.example, strict=True)
        )
        try:
            with unadvised(), torch.no_grad():
                same = _alike(network.module(*given), traced(*given))
        except RuntimeError:
            same = False
        if not same and what == "sides":
            notes.append("the trace is right at the traced height and width alone: its code turns sizes into constants")
        elif not same:
            raise ModelRefused(
                f"{source.path}: its trace gives other answers than the network ({what})",
                "export it --to pt2 or onnx: they follow sizes that a trace fixes",
            )
    return notes


def _trials(network: Network) -> list[tuple[str, list[tuple[int, ...]]]]:
    """The sizes to compare at, and what is tried with them."""

    def sizes(batch: int, further: int) -> list[tuple[int, ...]]:
        pairs = zip(network.inputs, network.example, strict=True)
        return [_sizes(spec, tuple(each.shape), batch, further) for spec, each in pairs]

    tried = [("the traced sizes", [tuple(each.shape) for each in network.example]), ("a batch of 3", sizes(3, 0))]
    if any(isinstance(axis, str) for spec in network.inputs if len(spec.shape) == 4 for axis in spec.shape[2:]):
        tried.append(("sides", sizes(1, network.stride)))
    return tried


def _sizes(spec: TensorSpec, example: tuple[int, ...], batch: int, further: int) -> tuple[int, ...]:
    made = list(example)
    for axis, size in enumerate(spec.shape):
        if isinstance(size, str) and axis == 0:
            made[axis] = batch
        elif isinstance(size, str) and len(spec.shape) == 4 and axis > 1:
            made[axis] += further
    return tuple(made)


def _alike(here: Any, there: Any) -> bool:
    import torch
    from torch.utils import _pytree as pytree

    pairs = list(zip(pytree.tree_leaves(here), pytree.tree_leaves(there), strict=True))
    return all(one.shape == two.shape and torch.allclose(one, two, _AGREE, _AGREE) for one, two in pairs)


PLUGIN = Plugin(
    make=torchscript,
    summary="a traced PyTorch program (.torchscript)",
    needs=("torch",),
    extra="torch",
    facts={"takes": _FORMATS, "gives": "torchscript"},
)
