"""Opening files that may be hostile: nothing in them runs in this process, nor anywhere without trust.

``check`` is the front door of everything that opens a model; ``load_state_dict``
brings a checkpoint's tensors across the boundary; ``architecture`` builds the
module they belong to. docs/safe-loading.md tells the whole.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from throughline.models.loading.architectures import architecture
    from throughline.models.loading.front_door import check, require_trust
    from throughline.models.loading.state_dict import StateDict, load_state_dict

__all__ = ["StateDict", "architecture", "check", "load_state_dict", "require_trust"]

_HOMES = {
    "architecture": "architectures",
    "check": "front_door",
    "require_trust": "front_door",
    "StateDict": "state_dict",
    "load_state_dict": "state_dict",
}


def __getattr__(name: str) -> Any:
    """Each name from its file, on first use: the formats read this package while it is still being imported."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
