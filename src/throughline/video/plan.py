"""What a run is: everything that its results depend on, kept in its folder so that it can go on as itself.

The values here are final: no profile, no environment and no later default can change a
run that was begun. What lies outside (the source, the model's file) is known by its hash.
"""

from __future__ import annotations

import dataclasses
import glob
import hashlib
import itertools
import json
import re
import shlex
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

from throughline.contracts.errors import InputError
from throughline.files import whole_file

_FILE = "run.json"
_MIB = 2**20


@final
@dataclass(frozen=True, slots=True)
class ModelPlan:
    """One model of a run, and everything that decides what it says.

    Attributes:
        name: what its rows are called where there are several models.
        path: its file.
        sha256: of that file.
        decoder: how its outputs are read.
        labels: the names of its classes.
        classes: keep these class numbers only; all when None.
        canvas: height and width of its input; None where it leaves them open.
        imgsz: its longer input side, where it leaves it open.
        stride: its sides are multiples of this.
        builds: what builds the network where the file holds weights alone.
    """

    name: str
    path: str
    sha256: str
    decoder: str
    labels: tuple[str, ...]
    classes: tuple[int, ...] | None
    canvas: tuple[int, int] | None
    imgsz: int
    stride: int
    builds: str | None


@final
@dataclass(frozen=True, slots=True)
class Plan:
    """One run, as it was asked for, with nothing left open."""

    version: str
    sources: tuple[str, ...]
    models: tuple[ModelPlan, ...]
    tracker: str
    save: tuple[str, ...]
    conf: float
    iou: float
    max_det: int
    vid_stride: int
    start: float | None
    end: float | None
    max_frames: int | None
    hwaccel: str | None
    policy: str | None
    reconnect: int | None
    stall_timeout: float | None
    backend: str
    device: str
    threads: int
    batch: int
    trust: bool

    def write(self, folder: Path) -> None:
        """Begin a run: put the plan into its folder, for good."""
        with whole_file(folder / _FILE) as draft:
            draft.write_text(json.dumps(dataclasses.asdict(self), indent=2), "utf-8")

    @classmethod
    def read(cls, folder: Path) -> Plan:
        """The plan of a run that was begun."""
        path = folder / _FILE
        try:
            values = json.loads(path.read_text("utf-8"))
            models = tuple(ModelPlan(**_with_tuples(model)) for model in values.pop("models"))
            return cls(models=models, **_with_tuples(values))
        except FileNotFoundError:
            raise InputError(f"{folder}: no run was begun here", "give the folder that holds its run.json") from None
        except (OSError, ValueError, TypeError, AttributeError, KeyError) as error:
            raise InputError(f"{path}: is not the plan of a run: {error}", "begin a new run") from None

    def identity(self, source: str) -> dict[str, Any]:
        """What the journal of one of its sources is begun with."""
        known = {f"source {name}": value for name, value in fingerprint(source).items()}
        return {**dataclasses.asdict(self), **known}


def new_folder(out: Path | None, name: str | None) -> Path:
    """The folder of a new run: ``out``, or one in ``runs`` by its name or the next that is free."""
    if name is not None and not re.fullmatch(r"\w[\w.-]{0,99}", name):
        raise InputError(f"--name {name!r} is no name for a folder", "letters, digits, '.', '_' and '-'")
    folder = out or Path("runs") / (name or "run")
    if out is None and name is None:
        numbers = itertools.count(2)
        while folder.exists():
            folder = Path("runs") / f"run-{next(numbers)}"
    if (folder / _FILE).exists():
        raise InputError(
            f"{folder}: holds a run already",
            f"throughline run --resume {shlex.quote(str(folder))}, or give another --name",
        )
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{folder}: cannot write: {error.strerror}", "choose a folder you can write to") from None
    return folder


def folder_names(sources: Iterable[str]) -> list[str]:
    """A folder's name for each source: its own last part, told apart by a number where two are alike."""
    return distinct(
        re.sub(r"[^\w.-]+", "_", source.rstrip("/").rpartition("/")[2]).strip("._")[:80] or "source"
        for source in sources
    )


def distinct(names: Iterable[str]) -> list[str]:
    """These names, told apart by a number where two are alike."""
    told: list[str] = []
    for plain in names:
        name, numbers = plain, itertools.count(2)
        while name in told:
            name = f"{plain}-{next(numbers)}"
        told.append(name)
    return told


def fingerprint(source: str) -> dict[str, Any]:
    """How a source is known again: a file by size, time and both its ends, a folder by its files, else by name."""
    path = Path(source)
    try:
        if path.is_file():
            return {"name": source, **_of_file(path)}
        if path.is_dir():
            return {"name": source, **_of_files(path.iterdir())}
        if glob.has_magic(source):
            return {"name": source, **_of_files(map(Path, glob.glob(source, recursive=True)))}
    except OSError as error:
        raise InputError(f"{source}: cannot read: {error.strerror}", "give a source that you can read") from None
    return {"name": source}


def _with_tuples(values: dict[str, Any]) -> dict[str, Any]:
    return {name: tuple(value) if isinstance(value, list) else value for name, value in values.items()}


def _of_file(path: Path) -> dict[str, Any]:
    about = path.stat()
    ends = hashlib.sha256()
    with path.open("rb") as file:
        ends.update(file.read(_MIB))
        file.seek(max(0, about.st_size - _MIB))
        ends.update(file.read(_MIB))
    return {"size": about.st_size, "mtime_ns": about.st_mtime_ns, "ends_sha256": ends.hexdigest()}


def _of_files(paths: Iterable[Path]) -> dict[str, Any]:
    whole = hashlib.sha256()
    for path in sorted(paths):
        about = path.stat()
        whole.update(f"{path}\t{about.st_size}\t{about.st_mtime_ns}\n".encode("utf-8", "surrogateescape"))
    return {"files_sha256": whole.hexdigest()}
