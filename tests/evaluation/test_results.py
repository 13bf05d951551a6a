from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from throughline.contracts.detections import Detections
from throughline.contracts.errors import InputError
from throughline.contracts.frames import Frame
from throughline.contracts.streams import SourceInfo
from throughline.evaluation.results import read_results
from throughline.video.sinks import SINKS, in_one_part

LABELS = ("person", "dog")


def written(folder: Path) -> tuple[Path, list[Detections]]:
    chance = np.random.default_rng(5)
    frames = [
        Detections(
            chance.normal(0, 1e3, (count, 4)).astype(np.float32),
            chance.random(count).astype(np.float32),
            chance.integers(0, 2, count),
            tracker_id=None if count == 1 else np.arange(count) + 4,
            labels=LABELS,
        )
        for count in (3, 0, 1, 40)
    ]
    info = SourceInfo("clip", 8, 8, Fraction(25))
    with in_one_part(SINKS.make("jsonl", folder, info=info, labels=LABELS)) as sink:
        for index, found in enumerate(frames):
            sink.write(Frame(index, index / 25, np.zeros((8, 8, 3), np.uint8), "clip"), found)
    return folder / "detections.jsonl", frames


def test_what_the_sink_writes_comes_back_to_the_last_bit(tmp_path: Path) -> None:
    path, frames = written(tmp_path)
    back = list(read_results(path, LABELS))
    assert len(back) == len(frames)
    for ours, theirs in zip(back, frames, strict=True):
        for name in ("xyxy", "confidence", "class_id"):
            assert (getattr(ours, name) == getattr(theirs, name)).all()
            assert getattr(ours, name).dtype == getattr(theirs, name).dtype
        expected = np.full(len(theirs), -1) if theirs.tracker_id is None else theirs.tracker_id
        assert ours.tracker_id is not None
        assert ours.tracker_id.tolist() == expected.tolist()
        assert ours.labels == LABELS


@pytest.mark.parametrize(
    ("line", "told"),
    [
        (b"{", "line 2 .*JSONDecodeError"),
        (b"\xff\n", "line 2 .*UnicodeDecodeError"),
        (b'{"index": 0}\n', "line 2 .*'detections'"),
        (b'{"detections": [{"xyxy": [1, 2, 3]}]}\n', "line 2 .*reshape"),
        (b"[]\n", "line 2 "),
    ],
)
def test_a_line_that_is_none_is_named(tmp_path: Path, line: bytes, told: str) -> None:
    path = tmp_path / "detections.jsonl"
    path.write_bytes(b'{"detections": []}\n' + line)
    with pytest.raises(InputError, match=told):
        list(read_results(path))


def test_other_names_for_the_classes_are_refused(tmp_path: Path) -> None:
    path, _ = written(tmp_path)
    with pytest.raises(InputError, match=r"line 1 .*is 'person' there and 'cat' here"):
        list(read_results(path, ("cat", "dog")))
    with pytest.raises(InputError, match=r"absent\.jsonl: cannot read: No such file"):
        list(read_results(tmp_path / "absent.jsonl"))
