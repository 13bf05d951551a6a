"""Pictures that are nearly the same: saved again, scaled or brightened, they leak from one split into another unseen.

A picture's *likeness* is a thumbnail of 17 x 16 grey levels. Whether each of them is brighter than the
next gives 256 bits (a difference hash), of which few flip when a picture is saved again. Pictures that
agree in nearly all of them are candidates; what decides is how far their thumbnails are apart, once
brightness and contrast are set equal. Mirrored, turned and cropped pictures are not found.

Not every picture is held against every other. The bits are cut into 16 pieces of 16: where fewer than 32
of 256 bits differ, at least one piece differs in at most one bit, and such pieces are looked up.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

HIGH, WIDE = 16, 17
MOST_BITS = 24
MOST_APART = 0.12

_PIECES = 16
_AT_ONCE = 1 << 20
_MOST_OF_A_KIND = 32
"""Of so many pictures that share all their bits each is looked at: a thousand of them say nothing more."""
_FLAT = 2.0
"""Grey levels of spread: with less there is nothing to tell a picture by."""

Likeness: TypeAlias = npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Near:
    """Two pictures that are nearly the same, by their numbers, and how many of 256 bits differ."""

    a: int
    b: int
    bits: int


def likeness_of(image: npt.NDArray[np.uint8]) -> Likeness:
    """What an RGB picture looks like from far away: 16 x 17 grey levels."""
    import cv2

    small = cv2.resize(image, (WIDE, HIGH), interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.cvtColor(small, cv2.COLOR_RGB2GRAY), np.uint8)


def nearest_in(a: Sequence[Likeness], b: Sequence[Likeness]) -> list[Near]:
    """For each picture of ``a`` that is nearly one of ``b``, the one of these that is nearest to it."""
    if not len(a) or not len(b):
        return []
    first, second = np.stack(a), np.stack(b)
    best: dict[int, tuple[int, int]] = {}
    for left, right, bits in _candidates(_bits(first), _bits(second)):
        apart = np.abs(_evened(first[left]) - _evened(second[right])).mean(axis=1)
        told = (first[left].std(axis=(1, 2)) > _FLAT) & (apart <= MOST_APART)
        for one, other, differ in zip(*(part[told].tolist() for part in (left, right, bits)), strict=True):
            best[one] = min(best.get(one, (differ, other)), (differ, other))
    return [Near(one, other, differ) for one, (differ, other) in sorted(best.items())]


def _bits(thumbs: Likeness) -> npt.NDArray[np.uint64]:
    """256 a picture, in four numbers; which of them make a piece is drawn once, for neighbours flip together."""
    brighter = (thumbs[:, :, 1:] > thumbs[:, :, :-1]).reshape(len(thumbs), -1)
    order = np.random.Generator(np.random.PCG64(0)).permutation(brighter.shape[1])
    packed = np.packbits(brighter[:, order], axis=1)
    return np.ascontiguousarray(packed).view(np.uint64)


def _candidates(
    a: npt.NDArray[np.uint64], b: npt.NDArray[np.uint64]
) -> Iterator[tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.int64]]]:
    """Pairs that differ in few bits, and in how many; a pair may come more than once."""
    kinds, kind_of = np.unique(b, axis=0, return_inverse=True)
    by_kind = np.argsort(kind_of, kind="stable")
    begins = np.searchsorted(kind_of[by_kind], np.arange(len(kinds) + 1))
    many = np.minimum(np.diff(begins), _MOST_OF_A_KIND)
    for left, kind in _alike(a, kinds):
        bits = np.bitwise_count(a[left] ^ kinds[kind]).sum(axis=1, dtype=np.int64)
        near = bits <= MOST_BITS
        for at, right in _pairs(begins[kind[near]], many[kind[near]], by_kind):
            yield left[near][at], right, bits[near][at]


def _alike(
    a: npt.NDArray[np.uint64], b: npt.NDArray[np.uint64]
) -> Iterator[tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]]:
    """Pairs of which at least one of 16 pieces differs in at most one bit."""
    pieces_a, pieces_b = (part.view(np.uint16).reshape(len(part), _PIECES) for part in (a, b))
    flips = np.array([0, *(1 << bit for bit in range(16))], np.uint16)
    for piece in range(_PIECES):
        order = np.argsort(pieces_b[:, piece], kind="stable")
        known = pieces_b[order, piece]
        for flip in flips:
            wanted = pieces_a[:, piece] ^ flip
            low, high = np.searchsorted(known, wanted, "left"), np.searchsorted(known, wanted, "right")
            yield from _pairs(low, high - low, order)


def _pairs(
    low: npt.NDArray[np.int64], counts: npt.NDArray[np.int64], order: npt.NDArray[np.int64]
) -> Iterator[tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]]:
    """Each picture with all that it was looked up to be like, so many at once as memory allows."""
    left = np.flatnonzero(counts)
    ends = np.cumsum(counts[left])
    start = 0
    while start < len(left):
        done = int(ends[start - 1]) if start else 0
        stop = max(start + 1, int(np.searchsorted(ends, done + _AT_ONCE, "right")))
        mine = left[start:stop]
        many = counts[mine]
        within = np.arange(many.sum()) - np.repeat(np.cumsum(many) - many, many)
        yield np.repeat(mine, many), order[np.repeat(low[mine], many) + within]
        start = stop


def _evened(thumbs: Likeness) -> npt.NDArray[np.float32]:
    """Thumbnails with brightness 0 and contrast 1."""
    flat = thumbs.reshape(len(thumbs), -1).astype(np.float32)
    flat -= flat.mean(axis=1, keepdims=True)
    flat /= np.maximum(flat.std(axis=1, keepdims=True), 1e-3)
    return flat
