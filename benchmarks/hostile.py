"""Judge every file of a folder as `throughline` would before opening it, and count the verdicts.

    python benchmarks/hostile.py FOLDER

Nothing in the files runs: each is identified and checked, and no backend is
started. The exit code is 1 where anything but a verdict came out.
"""

from __future__ import annotations

import sys
import time
from collections import Counter
from pathlib import Path

from throughline.contracts.errors import InputError, ModelRefused, ThroughlineError
from throughline.models.identify import identify
from throughline.models.loading import check

VERDICTS = {
    "dangerous": "refused, trust or not: it would run or fetch what no model needs",
    "refused": "refused: it is made to deceive, or claims what it does not hold",
    "needs trust": "refused until somebody vouches for it: it is a program",
    "not a model": "no model: another kind of file, or a damaged one",
    "accepted": "safe to open",
    "FAULT": "an exception that is not ours",
}


def verdict(path: Path) -> tuple[str, str]:
    """The word for a file, and the reason in one line."""
    try:
        description = check(path)
    except ModelRefused as refusal:
        return _kind(path), _first_line(refusal)
    except InputError as error:
        return "not a model", _first_line(error)
    except Exception as fault:
        return "FAULT", f"{type(fault).__name__}: {fault}"
    return "accepted", f"{description.format}, {description.kind}"


def _kind(path: Path) -> str:
    try:
        level = identify(path).risk.level
    except ThroughlineError:
        return "refused"
    return {"malicious": "dangerous", "program": "needs trust"}.get(level, "refused")


def _first_line(error: ThroughlineError) -> str:
    return error.problem.splitlines()[0]


def main() -> int:
    """Print the table and the counts."""
    if len(sys.argv) != 2 or not Path(sys.argv[1]).is_dir():
        print(__doc__)
        return 2
    folder = Path(sys.argv[1])
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    counts: Counter[str] = Counter()
    start = time.perf_counter()
    for path in files:
        word, reason = verdict(path)
        counts[word] += 1
        name = str(path.relative_to(folder))
        print(f"{name:38} {word:12} {reason.removeprefix(str(path)).strip()}")
    print(f"\n{len(files)} files in {time.perf_counter() - start:.1f} s")
    for word, meaning in VERDICTS.items():
        if counts[word]:
            print(f"{counts[word]:5}  {word:12} {meaning}")
    return 1 if counts["FAULT"] else 0


if __name__ == "__main__":
    raise SystemExit(main())
