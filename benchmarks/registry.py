"""The registry stampede: 32 processes that register 200 versions each at once in the embedded database.

python benchmarks/registry.py                              # the table of docs/registry.md
python benchmarks/registry.py --processes 8 --versions 50  # a smaller one

Every process also registers the same 20 models as all the others, one process is killed with SIGKILL half way and
begins again, and a program that knows nothing of Throughline writes runs through plain MLflow all the while. The
database is not there when they begin.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

STAMPEDE = Path(__file__).parents[1] / "tests" / "registry" / "stampede.py"


def main() -> None:
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("--processes", type=int, default=32)
    asked.add_argument("--versions", type=int, default=200)
    asked.add_argument("--shared", type=int, default=20)
    given = asked.parse_args()
    with tempfile.TemporaryDirectory(prefix="stampede-") as folder:
        command = [sys.executable, STAMPEDE, folder, given.processes, given.versions, given.shared]
        ran = subprocess.run([str(word) for word in command], capture_output=True, text=True, check=True)
    found = json.loads(ran.stdout)
    rows = [
        ("processes", f"{given.processes}, on {os.cpu_count()} CPU cores"),
        ("calls of register", f"{found['calls']:,}"),
        ("versions expected", f"{found['expected']:,}"),
        ("versions registered", f"{found['registered']:,}"),
        ("lost", found["lost"]),
        ("doubled", found["doubled"]),
        ("numbers from 1 without a gap", "yes" if found["numbers"] else "NO"),
        ("processes that failed", found["failed"]),
        ("lines that any process was told", len(found["said"].splitlines())),
        ("steps that plain MLflow logged meanwhile", f"{found['others']:,} ({found['others_lost']} lost)"),
        ("versions a second", f"{found['registered'] / found['seconds']:.1f}"),
        ("a call takes (median, 99 of 100, longest)", _seconds(found)),
        ("all of it takes", f"{found['seconds']:.0f} s"),
    ]
    print("| the stampede | |\n|---|---:|")
    print("\n".join(f"| {name} | {value} |" for name, value in rows))
    wrong = found["lost"] or found["doubled"] or found["failed"] or found["said"] or not found["numbers"]
    sys.exit(1 if wrong else 0)


def _seconds(found: dict[str, float]) -> str:
    return ", ".join(f"{found[name]:.2f} s" for name in ("median", "p99", "longest"))


if __name__ == "__main__":
    main()
