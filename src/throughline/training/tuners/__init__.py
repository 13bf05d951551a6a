"""Tuners: one file each, each proposes what to try next in a search."""

from __future__ import annotations

from typing import Final

from throughline.plugins import Family

TUNERS: Final = Family("tuner", __name__)
