"""``throughline optimize``: the fastest way to run a model on this machine that is proven to be as accurate."""

from __future__ import annotations

import dataclasses
import re
import time
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from throughline.contracts.artifacts import Artifact, Step
from throughline.contracts.errors import InputError, ModelRefused
from throughline.contracts.samples import DataSet
from throughline.contracts.verdicts import Check, Verdict
from throughline.data.overlap import shared_pictures
from throughline.data.reading import open_data
from throughline.evaluation.asking import labelled
from throughline.evaluation.feeding import CALIBRATION, feeds_of
from throughline.evaluation.front import Tried, answer, front, holds
from throughline.evaluation.optimize_report import write_report
from throughline.evaluation.recipes import Recipe, recipes
from throughline.evaluation.search import Question, Search
from throughline.evaluation.verification import verify_models
from throughline.hardware import cores
from throughline.models.artifact import read_artifact
from throughline.models.chain import Link, drafting, follow, settle
from throughline.models.session import open_model
from throughline.terminal import fields, human_bytes, note, only_warnings, styled, table
from throughline.vision.detector import USUAL_SIZE, USUAL_STRIDE, input_size

_PLAYOFF = 3
"""So many of the fastest are measured once more, longer, before one is taken."""
_SHRINKS = (1.0, 0.8, 0.65)
"""Input sizes to try, as shares of the model's own."""
POINT = "point-estimate"


@dataclass(frozen=True, slots=True)
class OptimizeReport:
    """What ``optimize`` found.

    Attributes:
        winner: the file that was written; None where nothing faster holds the accuracy.
        setting: how it is to be run.
        ratio: how many times as fast it is as the baseline.
        tried: everything that was tried, with why each lost; the fastest first.
        complete: whether everything was tried in the time that was given.
    """

    source: Path
    winner: Path | None
    setting: str
    ratio: float
    difference: float
    interval: tuple[float, float]
    metric: str
    margin: float
    baseline: Tried
    front: tuple[Tried, ...]
    tried: tuple[Tried, ...]
    complete: bool
    more_samples: int | None
    report: Path
    notes: tuple[str, ...]

    @property
    def exit_code(self) -> int:
        """0 where there is a winner."""
        return 0 if self.winner else 5

    def __str__(self) -> str:
        rows = [_row(self.baseline, "the baseline"), *(_row(one, one.lost or "taken") for one in self.tried)]
        head = ("setting", "times", "a second", "p50 ms", self.metric, "difference, 95 %", "size", "")
        return "\n".join([table(head, rows), "", fields(self._said())])

    def _said(self) -> list[tuple[str, str]]:
        low, high = self.interval
        held = f"{self.difference:+.4f} ({low:+.4f} to {high:+.4f}); at most {-self.margin:+.4f} is allowed"
        none = "nothing: no faster way holds the accuracy"
        return [
            ("winner", styled(str(self.winner), "green") if self.winner else styled(none, "yellow")),
            ("run with", self.setting),
            ("speed", f"{self.ratio:.2f} x the baseline" if self.winner else ""),
            (self.metric, held if self.winner else ""),
            ("data", f"label {self.more_samples:,} more pictures to decide it" if self.more_samples else ""),
            ("report", str(self.report)),
            ("search", "complete" if self.complete else "time ran out; the same command goes on with it"),
            ("note", "\n".join(self.notes)),
        ]


def optimize(
    model: Path,
    /,
    *,
    data: str,
    max_degradation: str = "1%",
    budget: str = "10m",
    latency_target: str | None = None,
    calibrate: str | None = None,
    split: str | None = None,
    imgsz: str | None = None,
    variants: str | None = None,
    device: str = "auto",
    threads: int = 0,
    iou: float = 0.7,
    decoder: str | None = None,
    out: Path | None = None,
    accept: str | None = None,
    class_: str | None = None,
    trust: bool = False,
) -> OptimizeReport:
    """Search this machine for the fastest way to run a model that keeps its accuracy; proven, or not at all.

    Args:
        model: The model: ONNX, or a PyTorch checkpoint or .pt2, which becomes ONNX first.
        data: Labelled pictures that decide whether the accuracy holds.
        max_degradation: How much accuracy may be lost: 1%, or 0.01 of it absolutely.
        budget: How long to search: 90s, 10m, 2h. Interrupted or out of time, the same command goes on.
        latency_target: Take the most accurate that answers in this time, such as 10ms, instead of the fastest.
        calibrate: Pictures for INT8; the data's other part when not given.
        split: Which part of the data decides: train, val or test.
        imgsz: Longer input sides to try, with commas between; the model's own and smaller ones when not given.
        variants: Other ONNX models for the same task, pruned or distilled say, with commas between: searched too.
        device: Where to run: auto, cpu, gpu or gpu:N.
        threads: CPU threads; 0 is every core.
        iou: Two boxes that overlap more are one object.
        decoder: How the model's outputs are read, where its file does not say.
        out: The folder of the search; runs/optimize-MODEL when not given.
        accept: "point-estimate" takes a winner whose accuracy only looks close enough; its passport says so.
        class_: What builds the network that a state dict belongs to (package.module:factory).
        trust: Open a model that is a program and that no passport of this machine vouches for.
    """
    if accept not in (None, POINT):
        raise InputError(f"--accept {accept}: there is nothing of that name to accept", f"--accept {POINT}")
    seconds = _seconds("budget", budget)
    target = None if latency_target is None else 1000 * _seconds("latency-target", latency_target)
    source, judged = read_artifact(Path(model)), open_data(data, split)
    folder = out or Path("runs") / f"optimize-{source.path.stem}"
    until = time.monotonic() + seconds
    notes: list[str] = []
    judged = dataclasses.replace(judged, samples=labelled(judged, data, notes))
    calibration = _calibration(calibrate, data, judged, notes)
    with drafting(folder / "winner") as scratch, only_warnings():
        origin = _origin(source, scratch, class_, trust)
        plain = origin.graph
        family = decoder or plain.passport.decoder
        if family is None:
            raise InputError(f"{source.path}: its outputs do not say how they are read", "give --decoder")
        sizes = _sizes(plain, imgsz)
        with ExitStack() as opened:
            asked = None if input_size(plain) else sizes[0]
            origins = {one.graph.sha256: one for one in (origin, *_variants(variants, plain, family))}
            able: list[Recipe] = []
            for one in origins.values():
                session = opened.enter_context(open_model(one.graph.path, backend="onnxruntime", device=device))
                feeds = feeds_of(one.graph, session, lambda: calibration, decoder=family, imgsz=asked)
                able += recipes(one.graph, feeds, session.device, "" if one is origin else one.graph.path.stem)
            on_cpu = session.device == "cpu"
            question = Question(
                plain, family, judged, str(judged.task), max_degradation, sizes,
                lanes=tuple(sorted({1, cores()})) if on_cpu else (1,),
                batches=(1, 4) if isinstance(plain.inputs[0].shape[0], str) else (1,),
                device=session.device, threads=threads or cores(), iou=iou,
            )  # fmt: skip
            search = Search(question, able, folder, note)
            baseline = search.begin()
            try:
                complete = search.go_on(until)
                winner = None
                best, tried = _decided(search, target, accept == POINT)
                while best is not None and winner is None:
                    winner = _settled(origins, best, search, folder, calibration, accept)
                    if winner is None:
                        search.refuse(best.setting.recipe)
                        best, tried = _decided(search, target, accept == POINT)
            finally:
                search.close()
    told = best or next((one for one in tried if one.held), baseline)
    held = told.held
    assert held is not None
    undecided = best is None and any(one.held and one.held.decision == "undecided" for one in tried)
    report = OptimizeReport(
        source.path,
        winner,
        str(best.setting) if best else "",
        best.ratio if best else 1.0,
        held.difference,
        (held.low, held.high),
        held.metric,
        held.margin,
        baseline,
        tuple(front([baseline, *tried])),
        tuple(tried),
        complete,
        held.more_samples if undecided else None,
        folder / "report.html",
        tuple(dict.fromkeys([*notes, *search.notes])),
    )
    write_report(report.report, source, judged, baseline, tried, best)
    return report


def _decided(search: Search, target: float | None, accepted: bool) -> tuple[Tried | None, list[Tried]]:
    """The answer, once the fastest few were measured again; all with why they are not it, the fastest first."""
    able = sorted((one for one in search.tried if holds(one, accepted)), key=lambda one: -one.ratio)
    search.again(able[:_PLAYOFF] if len(able) > 1 else [])
    best = answer(search.tried, list(search.recipes), target, accepted)
    told = [dataclasses.replace(one, lost=_lost(one, best, target, accepted)) for one in search.tried]
    return best, sorted(told, key=lambda one: -one.ratio)


def _lost(one: Tried, best: Tried | None, target: float | None, accepted: bool) -> str:
    if one.lost or (best is not None and one.setting == best.setting):
        return one.lost
    if one.held is not None and not holds(one, accepted):
        more = one.held.more_samples
        need = f"; {more:,} more pictures would decide it" if more else ""
        return f"too few pictures to tell{need}" if one.held.decision == "undecided" else "its accuracy fell"
    if target is not None and one.latency_ms > target:
        return f"answers in {one.latency_ms:.1f} ms, and {target:.1f} is asked for"
    return "slower" if best is not None and one.ratio < best.ratio else "no faster that can be told, or less accurate"


def _settled(
    origins: Mapping[str, _Origin],
    best: Tried,
    search: Search,
    folder: Path,
    calibration: DataSet,
    accept: str | None,
) -> Path | None:
    """Write the winner: its graph proven on every picture, and its accuracy on record. None where the proof fails."""
    recipe, held, judged = search.recipes[best.setting.recipe], best.held, search.question.data
    assert held is not None
    origin = origins[recipe.source.sha256]
    name = origin.parent.path.stem
    with drafting(folder / name) as scratch:
        draft = follow(recipe.source, recipe.links or (Link("simplify"),), scratch, name)
        proof = verify_models(
            recipe.source, draft.artifact, data=judged, asked=recipe.precision, trust=True, steps=draft.steps
        )
        if not proof.verdict.passed:
            return None
        how = "non-inferior" if held.decision == "passed" else "point estimate accepted"
        accuracy = Check(f"{held.metric}, {how}", held.difference, -held.margin, True)
        verdict = dataclasses.replace(proof.verdict, checks=(*proof.verdict.checks, accuracy))
        options = {
            "ratio": round(best.ratio, 3), "imgsz": best.setting.imgsz, "lanes": best.setting.lanes,
            "batch": best.setting.batch, "backend": recipe.backend, "data": judged.sha256,
            "calibration": calibration.sha256, "interval": [held.low, held.high], "accept": accept or "",
        }  # fmt: skip
        steps = (*origin.steps, *draft.steps, Step("optimize", options))
        passport = dataclasses.replace(draft.artifact.passport, imgsz=_size_of(draft.artifact, best.setting.imgsz))
        draft = dataclasses.replace(draft, artifact=dataclasses.replace(draft.artifact, passport=passport), steps=steps)
        return settle(draft, folder / draft.artifact.path.name, origin.parent, [*origin.evidence, verdict]).path


def _size_of(artifact: Artifact, longer: int) -> tuple[int, int]:
    return input_size(artifact) or (longer, longer)


class _Origin(NamedTuple):
    """A plain ONNX graph that forms are made from, and what it was made from itself, how, and on which proof."""

    graph: Artifact
    parent: Artifact
    steps: tuple[Step, ...] = ()
    evidence: tuple[Verdict, ...] = ()


def _origin(source: Artifact, folder: Path, class_: str | None, trust: bool) -> _Origin:
    """The model as an ONNX graph in float32: itself, or made from it."""
    if source.format == "onnx":
        return _Origin(source, source)
    options = {"class_": class_, "trust": trust, "dynamic": True}
    draft = follow(source, [Link("to_onnx", options)], folder, source.path.stem)
    proof = verify_models(source, draft.artifact, trust=trust, class_=class_, steps=draft.steps)
    if not proof.verdict.passed:
        raise ModelRefused(
            f"{source.path}: its ONNX form is not the same model\n{proof}", "throughline export --to onnx"
        )
    return _Origin(draft.artifact, source, draft.steps, (proof.verdict,))


def _variants(text: str | None, plain: Artifact, decoder: str) -> list[_Origin]:
    """The other models, which must say their classes alike to be compared."""
    told = []
    for name in filter(None, (part.strip() for part in (text or "").split(","))):
        other = read_artifact(Path(name))
        if other.format != "onnx" or (other.passport.decoder or decoder) != decoder:
            raise InputError(
                f"--variants: {name} is {other.format}, read by {other.passport.decoder or 'nothing known'}",
                f"give ONNX files that are read as {plain.path.name} is: by {decoder}",
            )
        told.append(_Origin(other, other))
    return told


def _sizes(plain: Artifact, asked: str | None) -> tuple[int, ...]:
    if (fixed := input_size(plain)) is not None:
        if asked is not None:
            raise InputError(f"--imgsz {asked}: {plain.path} takes {fixed[0]}x{fixed[1]} only", "leave --imgsz away")
        return (max(fixed),)
    stride, own = plain.passport.stride or USUAL_STRIDE, max(plain.passport.imgsz or (USUAL_SIZE,))
    if asked is None:
        return tuple(dict.fromkeys(max(stride, round(own * share / stride) * stride) for share in _SHRINKS))
    parts = [part.strip() for part in asked.split(",")]
    if not all(part.isdigit() and int(part) >= stride for part in parts):
        raise InputError(f"--imgsz {asked!r} holds what is no size", f"whole numbers of {stride} or more, with commas")
    return tuple(dict.fromkeys(map(int, parts)))


def _calibration(asked: str | None, data: str, judged: DataSet, notes: list[str]) -> DataSet:
    """Pictures for INT8, and not those that decide where there are others."""
    if asked is not None:
        chosen = open_data(asked)
    else:
        chosen = next((other for split in ("train", "val", "test") if (other := _other(data, split, judged))), judged)
    if shared := shared_pictures(chosen, judged):
        notes.append(f"{len(shared)} pictures both calibrate INT8 and judge it: give others with --calibrate")
    return chosen.few(CALIBRATION)


def _other(data: str, split: str, judged: DataSet) -> DataSet | None:
    try:
        other = open_data(data, split)
    except InputError:
        return None
    return None if other.sha256 == judged.sha256 else other


def _seconds(flag: str, text: str) -> float:
    units = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
    told = re.fullmatch(r"(\d+(?:\.\d+)?)(ms|s|m|h)", text.strip())
    if told is None or float(told[1]) == 0:
        raise InputError(f"--{flag} {text!r} is no time", "a number with its unit: 10ms, 90s, 10m, 2h")
    return float(told[1]) * units[told[2]]


def _row(one: Tried, lost: str) -> tuple[str, ...]:
    held = one.held
    asked = held is not None
    return (
        str(one.setting),
        f"{one.ratio:.2f}" if one.throughput else "",
        f"{one.throughput:.1f}" if one.throughput else "",
        f"{one.latency_ms:.1f}" if one.throughput else "",
        f"{one.metric:.4f}" if asked else "",
        f"{held.difference:+.4f} ({held.low:+.4f} to {held.high:+.4f})" if held is not None else "",
        human_bytes(one.size).partition(" (")[0] if one.size else "",
        lost,
    )
