"""PyTorch checkpoints: a pickle with tensors, in one of the four containers that PyTorch has used.

The pickle is walked, never run. What it would import tells a state dict, which
is numbers, from a whole model, which is the code of the project that saved it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from throughline.contracts.errors import InputError
from throughline.models.formats import Description, Glimpse, Risk
from throughline.models.formats._exported import exported_fields, labels_of
from throughline.models.formats._precision import precision_of
from throughline.models.loading.checkpoint_file import CheckpointFile, check_claims, read_checkpoint, recognises
from throughline.models.loading.claims import Claim, claims
from throughline.models.loading.globals import Framework, framework_of, harmless, hostile, outside
from throughline.models.loading.pickles import Call
from throughline.plugins import Plugin

_TEXT_KEYS = ("names", "stride", "imgsz", "task", "license", "author", "date", "version", "docs", "epoch", "nc", "arch")


class Checkpoint:
    """A ``.pt`` or ``.pth`` file."""

    suffixes = (".pt", ".pth", ".ckpt", ".bin", ".pkl", ".pickle")

    def recognises(self, file: Glimpse) -> bool:
        """Whether it is a pickle, or an archive with one."""
        return recognises(file)

    def describe(self, file: Glimpse) -> Description:
        """Walk the pickle and say what it holds and what it would import."""
        checkpoint = read_checkpoint(file)
        reading = checkpoint.reading
        risk = _risk(checkpoint)
        found = list(claims(reading.root))
        if reading.broken and risk.level != "malicious":
            raise InputError(
                f"{file.path} is a damaged {checkpoint.container}: {reading.broken}", "copy or download the file again"
            )
        if not found and risk.level in ("data", "pickle"):
            raise InputError(
                f"{file.path} is a pickle of plain data ({_shape_of(reading.root)}): it is harmless, but not a model",
                "give the model file itself",
            )
        check_claims(checkpoint, found)
        elements: dict[str, int] = {}
        for claim in found:
            elements[claim.dtype] = elements.get(claim.dtype, 0) + claim.elements
        text = _said(reading.root)
        fields = exported_fields(text)
        fields.pop("decoder")
        if not fields["labels"]:
            fields["labels"] = labels_of(_values(reading.root).get("names"))
        framework = framework_of(risk.globals)
        return Description(
            path=file.path,
            format="checkpoint",
            kind=_kind(checkpoint, risk, found),
            risk=risk,
            precision=precision_of(elements),
            parameters=sum(elements.values()) if found else None,
            producer=framework.name if framework else None,
            files=(file.path,),
            notes=_notes(risk, framework, file.path.name),
            **fields,
        )


def _kind(checkpoint: CheckpointFile, risk: Risk, found: list[Claim]) -> str:
    container, tensors = checkpoint.container, len(found)
    if risk.level == "pickle" and [claim.name for claim in found] == [""]:
        return f"a single tensor ({container})"
    if risk.level == "pickle":
        return f"state dict ({container}) of {tensors} tensors"
    if risk.level == "program" and tensors:
        what = "weights among Python objects" if harmless(outside(risk.globals)) else "whole model"
        return f"{what} ({container}) with {tensors} tensors"
    return container


def _notes(risk: Risk, framework: Framework | None, name: str) -> tuple[str, ...]:
    if risk.level == "pickle":
        return ("it needs its architecture (--class package.module:factory)",)
    if risk.level == "program" and framework is not None:
        return (f"{framework.name} exports it: {framework.export.format(file=name)}",)
    return ()


def _risk(checkpoint: CheckpointFile) -> Risk:
    names = checkpoint.reading.names()
    attack, foreign = hostile(names), outside(names)
    if attack:
        shown = ", ".join(attack[:4])
        return Risk("malicious", f"its pickle would import {shown}, which no model needs", names)
    if foreign:
        # What is neither Python's nor PyTorch's says most about whose code it is.
        own = sorted(foreign, key=lambda name: name.startswith(("torch.", "__builtin__.", "builtins.", "collections.")))
        shown = ", ".join(own[:3]) + (f" and {len(own) - 3} more" if len(own) > 3 else "")
        return Risk("program", f"its pickle imports code from outside a weights file: {shown}", names)
    if checkpoint.is_tar:
        return Risk("program", "its format is older than safe loading: only running its pickle opens it", names)
    return Risk("pickle", "its pickle builds tensors and nothing else", names)


def _values(root: Any) -> dict[str, Any]:
    """The plain fields of a checkpoint: those at the top, and those of the model object in it."""
    found: dict[str, Any] = {}
    for value in (root, *(_entry(root, key) for key in ("ema", "model", "train_args", "hyper_parameters"))):
        fields = _fields(value)
        found = {**{key: item for key, item in fields.items() if isinstance(key, str)}, **found}
    return found


def _entry(root: Any, key: str) -> Any:
    return _fields(root).get(key)


def _fields(value: Any) -> Mapping[Any, Any]:
    if isinstance(value, Call):
        return value.state if isinstance(value.state, dict) else value.items
    return value if isinstance(value, dict) else {}


def _said(root: Any) -> dict[str, str]:
    values = _values(root)
    found = {key: values[key] for key in _TEXT_KEYS if isinstance(values.get(key), str | int | float)}
    return {key: str(value) for key, value in found.items()}


def _shape_of(root: Any) -> str:
    if isinstance(root, list | tuple | dict):
        return f"a {type(root).__name__} of {len(root)}"
    return type(root).__name__


PLUGIN = Plugin(make=Checkpoint, summary="a PyTorch checkpoint (.pt, .pth)")
