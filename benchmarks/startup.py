"""How long the command line takes to start, next to Python doing nothing.

    python benchmarks/startup.py [--repeats 30]

The commands take turns, so that a busy moment of the machine hits all of them.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import time

COMMANDS = {
    "python -c pass": ["-c", "pass"],
    "import throughline": ["-c", "import throughline"],
    "throughline --help": ["-m", "throughline.cli", "--help"],
    "throughline inspect --help": ["-m", "throughline.cli", "inspect", "--help"],
    "throughline doctor": ["-m", "throughline.cli", "doctor"],
}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--repeats", type=int, default=30)
    repeats = parser.parse_args().repeats
    taken: dict[str, list[float]] = {name: [] for name in COMMANDS}
    for turn in range(repeats + 1):
        for name, arguments in COMMANDS.items():
            start = time.perf_counter()
            subprocess.run([sys.executable, *arguments], check=True, stdout=subprocess.DEVNULL)
            if turn:  # the first turn fills the disk cache
                taken[name].append(1000 * (time.perf_counter() - start))
    plain = statistics.median(taken["python -c pass"])
    print(f"start-up, median of {repeats} interleaved runs (least to most)")
    for name, times in taken.items():
        median = statistics.median(times)
        print(f"  {name:<28} {median:7.1f} ms ({min(times):.1f} to {max(times):.1f})  {median - plain:+7.1f} ms")


if __name__ == "__main__":
    main()
