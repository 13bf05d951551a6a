"""``report.html`` of a search: how it went, what the values have to do with it, and what was found."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path

from throughline.reports import charts
from throughline.reports.page import Page, pairs, section, table
from throughline.training.recipe import Recipe
from throughline.training.search import Objective, Outcome
from throughline.training.space import Choice, Range, Space, short

_TAKEN, _FRONT, _REST = 0, 1, 7


def write_report(
    folder: Path,
    recipe: Recipe,
    objectives: Sequence[Objective],
    space: Space,
    front: Sequence[Outcome],
    trials: Sequence[Outcome],
    importances: Mapping[str, float],
    footer: str,
) -> Path:
    """Write it into the search's folder, whole or not at all."""
    best, first = front[0], objectives[0]
    states = [one.state for one in trials]
    tiles = {name: f"{value:.4g}" for name, value in best.values.items()}
    tiles |= {state: str(states.count(state)) for state in dict.fromkeys(states)}
    taken = ", ".join(f"{name} {short(value)}" for name, value in best.parameters.items())
    sections = [_history(first, trials, best)]
    if len(objectives) > 1:
        sections.insert(0, _front(objectives, front, trials))
    sections += [_importances(first, importances), *_slices(first, space, trials, front)]
    sections += [_table(objectives, space, trials, front)]
    sections += [pairs("Recipe", {name: str(space.get(name, value)) for name, value in recipe.values().items()})]
    says = f"Trial {best.number} is the best: {taken}."
    page = Page("Throughline tune", recipe.name, "complete", "TUNED", says, tiles, [*filter(None, sections)], footer)
    return page.write(folder / "report.html")


def _history(first: Objective, trials: Sequence[Outcome], best: Outcome) -> str:
    points = [
        (one.number, one.values[first.name], "", _TAKEN if one.number == best.number else _REST)
        for one in trials
        if one.state == "complete"
    ]
    about = f"Each point is a trial that was carried out to its end; the blue one has the best {first.name}."
    return section("Trial by trial", _said(about), charts.scatter("Trials", about, points, "trial", first.name))


def _front(objectives: Sequence[Objective], front: Sequence[Outcome], trials: Sequence[Outcome]) -> str:
    up, across = objectives[0], objectives[1]
    chosen = [one.number for one in front]
    points = [
        (
            one.values[across.name],
            one.values[up.name],
            f"trial {one.number}" if one.number in chosen else "",
            _TAKEN if one.number == chosen[0] else _FRONT if one.number in chosen else _REST,
        )
        for one in trials
        if one.state == "complete"
    ]
    about = f"Of the orange ones and the blue one, none is beaten in both: {up}, {across}."
    return section("The front", _said(about), charts.scatter("The front", about, points, across.name, up.name))


def _importances(first: Objective, importances: Mapping[str, float]) -> str:
    if not importances:
        return ""
    about = f"How much of what differs in {first.name} comes from each value, as far as these trials can tell (fANOVA)."
    drawn = charts.bars("What matters", about, [(name, share, f"{share:.0%}") for name, share in importances.items()])
    return section("What matters", _said(about), drawn)


def _slices(first: Objective, space: Space, trials: Sequence[Outcome], front: Sequence[Outcome]) -> list[str]:
    made = []
    known = [one for one in trials if one.state == "complete"]
    for name, one in space.items():
        points = [
            (
                _place(one, trial.parameters[name]),
                trial.values[first.name],
                short(trial.parameters[name]) if isinstance(one, Choice) and not _numbers(one) else "",
                _TAKEN if trial.number == front[0].number else _REST,
            )
            for trial in known
        ]
        across = f"{name}, power of ten" if isinstance(one, Range) and one.log else name
        drawn = charts.scatter(name, f"{first.name} of every trial by {name}", points, across, first.name)
        made.append(section(f"{first.name} by {escape(name)}", drawn))
    return made


def _table(objectives: Sequence[Objective], space: Space, trials: Sequence[Outcome], front: Sequence[Outcome]) -> str:
    chosen = {one.number for one in front}
    rows = [
        (
            str(one.number),
            "front" if one.number in chosen and len(chosen) > 1 else "taken" if one.number in chosen else one.state,
            *(f"{one.values[each.name]:.5g}" if each.name in one.values else "" for each in objectives),
            *(short(one.parameters[name]) if name in one.parameters else "" for name in space),
            f"{one.seconds:.1f}",
            one.why,
        )
        for one in trials
    ]
    head = ("trial", "", *(each.name for each in objectives), *space, "seconds", "why")
    return section("Every trial", table(head, rows, numbers=range(2, 2 + len(objectives))))


def _place(one: Range | Choice, value: object) -> float:
    """Where a value stands on its axis."""
    if isinstance(one, Choice) and not _numbers(one):
        return float([str(option) for option in one.options].index(str(value)))
    number = float(value)  # type: ignore[arg-type]
    return math.log10(number) if isinstance(one, Range) and one.log else number


def _numbers(one: Choice) -> bool:
    return all(re.fullmatch(r"[-+]?\d+(\.\d+)?", str(option)) for option in one.options)


def _said(text: str) -> str:
    return f'<p class="note">{escape(text)}</p>'
