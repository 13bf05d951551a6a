"""Call a function of yours when something shows on a camera or stream; reconnecting is not your concern.

Try it: python examples/watch.py rtsp://camera.local/stream 60
"""

import sys
from collections.abc import Callable

from throughline import Detection, Frame, ModelManager, VideoProcessor
from throughline.bundled import DETECTOR


def watch(address: str, seconds: float, on_people: Callable[[Frame, list[Detection]], None]) -> None:
    with ModelManager(DETECTOR.parent) as models, VideoProcessor(address) as camera:
        models.load_model("detector")
        for frames in camera.stream_frames(batch_size=4):  # what has come, at most 4 at once
            for frame, found in zip(frames, models.predict_batch(frames), strict=True):
                people = [one for one in found if one.class_name == "person"]
                if people:
                    on_people(frame, people)
                if frame.seconds > seconds:
                    return


def say(frame: Frame, people: list[Detection]) -> None:
    print(f"{frame.seconds:.2f} s: {len(people)} people, {max(one.confidence for one in people):.0%} sure", flush=True)


if __name__ == "__main__":
    watch(sys.argv[1], float(sys.argv[2]), say)
