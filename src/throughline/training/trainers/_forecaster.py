"""A gradient-boosted forecaster of quantiles, in one file of XGBoost's own; and how its intervals are widened.

Trees tell quantiles too narrow, because they know what they have learned too well. So a last block of what may be
learned is kept back: it says when boosting has gone on for long enough, and by how much the interval has to grow to
hold what it promises (conformalized quantile regression: Romano, Patterson and Candes, 2019). The model is then fitted
again with the block.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, final

import numpy as np

from throughline.contracts.artifacts import Array
from throughline.training.trainers._lags import Seen, Shape, pairs, seen
from throughline.training.trainers._series import Series

_MOST_ROWS: Final = 200_000
"""Of more, every second origin is left out, or two of three, and so on."""


@final
@dataclass(frozen=True, slots=True, eq=False)
class Forecaster:
    """A model, fitted.

    Attributes:
        booster: XGBoost's.
        margin: by how much the interval grows on both sides, in units of a series; never less than 0.
    """

    booster: Any
    margin: float

    def forecast(self, what: Seen) -> Array:
        """Low, middle and high of each row."""
        said = np.sort(np.asarray(self.booster.inplace_predict(what.x), np.float64), axis=1)
        said += np.array([-self.margin, 0.0, self.margin])
        said[:, 0], said[:, 2] = np.minimum(said[:, 0], said[:, 1]), np.maximum(said[:, 2], said[:, 1])
        return np.asarray(what.centre[:, None] + said * what.scale[:, None])


def fit(series: Sequence[Series], shape: Shape, options: Any, seed: int) -> Forecaster:
    """Fit to all that these series hold.

    Args:
        series: what is known; those that are too short for one origin and a block teach nothing.
        shape: which features.
        options: coverage, rounds, lr, depth, penalty, patience.
        seed: of the booster.
    """
    import xgboost

    tail = 1 - options.coverage
    told = {
        "objective": "reg:quantileerror", "quantile_alpha": [tail / 2, 0.5, 1 - tail / 2], "tree_method": "hist",
        "eta": options.lr, "max_depth": options.depth, "lambda": options.penalty, "seed": seed, "nthread": 1,
        "verbosity": 0,
    }  # fmt: skip
    early, kept = _rows([one for one in series if len(one) >= shape.to_learn], shape)
    known = xgboost.train(
        told, xgboost.DMatrix(*early), options.rounds, evals=[(xgboost.DMatrix(*kept), "block")], verbose_eval=False,
        early_stopping_rounds=options.patience,
    )  # fmt: skip
    rounds = int(known.best_iteration) + 1
    low, _, high = np.sort(known[:rounds].inplace_predict(kept[0]), axis=1).T
    beyond = np.maximum(low - kept[1], kept[1] - high)
    rank = min(1.0, np.ceil((len(beyond) + 1) * options.coverage) / len(beyond))
    margin = max(0.0, float(np.quantile(beyond, rank, method="higher")))
    everything = [np.concatenate(both) for both in zip(early, kept, strict=True)]
    return Forecaster(xgboost.train(told, xgboost.DMatrix(*everything), rounds), margin)


def _rows(series: Sequence[Series], shape: Shape) -> list[tuple[Array, Array]]:
    """Features and what was to be told: of what lies before the last block, and of the block."""
    many = sum(len(one) - shape.least for one in series) * shape.horizon
    every = -(-many // _MOST_ROWS) or 1
    parts: list[list[tuple[Array, Array]]] = [[], []]
    for one in series:
        origin, step = pairs(shape, range(shape.least - 1, len(one) - 1, every))
        inside = origin + step < len(one)
        what = seen(one, shape, origin[inside], step[inside])
        y = (one.values[what.at] - what.centre) / what.scale
        late = what.at >= len(one) - shape.block
        for part, chosen in zip(parts, (~late, late), strict=True):
            part.append((what.x[chosen], y[chosen]))
    return [(np.concatenate([x for x, _ in part]), np.concatenate([y for _, y in part])) for part in parts]
