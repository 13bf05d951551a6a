"""Data as Throughline knows it: pictures, what is really on them, and a hash that names the whole.

A sample is read when it is asked for, so a set of a million pictures costs a list of paths.
Truth has the shape of results (``Detections``), so that the two can be laid side by side.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

from throughline.contracts.detections import Detections


@dataclass(frozen=True, slots=True, eq=False)
class Sample:
    """One picture.

    Attributes:
        name: what it is called in its set; no two are called alike.
        read: gives the picture: height x width x 3, RGB, ``uint8``, upright.
        sha256: of its file's bytes.
        truth: what is really on it, in its own pixels; None where nobody has said. What is true of the whole
            picture (its class) is a row ``of_frame`` (see ``Detections``), with confidence 1.
        traits: what else is known of it (camera, light, hour), for slicing.
        group: what it must not be parted from: the video it is a frame of, say. Its own name where there is nothing.
    """

    name: str
    read: Callable[[], npt.NDArray[np.uint8]]
    sha256: str
    truth: Detections | None = None
    traits: Mapping[str, str | float] = field(default_factory=dict)
    group: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class DataSet:
    """Pictures that belong together.

    Attributes:
        name: what the user called it.
        format: how it lies on the disk: "yolo", "coco", "mot", "folders", "pictures".
        task: what its truth is for: "detect", "segment", "classify", "track"; None where there is none.
        labels: the names of its classes, by class number.
        samples: the pictures, in an order that does not change.
        sha256: names all of it: pictures, truth and labels. Two sets with the same one are the same data.
    """

    name: str
    format: str
    task: str | None
    labels: tuple[str, ...]
    samples: Sequence[Sample]
    sha256: str

    def few(self, most: int) -> DataSet:
        """So many of them at most, evenly spread; the hash is still that of the whole."""
        spread = np.unique(np.linspace(0, len(self) - 1, min(most, len(self))).astype(int))
        return replace(self, samples=[self.samples[at] for at in spread])

    def __len__(self) -> int:
        return len(self.samples)

    def __iter__(self) -> Iterator[Sample]:
        return iter(self.samples)
