"""The smallest value of any function, by the search that tunes training: for one that is dear and says no gradient."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

from throughline.contracts.errors import InputError
from throughline.training.search import Objective, Outcome, Search
from throughline.training.space import dimension

_VALUE = "value"


@final
@dataclass(frozen=True, slots=True)
class Minimum:
    """The best that was found.

    Attributes:
        parameters: where it is.
        value: what the function gave there.
        trials: everything that was tried.
    """

    parameters: Mapping[str, Any]
    value: float
    trials: tuple[Outcome, ...]


def minimize(
    function: Callable[[Mapping[str, Any]], float],
    space: Mapping[str, Any],
    *,
    trials: int = 50,
    tuner: str = "gp",
    seed: int = 0,
    constraints: Sequence[Callable[[Mapping[str, Any]], float]] = (),
    folder: str | Path | None = None,
) -> Minimum:
    """Look for the parameters with which a function is smallest.

    Args:
        function: from parameters by name to a number.
        space: for each name a range ``(low, high)``, of whole numbers where both are, a list to choose from, or text
            such as ``"1e-4 .. 1e-1 log"``.
        trials: how often the function may be called.
        tuner: who proposes: gp, tpe, random or grid.
        seed: from which proposals follow.
        constraints: functions of the parameters, each kept where it gives 0 or less.
        folder: where to keep the search, so that it goes on after a kill; nowhere when not given.

    Raises:
        InputError: nothing that was tried keeps the constraints, or the space is none.
    """
    chosen = {name: dimension(written) for name, written in space.items()}
    if fixed := [name for name, one in chosen.items() if one is None]:
        raise InputError(f"{fixed[0]} is {space[fixed[0]]!r}: there is nothing to choose", "(low, high), or a list")
    known = {name: one for name, one in chosen.items() if one is not None}
    with ExitStack() as stack:
        place = Path(folder) if folder is not None else Path(stack.enter_context(tempfile.TemporaryDirectory()))
        search = Search(
            place, known, [Objective(_VALUE, larger=False)], tuner=tuner, seed=seed,
            constraints=constraints,
        )  # fmt: skip
        search.go_on(trials, lambda _, taken, __: {_VALUE: float(function(taken))}, lambda _: None)
        found, tried = search.front(), search.outcomes()
    if not found:
        raise InputError(f"none of {len(tried)} trials keeps the constraints", "give more trials, or a wider space")
    return Minimum(found[0].parameters, found[0].values[_VALUE], tuple(tried))
