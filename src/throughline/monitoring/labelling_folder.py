"""A list of what to label first, as files: a table, the same as JSON, and the pictures in the layout of YOLO.

There is no label file until somebody writes one: an empty one would say that there is nothing in the picture,
and a model would be taught so. Once they are written, ``throughline train`` takes the folder as it is.
"""

from __future__ import annotations

import csv
import json
import secrets
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from throughline.contracts.errors import InputError
from throughline.data.pictures import is_picture_file
from throughline.files import writing
from throughline.monitoring.labelling import Pick

_HEAD: Final = ("rank", "request", "seconds", "source", "why", "doubt", "novelty", "prediction", "score", "picture")
TABLE: Final = "label-first.csv"
_VAL: Final = 5
"""Every so many-th picture is for validation."""

Keeper = Callable[[str], bytes | None]
"""Gives the JPEG of a request's picture that is not kept as a file; None where nobody has it."""


@dataclass(frozen=True, slots=True)
class LabellingList:
    """What was written.

    Attributes:
        table: the list.
        data: the data set to be labelled; None where no picture is kept.
        rows: how many are on the list.
        pictures: how many of them have a picture.
    """

    table: Path
    data: Path | None
    rows: int
    pictures: int


def write_labelling(
    folder: Path, picks: Sequence[Pick], labels: Sequence[str], keeper: Keeper | None = None
) -> LabellingList:
    """Write the list and its pictures into a folder.

    Args:
        folder: a new or an empty one.
        picks: what to label, the first first.
        labels: the names of the classes.
        keeper: gives pictures that do not lie in files.
    """
    new_folder(folder)
    draft = folder.with_name(f".{folder.name}-{secrets.token_hex(6)}")
    with writing(folder):
        draft.mkdir(parents=True)
        try:
            rows = [_row(draft, number, pick, keeper) for number, pick in enumerate(picks, 1)]
            kept = sum(bool(row["picture"]) for row in rows)
            if kept:
                for place in (Path(kind, split) for kind in ("images", "labels") for split in ("train", "val")):
                    (draft / place).mkdir(parents=True, exist_ok=True)
                (draft / "data.yaml").write_text(_yaml(labels, kept), "utf-8")
            told = json.dumps(rows, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
            (draft / "label-first.json").write_text(told, "utf-8", "replace")
            with (draft / TABLE).open("w", newline="", encoding="utf-8", errors="replace") as file:
                writer = csv.DictWriter(file, _HEAD)
                writer.writeheader()
                writer.writerows(rows)
            draft.replace(folder)
        except BaseException:
            shutil.rmtree(draft, ignore_errors=True)
            raise
    return LabellingList(folder / TABLE, folder / "data.yaml" if kept else None, len(rows), kept)


def new_folder(folder: Path) -> None:
    """Refuse to write over what somebody may have labelled."""
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise InputError(f"{folder} is there already and not an empty folder", "name a new folder, or remove that one")


def _row(folder: Path, number: int, pick: Pick, keeper: Keeper | None) -> dict[str, Any]:
    one, split = pick.observation, "val" if number % _VAL == 0 else "train"
    place = _keep(folder, split, number, pick, keeper)
    return {
        "rank": number,
        "request": one.request,
        "seconds": one.seconds,
        "source": one.source,
        "why": pick.why,
        "doubt": round(pick.doubt, 4),
        "novelty": round(pick.novelty, 4),
        "prediction": one.prediction,
        "score": None if one.score != one.score else round(one.score, 4),
        "picture": "" if place is None else place.relative_to(folder).as_posix(),
    }


def _keep(folder: Path, split: str, number: int, pick: Pick, keeper: Keeper | None) -> Path | None:
    """The picture's copy, named by its rank, so that whoever labels begins with what matters most."""
    given = Path(pick.observation.picture) if pick.observation.picture else None
    if given is not None and is_picture_file(given):
        target = folder / "images" / split / f"{number:05}{given.suffix.lower() or '.jpg'}"
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(given, target)
        return target
    packed = keeper(pick.observation.request) if keeper is not None else None
    if packed is None:
        return None
    target = folder / "images" / split / f"{number:05}.jpg"
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(packed)
    return target


def _yaml(labels: Sequence[str], kept: int) -> str:
    names = "".join(f"  {number}: {json.dumps(name)}\n" for number, name in enumerate(labels or ("object",)))
    val = "images/val" if kept >= _VAL else "images/train"
    told = (
        "# Write labels/train/NNNNN.txt or labels/val/NNNNN.txt for every picture: a line an object, class x y width\n"
        "# height. Where there is nothing to see the file is empty: once one is written, none means the same.\n"
    )
    return f"{told}train: images/train\nval: {val}\nnames:\n{names}"
