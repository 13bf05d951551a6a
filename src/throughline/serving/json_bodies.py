"""JSON that clients send and are sent, so that nobody else has to wait for it.

Python reads and writes JSON in one breath, and nothing else happens meanwhile: a body of a few megabytes that holds
nothing but names would keep a server busy for many seconds. So what is to be read is counted before, which costs next
to nothing, and what is long to write is written a piece at a time, in a thread, between the pieces of which others
have their turn.
"""

from __future__ import annotations

import json
import math
from typing import Any, Final

import numpy as np

from throughline.contracts.artifacts import Array
from throughline.serving.refusals import Refused

MOST_VALUES: Final = 4_000_000
MOST_NAMES: Final = 250_000
LONG: Final = 50_000
"""Values that take a few milliseconds to write."""
_SMALL: Final = 2**18
_PIECE: Final = 10_000

written = json.JSONEncoder(separators=(",", ":")).encode
"""A value as JSON, without spaces."""


def parsed(text: bytes | bytearray) -> Any:
    """What a client says.

    Raises:
        Refused: it says too many things to be read at once.
        ValueError: it is no JSON.
        RecursionError: it is too deep.
    """
    if len(text) > _SMALL:
        values, names = sum(text.count(sign) for sign in (b",", b"[", b"{")), text.count(b":")
        if values > MOST_VALUES or names > MOST_NAMES:
            raise Refused(
                413,
                f"about {values:,} values and {names:,} names as JSON; {MOST_VALUES:,} and {MOST_NAMES:,} may be",
                "send tensors as bytes: 'binary_data_size'",
            )
    return json.loads(text)


def listed(array: Array) -> str:
    """An array's values one after the other, as a JSON list."""
    if array.size <= _PIECE:
        return written(plain(array))
    flat = array.ravel()
    pieces = (written(plain(flat[at : at + _PIECE])) for at in range(0, flat.size, _PIECE))
    return f"[{','.join(piece[1:-1] for piece in pieces)}]"


def plain(array: Array) -> list[Any]:
    """An array's values one after the other, as JSON can say them: what is no number is null."""
    if array.dtype.kind in "OSU":
        return [
            one.decode("utf-8", "replace") if isinstance(one, bytes) else str(one) for one in array.ravel().tolist()
        ]
    if array.dtype.kind not in "biuf":
        array = array.astype(np.float32)
    values: list[Any] = array.ravel().tolist()
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        return [value if math.isfinite(value) else None for value in values]
    return values
