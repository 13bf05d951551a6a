"""Pictures to calibrate, prove or measure a model on: a data set, or frames spread over a video."""

from __future__ import annotations

import hashlib
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from throughline.contracts.errors import InputError
from throughline.contracts.frames import Frame
from throughline.contracts.samples import DataSet, Sample
from throughline.data.reading import open_data
from throughline.video.sources import kind_of, open_sources

_FROM_A_VIDEO = 128
"""So many frames say what a video has to say."""


def open_pictures(spec: str, split: str | None = None) -> DataSet:
    """A data set by its path, or a video's frames, evenly spread, which nobody has labelled."""
    path = Path(spec)
    is_data = path.is_dir() or path.suffix.lower() in {".yaml", ".yml", ".json"}
    if is_data or not path.is_file() or kind_of(spec) != "file":
        return open_data(spec, split)
    if split is not None:
        raise InputError(f"--split {split!r}: {spec} is a video, which has no splits", "leave --split away")
    return _from_video(spec)


def _from_video(spec: str) -> DataSet:
    name = Path(spec).name
    [source] = open_sources([spec])
    declared = source.info.declared or 0
    step = max(1, declared // _FROM_A_VIDEO)
    samples: list[Sample] = []
    try:
        for frame in source.frames():
            if frame.index % step == 0:
                samples.append(_kept(frame, name))
            if len(samples) == _FROM_A_VIDEO:
                break
    finally:
        source.close()
    if not samples:
        raise InputError(f"{spec}: gives no frame", "give a video that can be read")
    whole = hashlib.sha256("".join(sample.sha256 for sample in samples).encode()).hexdigest()
    return DataSet(name, "video", None, (), samples, whole)


def _kept(frame: Frame, video: str) -> Sample:
    """Packed without loss: a hundred frames of 4K would be 3 GB as they are."""
    import cv2

    packed = cv2.imencode(".png", frame.image, [cv2.IMWRITE_PNG_COMPRESSION, 1])[1]
    name = f"{video} {frame.seconds:.3f} s"
    return Sample(name, partial(_unpacked, packed), hashlib.sha256(packed.tobytes()).hexdigest(), group=video)


def _unpacked(packed: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
    import cv2

    return np.asarray(cv2.imdecode(packed, cv2.IMREAD_COLOR), np.uint8)
