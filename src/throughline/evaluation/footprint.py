"""How much memory a way of running a model takes, in a process that runs nothing else.

Where many forms were opened before, what one of them adds to the process says nothing about it.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from throughline.contracts.artifacts import Array
from throughline.contracts.errors import ThroughlineError

_CALLS = 2


def footprint(model: Path, feeds: Mapping[str, Array], lanes: int, **opening: Any) -> float:
    """The peak of a process that opens the model and runs a few calls, in MB.

    Args:
        model: a file that was made or opened here a moment ago.
        feeds: what a call is given; its shapes and types count.
        lanes: how many calls at once.
        opening: as ``open_model`` takes it.
    """
    shapes = {name: [array.dtype.name, array.shape] for name, array in feeds.items()}
    asked = json.dumps({"model": str(model), "shapes": shapes, "lanes": lanes, "opening": opening})
    child = subprocess.run([sys.executable, "-m", __name__, asked], capture_output=True, text=True, check=False)
    if child.returncode:
        said = child.stderr.strip().splitlines() or ["it said nothing"]
        raise ThroughlineError(f"the process that measures memory ended with code {child.returncode}: {said[-1]}")
    return float(child.stdout.strip().splitlines()[-1])


def _main(asked: dict[str, Any]) -> None:
    from throughline.models.measuring import peak_mb
    from throughline.models.session import open_model

    feeds = {name: np.zeros(shape, dtype) for name, (dtype, shape) in asked["shapes"].items()}
    lanes = asked["lanes"]
    with open_model(asked["model"], lanes=lanes, trust=True, **asked["opening"]) as session:
        with ThreadPoolExecutor(lanes) as pool:
            list(pool.map(lambda _: session.predict(feeds), range(_CALLS * lanes)))
        print(peak_mb())


if __name__ == "__main__":
    _main(json.loads(sys.argv[1]))
