"""A loop of your own over what is followed: who comes, who goes, and after how long.

Try it: python examples/comings_and_goings.py street.mp4
"""

import sys
from collections.abc import Iterator

from throughline import HybridTracker, ModelManager, VideoProcessor
from throughline.bundled import DETECTOR

GONE = 1.0  # seconds out of sight


def events(path: str) -> Iterator[str]:
    here: dict[str, tuple[float, float]] = {}  # since when, and when last seen
    tracker = HybridTracker()
    with ModelManager(DETECTOR.parent) as models, VideoProcessor(path) as video:
        detector = models.load_model("detector")
        for frames in video.stream_frames():
            for frame, found in zip(frames, detector.detect(frames), strict=True):
                followed = tracker.update(found, frame)
                for one, identity in zip(followed, followed.tracker_id, strict=True):
                    who = f"{one.class_name} {identity}"
                    if who not in here:
                        yield f"{frame.seconds:6.2f} s  {who} comes"
                    here[who] = here.get(who, (frame.seconds,))[0], frame.seconds
                for who in [who for who, (_, last) in here.items() if frame.seconds - last > GONE]:
                    since, last = here.pop(who)
                    yield f"{frame.seconds:6.2f} s  {who} has gone, after {last - since:.2f} s"


if __name__ == "__main__":
    for event in events(sys.argv[1]):
        print(event, flush=True)
