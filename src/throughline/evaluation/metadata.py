"""Whether a model still says of itself what its reference says: labels, task, decoder, size, names of tensors.

A model whose numbers are right and whose labels are shuffled is wrong on every screen. What differs has to have
been changed by a step that the passport names.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from throughline.contracts.artifacts import Artifact, Axis, Step, TensorSpec
from throughline.contracts.verdicts import Check
from throughline.vision.decoders import DECODERS
from throughline.vision.preprocess import PLAIN, Preprocess

_MAY_CHANGE: Final = {
    "nms": ("outputs", "decoder", "preprocessing"),
    "imgsz": ("input size", "inputs"),
    "batch": ("inputs", "outputs"),
    "axes": ("input size", "inputs", "outputs"),
}
"""What a step is for: what it may change."""
RELEARNING: Final = frozenset({"prune", "prune_onnx", "distill"})
"""Steps after which a model is another one on purpose: its numbers differ, and only its task can prove it."""


def recorded_steps(reference: Artifact, candidate: Artifact, steps: Sequence[Step] = ()) -> tuple[Step, ...]:
    """What was done between the two: by the candidate's passport, and ``steps`` that it does not say yet."""
    return (*candidate.passport.steps[len(reference.passport.steps) :], *steps)


def metadata_checks(reference: Artifact, candidate: Artifact, steps: Sequence[Step] = ()) -> list[Check]:
    """One check for each thing that the reference says of itself.

    Args:
        reference: the model that is right.
        candidate: the model to be proven.
        steps: what was done between the two, beyond what the candidate's passport says already.
    """
    before, after = reference.passport, candidate.passport
    done = recorded_steps(reference, candidate, steps)
    excused = {what for step in done for key in (step.name, *step.options) for what in _MAY_CHANGE.get(key, ())}
    checks = [
        _check("labels", _shown(before.labels), _shown(after.labels), before.labels == after.labels, excused)
        if before.labels
        else None,
        _same("task", before.task, after.task, excused),
        _same("decoder", before.decoder, after.decoder, excused),
        _preprocessing(before.decoder, after.decoder, excused),
        _same("stride", before.stride, after.stride, excused),
        _size(reference, candidate, excused),
        _tensors("inputs", before.inputs, after.inputs, excused),
        _tensors("outputs", before.outputs, after.outputs, excused),
    ]
    return [check for check in checks if check is not None]


def _same(what: str, before: Any, after: Any, excused: set[str]) -> Check | None:
    return None if before is None else _check(what, str(before), str(after), before == after, excused)


def _check(what: str, before: str, after: str, same: bool, excused: set[str]) -> Check:
    told = f"{after} (changed by a recorded step)" if not same and what in excused else after
    return Check(f"metadata: {what}", told, before, same or what in excused)


def _preprocessing(before: str | None, after: str | None, excused: set[str]) -> Check | None:
    if before is None or after is None:
        return None
    one, other = (_of(name) for name in (before, after))
    return _check("preprocessing", _told(one), _told(other), one == other, excused)


def _of(decoder: str) -> Preprocess:
    preprocess: Preprocess = DECODERS.get(decoder).facts.get("preprocess", PLAIN)
    return preprocess


def _told(preprocess: Preprocess) -> str:
    order = "BGR" if preprocess.bgr else "RGB"
    fit = "stretched" if preprocess.stretch else "letterboxed"
    if preprocess.mean == (0.0, 0.0, 0.0) and preprocess.std == (1.0, 1.0, 1.0):
        return f"{order} from 0 to {preprocess.scale:g}, {fit}"
    mean, std = (", ".join(f"{value:g}" for value in values) for values in (preprocess.mean, preprocess.std))
    return f"{order}, scale {preprocess.scale:g}, mean {mean}, std {std}, {fit}"


def _size(reference: Artifact, candidate: Artifact, excused: set[str]) -> Check | None:
    """The size of its pictures: fixing one that was open is fine where it is the one it was trained on."""
    before, after = reference.passport.imgsz, candidate.passport.imgsz
    if before is None:
        return None
    return _check("input size", _by(before), _by(after), before == after, excused)


def _by(size: tuple[int, int] | None) -> str:
    return "unknown" if size is None else f"{size[0]}x{size[1]}"


def _tensors(what: str, before: Sequence[TensorSpec], after: Sequence[TensorSpec], excused: set[str]) -> Check | None:
    if not before:
        return None
    named = [spec.name for spec in before] == [spec.name for spec in after]
    fits = len(before) == len(after) and all(_fits(a.shape, b.shape) for a, b in zip(before, after, strict=True))
    shown = [", ".join(map(str, specs)) for specs in (before, after)]
    return _check(what, shown[0], shown[1], named and fits, excused)


def _fits(before: tuple[Axis, ...], after: tuple[Axis, ...]) -> bool:
    """Whether shapes go together: an axis that is open in one of them fits any size."""
    return len(before) == len(after) and all(
        isinstance(a, str) or isinstance(b, str) or a == b for a, b in zip(before, after, strict=True)
    )


def _shown(labels: tuple[str, ...]) -> str:
    return f"{len(labels)}: {', '.join(labels[:6])}" + (", ..." if len(labels) > 6 else "") if labels else "none"
