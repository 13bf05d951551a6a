"""A PyTorch network on its way to another form: built by code that its user names, followed by ``torch.export``.

A state dict holds numbers and not what to do with them, so nothing of it runs; the network comes from a factory that
somebody vouches for by naming it. A ``.pt2`` brings its network along and is a program: it is opened where a passport
of this machine or its user vouches for it.
"""

from __future__ import annotations

import inspect
import math
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, final

from throughline.contracts.artifacts import Array, Artifact, TensorSpec
from throughline.contracts.errors import InputError, ModelRefused, first_line
from throughline.models import passport as passports
from throughline.models.backends.torch import named
from throughline.models.transforms._graph import USUAL_SIZE, USUAL_STRIDE
from throughline.models.transforms._running import quietly

if TYPE_CHECKING:
    import torch

WEIGHTS: Final = ("safetensors", "checkpoint")
_MOST_STRIDES: Final = 256
_BATCHES: Final = 2
"""The batch of the example: one that is not 1, which PyTorch would take for a constant."""


@final
@dataclass(frozen=True, slots=True, eq=False)
class Network:
    """A network that can be called, and what it takes.

    Attributes:
        module: what to call.
        inputs: what it takes, in order; an axis that is named may vary.
        example: tensors of these sizes.
        stride: its sides are multiples of it.
        notes: what was assumed.
    """

    module: torch.nn.Module
    inputs: tuple[TensorSpec, ...]
    example: tuple[torch.Tensor, ...]
    stride: int
    notes: tuple[str, ...] = ()


@final
@dataclass(frozen=True, slots=True, eq=False)
class Followed:
    """What ``torch.export`` made of a network.

    Attributes:
        program: the program.
        inputs: the names of its inputs, in order.
        outputs: the names of its outputs, in order.
        notes: what came out otherwise than it was asked for.
    """

    program: torch.export.ExportedProgram
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    notes: tuple[str, ...] = ()


def takes(source: Artifact, transform: str, formats: Sequence[str]) -> None:
    """Refuse an artifact of another format; the fix depends on what it is."""
    if source.format in formats:
        return
    if source.format == "onnx":
        fix = "an ONNX graph does not become PyTorch again: give the checkpoint it was exported from"
        fix += ", or use 'prune_onnx'" * (transform == "prune")
    elif source.format == "torchscript":
        fix = (
            "TorchScript does not pass through torch.export: give the state dict and the class that builds its network"
        )
    else:
        fix = "give the PyTorch checkpoint it was made from"
    raise InputError(f"{source.path} is {source.format}; '{transform}' takes {', '.join(formats)}", fix)


def network_of(
    source: Artifact,
    class_: str | None,
    *,
    trust: bool = False,
    dynamic: bool = False,
    imgsz: tuple[int, int] | None = None,
) -> Network:
    """The network of a state dict, filled with its weights.

    Args:
        source: the weights.
        class_: what builds the network: package.module:factory.
        trust: read the pickle of a whole model, too.
        dynamic: leave the sides of pictures open.
        imgsz: the height and width of its pictures, where they are not open or nothing else says them.
    """
    from throughline.models.loading import architecture, load_state_dict
    from throughline.models.loading.architectures import fill

    if class_ is None:
        raise InputError(
            f"{source.path} holds weights and not the network they belong to",
            "say what builds it: --class package.module:function",
        )
    module = fill(architecture(class_), load_state_dict(source.path, trust=trust).tensors).eval().requires_grad_(False)
    specs, notes = _inputs(module, source, imgsz)
    size = imgsz or source.passport.imgsz or (USUAL_SIZE, USUAL_SIZE)
    specs = tuple(spec if dynamic else _fixed(spec, size) for spec in specs)
    stride = source.passport.stride or math.gcd(USUAL_STRIDE, *size)
    if dynamic and any(side % stride for side in size):
        raise InputError(f"imgsz {size[0]}x{size[1]}: the sides are multiples of {stride}", "give others")
    return Network(module, specs, _example(specs, size), stride, notes)


def program_of(source: Artifact, *, trust: bool = False) -> torch.export.ExportedProgram:
    """The program in a ``.pt2``, once somebody vouches for it."""
    import torch

    from throughline.models.loading import check

    holds = source.issued and passports.lacks(source.passport) is None
    check(source.path, trust=trust, passport_holds=holds)
    try:
        return torch.export.load(str(source.path))
    except Exception as error:
        raise InputError(f"{source.path}: torch cannot open it: {first_line(error)[:200]}", "export it again") from None


def export(network: Network, outputs: Sequence[TensorSpec] = ()) -> Followed:
    """Follow a network with ``torch.export``: sides as multiples of the stride, or, failing that, as PyTorch finds."""
    import torch

    problems: list[str] = []
    for exact in (True, False):
        shapes = tuple(_dimensions(spec, network.stride, exact) for spec in network.inputs)
        try:
            with unadvised(), torch.no_grad():
                program = torch.export.export(network.module, network.example, dynamic_shapes=shapes)
        except Exception as error:
            problems.append(first_line(error))
            continue
        return _followed(program, network, outputs, problems)
    raise ModelRefused(
        f"torch.export cannot follow {type(network.module).__name__}: {problems[-1][:300]}",
        "let forward choose its way by sizes and options alone, not by what is in the tensors",
    )


def followed(program: torch.export.ExportedProgram, outputs: Sequence[TensorSpec] = ()) -> Followed:
    """A program that was exported before."""
    from torch.utils import _pytree as pytree

    signature = program.graph_signature
    leaves = list(signature.user_outputs)
    tree = pytree.tree_unflatten(leaves, program.call_spec.out_spec)
    if not all(isinstance(leaf, str) for leaf in named(tree, outputs).values()):
        raise InputError(
            "the network returns tensors inside of tuples or lists", "let forward return them side by side"
        )
    return Followed(program, tuple(map(str, signature.user_inputs)), tuple(named(tree, outputs)))


def network_of_program(source: Artifact, *, trust: bool = False) -> Network:
    """The network inside a ``.pt2``, its open axes by name."""
    import torch

    program = program_of(source, trust=trust)
    values = {node.name: node.meta.get("val") for node in program.graph.nodes}
    specs, example, known = [], [], {spec.name: spec for spec in source.inputs}
    for name in map(str, program.graph_signature.user_inputs):
        value: Any = values[name]
        axes = tuple(
            size if isinstance(size, int) else axis_name(axis, value.ndim, axis)
            for axis, size in enumerate(value.shape)
        )
        kept = known[name].shape if name in known else ()
        same = len(kept) == len(axes) and all(type(here) is type(there) for here, there in zip(kept, axes, strict=True))
        specs.append(TensorSpec(name, str(value.dtype).removeprefix("torch."), kept if same else axes))
        hints = [size if isinstance(size, int) else int(size.node.hint or _BATCHES) for size in value.shape]
        example.append(torch.zeros(hints, dtype=value.dtype))
    module = program.module(check_guards=False)
    module._forward_pre_hooks.clear()  # they compare sizes, which whoever follows the program cannot do
    sides = [side for tensor in example if tensor.ndim == 4 for side in tensor.shape[2:]]
    return Network(module, tuple(specs), tuple(example), source.passport.stride or math.gcd(USUAL_STRIDE, *sides))


def is_open(size: Any) -> bool:
    """Whether a size in a program may vary; one that turned out to be fixed can still look like one that may."""
    return not isinstance(size, int) and not size.node.expr.is_number


def axis_name(axis: int, of: int, number: int) -> str:
    """What an open axis is called: by its place in a batch of pictures, else by number."""
    if axis == 0:
        return "batch"
    return ("channels", "height", "width")[axis - 1] if of == 4 else f"axis{number}"


def tensors(feed: Mapping[str, Array], specs: Iterable[TensorSpec]) -> tuple[torch.Tensor, ...]:
    """One feed as the tensors that a network is called with."""
    import torch

    wanted = [spec.name for spec in specs]
    if missing := [name for name in wanted if name not in feed]:
        raise InputError(
            f"the feeds have {', '.join(sorted(feed)) or 'nothing'}; the model takes {', '.join(missing)} too",
            "name the feeds as the model's inputs are named",
        )
    return tuple(torch.from_numpy(feed[name].copy()) for name in wanted)


@contextmanager
def unadvised() -> Iterator[None]:
    """Keep PyTorch's advice and deprecations to itself: which form is wanted was decided by who asked."""
    with quietly(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _inputs(
    module: torch.nn.Module, source: Artifact, imgsz: tuple[int, int] | None
) -> tuple[tuple[TensorSpec, ...], tuple[str, ...]]:
    """What the network takes: as its passport says, else as its first layer does."""
    from torch import nn

    arguments = inspect.signature(module.forward).parameters.values()
    needed = [argument.name for argument in arguments if argument.default is inspect.Parameter.empty]
    if source.inputs:
        if len(source.inputs) != len(needed):
            raise InputError(
                f"{source.path}: its passport names {len(source.inputs)} inputs, and {type(module).__name__} takes "
                f"{len(needed)}",
                "name the class it was saved from",
            )
        return source.inputs, ()
    first = next((layer for layer in module.modules() if isinstance(layer, nn.Conv2d | nn.Linear)), None)
    if len(needed) != 1 or first is None:
        raise InputError(
            f"nothing says what {type(module).__name__} takes: it has the inputs {', '.join(needed) or 'none'}",
            "give the weights a passport that says its inputs",
        )
    if isinstance(first, nn.Conv2d):
        spec = TensorSpec("images", "float32", ("batch", int(first.in_channels), "height", "width"))
    else:
        spec = TensorSpec(needed[0], "float32", ("batch", int(first.in_features)))
    guessed = imgsz is None and source.passport.imgsz is None and len(spec.shape) == 4
    size = f", {USUAL_SIZE}x{USUAL_SIZE}" if guessed else ""
    return (spec,), (f"nothing says what it takes: {spec}{size} was read off its first layer",)


def _fixed(spec: TensorSpec, size: tuple[int, int]) -> TensorSpec:
    """The input with the sides of pictures closed."""
    if len(spec.shape) != 4:
        return spec
    return TensorSpec(spec.name, spec.dtype, (*spec.shape[:2], *_sides(spec, size)))


def _sides(spec: TensorSpec, size: tuple[int, int]) -> tuple[int, ...]:
    return tuple(side if isinstance(side, int) else given for side, given in zip(spec.shape[2:], size, strict=True))


def _example(specs: tuple[TensorSpec, ...], size: tuple[int, int]) -> tuple[torch.Tensor, ...]:
    import torch

    made = []
    for spec in specs:
        sizes = list(spec.concrete(_BATCHES, 7))
        if len(sizes) == 4:
            sizes[2:] = _sides(spec, size)
        made.append(torch.zeros(sizes, dtype=getattr(torch, spec.dtype)))
    return tuple(made)


def _dimensions(spec: TensorSpec, stride: int, exact: bool) -> dict[int, Any] | None:
    """Which axes may vary, for ``torch.export``."""
    from torch.export import Dim

    found: dict[int, Any] = {}
    for axis, size in enumerate(spec.shape):
        if isinstance(size, int):
            continue
        if not exact:
            found[axis] = Dim.AUTO
        elif axis == 0:
            found[axis] = Dim("batch", min=1, max=1024)
        elif len(spec.shape) == 4 and axis > 1:
            found[axis] = stride * Dim(("rows", "columns")[axis - 2], min=1, max=_MOST_STRIDES)
        else:
            found[axis] = Dim.AUTO
    return found or None


def _followed(
    program: torch.export.ExportedProgram, network: Network, outputs: Sequence[TensorSpec], problems: list[str]
) -> Followed:
    found = followed(program, outputs)
    notes = list(network.notes)
    values = {node.name: node.meta.get("val") for node in program.graph.nodes}
    for spec, name in zip(network.inputs, program.graph_signature.user_inputs, strict=True):
        closed = [
            f"{axis} {size}"
            for axis, size in zip(spec.shape, values[name].shape, strict=True)
            if isinstance(axis, str) and not is_open(size)
        ]
        if closed:
            notes.append(f"the network's code fixes {', '.join(closed)} of '{spec.name}'")
    if problems and any(isinstance(axis, str) for spec in network.inputs for axis in spec.shape[2:]):
        notes.append(f"its sides are not simply multiples of {network.stride}: {problems[0][:160]}")
    return Followed(program, tuple(spec.name for spec in network.inputs), found.outputs, tuple(notes))
