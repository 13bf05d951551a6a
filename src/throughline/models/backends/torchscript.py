"""TorchScript: traced and scripted PyTorch programs.

A program names its arguments but not their shapes; those come from its passport or the
user. Arguments that are Python numbers (a sample rate, say) are fed as arrays without axes.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, final

from throughline.contracts.artifacts import TensorSpec
from throughline.contracts.errors import InputError
from throughline.models.backends import ANY_SHAPE, UNKNOWN, Runner
from throughline.models.backends.torch import TorchRunner, torch_devices
from throughline.plugins import Plugin

_NUMBERS = {"int": "int64", "float": "float64", "bool": "bool"}


@final
class TorchScriptRunner(TorchRunner):
    """A ``torch.jit`` program."""

    def __init__(
        self, path: Path, device: str, threads: int, inputs: tuple[TensorSpec, ...], outputs: tuple[TensorSpec, ...]
    ) -> None:
        self._known = {spec.name: spec for spec in inputs}
        self.outputs = outputs
        super().__init__(path, device, threads)

    def _load(self, path: Path) -> Callable[..., Any]:
        import torch

        with warnings.catch_warnings():  # torch advises against the format; here it is what the user has
            warnings.simplefilter("ignore", DeprecationWarning)
            program = torch.jit.load(str(path), map_location=self._device).eval()
        arguments = [argument for argument in program.forward.schema.arguments[1:] if not argument.has_default_value()]
        self.inputs = tuple(self._known.get(argument.name) or _spec(path, argument) for argument in arguments)
        numbers = {index for index, argument in enumerate(arguments) if str(argument.type) in _NUMBERS}

        def call(*given: Any) -> Any:
            return program(*(value.item() if index in numbers else value for index, value in enumerate(given)))

        return call


def _spec(path: Path, argument: Any) -> TensorSpec:
    kind = str(argument.type)
    if kind in _NUMBERS:
        return TensorSpec(argument.name, _NUMBERS[kind], ())
    if kind != "Tensor":
        raise InputError(
            f"{path}: argument '{argument.name}' of forward is {kind}; tensors and numbers can be fed",
            "wrap the model in a module whose forward takes tensors, and script it again",
        )
    return TensorSpec(argument.name, UNKNOWN, ANY_SHAPE)


def _open(
    path: Path,
    *,
    device: str,
    threads: int,
    inputs: tuple[TensorSpec, ...] = (),
    outputs: tuple[TensorSpec, ...] = (),
) -> Runner:
    return TorchScriptRunner(path, device, threads, inputs, outputs)


PLUGIN = Plugin(
    make=_open,
    summary="TorchScript programs",
    needs=("torch",),
    extra="torch",
    facts={"formats": ("torchscript",), "devices": torch_devices},
)
