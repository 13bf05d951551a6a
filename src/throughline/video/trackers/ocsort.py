"""OC-SORT, as Roboflow's ``trackers`` library has it: overlap and direction, corrected after an object was hidden."""

from __future__ import annotations

from throughline.plugins import Plugin
from throughline.video.trackers._roboflow import NEEDS, Borrowed


def make(*, frame_rate: float = 30.0) -> Borrowed:
    """An OC-SORT for frames that come about this often a second."""
    from trackers import OCSORTTracker

    return Borrowed("ocsort", OCSORTTracker(frame_rate=frame_rate))


PLUGIN = Plugin(make=make, summary="overlap and direction (OC-SORT)", needs=NEEDS, extra="track")
