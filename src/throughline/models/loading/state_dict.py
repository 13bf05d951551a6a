"""A checkpoint's tensors, brought across the boundary: read in a throwaway child, mapped here as plain numbers."""

from __future__ import annotations

import importlib.metadata
import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from throughline.contracts.errors import InputError, MissingExtra, ModelRefused, Unavailable
from throughline.models.formats import Description
from throughline.models.formats.safetensors import read_header
from throughline.models.loading.front_door import check
from throughline.models.loading.sandbox import Limits, Outcome, read_bounded, run_confined

if TYPE_CHECKING:
    import torch

_OLDEST_TORCH = (2, 10)
_BASE_MEMORY = 3 << 30
_MEMORY_PER_BYTE = 4
_BASE_SECONDS = 60
_BYTES_PER_SECOND = 20 << 20


@dataclass(frozen=True, slots=True)
class StateDict:
    """The tensors of a model, by name.

    Attributes:
        tensors: on the CPU; tied ones are the same object.
        notes: what was done to get them, one sentence each.
    """

    tensors: Mapping[str, torch.Tensor]
    notes: tuple[str, ...] = ()


def load_state_dict(path: str | os.PathLike[str], *, trust: bool = False) -> StateDict:
    """The tensors of a checkpoint or a safetensors file.

    Args:
        path: the file.
        trust: run the pickle of a whole model too, in the throwaway child; its tensors alone come back.

    Raises:
        ModelRefused: it would run code, or claims what it does not hold.
    """
    file = Path(path)
    _require_torch()
    description = check(file, trust=trust)
    if description.format == "safetensors":
        return StateDict(_mapped(file))
    if description.format != "checkpoint":
        raise InputError(
            f"{file} is {description.format}, which is a whole model and not a state dict", "open it with its backend"
        )
    with tempfile.TemporaryDirectory(prefix="throughline-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        task = {"path": str(file.absolute()), "trusted": trust and description.risk.level == "program"}
        outcome = run_confined("throughline.models.loading.unpickle_child", task, folder, _limits(file))
        if outcome.report.get("failed") or "tied" not in outcome.report:
            raise _failure(description, outcome, trust)
        result = folder / "tensors.safetensors"
        if not read_bounded(result, 8):
            raise ModelRefused(f"{file} left no tensors behind", "re-save its state dict alone")
        tensors = _mapped(result)
    report = outcome.report
    tied = report["tied"] if isinstance(report["tied"], dict) else {}
    tensors.update({copy: tensors[original] for copy, original in tied.items() if original in tensors})
    return StateDict(tensors, tuple(map(str, [*report.get("notes", ()), *report.get("lacking", ())])))


def _mapped(path: Path) -> dict[str, Any]:
    """The tensors of a safetensors file; they stay valid after the file is unlinked."""
    read_header(path, path.stat().st_size)
    from safetensors.torch import load_file

    return dict(load_file(path))


def _limits(path: Path) -> Limits:
    size = path.stat().st_size
    seconds = _BASE_SECONDS + size // _BYTES_PER_SECOND
    return Limits(
        memory=_BASE_MEMORY + _MEMORY_PER_BYTE * size,
        cpu_seconds=seconds,
        wall_seconds=3 * seconds,
        file_bytes=8 * size + (65 << 20),
    )


def _require_torch() -> None:
    try:
        version = importlib.metadata.version("torch")
        importlib.metadata.version("safetensors")
    except importlib.metadata.PackageNotFoundError as error:
        raise MissingExtra(str(error.name), "a PyTorch checkpoint", "torch") from None
    if tuple(int(part) for part in version.split(".")[:2]) < _OLDEST_TORCH:
        raise Unavailable(
            f"torch {version} is installed; its restricted loader is trusted from 2.10 on",
            "pip install 'throughline[torch]'",
        )


def _failure(description: Description, outcome: Outcome, trust: bool) -> Exception:
    path, failed, what = description.path, outcome.report.get("failed"), str(outcome.report.get("what", ""))
    if outcome.timed_out:
        return ModelRefused(f"{path} took too long to load and was stopped", "re-save its state dict alone")
    if failed == "memory" or outcome.signal in ("SIGKILL", "SIGXFSZ"):
        return ModelRefused(f"{path} asked for more memory or disk than a file of its size needs", "re-save it")
    if failed == "global":
        return ModelRefused(
            f"{path} would import {what}, which no state dict needs",
            "save the state dict alone: torch.save(model.state_dict(), ...)",
        )
    if failed == "module":
        module = str(outcome.report.get("module", ""))
        return InputError(
            f"{path} holds objects of the package '{module}', which is not installed",
            f"install {module.partition('.')[0]}, or export the model where it is",
        )
    if failed == "nothing":
        return InputError(f"{path} holds no weights that can be found: {what}", "save the state dict alone")
    if outcome.signal is not None or failed is None:
        last = outcome.errors.strip().splitlines()[-1:] or ["it said nothing"]
        return ModelRefused(
            f"{path} ended the process that was reading it ({outcome.signal or 'no result'}): {last[0][:200]}",
            "get the model from its author again",
        )
    how = "even in full" if trust else "with weights only"
    return InputError(
        f"{path} cannot be loaded {how}: {failed}: {what}", "save the state dict again, with torch 2 or later"
    )
