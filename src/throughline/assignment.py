"""The best pairing of two sides (tracks and detections, truth and what was found), exact and the same everywhere.

SciPy has such a solver, but it is not in the core install, and two solvers that
break ties differently would give two machines different identities. So there is
one: shortest augmenting paths (Jonker and Volgenant), on the few rows that are
not settled by having a single candidate.
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np
import numpy.typing as npt

_FEW: Final = 64
"""Up to so many columns, plain lists are faster than arrays."""

Pairs = tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]


def pair(cost: npt.NDArray[np.float64], limit: float) -> Pairs:
    """Rows and columns that belong together.

    The pairing has the greatest possible sum of ``limit - cost``; pairs that cost
    ``limit`` or more, or infinitely much, are never made.
    """
    gain = np.where(cost < limit, limit - cost, 0.0)
    possible = gain > 0
    of_row, of_column = possible.sum(axis=1), possible.sum(axis=0)
    column_of = np.full(len(cost), -1)
    if of_row.any():
        best = gain.argmax(axis=1)
        settled = (of_row == 1) & (of_column[best] == 1)
        column_of[settled] = best[settled]
        left = np.nonzero((of_row > 0) & ~settled)[0]
        if len(set(best[left].tolist())) == len(left):  # everyone can have what is best for them
            column_of[left] = best[left]
        else:
            columns = np.nonzero(possible[left].any(axis=0))[0]
            block = gain[left[:, None], columns]
            i, j = assign(-block) if len(left) <= len(columns) else assign(-block.T)[::-1]
            made = block[i, j] > 0
            column_of[left[i[made]]] = columns[j[made]]
    rows = np.nonzero(column_of >= 0)[0]
    return rows, column_of[rows]


def assign(cost: npt.NDArray[np.float64]) -> Pairs:
    """A column for every row, none twice, at the least total cost; there are at least as many columns as rows."""
    columns = _assign_few(cost.tolist(), cost.shape[1]) if cost.shape[1] <= _FEW else _assign_many(cost)
    return np.arange(len(columns)), columns


def _assign_few(cost: list[list[float]], width: int) -> npt.NDArray[np.intp]:
    """The column of each row. Step for step what ``_assign_many`` does, without numpy's price for each step."""
    height_of_row = [min(row) for row in cost]
    height_of_column = [0.0] * width
    row_of = [-1] * width
    for start in range(len(cost)):
        nearest, before = [math.inf] * width, [-1] * width
        left, passed = list(range(width)), []
        row, column, reached = start, -1, 0.0
        while row >= 0:
            costs, height = cost[row], height_of_row[row]
            previous, closest = column, math.inf
            for other in left:
                slack = reached + costs[other] - height - height_of_column[other]
                if slack < nearest[other]:
                    nearest[other], before[other] = slack, previous
                if nearest[other] < closest:
                    closest, column = nearest[other], other
            left.remove(column)
            passed.append(column)
            reached, row = closest, row_of[column]
        height_of_row[start] += reached
        for other in passed[:-1]:
            height_of_row[row_of[other]] += reached - nearest[other]
            height_of_column[other] -= reached - nearest[other]
        while column >= 0:
            previous = before[column]
            row_of[column] = row_of[previous] if previous >= 0 else start
            column = previous
    columns = np.empty(len(cost), np.intp)
    for column, row in enumerate(row_of):
        if row >= 0:
            columns[row] = column
    return columns


def _assign_many(cost: npt.NDArray[np.float64]) -> npt.NDArray[np.intp]:
    count, width = cost.shape
    height_of_row = cost.min(axis=1) if width else np.zeros(count)
    height_of_column = np.zeros(width)
    row_of = np.full(width, -1)
    for start in range(count):
        nearest = np.full(width, np.inf)
        before = np.full(width, -1)
        done = np.zeros(width, bool)
        row, column, reached = start, -1, 0.0
        while row >= 0:
            slack = reached + cost[row] - height_of_row[row] - height_of_column
            shorter = ~done & (slack < nearest)
            nearest[shorter], before[shorter] = slack[shorter], column
            column = int(np.where(done, np.inf, nearest).argmin())
            reached = float(nearest[column])
            done[column] = True
            row = int(row_of[column])
        passed = done.copy()
        passed[column] = False
        height_of_row[start] += reached
        height_of_row[row_of[passed]] += reached - nearest[passed]
        height_of_column[passed] -= reached - nearest[passed]
        while column >= 0:
            previous = int(before[column])
            row_of[column] = row_of[previous] if previous >= 0 else start
            column = previous
    taken = np.nonzero(row_of >= 0)[0]
    return taken[np.argsort(row_of[taken])]
