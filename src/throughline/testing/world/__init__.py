"""A street that never was: endless frames with exact truth, from a seed.

The demonstration, the tests, the tuning and the drift experiments all stand on it, because it
needs no download, has no licence, and is never wrong about what is in a frame.
"""

from throughline.testing.world.look import Look
from throughline.testing.world.traffic import LABELS
from throughline.testing.world.world import Truth, World

__all__ = ["LABELS", "Look", "Truth", "World"]
