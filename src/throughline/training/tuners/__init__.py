"""Tuners: one file each, each says how Optuna proposes what to try next.

``make(space, seed, number)`` gives the sampler for one trial: ``space`` by name (training/space.py), and the trial's
number, so that what is proposed follows from what is known and not from who was killed when. A tuner whose
combinations come to an end says so: ``facts["combinations"]``, from a space to how many there are.
"""

from __future__ import annotations

from typing import Final

from throughline.plugins import Family

TUNERS: Final = Family("tuner", __name__)
NEEDS: Final = ("optuna", "sqlalchemy", "alembic")
"""What proposes, and what keeps what was proposed."""
