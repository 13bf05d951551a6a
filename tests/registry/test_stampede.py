"""Several processes register at once, one of them is killed half way: none is lost, none doubled, nobody is told."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

STAMPEDE = Path(__file__).with_name("stampede.py")


def test_a_stampede_loses_nothing_doubles_nothing_and_says_nothing(project: Path) -> None:
    ran = subprocess.run([sys.executable, STAMPEDE, project, "3", "5", "2"], capture_output=True, text=True, check=True)
    found = json.loads(ran.stdout)
    assert (found["lost"], found["doubled"], found["failed"], found["locked"]) == (0, 0, 0, 0), found
    assert found["registered"] == 3 * 5 + 2
    assert found["said"] == ""
    assert found["numbers"], "the versions do not count from one without a gap"
    assert found["files"]
