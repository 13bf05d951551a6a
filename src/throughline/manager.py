"""The embedding API: models and video for a program of your own, where ``throughline run`` is not the main loop.

Three objects: a ``ModelManager`` opens models and runs them over pictures, a
``VideoProcessor`` gives the frames of a source, and ``HybridTracker`` follows what was
found from frame to frame. Each does its one thing, and what goes wrong is raised.
"""

from __future__ import annotations

import dataclasses
import logging
import os
import threading
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self, final

import numpy as np
import numpy.typing as npt

from throughline.contracts.artifacts import Artifact
from throughline.contracts.detections import Detection, Detections
from throughline.contracts.errors import InputError, Unavailable, nearest
from throughline.contracts.frames import Frame
from throughline.hardware import detect, gpu_memory
from throughline.models import passport as passports
from throughline.models.artifact import read_artifact
from throughline.models.batching import bytes_per_frame, fitting_batch
from throughline.models.choose import Choice, PassedOver, choose
from throughline.models.formats import FORMATS
from throughline.models.session import Session, open_model
from throughline.models.timing import PerformanceStats
from throughline.settings import Config
from throughline.video.looking import side_by_side
from throughline.vision.canvas import canvas_for
from throughline.vision.detector import USUAL_STRIDE, Detector, detector_for, input_size

_log = logging.getLogger("throughline")

Picture = Frame | npt.NDArray[np.uint8]
"""A frame, or its pixels alone: height x width x 3, RGB, ``uint8``."""


@dataclass(frozen=True, slots=True)
class VramUsage:
    """The memory of one GPU, in MB.

    Attributes:
        device: which GPU.
        used_mb: what is in use on it, whoever uses it.
        total_mb: what it has.
        models: what each loaded model holds, for those whose runtime says so.
    """

    device: str
    used_mb: float
    total_mb: float
    models: Mapping[str, float]


@final
class LoadedModel:
    """One model, opened and ready for frames of any size. Safe to use from several threads.

    Attributes:
        name: what it was asked for by.
        artifact: the file that runs, and what is known of it.
        passed_over: the faster forms that were not taken, each with the reason.
    """

    def __init__(
        self,
        name: str,
        artifact: Artifact,
        passed_over: tuple[PassedOver, ...],
        session: Session,
        detector: Detector,
        batch: int,
        imgsz: int | None,
    ) -> None:
        self.name = name
        self.artifact = artifact
        self.passed_over = passed_over
        self._session, self._detector, self._imgsz = session, detector, imgsz
        self._at_once = batch if session.lanes == 1 or self._fixed_batch else 1
        self._frame_bytes = bytes_per_frame(session, self._try, batch)

    def __str__(self) -> str:
        return f"{self.name}: {self._session}"

    @property
    def labels(self) -> tuple[str, ...]:
        """The names of its classes."""
        return self._detector.labels

    def detect(self, frames: Iterable[Picture]) -> list[Detections]:
        """The same as ``predict_batch``, as columns: what a tracker takes, with masks where the model gives them."""
        pictures = _frames(frames)
        calls = list(self._calls([self._canvas(frame) for frame in pictures]))

        def look(call: tuple[Detector, list[int]]) -> list[Detections]:
            detector, rows = call
            pixels = detector.buffer(len(rows))
            fits = detector.fill(pixels, [pictures[at] for at in rows])
            return detector.read(detector.predict(pixels), fits)

        found: dict[int, Detections] = {}
        for (_, rows), said in side_by_side(look, iter(calls), min(self._session.lanes, max(1, len(calls)))):
            found.update(zip(rows, said, strict=True))
        return [found[at] for at in range(len(pictures))]

    def predict_batch(self, frames: Iterable[Picture]) -> list[list[Detection]]:
        """What is in each of these frames: as many lists as frames, in their order. See ``ModelManager``."""
        return [list(one) for one in self.detect(frames)]

    def get_performance_stats(self) -> PerformanceStats:
        """Latency, throughput and memory of the model itself since it was loaded; warm-up is not counted."""
        return self._session.get_performance_stats()

    def get_optimal_batch_size(self, available: int) -> int:
        """How many frames at once, from 1 to 16, need at most 80 % of so many bytes.

        By what one frame was measured to need when the model was loaded: on its GPU, or in
        this process's memory. A model whose file fixes its batch is given just that.
        """
        if self._frame_bytes is None:
            raise Unavailable(
                "this system does not say how much memory a process takes", "choose the batch yourself: max_batch_size"
            )
        return self._fixed_batch or fitting_batch(available, self._frame_bytes)

    def close(self) -> None:
        """Give back what it holds, once the calls now running have returned."""
        self._session.close()

    @property
    def on_gpu(self) -> str | None:
        """The GPU that it runs on; None on the CPU."""
        return None if self._session.device == "cpu" else self._session.device

    @property
    def _fixed_batch(self) -> int | None:
        rows = self.artifact.inputs[0].shape[0]
        return rows if isinstance(rows, int) else None

    def _try(self, frames: int) -> None:
        pixels = self._detector.buffer(frames)
        pixels.fill(0)
        self._detector.predict(pixels)

    def _calls(self, canvases: list[tuple[int, int]]) -> Iterator[tuple[Detector, list[int]]]:
        """Which frames, by number, go into one call of the model: never two that want inputs of different sizes."""
        for canvas in dict.fromkeys(canvases):
            detector = dataclasses.replace(self._detector, canvas=canvas)
            alike = [at for at, its in enumerate(canvases) if its == canvas]
            for first in range(0, len(alike), self._at_once):
                yield detector, alike[first : first + self._at_once]

    def _canvas(self, frame: Frame) -> tuple[int, int]:
        if self._imgsz is None:
            return self._detector.canvas
        stride, stretched = self.artifact.passport.stride or USUAL_STRIDE, self._detector.preprocess.stretch
        return canvas_for(frame.size, self._imgsz, stride, dynamic=not stretched)


@final
class ModelManager:
    """The models of one folder, several of them open at once. Safe to use from several threads.

    Args:
        model_dir: the folder that holds the models.
        device: "cpu", "gpu", "gpu:1"; "auto" takes a GPU where a model's runtime can use one.
        max_batch_size: the most frames that a model works on at once: in one call on a GPU, side by side on a
            CPU's cores, where that does more frames a second. 1 gives a single frame every core. More frames
            than this are worked on in turn; none is dropped.
    """

    def __init__(self, model_dir: str | os.PathLike[str], device: str = "auto", max_batch_size: int = 8) -> None:
        self._folder = Path(model_dir)
        if not self._folder.is_dir():
            raise InputError(f"model_dir: {self._folder} is no folder", "give the folder that holds the models")
        Config().updated({"device": device, "batch": max_batch_size}, "ModelManager")
        if max_batch_size < 1:
            raise InputError(f"max_batch_size={max_batch_size}: a batch is one frame or more", "give 1 or more")
        self._device, self._batch = device, max_batch_size
        self._changing = threading.Lock()
        self._loaded: dict[str, LoadedModel] = {}
        self._closed = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def loaded(self) -> tuple[str, ...]:
        """The names of the models that are open."""
        return tuple(self._loaded)

    def available(self) -> tuple[str, ...]:
        """The names of the models in the folder: their files' without the endings."""
        return tuple(sorted({path.stem for path in self._files()}))

    def load_model(
        self,
        name: str,
        optimize: bool = True,
        *,
        conf: float = Config.conf,
        iou: float = Config.iou,
        max_det: int = Config.max_det,
        imgsz: int | None = None,
        decoder: str | None = None,
        trust: bool = False,
    ) -> LoadedModel:
        """Open a model of the folder, and run it once or twice so that its first frame is as fast as the others.

        Args:
            name: its file's name, with or without the ending.
            optimize: take the fastest of the forms in which the model lies there. A form counts only when its
                passport holds on this machine and ties it to this model; the fastest kind of format is
                preferred (TensorRT, OpenVINO, ONNX, ...), which is an order and not a measurement. Nothing is
                exported or converted. False takes the form from which the others were made.
            conf: the least confidence that counts as a detection.
            iou: two boxes that overlap more are one object.
            max_det: the most detections of one frame.
            imgsz: the longer input side, where the model leaves it open; else what its passport says.
            decoder: how its outputs are read, where its file does not say.
            trust: open a program (TorchScript, an engine) that no passport of this machine vouches for.
        """
        asked = {"device": self._device, "batch": self._batch, "conf": conf, "iou": iou, "max_det": max_det}
        config = Config().updated({**asked, "imgsz": imgsz}, "load_model")
        with self._changing:
            if self._closed:
                raise InputError("this ModelManager is closed", "make another")
            if name in self._loaded:
                raise InputError(f"'{name}' is loaded already", f"use it, or unload_model({name!r}) first")
            choice = choose(self._place(name), holds=passports.holds if optimize else _not_asked_for)
            for form in choice.passed_over if optimize else ():
                _log.warning("%s: %s", name, form)
            model = _opened(name, choice, config, decoder, trust)
            self._loaded = {**self._loaded, name: model}  # never changed in place: others read it meanwhile
        return model

    def unload_model(self, name: str) -> None:
        """Close a model, once the calls now running on it have returned."""
        with self._changing:
            model = self._named(name)
            self._loaded = {other: its for other, its in self._loaded.items() if other != name}
        model.close()

    def predict_batch(self, frames: Iterable[Picture], model: str | None = None) -> list[list[Detection]]:
        """What is in each of these frames: as many lists as frames, in their order.

        Args:
            frames: any number of them, of any sizes: ``Frame`` objects, or RGB arrays (OpenCV reads BGR: turn it).
            model: which of the loaded models; it may be left out while one alone is loaded.
        """
        return self._named(model).predict_batch(frames)

    def get_performance_stats(self, model: str | None = None) -> PerformanceStats:
        """Latency, throughput and memory of a model since it was loaded."""
        return self._named(model).get_performance_stats()

    def get_optimal_batch_size(self, available: int, model: str | None = None) -> int:
        """How many frames at once, from 1 to 16, need at most 80 % of ``available`` bytes of memory.

        The memory is that of the model's GPU, or the machine's where it runs on the CPU.
        """
        return self._named(model).get_optimal_batch_size(available)

    def get_vram_usage(self) -> VramUsage:
        """The memory of the GPU that the models run on, and how much of it each holds; an error where there is none."""
        models = self._loaded
        device = next((model.on_gpu for model in models.values() if model.on_gpu), None)
        if device is None:
            if not detect().gpus:
                raise Unavailable(
                    "there is no NVIDIA GPU here", "get_performance_stats().peak_rss_mb is the memory in use"
                )
            device = self._device if ":" in self._device else "gpu:0"
        memory = gpu_memory(int(device.rpartition(":")[2]))
        held = {name: model.get_performance_stats().gpu_mb for name, model in models.items() if model.on_gpu == device}
        return VramUsage(
            device, memory.used / 2**20, memory.total / 2**20, {name: mb for name, mb in held.items() if mb is not None}
        )

    def close(self) -> None:
        """Close every model, once the calls now running have returned."""
        with self._changing:
            self._closed, models, self._loaded = True, self._loaded, {}
        for model in models.values():
            model.close()

    def _named(self, name: str | None) -> LoadedModel:
        loaded = self._loaded
        if name is None and len(loaded) == 1:
            return next(iter(loaded.values()))
        if name is None and loaded:
            raise InputError(f"{len(loaded)} models are loaded", f"say which: model={' or '.join(map(repr, loaded))}")
        if name is None or name not in loaded:
            which = "no model" if name is None else f"no model '{name}'"
            raise InputError(f"{which} is loaded", f"load_model({name or 'name'!r}) first")
        return loaded[name]

    def _place(self, name: str) -> Path:
        forms = [path for path in self._files() if name in (path.name, path.stem)]
        if not forms:
            raise InputError(f"there is no model '{name}' in {self._folder}", nearest(name, self.available()))
        return forms[0] if len(forms) == 1 else self._folder / name

    def _files(self) -> list[Path]:
        endings = {ending for name in FORMATS.names() for ending in FORMATS.make(name).suffixes}
        return [path for path in self._folder.iterdir() if path.is_file() and path.suffix.lower() in endings]


def _opened(name: str, choice: Choice, config: Config, decoder: str | None, trust: bool) -> LoadedModel:
    artifact = read_artifact(choice.path)
    imgsz = config.imgsz if config.origin.get("imgsz") or not artifact.passport.imgsz else max(artifact.passport.imgsz)
    fixed, rows = input_size(artifact), artifact.inputs[0].shape[0]
    batch = rows if isinstance(rows, int) else config.batch  # a model of a fixed batch is fed just that
    session = open_model(
        choice.path,
        backend=choice.backend,
        device=config.device,
        max_batch=batch,
        lanes=config.batch,
        trust=trust,
    )
    try:
        detector = detector_for(
            artifact,
            session,
            decoder=decoder,
            imgsz=imgsz if fixed is None or config.origin.get("imgsz") else None,
            conf=config.conf,
            iou=config.iou,
            max_det=config.max_det,
        )
        return LoadedModel(name, artifact, choice.passed_over, session, detector, batch, None if fixed else imgsz)
    except BaseException:
        session.close()
        raise


def _not_asked_for(form: Path) -> str:
    return "optimize=False asks for the form that the others were made from"


def _frames(given: Iterable[Picture]) -> list[Frame]:
    if isinstance(given, np.ndarray) and given.ndim == 3:
        raise InputError("one picture was given, and a list of them is expected", "predict_batch([picture])")
    return [one if isinstance(one, Frame) else Frame(at, 0.0, _checked(one, at), "") for at, one in enumerate(given)]


def _checked(picture: object, at: int) -> npt.NDArray[np.uint8]:
    seen = repr(picture)[:100]
    if isinstance(picture, np.ndarray):
        if picture.dtype == np.uint8 and picture.ndim == 3 and picture.shape[2] == 3 and picture.size:
            return picture
        seen = f"{picture.dtype}[{', '.join(map(str, picture.shape))}]"
    raise InputError(f"frame {at} is {seen}", "a frame is a Frame, or a numpy array uint8[height, width, 3] in RGB")
