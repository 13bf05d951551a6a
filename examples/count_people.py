"""How many people pass through a video, each counted once.

Try it: python examples/count_people.py street.mp4
"""

import sys

from throughline import HybridTracker, ModelManager, VideoProcessor
from throughline.bundled import DETECTOR


def count(path: str, wanted: str = "person") -> int:
    seen: set[int] = set()
    tracker = HybridTracker()
    with ModelManager(DETECTOR.parent) as models, VideoProcessor(path) as video:
        models.load_model("detector")  # your own folder of models, and the name of one
        for frames in video.stream_frames(batch_size=8):
            for frame, found in zip(frames, models.predict_batch(frames), strict=True):
                followed = tracker.update(found, frame)
                for one, identity in zip(followed, followed.tracker_id, strict=True):
                    if one.class_name == wanted:
                        seen.add(int(identity))
    return len(seen)


if __name__ == "__main__":
    print(f"{count(sys.argv[1])} people")
