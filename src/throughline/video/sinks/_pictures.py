"""What the picture results share: a part is one archive of JPEGs, and the result is a folder of them.

One file a part, because thousands of small ones cannot be put in place at once.
"""

from __future__ import annotations

import io
import tarfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt


def jpeg(image: npt.NDArray[np.uint8], quality: int = 92) -> bytes:
    """An RGB picture as a JPEG file."""
    import cv2

    _, data = cv2.imencode(".jpg", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, quality])
    return bytes(data.data)


class Archive:
    """The pictures of one part, by name."""

    def __init__(self, path: Path) -> None:
        self._tar = tarfile.open(path, "w:")  # noqa: SIM115 - open until the part is committed

    def add(self, name: str, data: bytes) -> None:
        """Put one picture in."""
        entry = tarfile.TarInfo(name)
        entry.size = len(data)
        self._tar.addfile(entry, io.BytesIO(data))

    def close(self) -> None:
        """Write its end."""
        self._tar.close()


def unpack(paths: Sequence[Path], draft: Path) -> None:
    """Every picture of these archives as a file in one folder."""
    draft.mkdir()
    for path in paths:
        with tarfile.open(path, "r:") as archive:
            for entry in archive:
                file = draft / entry.name
                file.parent.mkdir(parents=True, exist_ok=True)
                held = archive.extractfile(entry)
                assert held is not None, "an archive holds files alone"
                file.write_bytes(held.read())
