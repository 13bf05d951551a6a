"""Read an OpenVINO graph's XML with a parser that expands nothing, and find what it refers to outside itself."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from xml.parsers import expat

from throughline.contracts.errors import InputError, ModelRefused
from throughline.models.loading.claims import MAX_DIMENSIONS

_MAX_XML = 256 << 20
_MAX_ELEMENTS = 5_000_000
_MAX_LAYERS = 300_000
_MAX_DEPTH = 64
BITS = {
    "f64": 64, "f32": 32, "f16": 16, "bf16": 16, "i64": 64, "i32": 32, "i16": 16, "i8": 8, "i4": 4, "u64": 64,
    "u32": 32, "u16": 16, "u8": 8, "u4": 4, "u3": 3, "u2": 2, "u6": 6, "u1": 1, "boolean": 8, "nf4": 4, "f8e4m3": 8,
    "f8e5m2": 8, "f8e8m0": 8, "f4e2m1": 4, "string": 0,
}  # fmt: skip


@dataclass(slots=True)
class Layer:
    """One operation: its type and version, its attributes, and its ports' shapes."""

    name: str
    type: str
    version: str
    depth: int
    data: dict[str, str] = field(default_factory=dict)
    inputs: list[list[int]] = field(default_factory=list)
    outputs: list[list[int]] = field(default_factory=list)
    ports: list[dict[str, str]] = field(default_factory=list)
    inside: str = ""


@dataclass(slots=True)
class Net:
    """What the XML holds: its operations, and the run-time information as dotted keys."""

    name: str = ""
    version: str = ""
    layers: list[Layer] = field(default_factory=list)
    info: dict[str, str] = field(default_factory=dict)


def read_net(path: Path) -> Net:
    """Parse the file; an ``InputError`` where it is damaged, ``ModelRefused`` where it could expand."""
    size = path.stat().st_size
    if size > _MAX_XML:
        raise ModelRefused(f"{path} has {size:,} bytes of XML; at most {_MAX_XML:,} are read", "export it again")
    data = path.read_bytes()
    reader = _Reader()
    parser = expat.ParserCreate()
    parser.StartElementHandler = reader.start
    parser.EndElementHandler = reader.end
    parser.CharacterDataHandler = reader.text
    parser.StartDoctypeDeclHandler = reader.doctype
    parser.EntityDeclHandler = reader.doctype
    parser.buffer_text = True
    try:
        parser.Parse(data, True)
    except expat.ExpatError as error:
        raise InputError(
            f"{path} is a damaged OpenVINO model: its XML breaks off at line {error.lineno} ({error})",
            "copy or export it again",
        ) from None
    except _Refused as error:
        raise ModelRefused(f"{path} is an OpenVINO model made to deceive: {error}", "export it again") from None
    return reader.net


class _Refused(Exception):
    pass


class _Reader:
    """The parser's handlers; a flat pass, so that depth costs nothing."""

    def __init__(self) -> None:
        self.net = Net()
        self.path: list[str] = []
        self.info_path: list[str] = []
        self.open: list[Layer] = []
        self.elements = 0
        self.written: list[str] = []

    def doctype(self, *_: Any) -> None:
        raise _Refused("it declares a document type or entities, which no exporter writes")

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        self.elements += 1
        if self.elements > _MAX_ELEMENTS or len(self.path) >= _MAX_DEPTH:
            raise _Refused(f"it has more than {_MAX_ELEMENTS:,} elements or {_MAX_DEPTH} levels")
        parent = self.path[-1] if self.path else ""
        self.path.append(tag)
        self.written.clear()
        if len(self.path) == 1:
            if tag != "net":
                raise _Refused(f"it begins with <{tag[:40]}>, not <net>")
            self.net.name, self.net.version = attributes.get("name", ""), attributes.get("version", "")
        elif self._in_model_info():
            self._information(tag, attributes)
        elif tag == "layer":
            if len(self.net.layers) >= _MAX_LAYERS:
                raise _Refused(f"it has more than {_MAX_LAYERS:,} layers")
            layer = Layer(
                attributes.get("name", ""), attributes.get("type", ""), attributes.get("version", ""), len(self.open)
            )
            self.net.layers.append(layer)
            self.open.append(layer)
        elif self.open and parent == "layer" and tag == "data":
            self.open[-1].data = attributes
        elif self.open and parent in ("input", "output") and tag == "port":
            shapes = self.open[-1].inputs if parent == "input" else self.open[-1].outputs
            shapes.append([])
            if parent == "output":
                self.open[-1].ports.append(attributes)

    def end(self, tag: str) -> None:
        self.path.pop()
        if self.info_path and self._in_model_info():
            self.info_path.pop()
        elif tag == "layer" and self.open:
            self.open.pop()
        elif tag == "dim" and self.open and len(self.path) > 1:
            layer, side = self.open[-1], self.path[-2]
            shapes = layer.inputs if side == "input" else layer.outputs
            if shapes:
                if len(shapes[-1]) >= MAX_DIMENSIONS:
                    raise _Refused(f"'{layer.name[:60]}' has more than {MAX_DIMENSIONS} dimensions")
                shapes[-1].append(_size("".join(self.written)))
        self.written.clear()

    def text(self, text: str) -> None:
        if self.path and self.path[-1] == "dim":
            self.written.append(text)

    def _in_model_info(self) -> bool:
        return len(self.path) >= 2 and self.path[1] == "rt_info"

    def _information(self, tag: str, attributes: dict[str, str]) -> None:
        if len(self.path) == 2:
            self.info_path = []
            return
        self.info_path.append(tag)
        if "value" in attributes and len(self.net.info) < 10_000:
            self.net.info[".".join(self.info_path)] = attributes["value"]


def _size(text: str) -> int:
    text = text.strip()
    if not text.removeprefix("-").isdecimal() or len(text) > 19:
        raise _Refused(f"it has a dimension of {text[:40]!r}")
    return int(text)
