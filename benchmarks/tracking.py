"""Trackers against each other on streets whose identities are known, at strides 1 to 8 and an uneven rate.

    pip install 'throughline[track]' && pip install --no-deps trackers==2.6.1 trackeval==1.3.0
    python benchmarks/tracking.py [--seeds 101 102 103] [--frames 600] [--detector]

Every tracker is given the same boxes: the truth, spoilt by seeded jitter, misses and false
alarms, or with ``--detector`` what the bundled detector finds. The scores are TrackEval's.
``bytetrack`` and ``ocsort`` are told the true frame rate and every frame's time.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from throughline.contracts.detections import Detections
from throughline.contracts.frames import Frame
from throughline.contracts.streams import Tracker
from throughline.terminal import table
from throughline.testing.world import Look, World
from throughline.video.trackers import TRACKERS

Clip = list[tuple[Frame, Detections, Detections]]
"""Frames, each with its truth and with what the trackers are given."""
FPS = 30


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--seeds", type=int, nargs="+", default=[101, 102, 103])
    parser.add_argument("--frames", type=int, default=600)
    parser.add_argument("--trackers", nargs="+", default=["hybrid", "bytetrack", "ocsort"])
    parser.add_argument("--detector", action="store_true")
    asked = parser.parse_args()
    scores: dict[tuple[str, str], list[Score]] = {}
    for seed in asked.seeds:
        clip = filmed(seed, asked.frames)
        clip = detected(clip) if asked.detector else spoilt(clip, seed)
        for rate, part in rates(clip, seed):
            for name in asked.trackers:
                scores.setdefault((rate, name), []).append(score(name, part))
    print(f"{len(asked.seeds)} streets of {asked.frames} frames; {'detector' if asked.detector else 'spoilt truth'}")
    rows = [(rate, name, *summary(of)) for (rate, name), of in scores.items()]
    print(table(("frames", "tracker", "MOTA", "IDF1", "HOTA", "switches", "CPU ms a frame"), rows))


def filmed(seed: int, count: int) -> Clip:
    """A busy street, without its masks."""
    clip: Clip = []
    for frame, truth in World(seed=seed, fps=FPS, look=Look(density=1.5)).frames(count):
        found = truth.detections
        seen = Detections(found.xyxy, found.confidence, found.class_id, None, found.tracker_id, found.data)
        clip.append((frame, seen, seen))
    return clip


def spoilt(clip: Clip, seed: int) -> Clip:
    """The truth as a middling detector would have it: off by 4 % of the size, 8 % missed, one false a frame."""
    return [
        (frame, truth, _spoilt(truth, frame, np.random.default_rng((seed, frame.index)))) for frame, truth, _ in clip
    ]


def _spoilt(truth: Detections, frame: Frame, chance: np.random.Generator) -> Detections:
    boxes = truth.xyxy
    size = np.sqrt((boxes[:, 2:] - boxes[:, :2]).prod(axis=1, keepdims=True))
    noisy = boxes + chance.normal(size=boxes.shape) * size * 0.04
    visible = truth.data["visibility"]
    scores = np.clip(chance.normal(0.86, 0.08, len(boxes)) * (0.4 + 0.6 * visible), 0.05, 0.99)
    kept = chance.random(len(boxes)) < 0.92 * np.minimum(1, 0.5 + visible)
    alarms = chance.poisson(1.0)
    height, width = frame.image.shape[:2]
    corner = chance.random((alarms, 2)) * (width * 0.9, height * 0.9)
    false = np.hstack((corner, corner + chance.uniform(10, 80, (alarms, 2))))
    found = Detections(
        np.vstack((noisy[kept], false)).astype(np.float32),
        np.concatenate((scores[kept], chance.uniform(0.1, 0.7, alarms))).astype(np.float32),
        np.concatenate((truth.class_id[kept], chance.integers(0, 6, alarms))),
    )
    return found[(found.xyxy[:, 2:] - found.xyxy[:, :2] > 2).all(axis=1)]


def detected(clip: Clip) -> Clip:
    """What the bundled detector finds, down to a confidence of 0.1."""
    from throughline.bundled import DETECTOR
    from throughline.models.artifact import read_artifact
    from throughline.models.session import open_model
    from throughline.vision.decoders import DECODERS
    from throughline.vision.letterbox import Letterbox

    model = read_artifact(DETECTOR)
    decode = DECODERS.make(model.passport.decoder or "yolo")
    done: Clip = []
    with open_model(DETECTOR, device="cpu") as session:
        for frame, truth, _ in clip:
            size = frame.image.shape[0], frame.image.shape[1]
            fit = Letterbox.fit(size, model.passport.imgsz or size)
            buffer = np.empty((1, 3, *fit.canvas), np.float32)
            fit.apply(frame.image, buffer[0])
            outputs = session.predict({model.inputs[0].name: buffer})
            (found,) = decode(outputs, [fit], labels=model.labels, conf=0.1, iou=0.6, max_det=300)
            done.append((frame, truth, found))
    return done


def rates(clip: Clip, seed: int) -> Iterator[tuple[str, Clip]]:
    """Every 1st, 2nd, 4th and 8th frame; and frames lost at random, in bursts, a quarter of them left."""
    for stride in (1, 2, 4, 8):
        yield f"every {stride}", clip[::stride]
    chance = np.random.default_rng(seed)
    left: Clip = []
    at = 0
    while at < len(clip):
        left.append(clip[at])
        at += int(chance.choice((1, 2, 4, 8, 12), p=(0.35, 0.2, 0.2, 0.15, 0.1)))
    yield "uneven", left


@dataclass(frozen=True)
class Score:
    """TrackEval's figures for one clip, and the processor time that the tracker took."""

    figures: dict[str, dict[str, Any]]
    frames: int
    seconds: float


def score(name: str, clip: Clip) -> Score:
    """Let a tracker run over a clip, and compare with the truth; a box of the wrong class is no match."""
    from trackeval.metrics import CLEAR, HOTA, Identity

    rate = (len(clip) - 1) / (clip[-1][0].seconds - clip[0][0].seconds)
    tracker: Tracker = TRACKERS.make(name, **({} if name == "hybrid" else {"frame_rate": rate}))
    pairs, spent = [], 0.0
    for frame, truth, given in clip:
        began = time.thread_time()
        followed = tracker.update(given, frame)
        spent += time.thread_time() - began
        pairs.append((truth, followed))
    data = _compared(pairs)
    with contextlib.redirect_stdout(io.StringIO()):
        metrics = [CLEAR({"PRINT_CONFIG": False}), Identity({"PRINT_CONFIG": False}), HOTA()]
        figures = {metric.get_name(): metric.eval_sequence(data) for metric in metrics}
    return Score(figures, len(clip), spent)


def _compared(pairs: Sequence[tuple[Detections, Detections]]) -> dict[str, Any]:
    truths, given = ([pair[side] for pair in pairs] for side in (0, 1))
    real, ours = ({identity: n for n, identity in enumerate(_identities(side))} for side in (truths, given))
    alike = []
    for truth, followed in pairs:
        a, b = truth.xyxy[:, None], followed.xyxy[None]
        common = np.maximum(np.minimum(a[..., 2:], b[..., 2:]) - np.maximum(a[..., :2], b[..., :2]), 0).prod(axis=2)
        union = (a[..., 2:] - a[..., :2]).prod(axis=2) + (b[..., 2:] - b[..., :2]).prod(axis=2) - common
        alike.append(np.where(truth.class_id[:, None] == followed.class_id[None], common / union, 0.0))
    return {
        "num_timesteps": len(pairs),
        "num_gt_ids": len(real),
        "num_tracker_ids": len(ours),
        "num_gt_dets": sum(map(len, truths)),
        "num_tracker_dets": sum(map(len, given)),
        "gt_ids": [np.array([real[i] for i in one.tracker_id.tolist()], int) for one in truths],
        "tracker_ids": [np.array([ours[i] for i in one.tracker_id.tolist()], int) for one in given],
        "similarity_scores": alike,
    }


def _identities(side: Sequence[Detections]) -> list[int]:
    return sorted({identity for one in side for identity in one.tracker_id.tolist()})


def summary(scores: Sequence[Score]) -> tuple[str, ...]:
    """All clips together, as TrackEval puts sequences together."""
    from trackeval.metrics import CLEAR, HOTA, Identity

    together = {
        metric.get_name(): metric.combine_sequences({n: one.figures[metric.get_name()] for n, one in enumerate(scores)})
        for metric in (CLEAR({"PRINT_CONFIG": False}), Identity({"PRINT_CONFIG": False}), HOTA())
    }
    spent = 1000 * sum(one.seconds for one in scores) / sum(one.frames for one in scores)
    percent = (together["CLEAR"]["MOTA"], together["Identity"]["IDF1"], together["HOTA"]["HOTA"].mean())
    return (*(f"{100 * value:.1f}" for value in percent), str(int(together["CLEAR"]["IDSW"])), f"{spent:.2f}")


if __name__ == "__main__":
    main()
