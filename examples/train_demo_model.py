"""Train the bundled demo model on the synthetic world and measure it on streets it has never seen.

    python examples/train_demo_model.py --out src/throughline/bundled

Takes under half an hour on two CPU cores, and gives the same model again for the same seed on the
same kind of processor. Nothing is written unless what was written can be reloaded, agrees with the
trained network, and reaches the mAP that is asked of it; the figures are in its passport.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import torch
from measure_demo_model import UNSEEN_STREETS, measure
from safetensors.torch import save_file

from throughline.contracts.artifacts import Step
from throughline.contracts.verdicts import Check, Verdict
from throughline.models import passport as passports
from throughline.models.artifact import Given, read_artifact
from throughline.testing.demo_detector import CLASSES, STRIDES, build
from throughline.testing.world import LABELS, Look, World
from throughline.training.loop.moving import Average, learning_rate

TRAINING_STREETS = range(100_000, 100_400)
FRAMES_PER_STREET = 9
WINDOW = (192, 640)
BATCH = 8
LEAST_MAP = 0.60


# ---------------------------------------------------------------- pictures


def training_view(seed: int) -> World:
    """Half of the streets as they are, half of them darker, busier, noisier, softer or of another size."""
    dice = np.random.default_rng(seed)
    if dice.random() < 0.5:
        return World(seed)
    look = Look(
        light=float(dice.uniform(0.35, 1.4)),
        noise=float(dice.uniform(0, 12)) if dice.random() < 0.5 else 0.0,
        blur=float(dice.uniform(0, 1.5)) if dice.random() < 0.3 else 0.0,
        density=float(dice.uniform(0.5, 1.8)),
    )
    height = int(dice.choice((320, 384, 384, 384, 448)))
    return World(seed, WINDOW[1], height, look=look)


def film(seed: int) -> list[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Frames of one street that are seconds apart: pictures, boxes, classes."""
    world, dice = training_view(seed), np.random.default_rng(seed + 1)
    shots = []
    for part in range(FRAMES_PER_STREET):
        frame, truth = world.frame(part * 120 + int(dice.integers(0, 120)))
        shots.append((frame.image, truth.detections.xyxy, truth.detections.class_id))
    return shots


class Pool:
    """Every training frame, in memory."""

    def __init__(self, seed: int) -> None:
        with ProcessPoolExecutor(2, get_context("spawn")) as workers:
            self.shots = [shot for street in workers.map(film, TRAINING_STREETS, chunksize=8) for shot in street]
        self.dice = np.random.default_rng(seed)
        self.order: list[int] = []

    def batch(self) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Windows of frames with their padded boxes and classes (-1 where there is no box)."""
        pictures, boxes, classes = zip(*(self._window() for _ in range(BATCH)), strict=True)
        most = max(1, *map(len, boxes))
        padded, kinds = np.zeros((BATCH, most, 4), np.float32), np.full((BATCH, most), -1, np.int64)
        for row, (box, kind) in enumerate(zip(boxes, classes, strict=True)):
            padded[row, : len(box)], kinds[row, : len(kind)] = box, kind
        images = torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2).float() / 255
        gain = torch.from_numpy(
            self.dice.uniform(0.8, 1.2, (BATCH, 1, 1, 1)) * self.dice.uniform(0.93, 1.07, (BATCH, 3, 1, 1))
        )
        images = (images * gain.float()).clamp_(0, 1).contiguous(memory_format=torch.channels_last)
        return images, torch.from_numpy(padded), torch.from_numpy(kinds)

    def _window(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        if not self.order:
            self.order = self.dice.permutation(len(self.shots)).tolist()
        picture, boxes, classes = self.shots[self.order.pop()]
        lowest = picture.shape[0] - WINDOW[0]
        top = lowest if self.dice.random() < 0.7 else int(self.dice.integers(0, lowest + 1))
        picture, moved = picture[top : top + WINDOW[0]], boxes - (0, top, 0, top)
        clipped = moved.clip(0, (WINDOW[1], WINDOW[0], WINDOW[1], WINDOW[0]))
        size, whole = clipped[:, 2:] - clipped[:, :2], moved[:, 2:] - moved[:, :2]
        kept = (size.min(1) >= 4) & (size.prod(1) >= 0.3 * whole.prod(1))
        clipped, classes = clipped[kept], classes[kept]
        if self.dice.random() < 0.5:
            picture = picture[:, ::-1]
            clipped = clipped[:, [2, 1, 0, 3]] * (-1, 1, -1, 1) + (WINDOW[1], 0, WINDOW[1], 0)
        return picture, clipped.astype(np.float32), classes


# ---------------------------------------------------------------- training


def train(seed: int, steps: int) -> torch.nn.Module:
    """The average of the weights along a run of this many steps."""
    torch.manual_seed(seed)
    started, pool = time.monotonic(), Pool(seed)
    print(f"{len(pool.shots)} frames rendered in {time.monotonic() - started:.0f} s", flush=True)
    network = build().to(memory_format=torch.channels_last).train()
    average = Average(network, 0.998)
    weights = [p for p in network.parameters() if p.ndim > 1]
    others = [p for p in network.parameters() if p.ndim <= 1]
    optimizer = torch.optim.AdamW([{"params": weights, "weight_decay": 0.03}, {"params": others, "weight_decay": 0.0}])
    started, recent = time.monotonic(), 0.0
    for step in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(step, steps, 2e-3, 0.01, 150 / steps)
        images, boxes, classes = pool.batch()
        value = network.loss(network(images), boxes, classes)
        optimizer.zero_grad(set_to_none=True)
        value.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 10.0)
        optimizer.step()
        average.take(step)
        recent = value.item() if not step else 0.98 * recent + 0.02 * value.item()
        if (step + 1) % 50 == 0:
            print(f"step {step + 1}/{steps}  loss {recent:.3f}  {time.monotonic() - started:.0f} s", flush=True)
    return average.network.to(memory_format=torch.contiguous_format).eval()


def export(network: torch.nn.Module, path: Path) -> None:
    """Write the network as ONNX with the properties that YOLO exporters write."""
    rows, columns = torch.export.Dim("rows", min=2, max=128), torch.export.Dim("columns", min=2, max=128)
    dynamic = {0: torch.export.Dim("batch", min=1, max=1024), 2: 32 * rows, 3: 32 * columns}
    program = torch.onnx.export(
        network,
        (torch.rand(2, 3, 384, 640),),
        input_names=["images"],
        output_names=["output0"],
        dynamic_shapes=(dynamic,),
        dynamo=True,
        opset_version=20,
        external_data=False,
        verbose=False,
    )
    model = program.model_proto
    for node in model.graph.node:  # the exporter notes there where on this machine each line of code lies
        del node.metadata_props[:]
        node.doc_string = ""
    del model.graph.value_info[:], model.graph.metadata_props[:], model.metadata_props[:]
    for value, names in (
        (model.graph.input[0], "batch 3 height width"),
        (model.graph.output[0], f"batch {4 + CLASSES} anchors"),
    ):
        del value.metadata_props[:]
        for dimension, name in zip(value.type.tensor_type.shape.dim, names.split(), strict=True):
            if name.isdigit():
                dimension.dim_value = int(name)
            else:
                dimension.dim_param = name
    onnx.helper.set_model_props(
        model,
        {
            "description": "Throughline demo detector, trained on the synthetic world",
            "author": "The Throughline authors",
            "license": "Apache-2.0",
            "task": "detect",
            "stride": str(STRIDES[-1]),
            "imgsz": "[384, 640]",
            "names": str(dict(enumerate(LABELS))),
        },
    )
    model.graph.name = "demo_detector"
    onnx.checker.check_model(model, full_check=True)
    path.write_bytes(model.SerializeToString())
    images = torch.rand(3, 3, 128, 224)
    with torch.no_grad():
        expected = network(images).numpy()
    answer = onnxruntime.InferenceSession(path).run(None, {"images": images.numpy()})[0]
    if not np.allclose(answer, expected, rtol=1e-4, atol=1e-2):
        raise SystemExit(f"the ONNX file is off by up to {np.abs(answer - expected).max()}, so nothing was written")


def main() -> None:
    """Train, export, prove, then put the files in place."""
    parser = argparse.ArgumentParser(description="Train the bundled demo model on the synthetic world.")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--steps", type=int, default=2600)
    parser.add_argument("--out", type=Path, default=Path("src/throughline/bundled"))
    options = parser.parse_args()
    torch.use_deterministic_algorithms(True)
    torch.utils.deterministic.fill_uninitialized_memory = False  # it would only cost time
    torch.set_num_threads(2)
    started = time.monotonic()
    network = train(options.seed, options.steps)
    minutes = (time.monotonic() - started) / 60
    options.out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=options.out) as folder:
        graph, weights = Path(folder) / "detector.onnx", Path(folder) / "detector.safetensors"
        export(network, graph)
        save_file(network.state_dict(), weights, metadata={"class": "throughline.testing.demo_detector:build"})
        print(*(f"{path.name} {passports.digest(path)}" for path in (graph, weights)), sep="\n", flush=True)
        figures = measure(graph, UNSEEN_STREETS)
        training = {
            "seed": options.seed,
            "steps": options.steps,
            "minutes": round(minutes, 1),
            "frames": len(TRAINING_STREETS) * FRAMES_PER_STREET,
            "streets": [TRAINING_STREETS.start, TRAINING_STREETS.stop - 1],
            "processor": processor(),
            "threads": 2,
            "torch": torch.__version__,
        }
        print(json.dumps({**figures, "training": training}, indent=2))
        issue(graph, weights, figures, training)
        for path in sorted(Path(folder).iterdir()):
            path.chmod(0o644)
            os.replace(path, options.out / path.name)


def issue(graph: Path, weights: Path, figures: dict[str, object], training: dict[str, object]) -> None:
    """Write both passports, with the measurement as the evidence; without the proof nothing is written at all."""
    checks = [
        Check("mAP50-95 on unseen streets", figures["mAP50-95"], LEAST_MAP, figures["mAP50-95"] >= LEAST_MAP),
        Check("mAP50 on unseen streets", figures["mAP50"], LEAST_MAP, figures["mAP50"] >= LEAST_MAP),
        Check("size in bytes", graph.stat().st_size, 3_000_000, graph.stat().st_size <= 3_000_000),
    ]
    proof = Verdict((passports.digest(graph),), tuple(checks))
    if not proof.passed:
        raise SystemExit(f"nothing was written: {', '.join(check.name for check in checks if not check.passed)} failed")
    script = f"examples/{Path(__file__).name}"
    known = {"task": "detect", "labels": LABELS, "decoder": "yolo", "imgsz": (384, 640), "stride": STRIDES[-1]}
    trained = Step("train", training, script)
    steps = (trained, Step("export", {"opset": 20}, script), Step("measure", figures, script))
    child = replace(read_artifact(graph).passport, **known, parent=passports.digest(weights))
    passports.issue(graph, replace(child, steps=steps, evidence=(proof,)), vouch=False)
    parent = replace(read_artifact(weights, Given(licence="Apache-2.0")).passport, **known, steps=(trained,))
    passports.issue(weights, parent, vouch=False)


def processor() -> str:
    """What this machine calls its processor."""
    known = Path("/proc/cpuinfo")
    lines = known.read_text().splitlines() if known.exists() else []
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.machine())


if __name__ == "__main__":
    main()
