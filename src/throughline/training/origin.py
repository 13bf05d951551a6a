"""Which code a model came from: the commit of the folder that the run was begun in, and the versions of the packages.

A model that nobody can make again is a model that nobody can mend. What is not committed is said, with a hash of the
difference, so that two runs from the same edited folder can be told to be the same.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import platform
import subprocess
from collections.abc import Iterable
from pathlib import Path

_SECONDS = 10
_SENT_WITH = {"sklearn": "scikit-learn", "mlflow": "mlflow-skinny", "yaml": "pyyaml", "cv2": "opencv-python-headless"}


def code_version(packages: Iterable[str] = (), folder: Path | None = None) -> dict[str, str]:
    """The version of Throughline, Python and these packages, and of the user's own code where it is kept in Git.

    Args:
        packages: by the names that they are imported by.
        folder: where the user's code is; the working folder when not given.
    """
    asked = ("throughline", "numpy", *packages)
    found = {name: version for name in asked if (version := _version(name)) is not None}
    found["python"] = platform.python_version()
    return found | _git(folder or Path.cwd())


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(_SENT_WITH.get(package, package))
    except importlib.metadata.PackageNotFoundError:
        return None


def _git(folder: Path) -> dict[str, str]:
    """The commit, and a hash of what differs from it; nothing where the folder is in no repository."""
    commit = _asked(folder, "rev-parse", "HEAD")
    if commit is None:
        return {}
    changed = _asked(folder, "diff", "HEAD", "--no-ext-diff", "--no-textconv", "--binary") or b""
    known = {"commit": commit.decode().strip()}
    return known | ({"changed": hashlib.sha256(changed).hexdigest()[:12]} if changed.strip() else {})


def _asked(folder: Path, *words: str) -> bytes | None:
    command = ["git", "-C", str(folder), "-c", "core.fsmonitor=false", *words]
    try:
        done = subprocess.run(command, capture_output=True, timeout=_SECONDS, check=False, stdin=subprocess.DEVNULL)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout if done.returncode == 0 else None
