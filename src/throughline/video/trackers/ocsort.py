"""OC-SORT, as Roboflow's ``trackers`` library has it: overlap and direction, corrected after an object was hidden."""

from __future__ import annotations

from throughline.plugins import Plugin
from throughline.video.trackers._roboflow import LIBRARY_FPS, NEEDS, Borrowed, library


def make(*, frame_rate: float = 30.0, confidence: float = 0.5, memory: float = 4.0) -> Borrowed:
    """An OC-SORT that works best at this frame rate.

    Boxes below ``confidence`` begin no track; a track that is not seen is kept for ``memory`` seconds.
    """
    tracker = library().OCSORTTracker(
        frame_rate=frame_rate,
        lost_track_buffer=round(memory * LIBRARY_FPS),
        high_conf_det_threshold=confidence,
    )
    return Borrowed("ocsort", tracker)


PLUGIN = Plugin(make=make, summary="overlap and direction (OC-SORT)", needs=NEEDS, extra="track")
