"""YOLO classification exports: read as every classifier is, but looking at plain RGB from 0 to 1."""

from __future__ import annotations

from throughline.plugins import Plugin
from throughline.vision.decoders.classify import decode
from throughline.vision.preprocess import Preprocess

PLUGIN = Plugin(
    make=lambda: decode, summary="YOLO classification exports", facts={"preprocess": Preprocess(stretch=True)}
)
