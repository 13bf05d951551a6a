"""Stores of models: one file each."""

from __future__ import annotations

from typing import Final

from throughline.plugins import Family

STORES: Final = Family("store", __name__)
