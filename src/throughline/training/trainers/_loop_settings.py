"""What every trainer that teaches through our own loop can be told, said once: what it means, and what is allowed.

Trainers differ in what is usual for them, and only that stands with them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from throughline.settings import setting

_SHARE: Final = "0 to 1", 0, 1
_KNOWN: Final[Mapping[str, tuple[Any, ...]]] = {
    "epochs": (10, "how often it sees everything", "1 to 100000", 1, 100_000),
    "batch": (8, "samples in one step", "1 to 65536", 1, 65_536),
    "accumulate": (1, "batches whose gradients make one step", "1 to 1024", 1, 1024),
    "lr": (1e-3, "the highest learning rate", "0 to 10", 0, 10),
    "final_lr": (0.01, "the last learning rate, as a share of the highest", *_SHARE),
    "warmup": (0.06, "the share of all steps in which the learning rate climbs", *_SHARE),
    "weight_decay": (0.03, "AdamW's weight decay, on what has more than one axis", *_SHARE),
    "clip": (10.0, "the largest norm of the gradients; 0 is any", "0 or more"),
    "ema": (0.99, "what the average of the weights keeps at a step; 0 is no average", *_SHARE),
    "precision": ("auto", "what the network computes in while it learns", ""),
    "compile": (False, "let torch.compile make it faster", "true or false"),
    "patience": (0, "end after so many validations that were no better; 0 is never", "0 to 10000", 0, 10_000),
    "validate_every": (1, "epochs from one validation to the next", "1 to 10000", 1, 10_000),
    "holdout": (0.2, "the share to validate on, where data have no val split", "0.01 to 0.9", 0.01, 0.9),
    "imgsz": ("640", "the size of pictures", "640, or 384x640 (height x width)"),
    "flip": (0.5, "how often a picture is mirrored", *_SHARE),
    "scale": (0.3, "how much a picture is enlarged or reduced, at most", "0 to 0.9", 0, 0.9),
    "colour": (0.2, "how much its light and colours vary, at most", *_SHARE),
    "workers": (0, "threads that prepare pictures beside the loop", "0 to 64", 0, 64),
}
_MORE: Final[Mapping[str, Mapping[str, Any]]] = {
    "precision": {"choices": ("auto", "float32", "bfloat16", "float16")},
    "imgsz": {"pattern": r"\d{2,5}(x\d{2,5})?"},
}


def loop_setting(name: str, usual: Any = None) -> Any:
    """A field of a trainer's options by its name; ``usual`` is what it is where nobody says."""
    default, *told = _KNOWN[name]
    return setting(default if usual is None else usual, *told, **_MORE.get(name, {}))
