"""TensorRT and TensorRT-RTX engines: compiled for one GPU and one release, and a program like any other."""

from __future__ import annotations

import json
from typing import Any

from throughline.contracts.errors import InputError
from throughline.models.formats import Description, Glimpse, Risk
from throughline.models.formats._exported import exported_fields
from throughline.plugins import Plugin

_MAGIC = {b"ftrt": "TensorRT", b"ptrt": "TensorRT", b"vtrt": "TensorRT-RTX"}
_MAX_METADATA = 1 << 20
_HEADER = 28


class TensorRT:
    """A serialised engine, with or without the JSON that YOLO exports put before it."""

    suffixes = (".engine", ".plan", ".trt")

    def recognises(self, file: Glimpse) -> bool:
        """Whether it, or what follows a JSON preface, begins as an engine does."""
        return file.head[:4] in _MAGIC or _preface(file) is not None

    def describe(self, file: Glimpse) -> Description:
        """Read the release it was built by; the engine itself stays closed."""
        preface = _preface(file) or 0
        with file.path.open("rb") as stream:
            text = _metadata(stream.read(preface)[4:]) if preface else {}
            header = stream.read(_HEADER)
        if len(header) < _HEADER:
            raise InputError(f"{file.path} is a TensorRT engine that is cut short", "build or copy it again")
        product, declared, release = _MAGIC[header[:4]], int.from_bytes(header[16:24], "little"), header[24:28]
        held = file.size - preface
        if held < declared < 1 << 44:
            raise InputError(
                f"{file.path} is a {product} engine that is cut short: it declares {declared:,} bytes and has {held:,}",
                "build or copy it again",
            )
        fields = exported_fields(text)
        fields.pop("decoder")
        return Description(
            path=file.path,
            format="tensorrt",
            kind=f"{product} engine" + (", built by " + ".".join(map(str, release)) if release[0] else ""),
            risk=Risk("program", "an engine is machine code for the GPU, and its plug-ins run on the CPU"),
            producer=product,
            files=(file.path,),
            notes=("its inputs and outputs can be known only by opening it",),
            **fields,
        )


def _preface(file: Glimpse) -> int | None:
    """How many bytes precede the engine: a 32-bit length and JSON; None where they do not."""
    length = int.from_bytes(file.head[:4], "little", signed=True)
    if not 2 <= length <= _MAX_METADATA or file.head[4:5] != b"{":
        return None
    with file.path.open("rb") as stream:
        stream.seek(4 + length)
        return 4 + length if stream.read(4) in _MAGIC else None


def _metadata(text: bytes) -> dict[str, str]:
    try:
        found: Any = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return {str(key): value if isinstance(value, str) else json.dumps(value) for key, value in dict(found).items()}


PLUGIN = Plugin(make=TensorRT, summary="an engine compiled for one GPU (.engine, .plan)")
