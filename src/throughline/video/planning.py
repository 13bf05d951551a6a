"""From what a user asked for to a plan: all is decided, or refused, before a file is written."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from throughline import settings
from throughline.contracts.artifacts import Artifact
from throughline.contracts.errors import InputError, MissingExtra
from throughline.models import passport as passports
from throughline.models.artifact import read_artifact
from throughline.models.identify import identify
from throughline.models.loading import require_trust
from throughline.plugins import Family
from throughline.settings import Config
from throughline.video.plan import ModelPlan, Plan, distinct
from throughline.video.sinks import SINKS
from throughline.video.sources import kind_of, listed
from throughline.video.trackers import TRACKERS
from throughline.vision.decoders import DECODERS
from throughline.vision.detector import class_numbers, input_size

NO_TRACKER = "none"
_SAVE = "jsonl,samples"


def planned(version: str, sources: Sequence[str], models: Sequence[Path], given: Mapping[str, Any]) -> Plan:
    """The plan of a new run. ``given`` holds the options that were given, by the names that ``run`` has for them."""
    known = {field.name for field in dataclasses.fields(Config)}
    flags = {name: value for name, value in given.items() if name in known}
    chosen = settings.resolve(profile=given.get("profile"), config=given.get("config"), flags=flags)
    saves = tuple(_names(given.get("save", _SAVE)))
    if not saves:
        raise InputError(f"--save {given['save']!r} names nothing", f"one or more of: {', '.join(SINKS.names())}")
    leaves = tuple(leaf for source in sources for leaf in _leaves(source))
    _refuse_for_files(leaves, given)
    artifacts = [_trusted(Path(path), bool(given.get("trust"))) for path in models]
    plan = Plan(
        version=version,
        sources=leaves,
        models=_model_plans(artifacts, given, chosen),
        tracker=given.get("tracker", "hybrid"),
        save=saves,
        conf=chosen.conf,
        iou=chosen.iou,
        max_det=chosen.max_det,
        vid_stride=_at_least_one("vid-stride", given.get("vid_stride", 1)),
        start=given.get("start"),
        end=given.get("end"),
        max_frames=_at_least_one("max-frames", given["max_frames"]) if "max_frames" in given else None,
        hwaccel=given.get("hwaccel"),
        policy=given.get("policy"),
        reconnect=given.get("reconnect"),
        stall_timeout=given.get("stall_timeout"),
        backend=chosen.backend,
        device=chosen.device,
        threads=chosen.threads,
        batch=_batch(artifacts, chosen),
        trust=bool(given.get("trust")),
    )
    for model in plan.models:
        _ready(DECODERS, model.decoder)
    for sink in saves:
        _ready(SINKS, sink)
    if plan.tracker != NO_TRACKER:
        _ready(TRACKERS, plan.tracker)
    return plan


def _refuse_for_files(sources: Sequence[str], given: Mapping[str, Any]) -> None:
    """What is said of live sources where there is none was meant otherwise."""
    said = [name for name in ("policy", "reconnect", "stall_timeout") if name in given]
    if said and not any(kind_of(source) in ("stream", "camera") for source in sources):
        flags = ", ".join(f"--{name.replace('_', '-')}" for name in said)
        raise InputError(f"{flags}: for live sources, and there is none", "leave it away: a file waits for the model")


def _trusted(path: Path, trust: bool) -> Artifact:
    artifact = read_artifact(path)
    require_trust(identify(artifact.path), passports.vouched(artifact), trust)
    return artifact


def _model_plans(artifacts: Sequence[Artifact], given: Mapping[str, Any], chosen: Config) -> tuple[ModelPlan, ...]:
    decoders = _decoders(artifacts, given.get("decoder"))
    classes = _classes(artifacts, given.get("classes"))
    names = distinct(artifact.path.stem for artifact in artifacts)
    plans = []
    for artifact, name, decoder, kept in zip(artifacts, names, decoders, classes, strict=True):
        canvas = input_size(artifact)
        if canvas is not None and len(artifacts) == 1 and given.get("imgsz", max(canvas)) != max(canvas):
            raise InputError(
                f"--imgsz {given['imgsz']}: {artifact.path} takes pictures of {canvas[0]}x{canvas[1]} only",
                "leave --imgsz away, or export the model with open sides",
            )
        usual = artifact.passport.imgsz
        plans.append(
            ModelPlan(
                name=name,
                path=str(artifact.path.absolute()),
                sha256=artifact.sha256,
                decoder=decoder,
                labels=artifact.labels,
                classes=kept,
                canvas=canvas,
                imgsz=max(usual) if usual and "imgsz" not in given else chosen.imgsz,
                stride=artifact.passport.stride or 32,
                builds=given.get("class_"),
            )
        )
    return tuple(plans)


def _decoders(artifacts: Sequence[Artifact], asked: str | None) -> list[str]:
    """What the files say; what is asked for comes first, in the order of the models."""
    named = [part.strip() for part in (asked or "").split(",")]
    if len(named) > len(artifacts):
        raise InputError(
            f"--decoder {asked!r} names {len(named)} decoders; there {'is' * (len(artifacts) == 1) or 'are'} "
            f"{len(artifacts)} model{'s' * (len(artifacts) > 1)}",
            "one a model, in their order, with commas between",
        )
    named += [""] * (len(artifacts) - len(named))
    decoders = [name or artifact.passport.decoder or "" for name, artifact in zip(named, artifacts, strict=True)]
    for decoder, artifact in zip(decoders, artifacts, strict=True):
        if not decoder:
            raise InputError(
                f"{artifact.path}: its outputs ({', '.join(map(str, artifact.outputs))}) do not say how they are read",
                f"give --decoder, one of: {', '.join(DECODERS.names())}",
            )
    return decoders


def _classes(artifacts: Sequence[Artifact], asked: str | None) -> list[tuple[int, ...] | None]:
    """The classes to keep: each name holds for every model that has it; one that none has is an error."""
    if asked is None or len(artifacts) == 1:
        return [class_numbers(asked, artifact.labels) for artifact in artifacts]
    names, all_labels = list(_names(asked)), tuple(label for artifact in artifacts for label in artifact.labels)
    class_numbers(asked, all_labels)
    return [
        tuple(number for number, label in enumerate(artifact.labels) if label in names or str(number) in names)
        for artifact in artifacts
    ]


def _batch(artifacts: Sequence[Artifact], chosen: Config) -> int:
    """A model of a fixed batch is fed just that; 0 leaves it to the machine."""
    firsts = [artifact.inputs[0].shape[0] for artifact in artifacts if artifact.inputs]
    fixed = [rows for rows in firsts if isinstance(rows, int)]
    return min(rows for rows in fixed if isinstance(rows, int)) if fixed else chosen.batch


def _leaves(spec: str) -> Iterator[str]:
    """A source by a name that stays true in another folder; a listing, by the sources that it lists now."""
    kind = kind_of(spec)
    if kind == "listing":
        for inner in listed(spec):
            yield from _leaves(inner)
    else:
        yield os.path.abspath(spec) if kind in ("file", "images") else spec


def _ready(family: Family, name: str) -> None:
    plugin = family.get(name)
    if (lacking := plugin.missing()) is not None:
        raise MissingExtra(lacking, f"{family.kind} '{name}'", plugin.extra or "all")


def _names(text: str) -> Iterator[str]:
    """The parts of a text with commas between, each once."""
    yield from dict.fromkeys(part.strip() for part in text.split(",") if part.strip())


def _at_least_one(flag: str, value: int) -> int:
    if value < 1:
        raise InputError(f"--{flag} {value}: there would be nothing to do", "give 1 or more")
    return value
