"""Who is who from frame to frame: one file per tracker.

A member's ``make(**options)`` returns a ``contracts.streams.Tracker`` for one
source. Trackers live on ``Frame.seconds``, never on a count of frames, because
frames are skipped, dropped and unevenly spaced, and objects do not care.
"""

from throughline.plugins import Family

TRACKERS = Family("tracker", "throughline.video.trackers")
