"""Two models on the same frames: where the new one finds more or less than the old one.

Try it: python examples/two_models.py street.mp4 models old new
"""

import sys
from collections import Counter

from throughline import ModelManager, VideoProcessor


def compare(path: str, folder: str, old: str, new: str) -> None:
    differ = total = 0
    with ModelManager(folder) as models, VideoProcessor(path) as video:
        for name in (old, new):
            print(models.load_model(name))
        for frames in video.stream_frames():
            answers = (models.predict_batch(frames, model=name) for name in (old, new))
            for frame, before, after in zip(frames, *answers, strict=True):
                counts = [Counter(one.class_name for one in found) for found in (before, after)]
                total += 1
                if counts[0] != counts[1]:
                    differ += 1
                    print(f"{frame.seconds:6.2f} s  {dict(counts[0])} -> {dict(counts[1])}")
        for name in (old, new):
            print(f"{name}: {models.get_performance_stats(name)}")
    print(f"{differ} of {total} frames differ")


if __name__ == "__main__":
    compare(*sys.argv[1:])
