"""A data set is there as a whole or not at all, and so is each of its pictures."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import numpy.typing as npt

from throughline.contracts.errors import InputError


@contextmanager
def appearing(target: Path) -> Iterator[Path]:
    """A folder to write into, which takes its name only once everything in it is written."""
    if target.exists() and not (target.is_dir() and not any(target.iterdir())):
        raise InputError(f"{target} is there already and not an empty folder", "name a new folder, or remove that one")
    target.parent.mkdir(parents=True, exist_ok=True)
    draft = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=target.parent))
    try:
        yield draft
        draft.chmod(0o755)
        os.replace(draft, target)
    except BaseException:
        shutil.rmtree(draft, ignore_errors=True)
        raise


def save_picture(path: Path, image: npt.NDArray[np.uint8]) -> None:
    """Write an RGB picture; its format follows from the name. A full disk is an error here, not a missing file."""
    import cv2

    quality = [cv2.IMWRITE_JPEG_QUALITY, 95] if path.suffix == ".jpg" else []
    encoded = cv2.imencode(path.suffix, cv2.cvtColor(image, cv2.COLOR_RGB2BGR), quality)[1]
    path.write_bytes(encoded.tobytes())


def at_least(least: int, **counts: int) -> None:
    """Refuse to write fewer frames than a format needs."""
    for name, count in counts.items():
        if count < least:
            raise InputError(f"{name} is {count}; it must be {least} or more", f"ask for at least {least}")
