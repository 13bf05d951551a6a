"""Transforms one after the other, and how what they made takes its place: proven first, whole or not at all.

Everything is made in a hidden folder beside the final place, under the final name, because
some formats name their own parts. What is known of the parent (labels, decoder, size) is carried
along the chain; what a step changes, it says.
"""

from __future__ import annotations

import dataclasses
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

from throughline.contracts.artifacts import Artifact, Passport, Step
from throughline.contracts.errors import InputError
from throughline.contracts.verdicts import Verdict
from throughline.files import put_in_place, writing
from throughline.models import passport as passports
from throughline.models.artifact import read_artifact
from throughline.models.transforms import TRANSFORMS, Made

_CARRIED = ("task", "labels", "decoder", "imgsz", "stride", "licence")
_SUFFIXES = {
    "onnx": ".onnx",
    "openvino": ".xml",
    "torchscript": ".torchscript",
    "pt2": ".pt2",
    "tensorrt": ".engine",
    "safetensors": ".safetensors",
}


@final
@dataclass(frozen=True, slots=True)
class Link:
    """One transform of a chain, and its options."""

    name: str
    options: Mapping[str, Any] = dataclasses.field(default_factory=dict)


@final
@dataclass(frozen=True, slots=True)
class Drafted:
    """What a chain made, not yet in its place.

    Attributes:
        artifact: the draft, read back from the disk, with what was carried along.
        steps: everything that was done since the parent, in order.
        notes: what the transforms had to say.
    """

    artifact: Artifact
    steps: tuple[Step, ...]
    notes: tuple[str, ...]


@contextmanager
def drafting(target: Path) -> Iterator[Path]:
    """A hidden folder beside a file's final place, gone afterwards whatever happens."""
    with writing(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix=f".{target.stem[:40]}-", dir=target.parent))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def follow(source: Artifact, links: Sequence[Link], folder: Path, name: str) -> Drafted:
    """Carry out a chain inside ``folder``; the last file is called ``name`` with its format's ending."""
    now, steps, notes = source, list[Step](), list[str]()
    for number, link in enumerate(links):
        gives = TRANSFORMS.get(link.name).facts.get("gives") or now.format
        place = folder if number == len(links) - 1 else folder / f"{number}"
        place.mkdir(parents=True, exist_ok=True)
        draft = place / f"{name}{suffix_of(gives)}"
        made: Made = TRANSFORMS.make(link.name, now, draft, **link.options)
        now = _carried(now, draft, made)
        steps.append(made.step)
        notes += made.notes
    return Drafted(now, tuple(steps), tuple(notes))


def settle(draft: Drafted, target: Path, parent: Artifact, evidence: Sequence[Verdict]) -> Artifact:
    """Give a draft that was proven its final place, and the passport that says why it may be there."""
    refuse_to_overwrite(target, parent)
    made = draft.artifact.passport
    for companion in made.companions:
        put_in_place(draft.artifact.path.with_name(companion), target.with_name(companion))
    put_in_place(draft.artifact.path, target)
    passport = dataclasses.replace(
        made,
        parent=parent.sha256,
        steps=(*parent.passport.steps, *draft.steps),
        evidence=tuple(evidence),
    )
    return Artifact(target, passports.issue(target, passport, vouch=True), True)


def refuse_to_overwrite(target: Path, parent: Artifact) -> None:
    """What is there already is replaced only where its passport says that it was made from this model."""
    if target.resolve() == parent.path.resolve():
        raise InputError(f"{target}: would be written over the model it is made from", "give another --out")
    if not target.exists():
        return
    before = passports.read(target)
    if before is None or before.parent != parent.sha256:
        raise InputError(
            f"{target}: is there already, and no passport says that it was made from {parent.path.name} as it is now",
            "move it away, or give another --out",
        )


def suffix_of(format_: str) -> str:
    """The ending of a format's files."""
    return _SUFFIXES[format_]


def _carried(parent: Artifact, draft: Path, made: Made) -> Artifact:
    """A draft as it reads on the disk, with what its parent knew and what the step changed."""
    own = read_artifact(draft).passport
    known: dict[str, Any] = {name: value for name in _CARRIED if (value := getattr(parent.passport, name))}
    stated: dict[str, Any] = {name: value for name in _CARRIED if (value := getattr(own, name))}
    if "imgsz" in known and own.imgsz:
        del known["imgsz"]  # the file's own size is what it really takes
    companions = {name: passports.digest(draft.with_name(name)) for name in made.companions}
    passport: Passport = dataclasses.replace(own, **{**stated, **known, **made.changes})
    if companions:
        passport = dataclasses.replace(passport, companions=companions)
    return Artifact(draft, passport, False)
