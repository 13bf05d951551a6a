"""``throughline verify``: whether one model file is the same model as another, and where it is not."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from throughline.contracts.artifacts import Array, Artifact
from throughline.contracts.errors import InputError
from throughline.contracts.samples import DataSet
from throughline.contracts.verdicts import Verdict
from throughline.data.arrays import read_arrays
from throughline.evaluation.feeding import feeds_of
from throughline.evaluation.matched import MatchedOutputs
from throughline.evaluation.numeric import OutputError
from throughline.evaluation.verification import Verification, verify_models
from throughline.evaluation.verify_report import write_report
from throughline.files import writing
from throughline.models import passport as passports
from throughline.models.artifact import read_artifact
from throughline.models.chain import drafting, follow, settle
from throughline.models.parting import Parting
from throughline.models.repair import links_for, ranked_by_damage, smallest_keep
from throughline.models.session import open_model
from throughline.models.transforms import Feeds
from throughline.terminal import fields
from throughline.video.pictures import open_pictures


@dataclass(frozen=True, slots=True)
class VerifyReport:
    """What ``verify`` found.

    Attributes:
        verdict: every check, with the two hashes that it is about.
        precision: what the tolerances are for.
        inputs: what both were shown.
        outputs: the error of each output.
        matched: the agreement after decoding.
        parting: where the two graphs part.
        precisions: the share of the candidate's work by type.
        report: the page.
        stored: the passport that holds the verdict; None where it could not be written.
        repaired: the file that ``--repair`` made.
        kept: the layers that it keeps in higher precision.
        notes: what was not checked, and why.
    """

    reference: Path
    candidate: Path
    verdict: Verdict
    precision: str
    inputs: str
    outputs: tuple[OutputError, ...]
    matched: MatchedOutputs | None
    parting: Parting | None
    precisions: Mapping[str, float]
    report: Path
    stored: Path | None
    repaired: Path | None
    kept: tuple[str, ...]
    notes: tuple[str, ...]
    text: str

    @property
    def exit_code(self) -> int:
        """0 where the candidate is proven, or what was made in its place is; else 5."""
        return 0 if self.verdict.passed or self.repaired else 5

    def __str__(self) -> str:
        repaired = ""
        if self.repaired is not None:
            kept = ", ".join(self.kept) or "none: making it anew was enough"
            repaired = f"{self.repaired}, proven; kept in higher precision: {kept}"
        return f"{self.text}\n" + fields(
            [
                ("report", str(self.report)),
                ("passport", str(self.stored or "")),
                ("repaired", repaired),
            ]
        )


def verify(
    reference: Path,
    candidate: Path,
    /,
    *,
    data: str | None = None,
    split: str | None = None,
    asked: str | None = None,
    atol: float | None = None,
    rtol: float | None = None,
    max_degradation: str | None = None,
    decoder: str | None = None,
    class_: str | None = None,
    trust: bool = False,
    repair: bool = False,
    out: Path | None = None,
) -> VerifyReport:
    """Prove that a model file is the same model as another, or say what is wrong with it and where.

    Args:
        reference: The model that is right.
        candidate: The model to be proven. Its passport keeps the verdict.
        data: What to show both: pictures, a data set, a video, or an .npz of named inputs; seeded when not given.
        split: Which part of a data set: train, val or test.
        asked: The precision that was asked for: float32, float16, bfloat16 or int8. The file is held to it.
        atol: How far an output may be off, absolutely.
        rtol: How far an output may be off, as a share of its value.
        max_degradation: How much accuracy may be lost: 1%, or 0.01 of it absolutely. Takes labelled data.
        decoder: How the outputs are read, where the files do not say.
        class_: What builds the network of a reference that is weights alone (package.module:factory).
        trust: Open models that are programs and that no passport of this machine vouches for.
        repair: Where FP16 or INT8 fails, make it anew with the fewest layers in higher precision with which it passes.
        out: The folder of the report; runs/verify-CANDIDATE when not given.
    """
    one, other = read_artifact(Path(reference)), read_artifact(Path(candidate))
    arrays, pictures = _opened(data, split)
    limits: dict[str, Any] = {
        "asked": asked, "atol": atol, "rtol": rtol, "max_degradation": max_degradation, "decoder": decoder,
        "class_": class_, "trust": trust, "data": pictures, "arrays": arrays,
    }  # fmt: skip
    folder = out or Path("runs") / f"verify-{other.path.stem}"
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
    found = verify_models(one, other, **limits)
    stored, notes = _stored(other, found.verdict, trust)
    repaired, kept = None, tuple[str, ...]()
    if repair and not found.verdict.passed:
        repaired, kept, said = _repaired(one, other, found, pictures, arrays, limits)
        notes += said
    found = dataclasses.replace(found, notes=(*found.notes, *notes))
    return VerifyReport(
        one.path, other.path, found.verdict, found.precision, found.inputs, found.outputs, found.matched, found.parting,
        found.candidate_precisions.shares, write_report(folder / "report.html", found), stored, repaired, kept,
        found.notes, str(found),
    )  # fmt: skip


def _opened(data: str | None, split: str | None) -> tuple[dict[str, Array] | None, DataSet | None]:
    if data is None:
        if split is not None:
            raise InputError(f"--split {split!r} without --data", "give the data that it is a part of")
        return None, None
    if Path(data).suffix.lower() in (".npz", ".npy"):
        return read_arrays(data), None
    return None, open_pictures(data, split)


def _stored(candidate: Artifact, verdict: Verdict, trust: bool) -> tuple[Path | None, list[str]]:
    """Keep the verdict in the candidate's passport, in place of an older one about the same two files."""
    kept = tuple(one for one in candidate.passport.evidence if one.subjects != verdict.subjects)
    passport = dataclasses.replace(candidate.passport, evidence=(*kept, verdict))
    sealed = candidate.issued and passports.is_sealed(candidate.passport)
    try:
        passports.issue(candidate.path, passport, vouch=trust or sealed)
    except InputError as error:
        return None, [f"the verdict is not in the candidate's passport: {error.problem}"]
    return passports.path_of(candidate.path), []


def _repaired(
    reference: Artifact,
    candidate: Artifact,
    found: Verification,
    pictures: DataSet | None,
    arrays: Mapping[str, Array] | None,
    limits: Mapping[str, Any],
) -> tuple[Path | None, tuple[str, ...], list[str]]:
    """The candidate made anew from its reference, with as few layers in higher precision as make it pass."""
    if reference.format != "onnx":
        raise InputError(
            f"--repair makes the candidate anew from an ONNX graph; {reference.path} is {reference.format}",
            "verify against the ONNX file that it was made from",
        )
    target = candidate.path.with_name(f"{candidate.path.stem}.repaired{candidate.path.suffix}")
    precision = found.precision
    limits = {**limits, "asked": None}  # what is kept in higher precision is not what was asked for, and need not be
    with ExitStack() as stack:
        folder = stack.enter_context(drafting(target))
        feeds = _calibration(stack, reference, pictures, arrays, limits["decoder"], found.feeds, precision)
        links_for(candidate, precision, (), feeds)  # what cannot be made is said before anything is measured
        tried = 0

        def passes(keep: tuple[str, ...]) -> bool:
            nonlocal tried
            tried += 1
            draft = follow(reference, links_for(candidate, precision, keep, feeds), folder / f"{tried}", target.stem)
            proof = verify_models(reference, draft.artifact, **limits, steps=draft.steps, part=False)
            return proof.verdict.passed

        shown: Sequence[Mapping[str, Array]] = found.feeds[:2]
        ranked = ranked_by_damage(reference.path, candidate.path, shown)
        kept = smallest_keep(ranked, passes)
        if kept is None:
            return None, (), [f"no set of layers makes it pass: {tried} models were made and proven"]
        draft = follow(reference, links_for(candidate, precision, kept, feeds), folder / "final", target.stem)
        verdict = verify_models(reference, draft.artifact, **limits, steps=draft.steps, part=False).verdict
        if not verdict.passed:
            failed = ", ".join(check.name for check in verdict.checks if not check.passed)
            return None, (), [f"with {len(kept)} layers kept it still fails: {failed}"]
        return settle(draft, target, reference, [verdict]).path, kept, [f"{tried} models were made and proven"]


def _calibration(
    stack: ExitStack,
    reference: Artifact,
    pictures: DataSet | None,
    arrays: Mapping[str, Array] | None,
    decoder: str | None,
    shown: Sequence[Mapping[str, Array]],
    precision: str,
) -> Feeds | None:
    """Real inputs to make the candidate from; seeded ones say well enough where halves overflow."""
    if arrays is not None:
        rows = max(len(array) for array in arrays.values() if array.ndim)
        return lambda: (
            {
                name: array[row : row + 1] if array.ndim and len(array) == rows else array
                for name, array in arrays.items()
            }
            for row in range(rows)
        )
    if pictures is None:
        return (lambda: iter(shown)) if precision == "float16" else None
    session = stack.enter_context(open_model(reference.path, backend="onnxruntime", device="cpu"))
    return feeds_of(reference, session, lambda: pictures, decoder=decoder or reference.passport.decoder)
