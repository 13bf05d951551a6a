"""How soon each drift detector sees that a street has changed, and how often it says so when nothing has.

    python benchmarks/drift.py [--seeds 11 12] [--windows 50]

Each street is watched by the bundled detector, twice a second. Its first five minutes are the reference; the next
windows show the same street and count false alarms; then it is shown changed, three windows of each change.
Everything is at the default settings: windows of 60 frames, one in a hundred windows of nothing new may have news.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

import throughline
from throughline.contracts.detections import Detections
from throughline.contracts.frames import Frame
from throughline.contracts.observations import Observation
from throughline.models.artifact import read_artifact
from throughline.models.session import open_model
from throughline.monitoring.detectors import DETECTORS
from throughline.monitoring.observing import observe_frame
from throughline.monitoring.profile import Profile, profile_of
from throughline.monitoring.windows import WINDOW, Watch, Window
from throughline.terminal import table
from throughline.testing.world import Look, World
from throughline.vision.detector import Detector, detector_for

SIZE, FPS = (320, 192), 2
REFERENCE, AFTER, SHOWN = 600, 20_000, 3
CHANGES: Mapping[str, Look] = {
    "light 0.7": Look(light=0.7),
    "blur 1": Look(blur=1.0),
    "noise 8": Look(noise=8.0),
    "density 2": Look(density=2.0),
    "colours 1": Look(appearance=1.0),
    "class mix": Look(),
}


@dataclass
class Tally:
    """What one choice of detectors did on all streets."""

    windows: int = 0
    news: int = 0
    alarms: int = 0
    seconds: float = 0.0
    seen: dict[str, list[int | None]] = field(default_factory=dict)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--seeds", type=int, nargs="+", default=[11, 12])
    parser.add_argument("--windows", type=int, default=50)
    asked = parser.parse_args()
    choices = {"as it comes": (), **{name: (name,) for name in DETECTORS.names() if name != "g_test"}}
    tallies = {name: Tally() for name in choices}
    artifact = read_artifact(Path(throughline.__file__).parent / "bundled" / "detector.onnx")
    with open_model(artifact.path, threads=1) as session:
        detector = detector_for(artifact, session, frame=(SIZE[1], SIZE[0]), imgsz=SIZE[0])
        for seed in asked.seeds:
            street = World(seed, *SIZE, fps=FPS)
            profile = profile_of(observed(street, detector, 0, REFERENCE))
            same = list(observed(street, detector, REFERENCE, asked.windows * WINDOW))
            changed = {
                name: list(observed(replace(street, look=look), detector, AFTER, SHOWN * WINDOW, name == "class mix"))
                for name, look in CHANGES.items()
            }
            for name, detectors in choices.items():
                judge(tallies[name], profile, detectors, same, changed)
    total = next(iter(tallies.values())).windows
    print(f"{len(asked.seeds)} streets, {total} windows of {WINDOW} frames of nothing new")
    head = ("detector", "news per 100", "alarms per 100", *CHANGES, "ms a window")
    print(table(head, [row(name, tally) for name, tally in tallies.items()]))
    print(f"under a change: the window that first had news, of {SHOWN}, on each street; - is none")


def observed(street: World, detector: Detector, start: int, count: int, mixed: bool = False) -> Iterator[Observation]:
    """So many frames of a street as the model sees them; ``mixed`` makes every other person a bicycle."""
    batch = detector.buffer(1)
    for index in range(start, start + count):
        frame, _ = street.frame(index)
        fits = detector.fill(batch, [Frame(index, frame.seconds, frame.image, "street")])
        found = detector.read(detector.predict(batch), fits)[0]
        if mixed:
            found = other_mix(found)
        yield observe_frame(frame.image, found, request=str(index), seconds=frame.seconds)


def other_mix(found: Detections) -> Detections:
    person, bicycle = found.labels.index("person"), found.labels.index("bicycle")
    turned = (found.class_id == person) & (np.cumsum(found.class_id == person) % 2 == 1)
    return replace(found, class_id=np.where(turned, bicycle, found.class_id))


def judge(
    tally: Tally,
    profile: Profile,
    detectors: Sequence[str],
    same: Sequence[Observation],
    changed: Mapping[str, Sequence[Observation]],
) -> None:
    watch = Watch(profile, detectors=detectors)
    began = time.perf_counter()
    windows = watch.over(same)
    tally.seconds += time.perf_counter() - began
    tally.windows += len(windows)
    tally.news += sum(bool(one.drifted) for one in windows)
    tally.alarms += sum(bool(one.raised) for one in windows)
    for name, observations in changed.items():
        tally.seen.setdefault(name, []).append(first(Watch(profile, detectors=detectors).over(observations)))


def first(windows: Sequence[Window]) -> int | None:
    return next((one.number + 1 for one in windows if one.drifted), None)


def row(name: str, tally: Tally) -> tuple[str, ...]:
    seen = [", ".join("-" if one is None else str(one) for one in tally.seen[change]) for change in CHANGES]
    per = 100 / tally.windows
    return (
        name,
        f"{tally.news * per:.1f}",
        f"{tally.alarms * per:.1f}",
        *seen,
        f"{1000 * tally.seconds / tally.windows:.1f}",
    )


if __name__ == "__main__":
    main()
