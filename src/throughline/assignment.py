"""The best pairing of two sides (tracks and detections, truth and what was found), exact and the same everywhere.

SciPy has such a solver, but it is not in the core install, and two solvers that
break ties differently would give two machines different identities. So there is
one: shortest augmenting paths (Jonker and Volgenant), on the few rows that are
not settled by having a single candidate.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Pairs = tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]


def pair(cost: npt.NDArray[np.float64], limit: float) -> Pairs:
    """Rows and columns that belong together.

    The pairing has the greatest possible sum of ``limit - cost``; pairs that cost
    ``limit`` or more, or infinitely much, are never made.
    """
    gain = np.where(cost < limit, limit - cost, 0.0)
    possible = gain > 0
    rivals = possible.sum(axis=1, keepdims=True), possible.sum(axis=0, keepdims=True)
    certain = possible & (rivals[0] == 1) & (rivals[1] == 1)
    rows, columns = np.nonzero(certain)
    open_rows = np.nonzero(possible.any(axis=1) & ~certain.any(axis=1))[0]
    if len(open_rows):
        open_columns = np.nonzero(possible[open_rows].any(axis=0))[0]
        block = gain[np.ix_(open_rows, open_columns)]
        i, j = np.arange(len(open_rows)), block.argmax(axis=1)
        if len(np.unique(j)) < len(j):  # else everyone can have what is best for them
            i, j = assign(-block) if len(open_rows) <= len(open_columns) else assign(-block.T)[::-1]
        made = block[i, j] > 0
        rows = np.concatenate((rows, open_rows[i[made]]))
        columns = np.concatenate((columns, open_columns[j[made]]))
    order = np.argsort(rows)
    return rows[order], columns[order]


def assign(cost: npt.NDArray[np.float64]) -> Pairs:
    """A column for every row, none twice, at the least total cost; there are at least as many columns as rows."""
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
    order = np.argsort(row_of[taken])
    return row_of[taken][order], taken[order]
