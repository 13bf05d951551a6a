"""The bundled demo model: the bundled detector's network for the classes of the synthetic world.

It exists so that every road through the product (each backend, transform and
verb) can be walked with a real detector that is ours to ship. Examples/train_demo_model.py trains it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from throughline.testing.world.traffic import LABELS
from throughline.training.detector import network

if TYPE_CHECKING:
    import torch

CLASSES: Final = len(LABELS)
STRIDES: Final = network.STRIDES
BINS: Final = network.BINS


def build() -> torch.nn.Module:
    """The untrained detector: ``images`` b x 3 x h x w in, b x (4 + classes) x n out."""
    return network.build(CLASSES)
