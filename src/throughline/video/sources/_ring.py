"""Pictures on their way from one process to another, in memory that both see.

The memory has no name, so nothing of it can be left over: it goes with the last process,
or the last picture, that holds it. It is cut into slots. The decoding process writes a
picture into one that is free; the slot is free again when nobody holds the picture.
"""

from __future__ import annotations

import fcntl
import mmap
import os
import weakref
from collections.abc import Callable, Sequence
from queue import LifoQueue
from typing import Any, final

import numpy as np
import numpy.typing as npt

from throughline.video.sources._picture import Planes, kind_of_numbers, shapes_of
from throughline.video.sources._turn import Turn

MOST_SLOTS = 64
_FEWEST_SLOTS = 6
_RGB = "rgb24"

Picture = Planes | npt.NDArray[np.uint8]
Wire = list[Any]
"""A picture as JSON values: where it lies, and how it is to be read."""


def nameless_memory() -> int:
    """A descriptor of memory that both sides can map. It only grows: what was mapped stays readable."""
    memory = os.memfd_create("throughline-pictures", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    fcntl.fcntl(memory, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK)
    return memory


@final
class Slots:
    """The writing side. Room is made when the first picture comes, and more when a larger one does."""

    def __init__(self, memory: int, room: int) -> None:
        self._memory, self._room = memory, room
        self._free: LifoQueue[int] = LifoQueue()  # the one used last is the one that is still warm
        self._begin = self._end = self._size = self._count = 0
        self._mapped = np.empty(0, np.uint8)

    def give_back(self, offset: int) -> None:
        """The picture that lay there is not held any more; may be called on any thread."""
        self._free.put(offset)

    def put(self, picture: Picture) -> Wire:
        """Copy a picture into a slot, once one is free."""
        arrays = picture.planes if isinstance(picture, Planes) else (picture,)
        needed = sum(array.nbytes for array in arrays)
        if needed > self._size:
            self._enlarge(needed)
        offset = at = self._free_slot()
        for array in arrays:
            room = self._mapped[at - self._begin : at - self._begin + array.nbytes]
            room.view(array.dtype).reshape(array.shape)[...] = array
            at += array.nbytes
        where = [offset, self._count, self._end]
        if not isinstance(picture, Planes):
            return [*where, _RGB, *picture.shape[:2]]
        turn = picture.turn
        lies = [turn.transposed, turn.mirrored, turn.upended]
        return [*where, picture.layout, *picture.planes[0].shape, picture.matrix, picture.full, picture.siting, lies]

    def _free_slot(self) -> int:
        while (offset := self._free.get()) < self._begin:
            pass  # it was too small
        return offset

    def _enlarge(self, needed: int) -> None:
        page = mmap.ALLOCATIONGRANULARITY
        self._size = -(-max(needed, 2 * self._size) // page) * page  # doubled, so that it is not done often
        self._count = min(MOST_SLOTS, max(_FEWEST_SLOTS, self._room // self._size))
        self._begin, self._end = self._end, self._end + self._count * self._size
        os.ftruncate(self._memory, self._end)
        mapped = mmap.mmap(self._memory, self._end - self._begin, offset=self._begin)
        self._mapped = np.frombuffer(mapped, np.uint8)
        for offset in range(self._begin, self._end, self._size):
            self._free.put(offset)


@final
class Pictures:
    """The reading side: pictures that are views of the slots.

    Whoever looks may hold as many as there are: the oldest are copied out where they take too many slots.
    """

    def __init__(self, memory: int, give_back: Callable[[int], None]) -> None:
        self._memory, self._give_back = memory, give_back
        self._mapped: mmap.mmap | None = None
        self._held: dict[int, weakref.ref[Planes] | None] = {}

    def take(self, wire: Wire) -> Picture:
        """The picture that was put there."""
        offset, slots, end, layout, height, width, *how = wire
        planar = layout != _RGB
        shapes: Sequence[tuple[int, ...]] = shapes_of(layout, height, width) if planar else [(height, width, 3)]
        kind = kind_of_numbers(layout) if planar else np.dtype(np.uint8)
        sizes = [int(np.prod(shape)) * kind.itemsize for shape in shapes]
        if self._mapped is None or len(self._mapped) < end:
            self._mapped = mmap.mmap(self._memory, end, access=mmap.ACCESS_READ)
        self._held[offset] = None
        slot: npt.NDArray[np.uint8] = np.frombuffer(self._mapped, np.uint8, sum(sizes), offset)
        # every view of a view refers to this array itself, so it lives as long as the last of them
        weakref.finalize(slot, _let_go, self._held, offset, self._give_back).atexit = False
        arrays, at = [], 0
        for shape, size in zip(shapes, sizes, strict=True):
            arrays.append(slot[at : at + size].view(kind).reshape(shape))
            at += size
        if not planar:
            return arrays[0].copy()
        matrix, full, siting, lies = how
        picture = Planes(layout, tuple(arrays), matrix, full, Turn(*lies), siting=siting)
        self._held[offset] = weakref.ref(picture)
        self.copy_out(slots // 2)
        return picture

    def copy_out(self, most: int) -> None:
        """Leave at most so many pictures in their slots, the youngest."""
        held = list(self._held)
        for offset in held[: max(0, len(held) - most)]:
            reference = self._held.get(offset)  # any thread may let go of one meanwhile
            picture = None if reference is None else reference()
            if picture is not None:
                picture.keep()


def _let_go(held: dict[int, Any], offset: int, give_back: Callable[[int], None]) -> None:
    held.pop(offset, None)
    give_back(offset)
