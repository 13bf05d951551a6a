"""Where observations go: one file each.

A member's ``make(...)`` gives a ``contracts.observations.Observer``, which any number of threads may hand
observations to while they answer requests: it drops and counts, and never makes them wait.
"""

from __future__ import annotations

from typing import Final

from throughline.plugins import Family

OBSERVERS: Final = Family("observer", __name__)
