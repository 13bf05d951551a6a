"""A street that never was: endless frames with exact truth, from a seed.

The demonstration, the tests, the tuning and the drift experiments all stand on it, because it
needs no download, has no licence, and is never wrong about what is in a frame.
"""

from throughline.testing.world.coco import write_coco
from throughline.testing.world.look import Look
from throughline.testing.world.mot import write_mot
from throughline.testing.world.scene import Truth
from throughline.testing.world.traffic import LABELS
from throughline.testing.world.video import write_video
from throughline.testing.world.world import World
from throughline.testing.world.yolo import write_yolo

__all__ = ["LABELS", "Look", "Truth", "World", "write_coco", "write_mot", "write_video", "write_yolo"]
