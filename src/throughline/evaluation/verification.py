"""Whether one model file is the same model as another: every check that there is, in one pass over the pictures.

Each picture goes through both models once; raw answers are compared and forgotten, decoded ones are kept for the
metric. So the proof costs little more than the two passes that it cannot do without.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Final, final

from throughline.contracts.artifacts import Array, Artifact, Step
from throughline.contracts.errors import InputError, ThroughlineError, nearest
from throughline.contracts.samples import DataSet
from throughline.contracts.verdicts import Check, Verdict
from throughline.evaluation.degradation import Degradation, degradation
from throughline.evaluation.matched import AGREEMENTS, MatchedOutputs
from throughline.evaluation.metadata import RELEARNING, metadata_checks, recorded_steps
from throughline.evaluation.numeric import TOLERANCES, OutputError, Tolerance
from throughline.evaluation.proof import Answers, Worst, compare_answers
from throughline.models.parting import Parting, first_parting
from throughline.models.precision import Precisions, precision_of_layers
from throughline.models.session import Session, open_model
from throughline.terminal import styled, table

SHARES: Final[Mapping[str, float]] = {"float32": 0.99, "float16": 0.90, "bfloat16": 0.90, "int8": 0.50}
"""How much of the work has to be done in the precision that was asked for."""
_KINDS: Final = {"float64": "float32", "bfloat16": "bfloat16"}


@final
@dataclass(frozen=True, slots=True)
class Verification:
    """What was found.

    Attributes:
        precision: what the tolerances are for: what was asked, else what the candidate is.
        inputs: what both models were shown, in words.
        outputs: the error of each output; empty where raw outputs cannot be compared.
        matched: the agreement after decoding; None where nothing decodes them.
        metric: the task metric on labelled data; None where there is none.
        reference_precisions: the layers of the reference.
        candidate_precisions: and those of the candidate.
        parting: where the two graphs part, when the proof failed and it could be found.
        worst: the pictures of which the two say the most different things.
        notes: what was not checked, and why.
        seconds: where the time went.
        feeds: a few of the inputs, as they were fed to the reference.
    """

    reference: Artifact
    candidate: Artifact
    verdict: Verdict
    precision: str
    inputs: str
    outputs: tuple[OutputError, ...]
    matched: MatchedOutputs | None
    metric: Degradation | None
    reference_precisions: Precisions
    candidate_precisions: Precisions
    parting: Parting | None
    worst: tuple[Worst, ...]
    notes: tuple[str, ...]
    seconds: Mapping[str, float] = field(default_factory=dict)
    feeds: tuple[Mapping[str, Array], ...] = ()

    @property
    def exit_code(self) -> int:
        """0 where it is proven, else 5."""
        return 0 if self.verdict.passed else 5

    def __str__(self) -> str:
        rows = [
            (check.name, _said(check.observed), _said(check.limit), "passed" if check.passed else "FAILED")
            for check in self.verdict.checks
        ]
        lines = [table(("check", "observed", "limit", ""), rows), ""]
        if self.parting is not None:
            lines.append(f"parting  {self.parting}")
        lines += [f"note     {note}" for note in (self.inputs, *self.notes)]
        failed = sum(not check.passed for check in self.verdict.checks)
        state = styled("proven", "green") if self.verdict.passed else styled("NOT PROVEN", "red")
        count = len(self.verdict.checks)
        lines.append(f"verdict  {state}: " + (f"{failed} of {count} checks failed" if failed else f"{count} checks"))
        return "\n".join(lines)


def verify_models(
    reference: Artifact,
    candidate: Artifact,
    *,
    data: DataSet | None = None,
    arrays: Mapping[str, Array] | None = None,
    asked: str | None = None,
    atol: float | None = None,
    rtol: float | None = None,
    max_degradation: str | None = None,
    decoder: str | None = None,
    trust: bool = False,
    steps: Sequence[Step] = (),
    class_: str | None = None,
    conf: float = 0.25,
    iou: float = 0.7,
    part: bool = True,
) -> Verification:
    """Prove that a candidate is the same model as its reference, or say where it is not.

    Args:
        reference: the model that is right.
        candidate: the model to be proven, as it lies on the disk.
        data: pictures to show both; seeded ones where nothing is given.
        arrays: or named inputs, rows along the first axis.
        asked: the precision that was asked for: "float32", "float16", "bfloat16", "int8". What the candidate is, when
            not given.
        atol: how far an output may be off, absolutely; by the precision when not given.
        rtol: how far an output may be off, as a share of its value; by the precision when not given.
        max_degradation: how much of the task metric may be lost: "1%" of it, or "0.01" absolutely.
        decoder: how outputs are read, where the passports do not say.
        trust: open models that are programs.
        steps: what was done between the two, where the candidate's passport does not say it yet.
        class_: what builds the network of a reference that is weights alone ("package.module:function").
        conf: from which confidence on an object counts.
        iou: two boxes that overlap more are one object.
        part: look for the first layer at which the graphs part, when the proof fails.
    """
    if asked is not None and asked not in TOLERANCES:
        raise InputError(f"asked='{asked}': there is no such precision", nearest(asked, TOLERANCES))
    with ExitStack() as stack:
        # opened side by side: each is first looked at in a process of its own, and that is waiting
        opening = stack.enter_context(ThreadPoolExecutor(2))
        first = opening.submit(open_model, reference.path, trust=trust, class_=class_)
        second = opening.submit(open_model, candidate.path, trust=trust)
        for opened in (first, second):
            stack.callback(_close, opened)
        one, other = first.result(), second.result()
        before, after = precision_of_layers(reference), precision_of_layers(candidate)
        precision = asked or main_precision(after)
        tolerance = tolerance_of(precision, atol, rtol)
        agreement = AGREEMENTS[precision]
        answers = compare_answers(
            (reference, one), (candidate, other),
            data=data, arrays=arrays, tolerance=tolerance, agreement=agreement, decoder=decoder, steps=steps,
            conf=conf, iou=iou, halves="float16" in after.shares,
        )  # fmt: skip
    checks: list[Check] = []
    relearned = sorted({step.name for step in recorded_steps(reference, candidate, steps)} & RELEARNING)
    for output in answers.outputs:
        checks += output.checks(tolerance)
    checks += answers.checks
    if answers.matched is not None and not relearned:
        checks += answers.matched.checks(agreement)
    metric, said = _metric(data, answers, max_degradation or ("1%" if relearned else None))
    checks += [] if metric is None else metric.checks
    if relearned and metric is None:
        limit = f"labelled data: '{relearned[0]}' changes the weights, so that only the task's metric proves anything"
        checks.append(Check("task metric", "not measured", limit, False))
    precision_check, silent = _precision(asked, after)
    checks += precision_check
    checks += metadata_checks(reference, candidate, steps)
    verdict = Verdict((reference.sha256, candidate.sha256), tuple(checks))
    notes = (*answers.notes, *said, *silent, *_of_runtimes(one, other))
    parting = None
    feeds = _telling(checks, answers) if part else ()
    if feeds:
        try:
            parting = first_parting(reference.path, candidate.path, feeds, precision, other_ends=not answers.outputs)
        except ThroughlineError as error:
            notes = (*notes, f"where the graphs part was not found: {error.problem}")
    return Verification(
        reference, candidate, verdict, precision, answers.inputs, answers.outputs, answers.matched, metric,
        before, after, parting, answers.worst, notes, answers.seconds, answers.feeds,
    )  # fmt: skip


def _close(opened: Future[Session]) -> None:
    """Close a model that was opened; one that could not be is no matter here."""
    if opened.exception() is None:
        opened.result().close()


def tolerance_of(precision: str, atol: float | None, rtol: float | None) -> Tolerance:
    """What may differ: by the precision, or as it was given."""
    usual = TOLERANCES[precision]
    if atol is None and rtol is None:
        return usual
    return Tolerance(atol or 0.0, rtol or 0.0, usual.cosine, 0.0, absolute=True)


def main_precision(precisions: Precisions) -> str:
    """The precision by which a model is judged where nobody has asked for one: the least exact that counts in it."""
    shares = precisions.shares
    for name in ("int8", "bfloat16", "float16"):
        if shares.get(name, 0.0) > 0.01:
            return name
    return "float32"


def _of_runtimes(reference: Session, candidate: Session) -> list[str]:
    """What the runtimes had to say of the two, and which of them ran what."""
    said = [f"{session.name}: {note}" for session in (reference, candidate) for note in session.notes]
    return [*said, f"ran on {reference.backend} ({reference.device}) and {candidate.backend} ({candidate.device})"]


def _telling(checks: Sequence[Check], answers: Answers) -> Sequence[Mapping[str, Array]]:
    """The inputs on which it shows where the graphs part; none where it lies in no graph."""
    failed = [check.name for check in checks if not check.passed]
    if any(name.startswith(("numeric", "float16", "matched", "task", "runs")) for name in failed):
        return answers.feeds[:1]
    if any(name.startswith("batch") for name in failed):
        return answers.batch
    return answers.larger if any(name.startswith("open axes") for name in failed) else ()


def _precision(asked: str | None, found: Precisions) -> tuple[list[Check], list[str]]:
    if asked is None:
        return [], []
    if found.unreadable:
        return [], [f"the precision inside was not checked: {found.unreadable}"]
    if not found.layers:
        return [], ["the precision inside was not checked: no layer multiplies"]
    shares: dict[str, float] = {}
    for name, share in found.shares.items():
        kind = _KINDS.get(name, name)
        shares[kind] = shares.get(kind, 0.0) + share
    seen = ", ".join(f"{share:.1%} {name}" for name, share in shares.items())
    passed = shares.get(asked, 0.0) >= SHARES[asked]
    return [Check("precision: share of the work", seen, f"at least {SHARES[asked]:.0%} {asked}", passed)], []


def _metric(data: DataSet | None, answers: Answers, margin: str | None) -> tuple[Degradation | None, list[str]]:
    if data is None or answers.found is None:
        asked = ["the task metric was not measured: that takes labelled data and a decoder"] if margin else []
        return None, asked
    return degradation(data, *answers.found, margin)


def _said(value: float | str) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)
