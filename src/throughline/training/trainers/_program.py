"""From a network that was just trained to the file that ships: ONNX, held to what PyTorch says of the same inputs.

The network becomes a program (``torch.export``), the program a graph, and the graph takes its place only once both
have given the same answers. So what is measured while training is what runs afterwards.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from throughline.contracts.artifacts import Array, Artifact, Passport, TensorSpec
from throughline.contracts.errors import ModelRefused
from throughline.contracts.samples import DataSet
from throughline.evaluation.verification import Verification, verify_models
from throughline.files import put_in_place
from throughline.models.artifact import Given, read_artifact
from throughline.models.chain import Link, drafting, follow
from throughline.models.transforms._network import Network, export
from throughline.models.transforms.pt2 import interface_of, save_program

if TYPE_CHECKING:
    import torch


def write_onnx(
    module: torch.nn.Module,
    target: Path,
    inputs: Sequence[TensorSpec],
    example: Sequence[torch.Tensor],
    about: Mapping[str, Any],
    *,
    data: DataSet | None = None,
    arrays: Mapping[str, Array] | None = None,
    conf: float = 0.25,
) -> Verification:
    """Write a network as ONNX, proven; nothing is written where it cannot be.

    Args:
        module: the network, on the CPU; it returns its outputs by name.
        target: the file.
        inputs: what it takes, in order; axes that are named stay open.
        example: tensors of these sizes.
        about: what is known of it, by the names of a passport's fields.
        data: pictures to prove it on.
        arrays: or named inputs.
        conf: from which confidence on an object counts in the proof.
    """
    with drafting(target) as folder, _sizes_left_open():
        network = Network(module.eval().requires_grad_(False), tuple(inputs), tuple(example), about.get("stride") or 1)
        found = export(network)
        known = Passport(file=target.name, sha256="", size=0, format="pt2", **about)
        save_program(Artifact(target, known, False), found, folder / "program.pt2")
        program = read_artifact(folder / "program.pt2", Given(**about))
        interface: dict[str, Any] = {**interface_of(found)}  # the file says what PyTorch called them
        program = replace(program, passport=replace(program.passport, **interface))
        graph = follow(program, [Link("to_onnx", {"followed": found})], folder / "graph", target.stem)
        verified = verify_models(
            program, graph.artifact, data=data, arrays=arrays, steps=graph.steps, trust=True, conf=conf, part=False
        )
        if not verified.verdict.passed:
            failed = next(check for check in verified.verdict.checks if not check.passed)
            raise ModelRefused(
                f"{target.name}: the ONNX graph does not answer as the network does: {failed.name} is "
                f"{failed.observed}, and the limit {failed.limit}",
                "train it longer, or with another network; the weights are kept beside it",
            )
        put_in_place(graph.artifact.path, target)
    return verified


@contextmanager
def _sizes_left_open() -> Iterator[None]:
    """Transformers asks for sizes in ways that only ``torch.compile`` follows (a check), or that fix them (``len``)."""
    import sys

    import torch

    def length(held: Any) -> Any:
        return held.shape[0] if isinstance(held, torch.Tensor) else len(held)

    checked: list[tuple[Any, Any]] = []
    loaded: list[Any] = [one for name, one in sys.modules.items() if name.startswith("transformers.")]
    for module in loaded:
        if "torch_compilable_check" in vars(module):
            checked.append((module, module.torch_compilable_check))
            module.torch_compilable_check = lambda *_, **__: None
            module.len = length
    try:
        yield
    finally:
        for module, check in checked:
            module.torch_compilable_check = check
            del module.len
