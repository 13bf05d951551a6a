"""A small real run for the tests of the job: bright squares that move, a network that finds them, a tracker, a sink.

As a program it does the run, and kills itself with SIGKILL at the line of our code that it is told.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from throughline.contracts.detections import Detections
from throughline.contracts.errors import InputError, SourceFailed
from throughline.contracts.frames import Frame
from throughline.contracts.runs import Gap
from throughline.contracts.streams import SourceInfo
from throughline.models.session import Session, open_model
from throughline.video.job import Job
from throughline.vision.decoders.yolo import decode
from throughline.vision.detector import Detector

SIDE, CELL = 64, 8
LABELS = ("blob",)


def write_model(path: Path) -> Path:
    """A YOLO-shaped network over a grid of cells: a cell's score is its mean brightness."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    cells = SIDE // CELL
    centre = (np.arange(cells, dtype=np.float32) + 0.5) * CELL
    x, y = np.meshgrid(centre, centre)
    places = np.stack([x.ravel(), y.ravel(), np.full(cells**2, 12), np.full(cells**2, 12), np.zeros(cells**2)])
    kernel = np.zeros((5, 3, 1, 1), np.float32)
    kernel[4] = 1 / 3
    graph = helper.make_graph(
        [
            helper.make_node("AveragePool", ["images"], ["means"], kernel_shape=[CELL, CELL], strides=[CELL, CELL]),
            helper.make_node("Conv", ["means", "kernel"], ["scores"]),
            helper.make_node("Reshape", ["scores", "shape"], ["flat"]),
            helper.make_node("Add", ["flat", "places"], ["output0"]),
        ],
        "blobs",
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, ["batch", 3, SIDE, SIDE])],
        [helper.make_tensor_value_info("output0", TensorProto.FLOAT, ["batch", 5, cells**2])],
        [
            numpy_helper.from_array(kernel, "kernel"),
            numpy_helper.from_array(np.array([0, 5, cells**2], np.int64), "shape"),
            numpy_helper.from_array(places[None].astype(np.float32), "places"),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    helper.set_model_props(model, {"names": "{0: 'blob'}", "task": "detect", "stride": str(CELL)})
    onnx.save(model, path)
    return path


def picture(index: int) -> np.ndarray:
    image = np.zeros((48, 64, 3), np.uint8)
    for blob in range(3):
        left, top = (index * (blob + 1) + 20 * blob) % 52, (8 + 14 * blob + index // 3) % 36
        image[top : top + 12, left : left + 12] = 150 + 30 * blob + index % 7
    return image


class Blobs:
    """A source of ``count`` frames; ``fails_at`` ends it early, ``lost`` is a gap."""

    def __init__(self, count: int, *, fails_at: int | None = None, lost: range = range(0), live: bool = False) -> None:
        self.info = SourceInfo("blobs", 64, 48, Fraction(10), count, count / 10, live)
        self.gaps: tuple[Gap, ...] = ()
        self.count, self.fails_at, self.lost, self.closed = count, fails_at, lost, False

    def frames(self, start: int = 0, gaps: Sequence[Gap] = ()) -> Iterator[Frame]:
        for index in range(self.count):
            if self.closed:
                return
            if index == self.fails_at:
                raise SourceFailed("blobs: the cable was pulled", "put it back")
            if index in self.lost:
                self.gaps = (Gap(self.lost.start / 10, self.lost.stop / 10, "unreadable"),)
            elif index >= start:
                yield Frame(index, index / 10, picture(index), "blobs")

    def close(self) -> None:
        self.closed = True


class Nearest:
    """Objects keep the identity of the nearest one of the frame before; all it knows goes into its state."""

    def __init__(self) -> None:
        self.known: dict[int, list[float]] = {}
        self.next = 1

    def update(self, found: Detections, frame: Frame) -> Detections:
        ids, before = [], dict(self.known)
        for box in found.xyxy.tolist():
            middle = [(box[0] + box[2]) / 2, (box[1] + box[3]) / 2]
            near = sorted((abs(x - middle[0]) + abs(y - middle[1]), known) for known, (x, y) in before.items())
            if near and near[0][0] < 9:
                identity = near[0][1]
                del before[identity]
            else:
                identity, self.next = self.next, self.next + 1
            self.known[identity] = middle
            ids.append(identity)
        return Detections(
            found.xyxy, found.confidence, found.class_id, tracker_id=np.array(ids, np.int64), labels=found.labels
        )

    def reset(self) -> None:
        self.known = {}

    def state(self) -> dict[str, Any]:
        return {"known": {str(identity): place for identity, place in self.known.items()}, "next": self.next}

    def restore(self, state: Mapping[str, Any]) -> None:
        self.known = {int(identity): place for identity, place in state["known"].items()}
        self.next = state["next"]


class Lines:
    """One line of JSON a frame, in parts."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.lines = folder, []
        folder.mkdir(parents=True, exist_ok=True)

    def write(self, frame: Frame, found: Detections) -> None:
        ids = None if found.tracker_id is None else found.tracker_id.tolist()
        rows = [found.xyxy.tolist(), found.confidence.tolist(), ids]
        self.lines.append(json.dumps([frame.index, frame.seconds, rows]) + "\n")

    def part(self, number: int) -> Path:
        return self.folder / f"lines.part{number}"

    def commit(self, part: int) -> None:
        self._put("".join(self.lines), self.part(part))
        self.lines = []

    def finish(self, parts: int) -> tuple[Path, ...]:
        whole = self.folder / "lines.jsonl"
        if not whole.exists():
            self._put("".join(self.part(number).read_text() for number in range(parts)), whole)
        for number in range(parts):
            self.part(number).unlink(missing_ok=True)
        return (whole,)

    def abort(self) -> None:
        self.lines = []

    def _put(self, text: str, path: Path) -> None:
        fresh = path.with_suffix(".fresh")
        try:
            with fresh.open("w") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            fresh.replace(path)
        except OSError as error:
            raise InputError(f"{path}: cannot write: {error.strerror}", "make room") from None


def job(folder: Path, session: Session, source: Blobs, **changes: Any) -> Job:
    detector = Detector(session, decode, (SIDE, SIDE), LABELS, conf=0.5, iou=0.2)
    settings: dict[str, Any] = {
        "make_tracker": Nearest, "make_sinks": lambda: [Lines(folder)], "batch": 4, "part": 10, "stride": 2
    }  # fmt: skip
    return Job(source, "blobs", folder, changes.pop("detectors", {"blobs": detector}), **{**settings, **changes})


def dies_at(line: int) -> Callable[[], int]:
    """Count the lines of our code that this thread runs, and kill the process at one of them."""
    seen = 0

    def traced(frame: Any, event: str, _: Any) -> Any:
        nonlocal seen
        name = frame.f_code.co_filename
        if "throughline/video" not in name and not name.endswith("blobs.py"):
            return None
        if event == "line":
            seen += 1
            if seen == line:
                os.kill(os.getpid(), signal.SIGKILL)
        return traced

    sys.settrace(traced)
    return lambda: seen


def main() -> None:
    """Arguments: the model, the folder of each run, and for each the lines at which it is killed, one after the other.

    Every life is a process of its own, forked before any thread or model exists.
    """
    model, plans = Path(sys.argv[1]), json.loads(sys.argv[2])
    told = []
    for folder, lines in plans:
        for line in lines:
            reader, writer = os.pipe()
            child = os.fork()
            if child == 0:
                session = open_model(model, threads=1)
                lived = dies_at(line)
                outcome = job(Path(folder), session, Blobs(75, lost=range(31, 34))).run()
                sys.settrace(None)
                os.write(writer, json.dumps([str(outcome.ending), outcome.resumed_at, lived()]).encode())
                session.close()
                os._exit(0)
            os.close(writer)
            with open(reader) as pipe:
                said = pipe.read()
            _, status = os.waitpid(child, 0)
            told.append([os.waitstatus_to_exitcode(status), json.loads(said) if said else None])
    print(json.dumps(told))


if __name__ == "__main__":
    main()
