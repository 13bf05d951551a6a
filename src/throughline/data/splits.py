"""Which rows are learned from and which are kept to be judged by: the same on every machine, and for ever.

Each group falls where the hash of its name falls, and nowhere else: who else is there has no say. So
rows that are added later move none that were there before, which a shuffle cannot promise. The price is
that shares are met as chance meets them: of 1,000 groups and a share of 0.2, between 175 and 225 in 19
of 20 cases. One group is never parted, however large it is.
"""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from throughline.contracts.errors import InputError


def split(
    names: Sequence[str], groups: Sequence[str], shares: Mapping[str, float], seed: int
) -> dict[str, npt.NDArray[np.int64]]:
    """Row numbers for each split, ascending: every row in exactly one of them, whole groups together.

    A split that would be left empty takes the group that fell nearest to it. That is the one case in which a
    group can move once others have come.

    Args:
        names: what each row is called.
        groups: what each row must not be parted from: the video it is a frame of, say. Where one is empty, the row's
            own name stands for it.
        shares: how much of the whole each split is to have; together 1.
        seed: another one gives other splits.
    """
    _check(names, groups, shares)
    wholes = [group or name for name, group in zip(names, groups, strict=True)]
    fell = {group: _where(group, seed) for group in dict.fromkeys(wholes)}
    if len(fell) < len(shares):
        count = "one group" if len(fell) == 1 else f"{len(fell)} groups"
        raise InputError(f"{count} of rows cannot fill {len(shares)} splits", "give more data, or fewer splits")
    ends = np.cumsum(list(shares.values()))
    ends[-1] = 1.0
    labels = list(shares)
    chosen = dict(zip(fell, np.searchsorted(ends, list(fell.values()), side="right").tolist(), strict=True))
    _fill(chosen, fell, [0.0, *ends.tolist()])
    of_row = np.fromiter((chosen[group] for group in wholes), np.int64, len(wholes))
    return {label: np.flatnonzero(of_row == number).astype(np.int64) for number, label in enumerate(labels)}


def _where(group: str, seed: int) -> float:
    """From 0 up to, but not including, 1; 53 bits, which a float holds exactly."""
    digest = hashlib.sha256(f"throughline split 1\0{seed}\0{group}".encode("utf-8", "surrogateescape")).digest()
    return (int.from_bytes(digest[:8], "big") >> 11) / 2.0**53


def _fill(chosen: dict[str, int], fell: Mapping[str, float], ends: Sequence[float]) -> None:
    """Give each empty split the group that is nearest to it, of those whose split keeps another."""
    counts = Counter(chosen.values())
    for number in range(len(ends) - 1):
        if counts[number]:
            continue
        low, high = ends[number], ends[number + 1]
        spare = (group for group, split in chosen.items() if counts[split] > 1)
        moved = min(spare, key=lambda group: (max(low - fell[group], fell[group] - high), fell[group], group))
        counts[chosen[moved]] -= 1
        counts[number] = 1
        chosen[moved] = number


def _check(names: Sequence[str], groups: Sequence[str], shares: Mapping[str, float]) -> None:
    if len(names) != len(groups):
        raise InputError(f"{len(names)} names and {len(groups)} groups", "give one group for each row")
    if not shares:
        raise InputError("there is no split to fill", "give, say, {'train': 0.8, 'val': 0.2}")
    for label, share in shares.items():
        if not (math.isfinite(share) and 0 < share <= 1):
            raise InputError(f"the share of '{label}' is {share}", "give more than 0 and at most 1")
    if not math.isclose(total := sum(shares.values()), 1.0, abs_tol=1e-6):
        raise InputError(f"the shares {dict(shares)} are {total:g} together", "give shares that make 1")
