"""How fast the synthetic world renders, frames with all of their truth.

python benchmarks/world.py [--frames 1000] [--width 640] [--height 384]
"""

from __future__ import annotations

import argparse
import time

from throughline.testing.world import World


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--frames", type=int, default=1000)
    parser.add_argument("--width", type=int, default=640)
    parser.add_argument("--height", type=int, default=384)
    asked = parser.parse_args()
    start, objects = time.perf_counter(), 0
    for _, truth in World(seed=7, width=asked.width, height=asked.height).frames(asked.frames):
        objects += len(truth.detections)
    seconds = time.perf_counter() - start
    print(f"world: {asked.frames} frames of {asked.width}x{asked.height} with truth for {objects} objects")
    print(f"  {seconds:.2f} s, {1000 * seconds / asked.frames:.2f} ms a frame, one thread")


if __name__ == "__main__":
    main()
