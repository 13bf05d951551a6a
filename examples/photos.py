"""What is in each picture of a folder, as a table; the pictures may be of any sizes.

Try it: python examples/photos.py photos
"""

import csv
import sys
from collections import Counter
from pathlib import Path

import cv2

from throughline import ModelManager
from throughline.bundled import DETECTOR

AT_ONCE = 32  # pictures in memory


def table(folder: str) -> None:
    paths = sorted(path for path in Path(folder).iterdir() if path.suffix.lower() in {".jpg", ".jpeg", ".png"})
    with ModelManager(DETECTOR.parent) as models:
        model = models.load_model("detector")
        rows = csv.writer(sys.stdout, lineterminator="\n")
        rows.writerow(["picture", *model.labels])
        for first in range(0, len(paths), AT_ONCE):
            some = paths[first : first + AT_ONCE]
            pictures = [cv2.imread(str(path), cv2.IMREAD_COLOR_RGB) for path in some]
            for path, found in zip(some, model.predict_batch(pictures), strict=True):
                counts = Counter(one.class_name for one in found)
                rows.writerow([path.name, *(counts[label] for label in model.labels)])


if __name__ == "__main__":
    table(sys.argv[1])
