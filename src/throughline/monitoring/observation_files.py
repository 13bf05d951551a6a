"""How observations lie in Parquet: one row each, the figures by name, so that any tool reads what a model saw."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from throughline.contracts.errors import InputError, MissingExtra, first_line
from throughline.contracts.observations import Observation, Spoke

if TYPE_CHECKING:
    import pyarrow as pa

NAME: Final = "observations-{}-{}.parquet"
JOURNAL: Final = ".observations-{}.arrows"
_PATTERN: Final = "observations-*.parquet"
_AT_ONCE: Final = 4096


def schema() -> pa.Schema:
    """The columns."""
    import pyarrow as pa

    text = ("request", "source", "model", "version", "sha256", "picture", "prediction")
    return pa.schema(
        [
            ("seconds", pa.float64()),
            *((name, pa.string()) for name in text),
            ("score", pa.float64()),
            ("numbers", pa.map_(pa.string(), pa.float64())),
            ("categories", pa.map_(pa.string(), pa.string())),
            ("vector", pa.list_(pa.float32())),
        ],
        {"throughline": "observations 1"},
    )


def batch_of(several: Sequence[Observation]) -> pa.RecordBatch:
    """Observations as rows; a number that is not known is null."""
    import pyarrow as pa

    columns: dict[str, list[Any]] = {
        "seconds": [one.seconds for one in several],
        "request": [_utf8(one.request) for one in several],
        "source": [_utf8(one.source) for one in several],
        "model": [_utf8(one.model.name) for one in several],
        "version": [_utf8(one.model.version) for one in several],
        "sha256": [one.model.sha256 for one in several],
        "picture": [_utf8(one.picture) for one in several],
        "prediction": [_utf8(one.prediction) for one in several],
        "score": [_number(one.score) for one in several],
        "numbers": [[(_utf8(name), _number(value)) for name, value in one.numbers.items()] for one in several],
        "categories": [[(_utf8(name), _utf8(word)) for name, word in one.categories.items()] for one in several],
        "vector": [None if one.vector is None else one.vector.tolist() for one in several],
    }
    shape = schema()
    return pa.record_batch([pa.array(columns[field.name], field.type) for field in shape], schema=shape)


def batches_in(journal: Path) -> Iterator[pa.RecordBatch]:
    """The batches of a journal, as far as they are whole: a kill may have torn the last one."""
    import pyarrow as pa

    with pa.OSFile(str(journal), "rb") as file:
        try:
            stream = pa.ipc.open_stream(file)
        except (pa.ArrowInvalid, OSError):
            return  # killed before the first byte was there
        while True:
            try:
                yield stream.read_next_batch()
            except StopIteration:
                return
            except (pa.ArrowInvalid, OSError):
                return


def is_observations(path: Path) -> bool:
    """Whether this is a folder of observations, or one file of them."""
    if path.is_dir():
        return next(path.glob(_PATTERN), None) is not None
    return path.match(_PATTERN) and path.is_file()


def read_observations(path: Path) -> Iterator[Observation]:
    """All observations of a folder or a file; the files one after the other, as they were begun."""
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ModuleNotFoundError:
        raise MissingExtra("pyarrow", "reading observations", "monitor") from None
    files = sorted(path.glob(_PATTERN)) if path.is_dir() else [path]
    if not files:
        raise InputError(f"{path}: there are no observations in it", f"give a folder with files like {_PATTERN}")
    for file in files:
        try:
            with pq.ParquetFile(file) as whole:
                if (lacks := set(schema().names) - set(whole.schema_arrow.names)) or not whole.schema_arrow.equals(
                    schema()
                ):
                    says = f"it lacks {', '.join(sorted(lacks))}" if lacks else "its columns are of other types"
                    raise InputError(f"{file}: these are no observations: {says}", "give files that an observer wrote")
                for batch in whole.iter_batches(_AT_ONCE):
                    yield from map(_observation, batch.to_pylist())
        except (pa.ArrowException, OSError) as error:
            raise InputError(f"{file}: cannot be read: {first_line(error)}", "remove it, or restore it") from None


def _observation(row: dict[str, Any]) -> Observation:
    numbers = {name: math.nan if value is None else value for name, value in row["numbers"] or ()}
    vector = None if row["vector"] is None else np.array(row["vector"], np.float32)
    score = math.nan if row["score"] is None else row["score"]
    text = {name: row[name] or "" for name in ("request", "source", "picture", "prediction")}
    model = Spoke(row["model"] or "", row["version"] or "", row["sha256"] or "")
    return Observation(
        text["request"], row["seconds"] or 0.0, model, numbers, dict(row["categories"] or ()), vector, text["picture"],
        text["prediction"], score, text["source"],
    )  # fmt: skip


def _number(value: float) -> float | None:
    return None if math.isnan(value) else float(value)


def _utf8(text: str) -> str:
    """Text with lone surrogates (a file name that is not UTF-8) is no Arrow string."""
    return text.encode("utf-8", "backslashreplace").decode()
