"""What the world looked like when a model was made: the reference that later days are held to.

A profile is bounded: of a stream every second observation is dropped whenever there are too many, so that what
is kept is evenly spread over the whole time, in order; of rows that hang together with nothing, some are drawn.
Whole rows are kept and not their histograms, since only they still say how alike neighbours are, and every
detector can be made from them. It travels beside the model as ``MODEL.profile.json``.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Final

import numpy as np

from throughline.contracts.errors import InputError
from throughline.contracts.observations import Observation, Spoke
from throughline.data.bounded import read_text
from throughline.files import whole_file
from throughline.monitoring.rows import Rows

MOST: Final = 2048
LEAST: Final = 20
SUFFIX: Final = ".profile.json"
_KIND: Final = "throughline profile 1"
_BYTES: Final = 1 << 28
_FIX: Final = "make it again: throughline monitor DATA --model MODEL"


@dataclass(frozen=True, slots=True, eq=False)
class Profile:
    """A reference.

    Attributes:
        rows: what was kept.
        seen: of how many observations.
        step: every so many observations one was kept; whoever holds others to it takes as many.
        ordered: whether the rows follow each other in time.
        model: which model answered; nothing where none was asked.
        data: what they are observations of.
        data_sha256: names the data; "" where nobody knows.
    """

    rows: Rows
    seen: int
    step: int
    ordered: bool
    model: Spoke
    data: str
    data_sha256: str

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def pace(self) -> float:
        """Seconds from one observation to the next, on average, of all that were seen."""
        seconds = self.rows.seconds
        return float(seconds[-1] - seconds[0]) / (len(seconds) - 1) / self.step

    @property
    def sha256(self) -> str:
        """The hash of all that it says."""
        return _checksum(_body(self))

    def write(self, path: Path) -> Path:
        """Write it, whole or not at all."""
        body = _body(self)
        text = json.dumps({**body, "checksum": _checksum(body)}, allow_nan=False)
        with whole_file(path) as draft:
            draft.write_text(text, "utf-8")
        return path


def profile_of(
    observations: Iterable[Observation],
    *,
    data: str = "",
    data_sha256: str = "",
    model: Spoke | None = None,
    ordered: bool = True,
    most: int = MOST,
    seed: int = 0,
) -> Profile:
    """A profile of observations, in one pass over them and in bounded memory.

    Args:
        observations: in the order of time, where ``ordered``.
        data: what they are observations of.
        data_sha256: names the data.
        model: which model answered; that of the first observation where it is not given.
        ordered: whether they follow each other in time: frames do, the rows of a table or a shuffled set do not.
        most: so many rows are kept at most.
        seed: draws the rows that are kept of an unordered set.
    """
    if most < 2 * LEAST:
        raise InputError(f"a profile of at most {most} rows was asked for", f"keep at least {2 * LEAST}")
    counted = _Counted(observations)
    kept, step = _every(counted, most) if ordered else (drawn(counted, most, seed), 1)
    if counted.seen < LEAST:
        raise InputError(
            f"{data or 'the reference'}: {counted.seen} observations; at least {LEAST} are needed to say what is usual",
            "give more data",
        )
    return Profile(Rows.of(kept), counted.seen, step, ordered, model or kept[0].model, data, data_sha256)


def drawn(observations: Iterable[Observation], most: int, seed: int = 0) -> list[Observation]:
    """A reservoir: each observation is kept with the same chance, however many come; so many at most."""
    given = iter(observations)
    kept = list(islice(given, most))
    chance = np.random.default_rng(seed)
    for seen, one in enumerate(given, most + 1):
        place = int(chance.integers(seen))
        if place < most:
            kept[place] = one
    return kept


def profile_path(model: Path) -> Path:
    """Where the profile of a model lies: beside it."""
    return model.with_name(model.stem + SUFFIX)


def is_profile(path: Path) -> bool:
    """Whether this file is called as profiles are."""
    return path.name.endswith(SUFFIX) and path.is_file()


def read_profile(path: Path) -> Profile:
    """Read a profile; one that is damaged or was edited is refused."""
    try:
        body = json.loads(read_text(path, _BYTES))
        if not isinstance(body, dict) or body.get("kind") != _KIND:
            raise InputError(f"{path}: this is no profile", _FIX)
        told = str(body.pop("checksum", ""))
        if told != _checksum(body):
            raise InputError(f"{path}: its checksum is not that of its content: it was changed or damaged", _FIX)
        return _parsed(body)
    except (ValueError, RecursionError, KeyError, TypeError, AttributeError, binascii.Error) as error:
        raise InputError(f"{path}: this is no profile: {type(error).__name__}: {error}", _FIX) from None


class _Counted:
    """Counts what passes through."""

    def __init__(self, observations: Iterable[Observation]) -> None:
        self._given, self.seen = iter(observations), 0

    def __iter__(self) -> _Counted:
        return self

    def __next__(self) -> Observation:
        one = next(self._given)
        self.seen += 1
        return one


def _every(observations: _Counted, most: int) -> tuple[list[Observation], int]:
    kept: list[Observation] = []
    step = 1
    for one in observations:
        if (observations.seen - 1) % step:
            continue
        kept.append(one)
        if len(kept) == most:
            kept, step = kept[::2], 2 * step
    return kept, step


def _body(profile: Profile) -> dict[str, Any]:
    rows, model = profile.rows, profile.model
    return {
        "kind": _KIND,
        "data": profile.data,
        "data_sha256": profile.data_sha256,
        "model": {"name": model.name, "version": model.version, "sha256": model.sha256},
        "seen": profile.seen,
        "step": profile.step,
        "ordered": profile.ordered,
        "seconds": rows.seconds.tolist(),
        "numbers": {name: [None if value != value else value for value in column.tolist()]
                    for name, column in rows.numbers.items()},
        "categories": {name: column.tolist() for name, column in rows.categories.items()},
        "width": 0 if rows.vectors is None else rows.vectors.shape[1],
        "vectors": "" if rows.vectors is None else base64.b64encode(rows.vectors.astype("<f2").tobytes()).decode(),
    }  # fmt: skip


def _parsed(body: Mapping[str, Any]) -> Profile:
    seconds = np.array(body["seconds"], np.float64)
    numbers = {str(name): np.array(column, np.float64) for name, column in body["numbers"].items()}
    categories = {str(name): np.array(column, object) for name, column in body["categories"].items()}
    width, vectors = int(body["width"]), None
    if width:
        packed = np.frombuffer(base64.b64decode(body["vectors"], validate=True), "<f2")
        vectors = packed.reshape(len(seconds), width).astype(np.float16)
    columns = [*numbers.values(), *categories.values()]
    if len(seconds) < LEAST or any(column.shape != seconds.shape for column in columns):
        raise ValueError("its columns are not of one length")
    told = body["model"]
    model = Spoke(str(told["name"]), str(told["version"]), str(told["sha256"]))
    rows = Rows(numbers, categories, vectors, seconds)
    seen, step, ordered = int(body["seen"]), int(body["step"]), body["ordered"]
    if step < 1 or not isinstance(ordered, bool):
        raise ValueError("its step or its order make no sense")
    return Profile(rows, seen, step, ordered, model, str(body["data"]), str(body["data_sha256"]))


def _checksum(body: Mapping[str, Any]) -> str:
    plain = json.dumps(body, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(plain.encode()).hexdigest()
