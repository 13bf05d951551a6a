"""The tensors that a checkpoint's pickle claims to hold, set against the bytes that are really there.

A pickle of a few hundred bytes can claim a tensor of a terabyte: by a storage
that is not there, by a shape longer than its storage, or by strides of zero
that only cost memory once somebody copies them. Each is seen here from the
numbers alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import prod
from typing import Any

from throughline.models.loading.pickles import Call, Global, Storage

ITEM_BYTES = {
    "float64": 8, "float32": 4, "float16": 2, "bfloat16": 2, "int64": 8, "int32": 4, "int16": 2, "int8": 1, "uint8": 1,
    "uint16": 2, "uint32": 4, "uint64": 8, "bool": 1, "complex64": 8, "complex128": 16,
    "float8_e4m3fn": 1, "float8_e4m3fnuz": 1, "float8_e5m2": 1, "float8_e5m2fnuz": 1,
}  # fmt: skip

_STORAGE_DTYPES = {
    "FloatStorage": "float32", "DoubleStorage": "float64", "HalfStorage": "float16", "BFloat16Storage": "bfloat16",
    "LongStorage": "int64", "IntStorage": "int32", "ShortStorage": "int16", "CharStorage": "int8",
    "ByteStorage": "uint8", "BoolStorage": "bool", "ComplexFloatStorage": "complex64",
    "ComplexDoubleStorage": "complex128", "UntypedStorage": "uint8",
}  # fmt: skip

MAX_DIMENSIONS = 64
"""More than any framework has; the product of a million sizes would take minutes."""

_MAX_OBJECTS = 2_000_000
_EXPANSION = 8
_EXPANSION_FLOOR = 64 << 20


@dataclass(frozen=True, slots=True)
class Claim:
    """One tensor as the pickle describes it; sizes count elements."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    offset: int
    storage: str
    storage_elements: int

    @property
    def elements(self) -> int:
        """How many numbers the tensor has."""
        return prod(self.shape)

    @property
    def bytes(self) -> int:
        """How much memory the tensor takes on its own."""
        return self.elements * ITEM_BYTES.get(self.dtype, 4)

    @property
    def reach(self) -> int:
        """The first element of the storage that it does not need."""
        if 0 in self.shape:
            return self.offset
        return self.offset + 1 + sum((size - 1) * step for size, step in zip(self.shape, self.strides, strict=True))


def claims(root: Any) -> Iterator[Claim]:
    """Every tensor within what a pickle would give, by its path in there."""
    pending: list[tuple[str, Any]] = [("", root)]
    seen: set[int] = set()
    while pending and len(seen) < _MAX_OBJECTS:
        path, value = pending.pop()
        if id(value) in seen or not isinstance(value, Call | dict | list | tuple):
            continue
        seen.add(id(value))
        if isinstance(value, Call) and (claim := _claim(path, value)) is not None:
            yield claim
        else:
            pending.extend(reversed(list(_children(path, value))))


def broken_claim(found: list[Claim], storage_bytes: Mapping[str, int], file_size: int) -> str | None:
    """What is impossible about these tensors given the storages in the file; None where all is well."""
    for claim in found:
        shown = f"the tensor '{claim.name}' {claim.dtype}{list(claim.shape)}"
        item = ITEM_BYTES.get(claim.dtype)
        if item is None:
            return f"{shown} has a type that weights do not have"
        if claim.storage_elements < 0 or claim.offset < 0 or min((*claim.shape, *claim.strides), default=0) < 0:
            return f"{shown} has a negative size, stride or offset"
        if claim.storage not in storage_bytes:
            return f"{shown} refers to the storage '{claim.storage}', which is not in the file"
        held = storage_bytes[claim.storage]
        if claim.dtype != "uint8" and claim.storage_elements * item > held:
            return f"{shown} claims a storage of {claim.storage_elements * item:,} bytes; the file holds {held:,}"
        if claim.reach * item > held:
            return f"{shown} reaches {claim.reach * item:,} bytes into a storage of {held:,}"
    total, limit = sum(claim.bytes for claim in found), _EXPANSION * file_size + _EXPANSION_FLOOR
    if total > limit:
        return f"its tensors would take {total:,} bytes out of a file of {file_size:,}; at most {limit:,} are allowed"
    return None


def _children(path: str, value: Any) -> Iterator[tuple[str, Any]]:
    join = f"{path}." if path else ""
    if isinstance(value, dict):
        yield from ((f"{join}{key}", child) for key, child in value.items())
    elif isinstance(value, Call):
        yield from ((f"{join}{key}", child) for key, child in value.items.items())
        yield from ((path, child) for child in (value.arguments, value.state, *value.members))
    else:
        yield from ((f"{join}{index}" if len(value) > 2 else path, child) for index, child in enumerate(value))


def _claim(path: str, call: Call) -> Claim | None:
    if not (isinstance(call.function, Global) and str(call.function).startswith("torch._utils._rebuild_tensor")):
        return None
    arguments = call.arguments
    if not (isinstance(arguments, tuple) and len(arguments) >= 4 and isinstance(arguments[0], Storage)):
        return None
    key, (offset, shape, strides) = arguments[0].key, arguments[1:4]
    if not (isinstance(key, tuple) and len(key) >= 5 and isinstance(key[1], Global) and _whole(key[4], offset)):
        return None
    if isinstance(shape, Call):
        shape = shape.arguments[0] if isinstance(shape.arguments, tuple) and shape.arguments else ()
    if not (isinstance(shape, tuple) and isinstance(strides, tuple) and _whole(*shape, *strides)):
        return None
    if len(shape) != len(strides) or len(shape) > MAX_DIMENSIONS:
        return None
    dtype = _STORAGE_DTYPES.get(key[1].name, key[1].name)
    if str(call.function).endswith("_v3") and len(arguments) > 6 and isinstance(arguments[6], Global):
        return Claim(path, arguments[6].name, shape, strides, offset, str(key[2]), 0)
    return Claim(path, dtype, shape, strides, offset, str(key[2]), key[4])


def _whole(*values: Any) -> bool:
    return all(isinstance(value, int) and abs(value) < 1 << 62 for value in values)
