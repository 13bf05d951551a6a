"""Measure an ONNX file in protobuf's wire format before a parser is allowed to build it.

A parser allocates as it goes, so a file of two-byte empty messages becomes a
hundred times its size in memory, and a length that runs past the end becomes an
error nobody understands. This walk visits the structure only, jumping over the
tensors' bytes, within a fixed number of steps.
"""

from __future__ import annotations

import mmap
from pathlib import Path
from typing import TypeAlias

from throughline.contracts.errors import InputError, ModelRefused

_Buffer: TypeAlias = mmap.mmap | bytes

MAX_BYTES = (1 << 31) - 1
_MAX_FIELDS = 4_000_000
_MAX_MESSAGES = 500_000
_MAX_PARSED = 6 << 30
_PARSED_PER_BYTE = 80
_PARSED_PER_PACKED_BYTE = 8

# What a length-delimited field holds: another message to walk, a tensor's plain bytes, or packed numbers.
_MESSAGES: dict[str, dict[int, str]] = {
    "model": {7: "graph", 20: "training", 25: "function"},
    "graph": {1: "node", 5: "tensor", 15: "sparse"},
    "node": {5: "attribute"},
    "attribute": {
        5: "tensor",
        6: "graph",
        7: "packed",
        8: "packed",
        10: "tensor",
        11: "graph",
        22: "sparse",
        23: "sparse",
    },
    "tensor": {4: "bytes", 5: "packed", 6: "strings", 7: "packed", 9: "bytes", 10: "bytes", 11: "packed"},
    "sparse": {1: "tensor", 2: "tensor"},
    "function": {7: "node", 11: "attribute"},
    "training": {1: "graph", 2: "graph"},
}
_MODEL_FIELDS = {1: 0, 2: 2, 3: 2, 4: 2, 5: 0, 6: 2, 7: 2, 8: 2, 14: 2, 20: 2, 25: 2, 26: 2}


def looks_like_onnx(head: bytes) -> bool:
    """Whether the fields at the head are those of an ONNX model, in their wire types, up to a graph."""
    position, seen = 0, set()
    while position < len(head):
        try:
            tag, position = _varint(head, position, len(head))
            number, kind = tag >> 3, tag & 7
            if _MODEL_FIELDS.get(number) != kind:
                return False
            seen.add(number)
            if number == 7:
                return bool(seen & {1, 2, 8}) and _is_graph(head, position)
            value, position = _varint(head, position, len(head))
        except ValueError:
            break
        if number == 1 and not 1 <= value <= 100:
            return False
        position += value if kind == 2 else 0
    return 1 in seen and len(seen) >= 2


def measure(path: Path) -> None:
    """Refuse an ONNX file that is cut short, malformed, or would grow beyond reason when parsed."""
    size = path.stat().st_size
    if size > MAX_BYTES:
        raise InputError(
            f"{path} has {size:,} bytes; an ONNX file can have {MAX_BYTES:,}", "save its weights as external data"
        )
    with path.open("rb") as stream, mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as buffer:
        try:
            _walk(path, buffer, size)
        except ValueError as error:
            raise InputError(f"{path} is a damaged ONNX file: {error}", "copy or download the file again") from None


def _walk(path: Path, buffer: _Buffer, size: int) -> None:
    pending: list[tuple[str, int, int]] = [("model", 0, size)]
    fields, messages, parsed = 0, 0, 0
    while pending:
        message, position, end = pending.pop()
        inside = _MESSAGES[message]
        while position < end:
            start = position
            fields += 1
            tag, position = _varint(buffer, position, end)
            number, kind = tag >> 3, tag & 7
            held, weight = "", _PARSED_PER_BYTE
            if kind == 2:
                length, position = _varint(buffer, position, end)
                if position + length > end:
                    raise ValueError(
                        f"field {number} of its {message} declares {length:,} bytes and {end - position:,} are left "
                        "(it is cut short)"
                    )
                held = inside.get(number, "")
                if held in _MESSAGES:
                    messages += 1
                    pending.append((held, position, position + length))
                    parsed += 2 * _PARSED_PER_BYTE
                    weight = 0
                elif held == "bytes":
                    weight = 1
                elif held == "packed":
                    weight = _PARSED_PER_PACKED_BYTE
                position += length
            else:
                position = _skip(buffer, position, end, kind)
            parsed += weight * (position - start)
            if fields > _MAX_FIELDS or messages > _MAX_MESSAGES or parsed > _MAX_PARSED:
                raise ModelRefused(
                    f"{path} is an ONNX file made to exhaust memory: its {size:,} bytes hold over {messages:,} parts, "
                    f"some {parsed:,} bytes once parsed",
                    "get the model from its author again",
                )


def _skip(buffer: _Buffer, position: int, end: int, kind: int) -> int:
    if kind == 0:
        return _varint(buffer, position, end)[1]
    if kind in (1, 5):
        position += 8 if kind == 1 else 4
        if position > end:
            raise ValueError("it is cut short within a number")
        return position
    raise ValueError(f"byte {position - 1:,} starts no field (wire type {kind})")


def _varint(buffer: _Buffer, position: int, end: int) -> tuple[int, int]:
    value = shift = 0
    while position < end:
        byte = buffer[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
        shift += 7
        if shift > 63:
            raise ValueError(f"the number at byte {position - 10:,} does not end")
    raise ValueError("it is cut short within a number")


def _is_graph(head: bytes, position: int) -> bool:
    try:
        length, position = _varint(head, position, len(head))
    except ValueError:
        return True
    # A graph opens with a node, its name, or a tensor: all length-delimited.
    return length == 0 or position >= len(head) or head[position] & 7 == 2
