"""Kill a run with SIGKILL at random lines of its code, let it go on, and compare every file with an unkilled run's.

    python benchmarks/kill_anywhere.py [--kills 200] [--seed 1]

The run is the one of tests/video/blobs.py: a real model, tracker, journal and sink. Each is
killed once, and every fifth is killed three times before it may end.
"""

from __future__ import annotations

import argparse
import json
import random
import subprocess
import sys
import tempfile
from pathlib import Path

PROGRAM = Path(__file__).parents[1] / "tests" / "video" / "blobs.py"


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    sys.path.append(str(PROGRAM.parent))
    from blobs import write_model

    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        model = write_model(folder / "blobs.onnx")

        def live(plans: list[tuple[str, list[int]]]) -> list[tuple[int, list[object] | None]]:
            command = [sys.executable, str(PROGRAM), str(model), json.dumps(plans)]
            return json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)

        [(_, told)] = live([(str(folder / "whole"), [0])])
        assert told is not None
        lines, dice, plans, left = int(str(told[2])), random.Random(asked.seed), [], asked.kills
        while left > 0:
            deaths = min(left, 3 if len(plans) % 5 == 4 else 1)
            # a later life is shorter, so later deaths come from a shorter range
            at = [dice.randrange(1, max(2, lines // 3 if deaths > 1 else lines)) for _ in range(deaths)]
            plans.append((str(folder / str(len(plans))), [*at, 0]))
            left -= deaths
        lives = live(plans)
        killed = sum(code == -9 for code, _ in lives)
        whole = files(folder / "whole")
        same = sum({name: files(Path(run)).get(name) for name in whole} == whole for run, _ in plans)
    print(f"{killed} kills by SIGKILL over {lines} lines, {len(plans)} runs: {same} ended with the very same files")
    sys.exit(same != len(plans))


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


if __name__ == "__main__":
    main()
