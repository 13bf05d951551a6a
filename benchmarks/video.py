"""A whole run against the loop that everyone writes, and against what the machine could do at best.

    python benchmarks/video.py [--model MODEL] [--best MODEL] [--light MODEL] [--rounds 5]
                               [--sizes 1080p,4K,8K] [--clips FOLDER]

Each figure is a process of its own over a clip that this program makes, and the rounds take
turns, so that a busy moment of the machine hits all of them. Timed from the first frame to
the last result; opening the model is not counted, for anyone.

ours           ``throughline run``: decoded, looked at, results in JSONL, journal, accounting
best           the same with another form of the model, as its passport says it is to be run: what
               ``throughline optimize`` found, with --best
plain          cv2.VideoCapture, letterbox, ONNX Runtime, NMS; same model, same threads, same input shape
plain, square  the same with the square input that it usually has; ours takes a rectangle where it may
decode         nothing but decoding
inference      nothing but the model, on frames made ready before
"""

from __future__ import annotations

import argparse
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

SIZES = {"1080p": (1920, 1080, 240), "4K": (3840, 2160, 300), "8K": (7680, 4320, 180)}
"""Width, height and frames of each clip."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--model", type=Path, help="a detector that takes most of the time; the bundled one if not given"
    )
    parser.add_argument("--best", type=Path, help="another form of the model, to run over the 1080p clip too")
    parser.add_argument("--light", type=Path, help="one that takes under 3 ms; made here if not given")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--sizes", default="1080p,4K,8K")
    parser.add_argument("--clips", type=Path, help="keep the clips in this folder")
    parser.add_argument("--child", nargs=4, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.child:
        kind, clip, model, imgsz = asked.child
        if kind == "clip":
            _make_clip(Path(clip), imgsz)
            return
        print(json.dumps(KINDS[kind](Path(clip), Path(model), tuple(map(int, imgsz.split("x"))))))
        return
    with tempfile.TemporaryDirectory() as scratch:
        clips = asked.clips or Path(scratch)
        clips.mkdir(parents=True, exist_ok=True)
        model = asked.model or _bundled()
        light = asked.light or _light(clips / "light.onnx")
        print(f"{_machine()}; {asked.rounds} rounds in turn, medians")
        for size in asked.sizes.split(","):
            clip = _clip(clips, size)
            name, network = ("inference-bound", model) if size == "1080p" else ("decode-bound", light)
            print(f"\n{size}, {name}: {network.name}")
            square = size == "1080p"
            _table(_measured(clip, network, asked.rounds, square=square, best=asked.best if square else None))


def _measured(
    clip: Path, model: Path, rounds: int, *, square: bool, best: Path | None
) -> dict[str, list[dict[str, float]]]:
    """Every kind, round after round, in turn."""
    wide, whole = "640x384", "640x640"
    turns = [(kind, wide, model) for kind in ("ours", "plain", "decode", "inference")]
    turns += [("plain", whole, model)] if square else []
    turns += [("best", wide, best)] if best is not None else []
    told: dict[str, list[dict[str, float]]] = {}
    for _ in range(rounds):
        for kind, imgsz, network in turns:
            label = kind if imgsz == wide else f"{kind}, square"
            command = [sys.executable, __file__, "--child", kind, str(clip), str(network), imgsz]
            ran = subprocess.run(command, capture_output=True, text=True, check=False)
            if ran.returncode:
                raise SystemExit(ran.stderr)
            told.setdefault(label, []).append(json.loads(ran.stdout.splitlines()[-1]))
    return told


def _table(told: dict[str, list[dict[str, float]]]) -> None:
    from throughline.terminal import table

    def middle(label: str, of: Callable[[dict[str, float]], float]) -> float:
        return statistics.median(map(of, told[label]))

    rows = []
    for label in told:
        wall = middle(label, lambda one: one["wall"] / one["frames"])
        cpu = middle(label, lambda one: one["cpu"] / one["frames"])
        rows.append((label, f"{1 / wall:.1f}", f"{1000 * cpu:.1f}", f"{middle(label, lambda one: one['peak']):.0f}"))
    print(table(("", "frames per s", "CPU ms a frame", "peak MiB"), rows))

    def ratios(first: str, second: str, of: str) -> str:
        pairs = zip(told[first], told[second], strict=True)
        each = sorted(a[of] / a["frames"] / (b[of] / b["frames"]) for a, b in pairs)
        return f"{statistics.median(each):.2f} ({each[0]:.2f} to {each[-1]:.2f})"

    for label in ("ours", *(["best"] if "best" in told else [])):
        print(f"frame rate, {label} over plain: {ratios('plain', label, 'wall')}")
        if "plain, square" in told:
            print(f"frame rate, {label} over plain in a square: {ratios('plain, square', label, 'wall')}")
    limits = [
        (a["cpu"] + b["cpu"] * a["frames"] / b["frames"])
        for a, b in zip(told["decode"], told["inference"], strict=True)
    ]
    costs = sorted(one["cpu"] / limit for one, limit in zip(told["ours"], limits, strict=True))
    print(f"CPU, ours over decode and inference: {statistics.median(costs):.2f} ({costs[0]:.2f} to {costs[-1]:.2f})")


def _timed(work: Callable[[], int]) -> dict[str, float]:
    wall, cpu = time.perf_counter(), time.process_time()
    frames = work()
    spent = time.perf_counter() - wall, time.process_time() - cpu
    status = Path("/proc/self/status").read_text()
    peak = int(re.search(r"VmHWM:\s+(\d+)", status)[1]) / 1024  # type: ignore[index]
    return {"frames": frames, "wall": spent[0], "cpu": spent[1], "peak": peak}


def _ours(clip: Path, model: Path, _: tuple[int, int]) -> dict[str, float]:
    return _run(clip, model, (384, 640), {"decoder": "yolo", "imgsz": 640})


def _best(clip: Path, model: Path, _: tuple[int, int]) -> dict[str, float]:
    """The input size and the decoder are what its passport says; ``run`` takes them from there."""
    from throughline.models.artifact import read_artifact
    from throughline.vision.canvas import canvas_for
    from throughline.vision.detector import USUAL_SIZE, USUAL_STRIDE, input_size

    artifact = read_artifact(model)
    passport = artifact.passport
    longer, stride = max(passport.imgsz or (USUAL_SIZE,)), passport.stride or USUAL_STRIDE
    width, height, _frames = SIZES["1080p"]
    canvas = input_size(artifact) or canvas_for((height, width), longer, stride, dynamic=True)
    return _run(clip, model, canvas, {} if passport.decoder else {"decoder": "yolo"})


def _run(clip: Path, model: Path, canvas: tuple[int, int], said: dict[str, Any]) -> dict[str, float]:
    from throughline.video.carry_out import made_ready
    from throughline.video.halt import Halt
    from throughline.video.planning import planned

    options = {"save": "jsonl", "tracker": "none", **said}
    with tempfile.TemporaryDirectory() as folder, made_ready(planned("", [str(clip)], [model], options)) as ready:
        for session in ready.sessions:
            pictures = session.inputs[0]
            session.warm_up(1, {pictures.name: np.zeros((1, 3, *canvas), pictures.dtype)})

        def work() -> int:
            [outcome] = ready.carry_out(Path(folder), Halt(), None, None)
            assert outcome.said == "COMPLETE", outcome
            return outcome.accounting.inferred

        return _timed(work)


def _plain(clip: Path, model: Path, size: tuple[int, int]) -> dict[str, float]:
    """As it is written everywhere, with the channels swapped and the numbers scaled in one go."""
    import cv2
    import onnxruntime

    width, height = size
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = len(os.sched_getaffinity(0))
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    session.run(None, {name: np.zeros((1, 3, height, width), np.float32)})

    def work() -> int:
        capture, frames = cv2.VideoCapture(str(clip)), 0
        while True:
            there, frame = capture.read()
            if not there:
                return frames
            frames += 1
            scale = min(width / frame.shape[1], height / frame.shape[0])
            small = cv2.resize(frame, (round(frame.shape[1] * scale), round(frame.shape[0] * scale)))
            top, left = (height - small.shape[0]) // 2, (width - small.shape[1]) // 2
            canvas = np.full((height, width, 3), 114, np.uint8)
            canvas[top : top + small.shape[0], left : left + small.shape[1]] = small
            pixels = np.ascontiguousarray(canvas[:, :, ::-1].transpose(2, 0, 1)[None], np.float32) / 255
            rows = session.run(None, {name: pixels})[0][0].T
            scores = rows[:, 4:].max(axis=1)
            kept = rows[scores > 0.25]
            boxes = np.concatenate([kept[:, :2] - kept[:, 2:4] / 2, kept[:, 2:4]], axis=1)
            cv2.dnn.NMSBoxesBatched(boxes, kept[:, 4:].max(axis=1), kept[:, 4:].argmax(axis=1), 0.25, 0.7)

    return _timed(work)


def _decode(clip: Path, model: Path, size: tuple[int, int]) -> dict[str, float]:
    import av

    def work() -> int:
        with av.open(str(clip)) as media:
            stream = media.streams.video[0]
            stream.thread_type, stream.thread_count = "AUTO", len(os.sched_getaffinity(0))
            return sum(1 for _ in media.decode(stream))

    return _timed(work)


def _inference(clip: Path, model: Path, size: tuple[int, int]) -> dict[str, float]:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = len(os.sched_getaffinity(0))
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    pixels = np.random.default_rng(1).random((1, 3, size[1], size[0]), np.float32)
    session.run(None, {name: pixels})

    def work() -> int:
        for _ in range(60):
            session.run(None, {name: pixels})
        return 60

    return _timed(work)


KINDS: dict[str, Callable[[Path, Path, tuple[int, int]], dict[str, float]]] = {
    "ours": _ours, "best": _best, "plain": _plain, "decode": _decode, "inference": _inference
}  # fmt: skip


def _clip(folder: Path, size: str) -> Path:
    path = folder / f"{size}.mp4"
    if not path.exists():  # in a process of its own, which takes the memory with it
        subprocess.run([sys.executable, __file__, "--child", "clip", str(path), "", size], check=True)
    return path


def _make_clip(path: Path, size: str) -> None:
    """The world's street at this size, with the grain of a sensor, in H.264 as cameras write it."""
    import av
    import cv2

    from throughline.testing.world import World

    width, height, count = SIZES[size]
    street = [frame.image for frame, _ in World(seed=7).frames(48)]
    dice = np.random.default_rng(1)
    grain = dice.normal(0, 4, (height + 64, width + 64, 1)).astype(np.int8)
    with av.open(str(path), "w") as media:
        stream: Any = media.add_stream(
            "libx264", rate=Fraction(30), options={"preset": "veryfast", "crf": "23", "g": "60"}
        )
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for number in range(count):
            there = number % 48 if number // 48 % 2 == 0 else 47 - number % 48
            picture = cv2.resize(street[there], (width, height), interpolation=cv2.INTER_CUBIC)
            x, y = dice.integers(0, 64, 2)
            noisy = np.clip(picture.astype(np.int16) + grain[y : y + height, x : x + width], 0, 255).astype(np.uint8)
            for packet in stream.encode(av.VideoFrame.from_ndarray(noisy, format="rgb24")):
                media.mux(packet)
        for packet in stream.encode():
            media.mux(packet)


def _light(path: Path) -> Path:
    """A network shaped as a YOLO with almost nothing in it, for runs in which decoding is the work."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    dice = np.random.default_rng(1)
    weights, nodes, before = [], [], "images"
    for number, (taken, given) in enumerate([(3, 8), (8, 16), (16, 24), (24, 32), (32, 10)]):
        kernel = dice.normal(0, 0.05, (given, taken, 3, 3)).astype(np.float32)
        weights.append(numpy_helper.from_array(kernel, f"w{number}"))
        nodes.append(helper.make_node("Conv", [before, f"w{number}"], [f"c{number}"], strides=[2, 2], pads=[1] * 4))
        nodes.append(helper.make_node("Sigmoid", [f"c{number}"], [f"s{number}"]))
        before = f"s{number}"
    weights += [numpy_helper.from_array(np.array([0, 10, -1], np.int64), "flat")]
    weights += [numpy_helper.from_array(np.array([[[300]] * 4 + [[0.2]] * 6], np.float32), "spread")]
    nodes.append(helper.make_node("Reshape", [before, "flat"], ["rows"]))
    nodes.append(helper.make_node("Mul", ["rows", "spread"], ["output0"]))
    images = helper.make_tensor_value_info("images", TensorProto.FLOAT, ["batch", 3, "height", "width"])
    output = helper.make_tensor_value_info("output0", TensorProto.FLOAT, ["batch", 10, "anchors"])
    model = helper.make_model(
        helper.make_graph(nodes, "light", [images], [output], weights),
        opset_imports=[helper.make_opsetid("", 20)], ir_version=10,
    )  # fmt: skip
    helper.set_model_props(model, {"names": str({n: f"class {n}" for n in range(6)}), "task": "detect", "stride": "32"})
    onnx.save(model, path)
    return path


def _bundled() -> Path:
    from throughline.bundled import DETECTOR

    return DETECTOR


def _machine() -> str:
    from throughline.hardware import cores, detect

    return f"{detect().cpu.model}, {cores()} cores"


if __name__ == "__main__":
    main()
