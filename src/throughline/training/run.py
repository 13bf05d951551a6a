"""What a trainer is handed beside its recipe, and what it hands back."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, final

from throughline.contracts.artifacts import Step
from throughline.contracts.verdicts import Verdict


class Pruned(Exception):
    """Whoever watches a run has seen enough of it: a trainer lets this pass, and leaves nothing half-written."""


@final
@dataclass(frozen=True, slots=True)
class Run:
    """One training run, as its trainer sees it.

    Attributes:
        folder: the run's own folder, which exists; everything is written in it.
        log: writes down metrics of a step (an epoch, a round), and may raise ``Pruned``.
        say: one line for the person who waits.
        resume: go on where a killed run of this folder was.
        device: "cpu", "gpu" or "gpu:N": where to train.
        trust: open a program (a factory's weights, say) that no passport vouches for.
    """

    folder: Path
    log: Callable[[Mapping[str, float], int], None]
    say: Callable[[str], None]
    resume: bool = False
    device: str = "cpu"
    trust: bool = False


@final
@dataclass(frozen=True, slots=True)
class Trained:
    """What came of a run.

    Attributes:
        path: the model's file, in the run's folder; it has no passport yet.
        metrics: what was measured at the end, on data that it was not trained on.
        metric: the one of them that decides.
        higher_is_better: whether more of it is better.
        about: what is known of the model beyond what its file says, by the names of a passport's fields:
            task, labels, decoder, imgsz, stride.
        companions: files that belong to it, in the same folder.
        baseline: the same metrics of the plainest thing that could do the job, where the trainer has one.
        data_sha256: the hash of what it was trained on.
        parent: the hash of the weights that it began with.
        steps: what was done to it after it was trained, as a transform's ``Made`` says.
        evidence: what was proven of its file before it was handed back.
    """

    path: Path
    metrics: Mapping[str, float]
    metric: str
    higher_is_better: bool
    data_sha256: str
    about: Mapping[str, Any] = field(default_factory=dict)
    companions: tuple[Path, ...] = ()
    baseline: Mapping[str, float] = field(default_factory=dict)
    parent: str | None = None
    steps: tuple[Step, ...] = ()
    evidence: tuple[Verdict, ...] = ()
