from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import clips
import damage
import pytest

from throughline.contracts.errors import ThroughlineError
from throughline.contracts.runs import Gap
from throughline.video.sources.file import FileSource

COUNT, STARTS = 110, (64, 75, 97, 109)

Seen = tuple[int, float, bytes]


def read(path: Path, start: int = 0, before: tuple[Gap, ...] = ()) -> tuple[list[Seen], tuple[Gap, ...], str]:
    """Every frame, every gap, and the error at the end."""
    seen: list[Seen] = []
    source, problem = None, ""
    try:
        source = FileSource(str(path), threads=2)
        for frame in source.frames(start, before):
            seen.append((frame.index, frame.seconds, hashlib.sha256(frame.image.tobytes()).digest()))
    except ThroughlineError as error:
        problem = error.problem
    return seen, () if source is None else source.gaps, problem


def differences(path: Path) -> Iterator[str]:
    """How reading from each start differs from the tail of reading everything."""
    whole, gaps, problem = read(path)
    for start in STARTS:
        tail = [one for one in whole if one[0] >= start]
        known = tuple(gap for gap in gaps if tail and gap.end <= tail[0][1])
        part, later, problem_later = read(path, start, known)
        if part != tail:
            yield f"from {start}: {[one[:2] for one, two in zip(part, tail, strict=False) if one != two][:3]} differ"
        if set(known) | set(later) != set(gaps):
            yield f"from {start}: gaps {set(later) ^ set(gaps)}, known {len(known)}"
        if problem != problem_later:
            yield f"from {start}: '{problem_later}', not '{problem}'"


@pytest.mark.parametrize("kind", clips.KINDS)
def test_a_whole_clip_read_from_the_middle_is_the_tail_of_reading_it_all(tmp_path: Path, kind: str) -> None:
    assert not list(differences(clips.write_kind(tmp_path, kind, COUNT)))


@pytest.mark.parametrize("kind", clips.KINDS)
def test_so_is_a_damaged_one_but_for_what_a_decoder_takes_from_memory(tmp_path: Path, kind: str) -> None:
    path = clips.write_kind(tmp_path, kind, COUNT)
    good = path.read_bytes()
    different = []
    for seed in range(4):
        how, data = damage.mutate(good, seed)
        path.write_bytes(data)
        if found := list(differences(path)):
            different.append(f"seed {seed}, {how}: {found}")
    assert len(different) <= 1, different


def test_what_was_missing_before_is_known_again_and_what_comes_after_is_the_same(tmp_path: Path) -> None:
    path = clips.write_kind(tmp_path, "h264.mkv", COUNT)
    data = bytearray(path.read_bytes())
    data[len(data) // 2 : len(data) // 2 + 900] = bytes(900)
    path.write_bytes(data)
    whole, gaps, _ = read(path)
    assert gaps
    start = next(index for index, seconds, _ in whole if seconds > gaps[-1].end) + 8
    assert read(path, start, gaps)[:2] == ([one for one in whole if one[0] >= start], gaps)
