"""ByteTrack, as Roboflow's ``trackers`` library has it: overlap alone, doubtful boxes in a second round."""

from __future__ import annotations

from throughline.plugins import Plugin
from throughline.video.trackers._roboflow import NEEDS, Borrowed


def make(*, frame_rate: float = 30.0) -> Borrowed:
    """A ByteTrack for frames that come about this often a second."""
    from trackers import ByteTrackTracker

    return Borrowed("bytetrack", ByteTrackTracker(frame_rate=frame_rate))


PLUGIN = Plugin(make=make, summary="overlap, in two rounds (ByteTrack)", needs=NEEDS, extra="track")
