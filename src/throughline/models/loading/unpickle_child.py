"""The throwaway child that turns a checkpoint into plain tensors; the one place where PyTorch reads a pickle.

Without trust it reads with ``weights_only=True`` over our own allow-list. With
trust it runs the pickle, confined all the same. In both cases tensors alone
leave, as safetensors.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from throughline.models.loading.confine import confine
from throughline.models.loading.globals import WEIGHTS

_WRAPPERS = (
    "ema", "model_ema", "ema_state_dict", "params_ema", "state_dict", "model_state_dict", "model_state", "model",
    "module", "net", "network", "weights", "params", "teacher", "student",
)  # fmt: skip
_PREFIXES = ("module.", "_orig_mod.")
_MAX_DEPTH = 4


def main() -> None:
    """Read the task, confine, load, and leave ``tensors.safetensors`` and ``report.json``."""
    task = json.loads(Path(sys.argv[2]).read_text())
    folder = Path(task["folder"])
    memory, cpu_seconds, file_bytes = task["limits"]
    lacking = confine(str(folder), memory=memory, cpu_seconds=cpu_seconds, file_bytes=file_bytes)
    try:
        report = _load(Path(task["path"]), folder, trusted=task["trusted"])
    except MemoryError:
        report = {"failed": "memory"}
    except ModuleNotFoundError as error:
        report = {"failed": "module", "module": error.name or "", "what": str(error)[:300]}
    except Exception as error:
        text = str(error)
        refused = re.search(r"GLOBAL (\S+) was not an allowed|unsupported GLOBAL (\S+)", text)
        report = {"failed": type(error).__name__, "what": text.splitlines()[0][:500] if text else ""}
        if "alloc" in text and "memory" in text:
            report = {"failed": "memory", "what": text.splitlines()[0][:300]}
        elif refused:
            report = {"failed": "global", "what": refused[1] or refused[2]}
    (folder / "report.json").write_text(json.dumps({**report, "lacking": lacking}))


def _load(path: Path, folder: Path, *, trusted: bool) -> dict[str, Any]:
    import torch

    torch.set_num_threads(1)
    if trusted:
        loaded = torch.load(path, map_location="cpu", weights_only=False)
    else:
        _narrow()
        loaded = torch.load(path, map_location="cpu", weights_only=True)
    notes: list[str] = []
    weights = _weights_in(loaded, notes, 0)
    if weights is None:
        shown = ", ".join(map(str, list(loaded)[:8])) if isinstance(loaded, Mapping) else type(loaded).__name__
        return {"failed": "nothing", "what": shown[:500]}
    weights = _without_prefix(weights, notes)
    tied = _save(weights, folder / "tensors.safetensors")
    return {"notes": notes, "tied": tied}


def _narrow() -> None:
    """Let PyTorch's restricted reader build what is on our list and on its own; nothing that is on one of them only."""
    import torch

    reader = torch._weights_only_unpickler
    allowed = {name: value for name, value in reader._get_allowed_globals().items() if name in WEIGHTS}
    reader._get_allowed_globals = lambda: allowed
    torch.serialization.clear_safe_globals()


def _weights_in(value: Any, notes: list[str], depth: int) -> dict[str, Any] | None:
    """The mapping of names to tensors within whatever was saved."""
    import torch

    if isinstance(value, torch.nn.Module):
        notes.append(f"the weights were taken out of a {type(value).__name__}")
        return dict(value.state_dict())
    if not isinstance(value, Mapping) or depth > _MAX_DEPTH:
        return None
    found = {key: item for key, item in value.items() if isinstance(key, str) and isinstance(item, torch.Tensor)}
    if found and len(found) * 2 >= len(value):
        if left := [str(key) for key in value if key not in found]:
            notes.append(f"left out, since they are no tensors: {', '.join(left[:8])}")
        return found
    for key in _WRAPPERS:
        inside = _weights_in(value.get(key), notes, depth + 1)
        if inside:
            beside = ", ".join(str(other) for other in list(value)[:10] if other != key)
            notes.append(f"the weights were taken from '{key}'" + (f"; beside it: {beside}" if beside else ""))
            return inside
    return found or None


def _without_prefix(weights: dict[str, Any], notes: list[str]) -> dict[str, Any]:
    for prefix in _PREFIXES:
        if weights and all(name.startswith(prefix) for name in weights):
            notes.append(f"the prefix '{prefix}' was taken off every name")
            weights = {name.removeprefix(prefix): tensor for name, tensor in weights.items()}
    return weights


def _save(weights: dict[str, Any], path: Path) -> dict[str, str]:
    """Write each tensor once; returns which names are the same tensor as another."""
    import torch
    from safetensors.torch import save_file

    first: dict[tuple[Any, ...], str] = {}
    tied: dict[str, str] = {}
    kept: dict[str, Any] = {}
    for name, tensor in weights.items():
        tensor = tensor.detach()
        if tensor.layout != torch.strided or tensor.is_quantized:
            raise ValueError(f"the tensor '{name}' is sparse or quantised, which weights here cannot be")
        identity = (tensor.data_ptr(), tensor.dtype, tuple(tensor.shape), tensor.stride())
        if tensor.numel() and identity in first:
            tied[name] = first[identity]
            continue
        first[identity] = name
        kept[name] = tensor
    shared: set[int] = set()
    for name, tensor in kept.items():
        storage = tensor.untyped_storage().data_ptr()
        # A view into bytes that another tensor has, or that it does not fill, gets bytes of its own.
        if storage in shared or not tensor.is_contiguous():
            kept[name] = tensor.clone(memory_format=torch.contiguous_format)
        shared.add(storage)
    save_file(kept, path)
    return tied
