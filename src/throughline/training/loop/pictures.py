"""Pictures to learn from: objects on them, or what they are as a whole."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, final

import numpy as np
import numpy.typing as npt

from throughline.contracts.artifacts import TensorSpec
from throughline.contracts.detections import Detections
from throughline.contracts.errors import InputError
from throughline.contracts.samples import DataSet
from throughline.data.problems import Problems
from throughline.data.reading import index_of, open_data, readable
from throughline.data.splits import split
from throughline.evaluation.tally import tally
from throughline.training.loop.arrays import plain_loss
from throughline.training.loop.lessons import Interface
from throughline.training.loop.picture_store import PictureStore, varied
from throughline.training.loop.teaching import Teacher
from throughline.vision.canvas import canvas_for, read_size
from throughline.vision.decoders import DECODERS
from throughline.vision.letterbox import Letterbox
from throughline.vision.preprocess import PLAIN, normalise

if TYPE_CHECKING:
    import torch

_AT_ONCE: Final = 8
_PROVEN_ON: Final = 8
_CONF, _IOU, _MOST = 0.001, 0.7, 300
"""As ``evaluate`` measures."""


def train_and_val(spec: str, holdout: float, seed: int, teacher: Teacher | None = None) -> tuple[DataSet, DataSet, str]:
    """What to learn from and what to be judged by; a share is held out where the data have no val split; the hash.

    A teacher says what is on the pictures to learn from, and on the others only where nobody else has.
    """
    with readable(spec):
        splits = index_of(spec, Problems())[1].splits
    whole = open_data(spec, "train" if "train" in splits else None)
    if teacher is None:
        _labelled(whole)
    if "train" in splits and "val" in splits:
        train, val = whole, open_data(spec, "val")
    else:
        train, val = _parted(whole, holdout, seed)
    if teacher is not None:
        train, val = teacher.taught(train), teacher.judging(val)
    return train, val, whole.sha256


@final
class PictureLesson:
    """Pictures with boxes on them (detect), or with one class each (classify)."""

    def __init__(self, data: tuple[DataSet, DataSet, str], options: Any, seed: int, decoder: str, stride: int) -> None:
        """``decoder`` reads what the network answers; ``stride`` is what its input's sides are multiples of."""
        train, val, self.sha256 = data
        self.task = "classify" if train.task == "classify" else "detect"  # outlines and tracks have boxes
        self.metric, self.higher_is_better = ("mAP50-95", True) if self.task == "detect" else ("accuracy", True)
        self.labels, self.size, self.decoder, self.stride = train.labels, len(train), decoder, stride
        self._options, self._seed, self._val = options, seed, val
        parts = {"training": train, "validation": val}
        self.used: Mapping[str, Mapping[str, Any]] = {
            part: {"name": one.name, "sha256": one.sha256, "pictures": len(one)} for part, one in parts.items()
        }
        facts = DECODERS.get(decoder).facts
        self._decode, self._preprocess = DECODERS.make(decoder), facts.get("preprocess", PLAIN)
        self.canvas = _canvas(train, options.imgsz, stride, self._preprocess.stretch)
        self._store = PictureStore(train.samples, self.canvas, options.scale, stretch=self._preprocess.stretch)
        self._store.read_all()
        self.truth = [_known(sample.truth, sample.name) for sample in val]
        self._shown: list[tuple[npt.NDArray[np.float32], list[Letterbox]]] = []

    def batch(self, rows: Sequence[int], epoch: int) -> tuple[torch.Tensor, ...]:
        """These pictures, varied as seed, epoch and place say; boxes padded to the most of one picture."""
        import torch

        options, shots = self._options, []
        gains = np.ones((len(rows), 3), np.float32)
        for at, row in enumerate(rows):
            dice = np.random.default_rng((self._seed, epoch, row))
            shot, stretch = self._store.shot(row), self._preprocess.stretch
            shots.append(varied(shot, self.canvas, dice, flip=options.flip, scale=options.scale, stretch=stretch))
            light = dice.uniform(1 - options.colour, 1 + options.colour)
            gains[at] = light * dice.uniform(1 - options.colour / 3, 1 + options.colour / 3, 3)
        pictures = torch.from_numpy(np.stack([picture for picture, _, _ in shots])).permute(0, 3, 1, 2).float()
        images = (pictures * torch.from_numpy(gains / 255)[:, :, None, None]).clamp_(0, 1)
        if self.task == "classify":
            kinds = np.array([self._store.shot(row)[2][0] for row in rows], np.int64)
            return self._as_taken(images), torch.from_numpy(kinds)
        most = max(1, *(len(boxes) for _, boxes, _ in shots))
        boxes, kinds = np.zeros((len(rows), most, 4), np.float32), np.full((len(rows), most), -1, np.int64)
        for at, (_, own, kind) in enumerate(shots):
            boxes[at, : len(own)], kinds[at, : len(kind)] = own, kind
        return self._as_taken(images), torch.from_numpy(boxes), torch.from_numpy(kinds)

    def loss(self, network: torch.nn.Module, answer: Any, truth: Sequence[torch.Tensor]) -> torch.Tensor:
        """The network's own, where it has one."""
        return plain_loss(self.task, network, answer, truth)

    def measure(self, network: torch.nn.Module, device: torch.device) -> dict[str, float]:
        """The task's metric, on every picture that is kept for it, as its decoder reads them."""
        return {self.metric: tally(self.task, self.answers(network, device), self.truth).value()}

    def answers(self, network: torch.nn.Module, device: torch.device) -> list[Detections]:
        """What it says of every picture that is kept to judge it by, as its decoder reads it."""
        import torch

        found: list[Detections] = []
        least = 0.0 if self.task == "classify" else _CONF
        for start in range(0, len(self._val), _AT_ONCE):
            buffer, fits = self._val_batch(start)
            answer = network(torch.from_numpy(buffer).to(device, memory_format=torch.channels_last))
            if isinstance(answer, torch.Tensor):
                answer = {"output0": answer}
            outputs = {name: one.float().cpu().numpy() for name, one in answer.items()}
            found += self._decode(outputs, fits, labels=self.labels, conf=least, iou=_IOU, max_det=_MOST)
        return found

    def baseline(self) -> dict[str, float]:
        """The commonest class; there is nothing plain that finds objects."""
        if self.task != "classify":
            return {}
        commonest = self.commonest()
        return {self.metric: float(np.mean([truth.class_id[0] == commonest for truth in self.truth]))}

    def commonest(self) -> int:
        """The class of most of the pictures to learn from."""
        return int(np.bincount([int(self._store.shot(row)[2][0]) for row in range(self.size)]).argmax())

    def interface(self) -> Interface:
        """Pictures of any size in whole strides, where they lie in the canvas as they are shaped."""
        import torch

        sides = ("height", "width") if self.task == "detect" and not self._preprocess.stretch else self.canvas
        about = {
            "task": self.task, "labels": self.labels, "decoder": self.decoder, "imgsz": self.canvas,
            "stride": self.stride,
        }  # fmt: skip
        few = dataclasses.replace(self._val, samples=list(self._val.samples)[:_PROVEN_ON])
        return Interface(
            (TensorSpec("images", "float32", ("batch", 3, *sides)),), (torch.zeros(2, 3, *self.canvas),), about,
            pictures=few,
        )  # fmt: skip

    def _as_taken(self, images: torch.Tensor) -> torch.Tensor:
        """From RGB of 0 to 1 to what the network's decoder says that it takes."""
        import torch

        normalise(images.numpy(), self._preprocess)
        return images.contiguous(memory_format=torch.channels_last)

    def _val_batch(self, start: int) -> tuple[npt.NDArray[np.float32], list[Letterbox]]:
        number = start // _AT_ONCE
        if number < len(self._shown):
            return self._shown[number]
        samples = [self._val.samples[row] for row in range(start, min(start + _AT_ONCE, len(self._val)))]
        buffer, fits = np.empty((len(samples), 3, *self.canvas), np.float32), []
        for sample, slot in zip(samples, buffer, strict=True):
            picture = sample.read()
            fits.append(self._preprocess.fit(picture.shape[:2], self.canvas))
            fits[-1].apply(picture, slot)
        normalise(buffer, self._preprocess)
        if self._store.kept and number == len(self._shown) and len(self._val) <= max(64, self.size):
            self._shown.append((buffer, fits))
        return buffer, fits


def _parted(whole: DataSet, holdout: float, seed: int) -> tuple[DataSet, DataSet]:
    names, groups = [one.name for one in whole], [one.group for one in whole]
    rows = split(names, groups, {"train": 1 - holdout, "val": holdout}, seed)
    train, val = (
        dataclasses.replace(whole, name=f"{whole.name} ({part})", samples=[whole.samples[row] for row in rows[part]])
        for part in ("train", "val")
    )
    return train, val


def _labelled(data: DataSet) -> None:
    if data.task is None or not data.labels:
        raise InputError(f"{data.name}: nobody has said what is on its pictures", "give boxes, or class folders")


def _canvas(data: DataSet, imgsz: str, stride: int, stretch: bool) -> tuple[int, int]:
    """Height and width of what the network is shown: as asked, else as the middle picture of the set is shaped."""
    sides = read_size(imgsz)
    if "x" in imgsz or stretch:
        return -(-sides[0] // stride) * stride, -(-sides[1] // stride) * stride
    height, width = data.samples[len(data) // 2].read().shape[:2]
    return canvas_for((height, width), sides[0], stride, dynamic=True)


def _known(truth: Any, name: str) -> Any:
    if truth is None:
        raise InputError(f"{name}: nobody has said what is on it", "give labelled data")
    return truth
