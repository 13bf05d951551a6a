"""``throughline runs``: the runs that were written down, one of them whole, or several side by side."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from throughline.contracts.errors import InputError
from throughline.contracts.records import RunLog, RunRecord
from throughline.terminal import fields, styled, table
from throughline.training.delivering import called, deliver, every_run
from throughline.training.listing import (
    SHORTEST,
    Difference,
    as_it_is,
    differing,
    differs_by,
    measured,
    of_the_model,
    one_of,
    origin_of,
    shared,
    when,
)
from throughline.training.recording import run_log


@dataclass(frozen=True, slots=True)
class RunRow:
    """One run.

    Attributes:
        id: how its log calls it.
        name: how people call it.
        state: running, finished, failed or killed.
        started: when, in seconds since 1970.
        seconds: how long it took; None where it was killed and nobody saw when.
        metrics: the last value of each.
        trials: how many runs belong to it.
    """

    id: str
    name: str
    state: str
    started: float
    seconds: float | None
    metrics: Mapping[str, float]
    trials: int = 0


@dataclass(frozen=True, slots=True)
class RunsReport:
    """The runs of a project, the newest first; those that belong to another are counted there.

    Attributes:
        log: who keeps them.
        runs: a row each.
        shown: the metrics that have a column.
        more: how many older ones there are.
    """

    log: str
    runs: tuple[RunRow, ...]
    shown: tuple[str, ...]
    more: int = 0

    def __str__(self) -> str:
        if not self.runs:
            return f"no runs yet: {self.log}"
        text = _rows(self.runs, self.shown)
        return text + (f"\n{self.more} older: --limit {len(self.runs) + self.more} shows all" if self.more else "")


@dataclass(frozen=True, slots=True)
class RunDetail:
    """One run, whole.

    Attributes:
        log: who keeps it.
        run: its row.
        parameters: what it was told.
        tags: where it comes from.
        parent: the id of the run that it belongs to.
        trials: the runs that belong to it, the newest first.
        shown: the metrics of these that have a column.
    """

    log: str
    run: RunRow
    parameters: Mapping[str, str]
    tags: Mapping[str, str]
    parent: str | None
    trials: tuple[RunRow, ...]
    shown: tuple[str, ...]

    def __str__(self) -> str:
        run = self.run
        head = [("run", run.id), ("name", run.name), ("state", run.state), ("began", when(run.started))]
        head += [("took", _took(run.seconds)), ("part of", self.parent or ""), ("kept by", self.log)]
        parts = [fields(head)]
        figures = [(name, _figure(value)) for name, value in sorted(run.metrics.items())]
        for title, pairs in (
            ("metrics", figures),
            ("parameters", self.parameters.items()),
            ("from", origin_of(self.tags)),
        ):
            if told := fields([(f"  {name}", value) for name, value in pairs]):
                parts.append(f"{styled(title, 'bold')}\n{told}")
        if self.trials:
            parts.append(_rows(self.trials, self.shown))
        return "\n\n".join(parts)


@dataclass(frozen=True, slots=True)
class MetricRow:
    """A metric in each run, and how far each is from the first."""

    name: str
    values: tuple[float | None, ...]
    differences: tuple[float | None, ...]


@dataclass(frozen=True, slots=True)
class RunsCompared:
    """Several runs side by side.

    Attributes:
        log: who keeps them.
        runs: a row each, in the order that they were asked for.
        parameters: those that differ.
        origins: what differs in where they come from.
        metrics: every metric that one of them has.
    """

    log: str
    runs: tuple[RunRow, ...]
    parameters: tuple[Difference, ...]
    origins: tuple[Difference, ...]
    metrics: tuple[MetricRow, ...]

    def __str__(self) -> str:
        names = [f"{run.name} {run.id[:SHORTEST]}" for run in self.runs]
        parts = [_rows(self.runs, ())]
        for title, rows in (("parameter", self.parameters), ("from", self.origins)):
            if rows:
                parts.append(table((title, *names), [(row.name, *row.values) for row in rows]))
            else:
                parts.append("the parameters are the same" if title == "parameter" else "they come from the same place")
        differences = ["difference"] if len(self.runs) == 2 else [f"to {name}" for name in names[1:]]
        if self.metrics:
            parts.append(
                table(
                    ("metric", *names, *differences),
                    [
                        (row.name, *map(_figure, row.values), *(_signed(value) for value in row.differences[1:]))
                        for row in self.metrics
                    ],
                )
            )
            parts.append("what a difference is worth on the same data: throughline compare MODEL MODEL --data DATA")
        return "\n\n".join(parts)


@dataclass(frozen=True, slots=True)
class RunDelivered:
    """What a log was told of a run afterwards.

    Attributes:
        log: who was told.
        run: the run's id there.
        folder: the run's own.
        lines: how many lines of the record it was told.
        refused: why it did not take others.
    """

    log: str
    run: str
    folder: Path
    lines: int
    refused: tuple[str, ...]

    @property
    def exit_code(self) -> int:
        """3 where the log did not take everything."""
        return 3 if self.refused else 0

    def __str__(self) -> str:
        told = "nothing was left to tell" if not self.lines else f"{self.lines} lines"
        refused = "\n".join(self.refused)
        return fields([("told", told), ("to", self.log), ("run", self.run), ("not taken", refused)])


def runs(
    *which: str,
    log: str = "mlflow",
    metric: list[str] | None = None,
    limit: int = 20,
    deliver: Path | None = None,
) -> RunsReport | RunDetail | RunsCompared | RunDelivered:
    """List the runs that were written down, tell all of one, or set several side by side.

    Args:
        which: Runs by name, id or the beginning of an id. One is told whole; several are compared.
        log: Who keeps them: mlflow, jsonl, wandb.
        metric: Show this metric; given again, one more. Without it, those that the runs share.
        limit: The most runs in the list.
        deliver: The folder of a run whose log was away: tell it now what it has not heard.
    """
    if limit < 1:
        raise InputError(f"--limit is {limit}", "show at least 1 run")
    kept = run_log(log)
    if deliver is not None:
        return _delivered(kept, deliver, which)
    every = [as_it_is(record) for record in every_run(kept)]
    if len(which) > 1:
        return _compared(called(kept), [one_of(name, every, called(kept)) for name in which], metric)
    trials = Counter(record.parent for record in every if record.parent)
    if which:
        return _detail(called(kept), one_of(which[0], every, called(kept)), every, trials, metric)
    ids = {record.id for record in every}
    own = [record for record in every if record.parent not in ids]
    shown = own[:limit]
    rows = tuple(_row(record, trials[record.id]) for record in shown)
    return RunsReport(called(kept), rows, shared(shown, metric), len(own) - len(shown))


def _delivered(log: RunLog, folder: Path, which: Sequence[str]) -> RunDelivered:
    if which:
        raise InputError(f"--deliver beside {which[0]}", "give the folder of a run alone")
    told = deliver(log, folder)
    return RunDelivered(told.log, told.run, told.folder, told.lines, told.refused)


def _row(record: RunRecord, trials: int = 0) -> RunRow:
    seconds = None if record.seconds != record.seconds else record.seconds
    return RunRow(record.id, record.name, str(record.state), record.started, seconds, dict(record.metrics), trials)


def _detail(
    log: str, record: RunRecord, every: Sequence[RunRecord], trials: Mapping[str, int], metric: list[str] | None
) -> RunDetail:
    own = [one for one in every if one.parent == record.id]
    row = _row(record, len(own))
    if metric:
        row = replace(row, metrics={name: record.metrics[name] for name in measured(metric, [record])})
    rows = tuple(_row(one, trials.get(one.id, 0)) for one in own)
    return RunDetail(log, row, record.parameters, record.tags, record.parent, rows, shared(own, None))


def _compared(log: str, several: Sequence[RunRecord], metric: list[str] | None) -> RunsCompared:
    names = measured(metric, several) if metric else sorted({name for run in several for name in of_the_model(run)})
    metrics = []
    for name in names:
        values = tuple(run.metrics.get(name) for run in several)
        first = values[0]
        differences = tuple(None if one is None or first is None else one - first for one in values)
        metrics.append(MetricRow(name, values, differences))
    parameters = differing([run.parameters for run in several])
    origins = differing([differs_by(run) for run in several])
    return RunsCompared(log, tuple(map(_row, several)), parameters, origins, tuple(metrics))


def _rows(rows: Sequence[RunRow], shown: Sequence[str]) -> str:
    head = ["id", "name", "state", "began", "took"]
    cells = [[run.id[:SHORTEST], run.name, run.state, when(run.started), _took(run.seconds)] for run in rows]
    if any(run.trials for run in rows):
        head.append("trials")
        cells = [[*cell, str(run.trials or "")] for cell, run in zip(cells, rows, strict=True)]
    cells = [[*cell, *(_figure(run.metrics.get(n)) for n in shown)] for cell, run in zip(cells, rows, strict=True)]
    return table([*head, *shown], cells)


def _took(seconds: float | None) -> str:
    if seconds is None:
        return ""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"


def _figure(value: float | None) -> str:
    if value is None:
        return ""
    if value == 0 or 1e-3 <= abs(value) < 1e5 or value != value:
        return f"{value:.4f}"
    return f"{value:.7f}" if 1e-6 <= abs(value) < 1e-3 else f"{value:.4g}"


def _signed(value: float | None) -> str:
    return "" if value is None else ("+" if value > 0 else "") + _figure(value)
