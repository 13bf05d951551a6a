"""safetensors: a JSON header and plain bytes. The one checkpoint format that cannot run anything."""

from __future__ import annotations

import json
from math import prod
from pathlib import Path
from typing import Any

from throughline.contracts.errors import InputError
from throughline.models.formats import Description, Glimpse, Risk
from throughline.models.formats._exported import exported_fields
from throughline.models.formats._precision import precision_of
from throughline.models.loading.claims import MAX_DIMENSIONS
from throughline.plugins import Plugin

_MAX_HEADER = 32 << 20
_METADATA = "__metadata__"
_MAX_TENSORS = 200_000
_DTYPES = {
    "F64": ("float64", 64), "F32": ("float32", 32), "F16": ("float16", 16), "BF16": ("bfloat16", 16),
    "I64": ("int64", 64), "I32": ("int32", 32), "I16": ("int16", 16), "I8": ("int8", 8), "U64": ("uint64", 64),
    "U32": ("uint32", 32), "U16": ("uint16", 16), "U8": ("uint8", 8), "BOOL": ("bool", 8), "C64": ("complex64", 64),
    "F8_E4M3": ("float8_e4m3fn", 8), "F8_E5M2": ("float8_e5m2", 8), "F8_E8M0": ("float8_e8m0fnu", 8),
    "F8_E4M3FNUZ": ("float8_e4m3fnuz", 8), "F8_E5M2FNUZ": ("float8_e5m2fnuz", 8), "F4": ("float4_e2m1fn", 4),
    "F6_E2M3": ("float6_e2m3fn", 6), "F6_E3M2": ("float6_e3m2fn", 6),
}  # fmt: skip


class Safetensors:
    """A ``.safetensors`` file."""

    suffixes = (".safetensors",)

    def recognises(self, file: Glimpse) -> bool:
        """Whether it begins with the length of a header, and the header with a JSON object."""
        length = int.from_bytes(file.head[:8], "little")
        return (
            len(file.head) > 9
            and 2 <= length <= max(_MAX_HEADER, file.size)
            and file.head[8:10] in (b'{"', b"{}", b"{ ")
        )

    def describe(self, file: Glimpse) -> Description:
        """Read the header and hold it against the size of the file."""
        header = read_header(file.path, file.size)
        text = header.pop(_METADATA, {})
        elements: dict[str, int] = {}
        for entry in header.values():
            dtype = _DTYPES[entry["dtype"]][0]
            elements[dtype] = elements.get(dtype, 0) + prod(entry["shape"])
        fields = exported_fields({str(key): str(value) for key, value in text.items()})
        fields.pop("decoder")
        return Description(
            path=file.path,
            format="safetensors",
            kind=f"state dict of {len(header)} tensors",
            risk=Risk("data", "plain numbers behind a JSON header: nothing in it can run"),
            precision=precision_of(elements),
            parameters=sum(elements.values()),
            files=(file.path,),
            notes=("it holds weights alone: it needs its architecture (--class package.module:factory)",),
            **fields,
        )


def read_header(path: Path, size: int) -> dict[str, dict[str, Any]]:
    """The tensors by name, each within the file and none over another; what is said besides is ``__metadata__``."""
    header = _json(path, size)
    data = size - 8 - _header_length(path)
    entries = {name: entry for name, entry in header.items() if name != _METADATA}
    if len(entries) > _MAX_TENSORS:
        raise _damaged(path, f"it declares {len(entries):,} tensors; at most {_MAX_TENSORS:,} are allowed")
    end = 0
    for name, entry in sorted(entries.items(), key=lambda item: _begin(path, *item)):
        dtype, shape, (begin, stop) = entry.get("dtype"), entry.get("shape"), entry["data_offsets"]
        if not isinstance(dtype, str) or dtype not in _DTYPES:
            raise _damaged(path, f"the tensor '{name[:80]}' has the unknown type {str(dtype)[:20]!r}")
        if not (
            isinstance(shape, list)
            and len(shape) <= MAX_DIMENSIONS
            and all(_count(size) for size in shape)
            and _count(stop)
        ):
            raise _damaged(path, f"the tensor '{name[:80]}' has the shape {str(shape)[:80]}")
        if stop > data:
            raise _damaged(path, f"the tensor '{name[:80]}' ends at byte {stop:,} of {data:,}: it is cut short")
        if begin != end or (stop - begin) * 8 != -(-prod(shape) * _DTYPES[dtype][1] // 8) * 8:
            raise _damaged(path, f"the bytes {begin:,} to {stop:,} are not those of '{name[:80]}' {dtype}{shape[:8]}")
        end = stop
    if end != data:
        raise _damaged(path, f"{data - end:,} bytes after the last tensor belong to none")
    said = header.get(_METADATA)
    return {**entries, _METADATA: said} if isinstance(said, dict) else entries


def _header_length(path: Path) -> int:
    with path.open("rb") as stream:
        return int.from_bytes(stream.read(8), "little")


def _json(path: Path, size: int) -> dict[str, Any]:
    length = _header_length(path)
    if length > size - 8:
        raise _damaged(path, f"its header declares {length:,} bytes and {max(size - 8, 0):,} are left: it is cut short")
    if length > _MAX_HEADER:
        raise _damaged(path, f"its header has {length:,} bytes; at most {_MAX_HEADER:,} are allowed")
    with path.open("rb") as stream:
        stream.seek(8)
        try:
            header = json.loads(stream.read(length), object_pairs_hook=_once)
        except (ValueError, RecursionError) as error:
            raise _damaged(path, f"its header is not JSON: {str(error)[:80]}") from None
    if not isinstance(header, dict):
        raise _damaged(path, "its header is not a JSON object")
    return header


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name is given twice")
    return found


def _begin(path: Path, name: str, entry: Any) -> int:
    offsets = entry.get("data_offsets") if isinstance(entry, dict) else None
    if not (isinstance(offsets, list) and len(offsets) == 2 and all(map(_count, offsets)) and offsets[0] <= offsets[1]):
        raise _damaged(path, f"the tensor '{name[:80]}' has the offsets {str(offsets)[:80]}")
    return int(offsets[0])


def _count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 1 << 62


def _damaged(path: Path, what: str) -> InputError:
    return InputError(f"{path} is a damaged safetensors file: {what}", "copy or download the file again")


PLUGIN = Plugin(make=Safetensors, summary="weights as plain numbers (.safetensors)")
