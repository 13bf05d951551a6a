"""Who is on the street at any moment, known without having watched the moments before.

Each lane lets a party in at its own beat. When a party came, what it is and how
fast it moves follow from its lane and number alone, so any frame can be asked for first.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from throughline.testing.world.dice import Dice
from throughline.testing.world.ground import scale_at

LABELS: Final = ("person", "bicycle", "car", "bus", "truck", "dog")
_PERSON, _BICYCLE, _CAR, _BUS, _TRUCK, _DOG = range(len(LABELS))

_MARGIN: Final = 6.0
"""How far beyond the picture parties appear and vanish, in metres."""


@dataclass(frozen=True, slots=True)
class Member:
    """One object of a party.

    Attributes:
        identity: its number, never used for another.
        class_id: which label it has.
        behind: metres behind the head of the party.
        row: the picture row it stands on, of 384.
        tall: its height in metres, where that varies.
        rides: on a bicycle, not on foot.
        key: what its own dice are thrown with.
    """

    identity: int
    class_id: int
    behind: float
    row: float
    tall: float
    rides: bool
    key: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Placed:
    """A member at a moment: where it stands (units of 384 rows) and how far it has come."""

    member: Member
    x: float
    metre: float
    travelled: float
    leftwards: bool


@dataclass(frozen=True, slots=True)
class _Lane:
    traffic: str
    rows: tuple[float, float]
    leftwards: bool
    speed: tuple[float, float]
    beat: float


_LANES: Final = (
    _Lane("walkers", (229, 242), False, (0.8, 1.5), 11.0),
    _Lane("walkers", (229, 242), True, (0.8, 1.5), 11.0),
    _Lane("cycles", (252, 257), True, (2.6, 3.8), 8.0),
    _Lane("motors", (280, 280), True, (4.0, 4.0), 3.4),
    _Lane("motors", (313, 313), False, (4.4, 4.4), 3.3),
    _Lane("cycles", (327, 331), False, (2.6, 3.8), 8.0),
    _Lane("walkers", (346, 378), False, (0.8, 1.5), 9.0),
    _Lane("walkers", (346, 378), True, (0.8, 1.5), 9.0),
)


@dataclass(frozen=True, slots=True)
class _Party:
    start: float
    speed: float
    members: tuple[Member, ...]


def present(seed: int, seconds: float, width: float, density: float) -> list[Placed]:
    """Everyone on or near a street ``width`` units wide, far to near."""
    found = [placed for lane in range(len(_LANES)) for placed in _in_lane(seed, lane, seconds, width, density)]
    return sorted(found, key=lambda placed: (placed.member.row, placed.member.identity))


def _in_lane(seed: int, number: int, seconds: float, width: float, density: float) -> Iterator[Placed]:
    if density <= 0:
        return
    lane = _LANES[number]
    motors = lane.traffic == "motors"
    beat = lane.beat if motors else lane.beat / density
    longest = (width / scale_at(lane.rows[0]) + 2 * _MARGIN) / lane.speed[0]
    for slot in range(int((seconds - longest) // beat) - 2, int(seconds // beat) + 1):
        party = _party(seed, number, slot, beat, min(1.0, 0.8 * density) if motors else 1.0)
        travelled = (seconds - party.start) * party.speed
        if travelled < 0:
            continue
        for member in party.members:
            metre = scale_at(member.row)
            x = (travelled - member.behind - _MARGIN) * metre
            if -_MARGIN * metre <= x <= width + _MARGIN * metre:
                yield Placed(
                    member, width - x if lane.leftwards else x, metre, travelled - member.behind, lane.leftwards
                )


@lru_cache(maxsize=4096)
def _party(seed: int, number: int, slot: int, beat: float, likely: float) -> _Party:
    lane, key = _LANES[number], (seed, 2, number, slot + 65536)
    dice = Dice(*key)
    jitter = dice.between(0.0, 0.32 if lane.traffic == "motors" else 0.9)
    start = (slot + jitter + Dice(seed, 7, number).between(0.0, 1.0)) * beat
    speed, row = dice.between(*lane.speed), dice.between(*lane.rows)
    here, kind = dice.chance(likely), dice.below(100)
    if not here:
        return _Party(start, speed, ())
    if lane.traffic == "motors":
        cast = [(_CAR if kind < 58 else _BUS if kind < 79 else _TRUCK, 0.0, 0.0, 0.0, False)]
    elif lane.traffic == "cycles":
        cast = [(_BICYCLE, 0.0, 0.0, 0.0, True), (_PERSON, 0.0, 0.0, dice.between(1.6, 1.85), True)]
    elif kind < 44:
        cast = [(_PERSON, 0.0, 0.0, dice.between(1.58, 1.9), False)]
    elif kind < 62:
        near = dice.between(0.3, 0.65)
        cast = [
            (_PERSON, 0.0, 0.0, dice.between(1.58, 1.9), False),
            (_PERSON, near, -1.5, dice.between(1.58, 1.9), False),
        ]
    elif kind < 72:
        cast = [
            (_PERSON, 0.0, 0.0, dice.between(1.6, 1.85), False),
            (_PERSON, -0.55, 1.0, dice.between(1.05, 1.3), False),
        ]
    else:
        cast = [(_PERSON, 0.0, 0.0, dice.between(1.58, 1.9), False), (_DOG, -dice.between(0.9, 1.5), 1.0, 0.0, False)]
    first = ((slot + 65536) * len(_LANES) + number) * 2
    low, high = lane.rows
    members = tuple(
        Member(
            first + i,
            class_id,
            behind,
            min(high, max(low, row + deeper)) if high > low else row,
            tall,
            rides,
            (*key, 0 if rides else i),
        )
        for i, (class_id, behind, deeper, tall, rides) in enumerate(cast)
    )
    return _Party(start, speed, members)
