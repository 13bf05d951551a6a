"""Where results go: one file each.

A member's ``make(folder, *, info, labels, models, **options)`` returns a ``contracts.streams.Sink``
that writes its result into ``folder``, the folder of one source of one run. ``labels`` are the
names of all classes of all the run's models, as ``Detections.together`` counts them; ``models`` are
the models' names where there are several. What a result's columns are may depend on these and on
nothing that is found.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from throughline.contracts.streams import Sink
from throughline.plugins import Family

SINKS = Family("sink", "throughline.video.sinks")


@contextmanager
def in_one_part(sink: Sink) -> Iterator[Sink]:
    """For who keeps no journal: the result is there when the block ends well, and no half of it when it does not."""
    try:
        yield sink
        sink.commit(0)
        sink.finish(1)
    except BaseException:
        sink.abort()
        raise
