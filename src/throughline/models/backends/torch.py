"""PyTorch: state dicts with the code that builds their network, and ``.pt2`` exported programs.

Torch's thread count belongs to the process, so setting it would disturb everything
else that uses torch here. Each model therefore runs on one thread of its own, the only
one whose count is set; that also makes networks safe that keep state between lines.
Arrays are copied on the way in and out, since a network may write into its input or
return a piece of itself.
"""

from __future__ import annotations

import inspect
from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, final

import numpy as np

from throughline.contracts.artifacts import Array, TensorSpec
from throughline.contracts.errors import InputError, ThroughlineError
from throughline.hardware import detect
from throughline.models.backends import ANY_SHAPE, UNKNOWN, Runner, failure
from throughline.plugins import Plugin

if TYPE_CHECKING:
    import torch


class TorchRunner(Runner):
    """Anything that torch can call with tensors."""

    def __init__(self, path: Path, device: str, threads: int) -> None:
        self._device = device.replace("gpu", "cuda")
        self._thread = _thread_of(threads)
        self.notes = () if device == "cpu" else ("torch may compute convolutions in TF32 on this GPU",)
        try:
            self._call: Callable[..., Any] = self._thread.submit(self._load, path).result()
        except Exception as error:
            self._thread.shutdown()
            if isinstance(error, ThroughlineError):
                raise
            raise failure(error, f"{path}: torch cannot open it") from None

    @abstractmethod
    def _load(self, path: Path) -> Callable[..., Any]:
        """Open the file, on the model's own thread, and set ``inputs`` and ``outputs``."""

    def predict(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        """Run the network on its thread; concurrent calls wait for each other."""
        try:
            return self._thread.submit(self._run, feeds).result()
        except ThroughlineError:
            raise
        except Exception as error:
            raise failure(error, "torch could not run the model") from None

    def close(self) -> None:
        """Let go of the network and end its thread."""
        del self._call
        self._thread.shutdown()

    def gpu_bytes(self) -> int | None:
        """What torch has taken of the GPU, for all of its models in this process."""
        import torch

        return None if self._device == "cpu" else int(torch.cuda.memory_reserved(self._device))

    def _run(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        import torch

        with torch.inference_mode():
            given = [self._given(feeds[spec.name]) for spec in self.inputs]
            returned = named(self._call(*given), self.outputs)
        wrong = next((name for name, value in returned.items() if not isinstance(value, torch.Tensor)), None)
        if wrong is not None:
            raise InputError(
                f"output '{wrong}' is a {type(returned[wrong]).__name__}; outputs must be tensors",
                "let forward return a tensor, or a tuple or dict of tensors",
            )
        return {name: np.array(tensor.cpu().numpy(), copy=True) for name, tensor in returned.items()}

    def _given(self, array: Array) -> torch.Tensor:
        import torch

        return torch.from_numpy(np.array(array, copy=True, order="C")).to(self._device)


@final
class StateDictRunner(TorchRunner):
    """Weights from a file in a network built by the user's code."""

    def __init__(
        self,
        path: Path,
        device: str,
        threads: int,
        build: Callable[[Path], Any],
        specs: tuple[tuple[TensorSpec, ...], ...],
    ) -> None:
        self._build = build
        self.inputs, self.outputs = specs
        super().__init__(path, device, threads)

    def _load(self, path: Path) -> Callable[..., Any]:
        module = self._build(path).eval().requires_grad_(False).to(self._device)
        if not self.inputs:
            arguments = inspect.signature(module.forward).parameters.values()
            needed = [argument.name for argument in arguments if argument.default is inspect.Parameter.empty]
            self.inputs = tuple(TensorSpec(name, UNKNOWN, ANY_SHAPE) for name in needed)
        return module  # type: ignore[no-any-return]


@final
class ExportedRunner(TorchRunner):
    """A ``torch.export`` program, which knows its own inputs and outputs."""

    def _load(self, path: Path) -> Callable[..., Any]:
        import torch
        from torch.utils import _pytree as pytree

        program = torch.export.load(str(path))
        if self._device != "cpu":
            from torch.export.passes import move_to_device_pass

            program = move_to_device_pass(program, self._device)
        values = {node.name: node.meta.get("val") for node in program.graph.nodes}
        signature = program.graph_signature
        self.inputs = tuple(_spec(name, values[name]) for name in signature.user_inputs)
        leaves = [values.get(name) for name in signature.user_outputs]
        tree = pytree.tree_unflatten(leaves, program.call_spec.out_spec)
        self.outputs = tuple(_spec(name, value) for name, value in named(tree, ()).items())
        self.max_batch = _largest(program, values)
        return program.module()  # type: ignore[no-any-return]


def named(returned: Any, outputs: Sequence[TensorSpec]) -> dict[str, Any]:
    """What a network returned, by name: its own names, else the declared ones, else output0, output1, ..."""
    if isinstance(returned, Mapping):
        return {str(name): value for name, value in returned.items()}
    values = returned if isinstance(returned, tuple | list) else (returned,)
    names = (
        [spec.name for spec in outputs] if len(outputs) == len(values) else [f"output{i}" for i in range(len(values))]
    )
    return dict(zip(names, values, strict=True))


def torch_devices() -> tuple[str, ...]:
    """The devices that torch can use here; torch itself is only loaded where there is a GPU."""
    if not detect().gpus:
        return ("cpu",)
    import torch

    return ("cpu", *(f"gpu:{index}" for index in range(torch.cuda.device_count())))


def _thread_of(threads: int) -> ThreadPoolExecutor:
    """A thread on which torch uses this many; every other thread keeps the count it had."""
    import torch

    def set_here() -> None:
        torch.get_num_threads()  # torch's first look would undo the setting; now it is over
        torch.set_num_threads(threads)

    own = ThreadPoolExecutor(1, thread_name_prefix="throughline-torch")
    with ThreadPoolExecutor(1) as bystander:  # a fresh thread sees, and gives back, the count of the process
        before = bystander.submit(torch.get_num_threads).result()
        own.submit(set_here).result()
        bystander.submit(torch.set_num_threads, before).result()
    return own


def _spec(name: str, value: Any) -> TensorSpec:
    if not hasattr(value, "dtype"):
        raise InputError(f"'{name}' is {value!r}; inputs and outputs must be tensors", "export it with tensors alone")
    shape = tuple(size if isinstance(size, int) else str(size) for size in value.shape)
    return TensorSpec(name, str(value.dtype).removeprefix("torch."), shape)


def _largest(program: Any, values: Mapping[str, Any]) -> int | None:
    first = next(iter(program.graph_signature.user_inputs), None)
    shape = getattr(values.get(first), "shape", ()) if first else ()
    if not shape or isinstance(shape[0], int):
        return None
    bounds = program.range_constraints.get(shape[0].node.expr)
    try:
        return int(bounds.upper)
    except (AttributeError, TypeError, ValueError, OverflowError):
        return None


def _open(
    path: Path,
    *,
    device: str,
    threads: int,
    inputs: tuple[TensorSpec, ...] = (),
    outputs: tuple[TensorSpec, ...] = (),
    build: Callable[[Path], Any] | None = None,
) -> Runner:
    if build is not None:
        return StateDictRunner(path, device, threads, build, (inputs, outputs))
    return ExportedRunner(path, device, threads)


PLUGIN = Plugin(
    make=_open,
    summary="PyTorch state dicts with their factory, and .pt2 programs",
    needs=("torch",),
    extra="torch",
    facts={"formats": ("pt2", "safetensors", "checkpoint"), "devices": torch_devices},
)
