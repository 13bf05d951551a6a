"""Everything that moves while a network learns, in one file: tensors as safetensors, the rest as JSON in its head.

One file is there whole or not at all, so what is in it belongs together. Nothing in it is a program.
"""

from __future__ import annotations

import json
import random
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from throughline.contracts.errors import InputError
from throughline.files import whole_file

if TYPE_CHECKING:
    import torch

_STATE, _VERSION = "throughline", 1


def write(path: Path, tensors: Mapping[str, torch.Tensor], state: Mapping[str, Any]) -> None:
    """Write a checkpoint, whole or not at all."""
    from safetensors.torch import save_file

    plain = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}
    head = json.dumps({"version": _VERSION, **state}, allow_nan=False)
    with whole_file(path) as draft:
        save_file(plain, draft, metadata={_STATE: head})


def read(path: Path) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """What was written."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            state = json.loads((file.metadata() or {})[_STATE])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - it is no dict
    except (SafetensorError, OSError, ValueError, KeyError) as error:
        raise InputError(f"{path}: is no checkpoint: {error}", "begin the run again under another --name") from None
    if state.pop("version", None) != _VERSION:
        raise InputError(f"{path}: is a checkpoint of another version", "go on with the version that began the run")
    return tensors, state


def clear_drafts(path: Path) -> None:
    """Remove what a kill left of checkpoints that were being written."""
    for draft in path.parent.glob(f".{path.stem}-*{path.suffix}"):
        draft.unlink(missing_ok=True)


def of_optimizer(optimizer: torch.optim.Optimizer) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """An optimiser's state as tensors and plain values."""
    import torch

    told = optimizer.state_dict()
    tensors: dict[str, torch.Tensor] = {}
    for number, kept in told["state"].items():
        for name, value in kept.items():
            tensors[f"{number}.{name}"] = value if isinstance(value, torch.Tensor) else torch.tensor(value)
    return tensors, {"groups": [{name: group[name] for name in ("lr", "params")} for group in told["param_groups"]]}


def into_optimizer(
    optimizer: torch.optim.Optimizer, tensors: Mapping[str, torch.Tensor], told: Mapping[str, Any]
) -> None:
    """Put an optimiser back where it was."""
    import torch

    now = optimizer.state_dict()
    parameters = [one for group in optimizer.param_groups for one in group["params"]]
    state: dict[int, dict[str, Any]] = {}
    for name, tensor in tensors.items():
        number, _, key = name.partition(".")
        own = parameters[int(number)]
        if tensor.shape == own.shape:  # and laid out as it is: what steps through both does not look at strides
            tensor = torch.empty_like(own, dtype=tensor.dtype, requires_grad=False).copy_(tensor)
        state.setdefault(int(number), {})[key] = tensor
    groups = [group | {"lr": was["lr"]} for group, was in zip(now["param_groups"], told["groups"], strict=True)]
    optimizer.load_state_dict({"state": state, "param_groups": groups})


def of_dice(device: torch.device) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """The states of everything that gives random numbers here: PyTorch, NumPy, Python."""
    import torch

    version, words, gauss = random.getstate()
    kind, keys, place, has_gauss, cached = np.random.get_state(legacy=True)
    tensors = {
        "torch": torch.get_rng_state(),
        "numpy": torch.from_numpy(np.asarray(keys).astype(np.int64)),
        "python": torch.tensor(words, dtype=torch.int64),
    }
    if device.type == "cuda":
        tensors["cuda"] = torch.cuda.get_rng_state(device)
    return tensors, {"numpy": [kind, int(place), int(has_gauss), float(cached)], "python": [version, gauss]}


def into_dice(tensors: Mapping[str, torch.Tensor], told: Mapping[str, Any], device: torch.device) -> None:
    """Put the random numbers back where they were."""
    import torch

    torch.set_rng_state(tensors["torch"])
    if device.type == "cuda" and "cuda" in tensors:
        torch.cuda.set_rng_state(tensors["cuda"], device)
    kind, place, has_gauss, cached = told["numpy"]
    np.random.set_state((kind, tensors["numpy"].numpy().astype(np.uint32), place, has_gauss, cached))
    version, gauss = told["python"]
    random.setstate((version, tuple(map(int, tensors["python"])), gauss))
