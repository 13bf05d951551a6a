"""The bundled detector on every backend of this machine: latency, throughput, agreement.

    python benchmarks/backends.py [--rounds 40] [--batch 1]

The backends take turns call by call, so that a busy moment of the machine hits all of them.
"""

from __future__ import annotations

import argparse
import tempfile
from contextlib import ExitStack
from pathlib import Path

import numpy as np

from throughline.bundled import DETECTOR, WEIGHTS
from throughline.hardware import cores, detect
from throughline.models.session import Session, open_model
from throughline.terminal import table
from throughline.testing.demo_detector import build
from throughline.testing.world import World


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--batch", type=int, default=1)
    asked = parser.parse_args()
    world = World(seed=7)
    frames = [np.moveaxis(frame.image, 2, 0) for frame, _ in world.frames(asked.batch)]
    feeds = {"images": np.stack(frames).astype(np.float32) / 255}
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        sessions = {name: stack.enter_context(session) for name, session in _sessions(folder).items()}
        for session in sessions.values():
            session.warm_up(3, feeds)
        reference = sessions["onnxruntime"].predict(feeds)["output0"]
        furthest = dict.fromkeys(sessions, 0.0)
        for _ in range(asked.rounds):
            for name, session in sessions.items():
                (output,) = session.predict(feeds).values()
                furthest[name] = max(furthest[name], float(np.abs(output - reference).max()))
        print(f"{detect().cpu.model}, {cores()} threads, batch {asked.batch}, 640x384, {asked.rounds} rounds in turn")
        rows = []
        for name, session in sessions.items():
            stats = session.get_performance_stats()
            speed = 1000 * asked.batch / stats.p50_ms
            rows.append((name, f"{stats.p50_ms:.2f}", f"{stats.p90_ms:.2f}", f"{speed:.1f}", f"{furthest[name]:.1e}"))
        print(table(("backend", "p50 ms", "p90 ms", "frames per s", "furthest from ONNX Runtime"), rows))


def _sessions(folder: Path) -> dict[str, Session]:
    """The same weights in every form that runs here, made on the spot."""
    import torch
    from safetensors.torch import load_file

    model = build().eval()
    model.load_state_dict(load_file(WEIGHTS))
    example = torch.zeros(2, 3, 384, 640)
    torch.jit.trace(model, example).save(folder / "detector.torchscript")
    size = {0: torch.export.Dim("batch", max=1024)}
    torch.export.save(torch.export.export(model, (example,), dynamic_shapes=(size,)), folder / "detector.pt2")
    return {
        "onnxruntime": open_model(DETECTOR, backend="onnxruntime", device="cpu"),
        "openvino": open_model(DETECTOR, backend="openvino", device="cpu"),
        "torch": open_model(WEIGHTS, backend="torch", device="cpu", class_="throughline.testing.demo_detector:build"),
        "torch (.pt2)": open_model(folder / "detector.pt2", backend="torch", device="cpu", trust=True),
        "torchscript": open_model(folder / "detector.torchscript", backend="torchscript", device="cpu", trust=True),
    }


if __name__ == "__main__":
    main()
