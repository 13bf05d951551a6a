"""A search: it finds what is there, several share it, and a kill changes nothing."""

from __future__ import annotations

import math
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

import throughline
from throughline.contracts.errors import InputError, ModelRefused
from throughline.training.run import Pruned
from throughline.training.search import Objective, Outcome, Search, Step
from throughline.training.space import Range
from throughline.training.tuners import TUNERS

pytest.importorskip("optuna")
pytest.importorskip("sqlalchemy")

SPACE = {"x": Range(-5, 10), "y": Range(0, 15)}


def branin(at: Mapping[str, Any]) -> float:
    """Three minima of 0.397887."""
    x, y = at["x"], at["y"]
    valley = (y - 5.1 / (4 * math.pi**2) * x * x + 5 / math.pi * x - 6) ** 2
    return float(valley + 10 * (1 - 1 / (8 * math.pi)) * math.cos(x) + 10)


def quiet(_: Outcome) -> None:
    """Nobody listens."""


def test_a_function_is_minimized_and_a_gaussian_process_needs_few_trials() -> None:
    found = throughline.tune.minimize(branin, {"x": (-5.0, 10.0), "y": (0.0, 15.0)}, trials=24, seed=1)
    assert found.value == pytest.approx(0.397887, abs=0.3)
    assert found.value == branin(found.parameters) == min(one.values["value"] for one in found.trials)
    assert len(found.trials) == 24


def test_what_breaks_a_constraint_is_never_the_answer() -> None:
    space = {"x": (-5.0, 10.0), "y": (0.0, 15.0)}
    for tuner in ("tpe", "random"):
        found = throughline.tune.minimize(branin, space, trials=20, tuner=tuner, constraints=[lambda at: at["x"]])
        assert found.parameters["x"] <= 0
    with pytest.raises(InputError, match="none of 3 trials keeps the constraints"):
        throughline.tune.minimize(branin, space, trials=3, tuner="random", constraints=[lambda _: 1.0])


def test_a_grid_tries_every_combination_once_and_then_ends() -> None:
    found = throughline.tune.minimize(
        lambda at: (at["n"] - 3) ** 2 + (at["kind"] == "b"), {"n": (1, 4), "kind": ["a", "b"]}, tuner="grid"
    )
    assert found.parameters == {"n": 3, "kind": "a"}
    assert len({tuple(one.parameters.items()) for one in found.trials}) == len(found.trials) == 8


@pytest.mark.parametrize("tuner", TUNERS.names())
def test_the_same_seed_proposes_the_same_however_often_it_is_interrupted(tuner: str, tmp_path: Path) -> None:
    def proposed(folder: Path, *stops: int, seed: int = 3) -> list[Mapping[str, Any]]:
        for stop in stops:
            search = Search(folder, SPACE, [Objective("value", larger=False)], tuner=tuner, seed=seed)
            search.go_on(stop, lambda _, at, __: {"value": branin(at)}, quiet)
        return [one.parameters for one in search.outcomes()]

    whole = proposed(tmp_path / "whole", 12)
    assert proposed(tmp_path / "broken", 1, 5, 11, 12) == whole
    assert proposed(tmp_path / "other", 12, seed=4) != whole


KILLED = """
import sys
from pathlib import Path
from test_search import SPACE, branin, quiet
from throughline.training.search import Objective, Search

def attempt(number, taken, step):
    if number == 2:
        print("here", flush=True)
        sys.stdin.read()
    return {"value": branin(taken)}

Search(Path(sys.argv[1]), SPACE, [Objective("value", False)], seed=3).go_on(6, attempt, quiet)
"""


def test_what_a_kill_left_behind_is_taken_up_with_the_values_it_had(tmp_path: Path) -> None:
    folder, env = tmp_path / "search", {**os.environ, "PYTHONPATH": str(Path(__file__).parent)}
    child = subprocess.Popen(
        [sys.executable, "-c", KILLED, str(folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=env
    )
    with child:
        assert child.stdout is not None
        assert child.stdout.readline() == "here\n"
        search = Search(folder, SPACE, [Objective("value", larger=False)], seed=3)
        (running,) = [one for one in search.outcomes() if one.state == "running"]
        search.go_on(4, lambda _, at, __: {"value": branin(at)}, quiet)
        told = {one.number: one.state for one in search.outcomes()}
        assert told == {0: "complete", 1: "complete", 2: "running", 3: "complete"}, "it is still somebody's"
        child.send_signal(signal.SIGKILL)
    numbers: list[int] = []

    def attempt(number: int, at: Mapping[str, Any], _: Step) -> dict[str, float]:
        numbers.append(number)
        return {"value": branin(at)}

    search.go_on(5, attempt, quiet)
    assert numbers == [2, 4]
    assert search.outcomes()[2].parameters == running.parameters
    assert all(one.state == "complete" for one in search.outcomes())


def test_what_goes_badly_is_ended_early_and_what_fails_is_told(tmp_path: Path) -> None:
    search = Search(tmp_path, SPACE, [Objective("value", larger=False)], tuner="random", pruner="median")

    def attempt(number: int, at: Mapping[str, Any], step: Step) -> dict[str, float]:
        if number == 1:
            raise InputError("it came apart")
        for at_step in range(1, 5):
            step(float(number), at_step)  # each is worse than those before
        return {"value": float(number)}

    search.go_on(9, attempt, quiet)
    found = search.outcomes()
    assert (found[1].state, found[1].why) == ("failed", "it came apart")
    assert {one.state for one in found[6:]} == {"pruned"}
    assert [one.number for one in search.front()] == [0]


def test_a_model_that_fails_its_proof_is_a_trial_that_failed_and_not_the_end(tmp_path: Path) -> None:
    search = Search(tmp_path, SPACE, [Objective("value", larger=False)], tuner="random")

    def attempt(number: int, *_: object) -> dict[str, float]:
        if number == 1:
            raise ModelRefused("the graph does not answer as the network does")
        return {"value": float(number)}

    search.go_on(3, attempt, quiet)
    assert [one.state for one in search.outcomes()] == ["complete", "failed", "complete"]


def test_where_everything_fails_it_does_not_go_on_for_ever(tmp_path: Path) -> None:
    search = Search(tmp_path, SPACE, [Objective("value", larger=False)], tuner="random")

    def attempt(*_: object) -> dict[str, float]:
        raise InputError("no such data")

    with pytest.raises(InputError, match="3 trials were made and each of them failed; the first: no such data"):
        search.go_on(50, attempt, quiet)


def test_of_several_objectives_the_front_is_what_nothing_beats(tmp_path: Path) -> None:
    wanted = [Objective("good", larger=True), Objective("slow", larger=False)]
    search = Search(tmp_path, {"x": Range(0, 1)}, wanted, tuner="random")
    search.go_on(20, lambda number, at, _: {"good": at["x"], "slow": at["x"] if number % 2 else at["x"] + 1}, quiet)
    front = search.front()
    assert front == sorted(front, key=lambda one: -one.values["good"])
    best_slow = max((one for one in search.outcomes() if one.number % 2 == 0), key=lambda one: one.values["good"])
    odd = {one.number for one in search.outcomes() if one.number % 2}
    better = best_slow.values["good"] > max(one.values["good"] for one in search.outcomes() if one.number % 2)
    assert {one.number for one in front} == odd | ({best_slow.number} if better else set())


def test_another_search_is_not_mixed_with_this_one(tmp_path: Path) -> None:
    Search(tmp_path, SPACE, [Objective("value", larger=False)])
    with pytest.raises(InputError, match="another search in it: seed was 0 and is 1"):
        Search(tmp_path, SPACE, [Objective("value", larger=False)], seed=1)
    with pytest.raises(InputError, match="no pruner 'mean'"):
        Search(tmp_path, SPACE, [Objective("value", larger=False)], pruner="mean")
    with pytest.raises(InputError, match="nothing to search"):
        Search(tmp_path, {}, [Objective("value", larger=False)])


def test_pruned_is_no_error_of_ours() -> None:
    assert not issubclass(Pruned, InputError)
    assert Outcome(0, "pruned", {}).values == {}
