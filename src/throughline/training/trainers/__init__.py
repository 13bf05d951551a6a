"""Trainers: one file each, each a function from a recipe and a run to a trained model.

A member's plug-in carries ``facts["options"]``: the frozen dataclass of what it can be told, its fields
made with ``settings.setting``, so that a recipe is checked before anything heavy is loaded.
"""

from __future__ import annotations

from typing import Final

from throughline.plugins import Family

TRAINERS: Final = Family("trainer", __name__)
