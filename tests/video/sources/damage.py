"""Seeded damage to good clips, and the judgement of what reading one of them gave."""

from __future__ import annotations

import itertools
import random
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from throughline.contracts.errors import ThroughlineError
from throughline.video.sources.file import FileSource

KINDS = ("truncated", "flipped", "zeroed", "patched header")


def mutate(data: bytes, seed: int) -> tuple[str, bytes]:
    dice = random.Random(seed)
    changed, kind = bytearray(data), KINDS[seed % len(KINDS)]
    if kind == "truncated":
        del changed[dice.randrange(1, len(changed)) :]
    elif kind == "flipped":
        for _ in range(dice.choice((1, 4, 32, 256))):
            changed[dice.randrange(len(changed))] ^= 1 << dice.randrange(8)
    elif kind == "zeroed":
        size = dice.randrange(1, max(2, len(changed) // 3))
        at = dice.randrange(len(changed) - size)
        changed[at : at + size] = bytes(size)
    else:
        ends = dice.random() < 0.5  # MP4 keeps its header at the end
        for _ in range(dice.choice((1, 2, 8))):
            at = dice.randrange(min(2048, len(changed)))
            changed[-1 - at if ends else at] = dice.randrange(256)
    return kind, bytes(changed)


@dataclass(frozen=True)
class Fate:
    given: int
    gaps: int
    refused: str
    fault: str
    seconds: float
    shorter: bool = False
    """It is a whole file of fewer pictures, as far as anyone can tell."""


def pictures_before_the_cut(good: bytes, data: bytes, video: int = 0x100) -> int | None:
    """How many pictures an MPEG-TS file has that was cut exactly between two; None where it was not.

    Such a file is byte for byte what a shorter recording would be, so nobody could notice.
    """
    if len(data) % 188 or len(data) >= len(good) or good[: len(data)] != data or good[0] != 0x47:
        return None
    heads = [good[at + 1 : at + 3] for at in range(0, len(good), 188)]
    begins = [bool(head[0] & 0x40) for head in heads if int.from_bytes(head, "big") & 0x1FFF == video]
    before = sum(int.from_bytes(head, "big") & 0x1FFF == video for head in heads[: len(data) // 188])
    return sum(begins[:before]) if begins[before : before + 1] == [True] else None


def read(path: Path, expected: int, good: bytes = b"") -> Fate:
    """What reading it gave; ``fault`` says what must never be. ``good`` is the clip that was damaged."""
    began = time.perf_counter()
    indexes: list[int] = []
    times: list[float] = []
    gaps, refused, fault = 0, "", ""
    source = None
    try:
        source = FileSource(str(path), threads=1)
        for frame in source.frames():
            indexes.append(frame.index)
            times.append(frame.seconds)
            if frame.image.ndim != 3 or frame.image.dtype != np.uint8:
                fault = "a frame that is no picture"
    except ThroughlineError as error:
        refused = error.problem
    except Exception as error:
        fault = f"{type(error).__name__}: {error}"
    gaps = len(source.gaps) if source is not None else 0
    shorter = bool(good and indexes and pictures_before_the_cut(good, path.read_bytes()) == len(indexes))
    if len(indexes) < expected and not gaps and not refused and not shorter:
        fault = fault or f"{len(indexes)} of {expected} frames, and not a word"
    if any(b <= a for a, b in itertools.pairwise(indexes)):
        fault = fault or "numbers do not rise"
    if any(b <= a for a, b in itertools.pairwise(times)):
        fault = fault or "times do not rise"
    if len(indexes) < expected and indexes and indexes[-1] < len(indexes) - 1:
        fault = fault or "numbers are too small"
    return Fate(len(indexes), gaps, refused, fault, time.perf_counter() - began, shorter and not gaps)
