"""Logs of runs: one file each, each a ``RunLog`` (contracts/records.py)."""

from __future__ import annotations

from typing import Final

from throughline.plugins import Family

RUNLOGS: Final = Family("run log", __name__)
