"""``throughline compare``: whether one model is better than another on the same data, said in one sentence."""

from __future__ import annotations

import glob
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from throughline.contracts.artifacts import Artifact
from throughline.contracts.errors import InputError
from throughline.data.reading import open_data
from throughline.data.tables import is_table, open_table
from throughline.evaluation.compare_report import write_report
from throughline.evaluation.comparison import Comparison, Question, compare_models, number, said_of, signed
from throughline.evaluation.comparison_parts import CLASS, Part, Split
from throughline.evaluation.contest import Contest, Opening, over_pictures, over_rows
from throughline.evaluation.evidence import write_evidence
from throughline.evaluation.run_comparison import compare_figures, compare_runs
from throughline.evaluation.score_files import SUFFIXES, Scores, paired, read_scores, trait
from throughline.evaluation.scored import ScoreTally
from throughline.evaluation.tally import Tally
from throughline.files import writing
from throughline.models.artifact import read_artifact
from throughline.stats.difference import Difference
from throughline.stats.paired import Effect, Test
from throughline.terminal import fields, table
from throughline.video.progress import telling

SAME: Final = "the same file"
_ROWS: Final = 20
_ERRORS: Final = ("log loss", "absolute error")


@dataclass(frozen=True, slots=True)
class CompareReport:
    """What ``compare`` found; differences are the candidate's figure less the reference's.

    Attributes:
        decision: "better", "not worse" (by more than the margin), "worse", "cannot tell" or "the same file".
        sentence: the same in a sentence, with the figures.
        reference: the model that was held to, or its runs.
        candidate: the model in question, or its runs.
        data: what they were compared on.
        metric: what was measured.
        figures: the numbers that decide: of both, their difference, its interval, the margin.
        others: other metrics of the same answers, which decide nothing.
        tests: every test that was made.
        effects: how large the difference is.
        parts: the same by class and by slice, with Holm's correction over all of them.
        power: how often so many samples show a difference as large as the margin.
        detectable: the smallest difference that they show four times of five.
        more: about how many more would tell; 0 where it is told, None where no number would.
        evidence: the file that ``promote`` takes; None where no two model files were compared.
        report: the page.
        notes: what is to be known when this is read.
    """

    decision: str
    sentence: str
    reference: str
    candidate: str
    data: str
    metric: str
    figures: Mapping[str, float]
    others: Mapping[str, Mapping[str, float]]
    tests: tuple[Test, ...]
    effects: tuple[Effect, ...]
    parts: tuple[Part, ...]
    power: float
    detectable: float
    more: int | None
    evidence: Path | None
    report: Path | None
    notes: tuple[str, ...]

    @property
    def passed(self) -> bool:
        """Whether the candidate may take the reference's place."""
        return self.decision in ("better", "not worse", SAME)

    @property
    def exit_code(self) -> int:
        """0 where the candidate is better or not worse; 5 where it is worse, or nobody can tell."""
        return 0 if self.passed else 5

    def __str__(self) -> str:
        if self.decision == SAME:
            return self.sentence
        rows = [_row(name, figures) for name, figures in {self.metric: self.figures, **self.others}.items()]
        parts = [table(("metric", "reference", "candidate", "difference", "95 % from", "to", "p"), rows)]
        shown = sorted(
            self.parts,
            key=lambda part: (part.trait != CLASS, part.trait, part.corrected != part.corrected, part.corrected),
        )
        if shown:
            head = ("part", "samples", "reference", "candidate", "difference", "95 % from", "to", "p (Holm)")
            cells = [
                (f"{one.trait} {one.name}", f"{one.samples:,}", number(one.reference), number(one.candidate),
                 *_apart(one.difference), _p(one.corrected)) for one in shown[:_ROWS]
            ]  # fmt: skip
            parts.append(table(head, cells))
        parts += [fields(self._said(len(shown) - _ROWS)), self.sentence]
        return "\n\n".join(parts)

    def _said(self, left_off: int) -> list[tuple[str, str]]:
        power = f"{self.power:.0%} for a difference of {number(self.figures['margin'])} (the margin)"
        smallest = f"; four times of five for {number(self.detectable)}" if self.detectable == self.detectable else ""
        more = [f"{left_off} more parts are in the report"] if left_off > 0 else []
        return [
            ("tests", "\n".join(f"{one.name}: p {_p(one.p)} on {one.samples:,}" for one in self.tests)),
            ("effects", "\n".join(f"{one.name} {one}" for one in self.effects)),
            ("power", power + smallest if self.power == self.power else ""),
            ("data", self.data),
            ("reference", self.reference),
            ("candidate", self.candidate),
            ("evidence", str(self.evidence or "")),
            ("report", str(self.report or "")),
            ("note", "\n".join([*self.notes, *more])),
        ]


def compare(
    reference: str,
    candidate: str,
    /,
    *,
    data: str | None = None,
    split: str | None = None,
    target: str | None = None,
    slices: str | None = None,
    margin: str = "1%",
    conf: float = 0.001,
    iou: float = 0.7,
    imgsz: int | None = None,
    backend: str = "auto",
    device: str = "auto",
    threads: int = 0,
    trust: bool = False,
    out: Path | None = None,
) -> CompareReport:
    """Whether a model is better than another on the same data, not worse, or worse, and how sure that is.

    Exits with 0 where the candidate is better, or not worse by more than the margin; with 5 where it is worse or
    nobody can tell.

    Args:
        reference: The model to be held to; a pattern in quotes for several runs of it; or a file of scores.
        candidate: The model in question; a pattern in quotes for several runs; or a file of scores.
        data: Labelled data: pictures as evaluate takes them, or a table. Not for files of scores.
        split: Which part of the data: train, val or test.
        target: The column of a table that the models are to tell.
        slices: Also compare by these, with commas between: light, a trait of the pictures, or a column.
        margin: How much may be lost: a share of the reference's figure such as 1%, or a difference such as 0.01.
        conf: The least confidence of a box that counts.
        iou: Two boxes that overlap more are one object.
        imgsz: The longer side of the models' inputs, where they are open.
        backend: The runtime: auto, onnxruntime, openvino and so on.
        device: Where to run: auto, cpu, gpu or gpu:N.
        threads: CPU threads; 0 is every core.
        trust: Open a model that is a program and that no passport of this machine vouches for.
        out: The folder of the report and the evidence; runs/compare-REFERENCE-CANDIDATE when not given.
    """
    if not 0 <= conf < 1:
        raise InputError(f"--conf {conf:g}: it must be from 0 to 1", "leave it away: 0.001 suits average precision")
    asked = [name.strip() for name in (slices or "").split(",") if name.strip()]
    files = _files(reference), _files(candidate)
    question = Question(margin)
    if data is None:
        return _scores(files, question, asked, out)
    if len(files[0]) != len(files[1]) and min(map(len, files)) < 2:
        raise InputError(
            f"{len(files[0])} and {len(files[1])} runs cannot be compared: one run says nothing of the next",
            "give one model a side, or at least two runs a side, better five",
        )
    sides = tuple([read_artifact(file) for file in side] for side in files)
    if _one_each(sides) and sides[0][0].sha256 == sides[1][0].sha256:
        return _same(files[0][0], files[1][0], sides[0][0].sha256, data)
    names = _called(files, (reference, candidate))
    folder = out or Path("runs") / f"compare-{_short(names[0])}-{_short(names[1])}"
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
    how = Opening(backend, device, threads, trust, conf, iou, imgsz)
    if is_table(Path(data)):
        rows = open_table(data, target)
        contest = over_rows((sides[0], sides[1]), rows, how, asked)
        about, sha256, question = f"{rows.name}, {len(rows):,} rows", rows.sha256, replace(question, sample="row")
    else:
        whole = open_data(data, split)
        contest = over_pictures((sides[0], sides[1]), whole, how, asked, telling)
        about, sha256 = f"{whole.name} ({whole.format}), {len(contest.samples):,} pictures", whole.sha256
    found = {metric: _compared(runs, contest, _for(metric, question)) for metric, runs in contest.tallies.items()}
    main, *others = found.values()
    unasked = ["classes and slices are not compared between runs"] if asked and not _one_each(sides) else []
    main = replace(main, notes=(*contest.notes, *main.notes, *unasked, *_learned_from(sides, sha256)))
    sentence = said_of(main, *names)
    evidence = None
    if _one_each(sides):
        evidence = folder / "evidence.json"
        verdict = main.verdict(sides[0][0].sha256, sides[1][0].sha256)
        write_evidence(
            evidence, verdict, data_sha256=sha256, metric=main.metric, sentence=sentence, figures=main.figures()
        )
    facts = {"data": about, "data sha256": sha256}
    for role, side in zip(("reference", "candidate"), sides, strict=True):
        for artifact in side:
            facts[f"{role} {artifact.path}"] = f"sha256 {artifact.sha256}; {contest.ran_on[str(artifact.path)]}"
    report = write_report(folder / "report.html", names, sentence, main, others, contest, facts)
    told = f"{about}, sha256 {sha256}"
    return _report(main, sentence, files, told, {one.metric: one.figures() for one in others}, evidence, report)


def _compared(runs: tuple[Sequence[Tally], Sequence[Tally]], contest: Contest, question: Question) -> Comparison:
    first, second = runs
    if len(first) == len(second) == 1:
        return compare_models(first[0], second[0], question, groups=contest.groups, splits=contest.splits)
    return compare_runs(first, second, question, groups=contest.groups)


def _scores(
    files: tuple[list[str], list[str]], question: Question, slices: Sequence[str], out: Path | None
) -> CompareReport:
    """Scores that were measured elsewhere: pairs where rows have names, two sets of runs where they have none."""
    paths = [Path(file) for side in files for file in side]
    if len(paths) != 2 or any(path.suffix.lower() not in SUFFIXES for path in paths):
        raise InputError(
            "nobody has said which data to compare on",
            "say --data DATA for models, or give two files of scores, CSV or JSON",
        )
    notes: list[str] = []
    first, second = paired(read_scores(paths[0]), read_scores(paths[1]), notes)
    if first.sha256 == second.sha256:
        return _same(files[0][0], files[1][0], first.sha256, "")
    question = replace(question, less_is_better=first.less_is_better, bounded=False, sample="sample", group="group")
    if first.less_is_better:
        notes.append(f"less {first.metric} was taken for better, by its name")
    found = _of_scores(first, second, question, slices)
    found = replace(found, notes=(*notes, *found.notes))
    names = _called(files, (files[0][0], files[1][0]))
    folder = out or Path("runs") / f"compare-{_short(names[0])}-{_short(names[1])}"
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
    sentence = said_of(found, *names)
    facts = {"reference sha256": first.sha256, "candidate sha256": second.sha256}
    report = write_report(folder / "report.html", names, sentence, found, [], None, facts)
    return _report(found, sentence, files, f"{first.metric} of {found.samples:,} {found.unit}s", {}, None, report)


def _of_scores(first: Scores, second: Scores, question: Question, slices: Sequence[str]) -> Comparison:
    if first.names is None or second.names is None:
        if slices:
            raise InputError("--slices: these scores have no names, so they are runs, not samples", "leave it away")
        return compare_figures(first.metric, first.values, second.values, question)
    splits = [Split(name, trait(first, name)) for name in slices]
    tallies = [ScoreTally(one.metric, one.values) for one in (first, second)]
    return compare_models(tallies[0], tallies[1], question, groups=first.groups, splits=splits)


def _report(
    found: Comparison,
    sentence: str,
    files: tuple[list[str], list[str]],
    data: str,
    others: Mapping[str, Mapping[str, float]],
    evidence: Path | None,
    report: Path,
) -> CompareReport:
    sides = ["\n".join(side) for side in files]
    return CompareReport(
        found.decision, sentence, sides[0], sides[1], data, found.metric, found.figures(), others, found.tests,
        found.effects, found.parts, found.power, found.detectable, found.more, evidence, report, found.notes,
    )  # fmt: skip


def _same(reference: str, candidate: str, sha256: str, data: str) -> CompareReport:
    sentence = f"{reference} and {candidate} are the same file (sha256 {sha256}): there is nothing to compare."
    nothing = float("nan")
    return CompareReport(
        SAME, sentence, reference, candidate, data, "", {}, {}, (), (), (), nothing, nothing, 0, None, None, ()
    )


def _for(metric: str, question: Question) -> Question:
    return replace(question, less_is_better=True, bounded=False) if metric in _ERRORS else question


def _files(given: str) -> list[str]:
    """The files of one side: one, or all that a pattern fits."""
    if glob.has_magic(given) and not Path(given).exists():
        found = sorted(glob.glob(given))
        if not found:
            raise InputError(f"no file fits '{given}'", "give a model, or a pattern in quotes that its runs fit")
        return found
    return [given]


def _one_each(sides: Sequence[Sequence[Artifact]]) -> bool:
    return all(len(side) == 1 for side in sides)


def _learned_from(sides: Sequence[Sequence[Artifact]], data: str) -> list[str]:
    """Which of the models know the answers, by what their passports say that they were trained on."""
    return [
        f"{artifact.path.name} was trained on these very data: what it is worth on others, they do not show"
        for side in sides
        for artifact in side
        if any(step.options.get("data_sha256") == data for step in artifact.passport.steps if step.name == "train")
    ]


def _called(files: Sequence[Sequence[str]], given: tuple[str, str]) -> tuple[str, str]:
    """Short names that tell the sides apart."""
    whole = [
        side[0] if len(side) == 1 else f"{name} ({len(side)} runs)" for side, name in zip(files, given, strict=True)
    ]
    short = [Path(side[0]).name if len(side) == 1 else name for side, name in zip(files, whole, strict=True)]
    names = whole if short[0] == short[1] or any(name.startswith("models:") for name in whole) else short
    return names[0], names[1]


def _short(name: str) -> str:
    """A name as part of a folder's: a file's stem, or a reference or pattern without its signs."""
    plain = name.removeprefix("models:/") if name.startswith("models:/") else Path(name).stem
    return re.sub(r"[^\w.-]+", "-", plain).strip("-.")[:60] or "model"


def _row(metric: str, figures: Mapping[str, float]) -> tuple[str, ...]:
    return (
        metric, number(figures["reference"]), number(figures["candidate"]), signed(figures["difference"]),
        *_edges(figures["low"], figures["high"]), _p(figures["p"]),
    )  # fmt: skip


def _edges(low: float, high: float) -> tuple[str, str]:
    return ("", "") if low != low else (signed(low), signed(high))


def _apart(one: Difference) -> tuple[str, str, str]:
    return (signed(one.value), *_edges(one.low, one.high))


def _p(p: float) -> str:
    return "" if p != p else "under 0.0001" if p < 0.0001 else f"{p:.4f}"
