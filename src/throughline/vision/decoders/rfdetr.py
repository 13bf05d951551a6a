"""The layout that RF-DETR publishes: that of the DETR line, looked at through ImageNet's mean and deviation.

``dets`` [batch, queries, 4] and ``labels`` [batch, queries, classes]. Models trained on
COCO count classes by COCO's category numbers (1 is a person, 90 a toothbrush).
"""

from __future__ import annotations

from throughline.plugins import Plugin
from throughline.vision.decoders.detr import decode
from throughline.vision.preprocess import IMAGENET

PLUGIN = Plugin(make=lambda: decode, summary="RF-DETR exports", facts={"preprocess": IMAGENET})
