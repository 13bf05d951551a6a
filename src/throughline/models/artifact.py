"""From a file to an Artifact: what the file says of itself, what its passport adds, what its user knows.

The passport wins over the file's own metadata, because somebody decided it; what
is given now wins over both.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path

from throughline.contracts.artifacts import Artifact, Passport
from throughline.models import passport as passports
from throughline.models.identify import Description, check_labels, identify
from throughline.models.references import resolved


@dataclass(frozen=True, slots=True)
class Given:
    """What a user may say of a model that its file does not."""

    task: str | None = None
    labels: tuple[str, ...] | None = None
    decoder: str | None = None
    imgsz: tuple[int, int] | None = None
    stride: int | None = None
    licence: str | None = None

    def said(self) -> dict[str, object]:
        """Only what was said."""
        facts = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        return {name: fact for name, fact in facts.items() if fact is not None}


def read_artifact(path: str | Path, given: Given | None = None) -> Artifact:
    """Everything known about a model file, or one that is registered (``models:/name@alias``), without running it.

    Raises:
        InputError: it is not a model, or what is said of it contradicts what it is.
        PassportMismatch: the passport beside it belongs to other bytes.
    """
    file = resolved(path)
    return describe(identify(file), file, given or Given())


def describe(description: Description, file: Path, given: Given) -> Artifact:
    """The same, for a file that was identified already."""
    issued = passports.read(file)
    if issued is not None:
        passports.verify(file, issued)
    known = dataclasses.replace(issued or _draft(description, file), **given.said())  # type: ignore[arg-type]
    check_labels(description, known.labels)
    return Artifact(file, known, issued is not None)


def _draft(description: Description, file: Path) -> Passport:
    return Passport(
        file=file.name,
        sha256=passports.digest(file),
        size=file.stat().st_size,
        format=description.format,
        companions={
            str(part.relative_to(file.parent)): passports.digest(part) for part in description.files if part != file
        },
        task=description.task,
        labels=description.labels,
        decoder=description.decoder,
        imgsz=description.imgsz,
        stride=description.stride,
        inputs=description.inputs,
        outputs=description.outputs,
        precision=description.precision,
        licence=description.licence,
    )
