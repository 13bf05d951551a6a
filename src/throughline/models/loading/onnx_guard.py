"""What must be true of an ONNX model before any runtime opens it.

A graph runs no code of its own, but it can make a runtime read files that are
not its own, load a library, or ask for memory without end. Each of these is
refused here with the name and the number; what only shows once the graph is
opened is left to ``probe``.
"""

from __future__ import annotations

import os
import re
import stat
from math import prod
from pathlib import Path, PurePosixPath
from typing import Any

from throughline.contracts.errors import InputError, ModelRefused
from throughline.models.loading.claims import MAX_DIMENSIONS
from throughline.models.loading.onnx_graph import (
    dtype_bits,
    dtype_name,
    external_fields,
    graphs,
    nodes,
    parse,
    tensors,
)

MAX_TENSOR_BYTES = 8 << 30
_DOMAINS = frozenset(
    ("", "ai.onnx", "ai.onnx.ml", "ai.onnx.training", "ai.onnx.preview", "ai.onnx.preview.training", "com.microsoft")
)
_LOCATION_KEYS = frozenset({"location", "offset", "length", "checksum", "basepath"})
_VALUES = {
    "float32": "float_data", "complex64": "float_data", "float64": "double_data", "complex128": "double_data",
    "int64": "int64_data", "uint32": "uint64_data", "uint64": "uint64_data", "string": "string_data",
}  # fmt: skip
# Operators that make a tensor of whatever size one of their inputs names: which input, and whether it multiplies.
_SIZED = {
    "ConstantOfShape": 0, "Expand": 1, "Reshape": 1, "Tile": 1, "Resize": 3, "RandomNormal": -1, "RandomUniform": -1,
}  # fmt: skip


def check_onnx(path: str | os.PathLike[str]) -> None:
    """Refuse an ONNX model that reaches outside its folder, needs a foreign library, or asks for absurd memory."""
    file = Path(path)
    model = parse(file)
    _check_domains(file, model)
    for tensor in tensors(model):
        _check_tensor(file, tensor)
    for graph in graphs(model):
        _check_declared(file, graph)
    constants = _constants(model)
    for node in nodes(model):
        _check_node(file, node, constants)


def _check_domains(path: Path, model: Any) -> None:
    own = {(function.domain, function.name) for function in model.functions}
    for node in nodes(model):
        if node.op_type == "EPContext":
            raise ModelRefused(
                f"{path} carries a model compiled for one device (EPContext), which is a program",
                "give the model it was compiled from",
            )
        if node.domain not in _DOMAINS and (node.domain, node.op_type) not in own:
            raise ModelRefused(
                f"{path} uses the operator '{node.op_type}' of the domain '{node.domain}', "
                "which needs a library of custom operators",
                "export the model with standard operators only; libraries are not loaded for a model",
            )


def _check_tensor(path: Path, tensor: Any) -> None:
    shown = f"the tensor '{tensor.name[:80]}' {dtype_name(tensor.data_type)}{list(tensor.dims)[:8]}"
    if any(size < 0 for size in tensor.dims) or len(tensor.dims) > MAX_DIMENSIONS:
        raise InputError(f"{path}: {shown} has an impossible shape", "export the model again")
    if tensor.HasField("segment"):
        raise InputError(
            f"{path}: {shown} is one segment of a tensor, which no runtime reads", "export the model again"
        )
    count, bits = prod(tensor.dims), dtype_bits(tensor.data_type)
    if bits is None and dtype_name(tensor.data_type) != "string":
        raise InputError(f"{path}: {shown} has an element type that ONNX does not have", "export the model again")
    needed = -(-count * (bits or 0) // 8)
    fields = external_fields(tensor)
    if fields is not None:
        if tensor.data_location != 1:
            raise _reaches(path, shown, "names a file although its bytes are in the model")
        _check_external(path, shown, fields, needed)
        return
    if tensor.HasField("raw_data"):
        held = len(tensor.raw_data)
        if held != needed and count:
            raise InputError(
                f"{path}: {shown} needs {needed:,} bytes and holds {held:,}",
                "export the model again; this file is damaged",
            )
        return
    name = dtype_name(tensor.data_type)
    stored = len(getattr(tensor, _VALUES.get(name, "int32_data")))
    # Two numbers for a complex one; numbers smaller than a byte share one.
    expected = count * 2 if name.startswith("complex") else -(-count * bits // 8) if bits in (2, 4) else count
    if stored != expected:
        raise InputError(
            f"{path}: {shown} needs {expected:,} numbers and holds {stored:,}",
            "export the model again; this file is damaged",
        )


def _check_external(path: Path, shown: str, fields: dict[str, str], needed: int) -> None:
    unknown = sorted(set(fields) - _LOCATION_KEYS)
    location = fields.get("location", "")
    if unknown:
        raise _reaches(path, shown, f"describes its data with the unknown key '{unknown[0][:40]}'")
    file = external_path(path, location, shown)
    size = file.stat().st_size
    numbers = {key: fields.get(key, "0" if key == "offset" else str(needed)) for key in ("offset", "length")}
    for key, text in numbers.items():
        if not re.fullmatch(r"[0-9]{1,18}", text):
            raise _reaches(path, shown, f"has the {key} {text[:40]!r}, which is not a number of bytes")
    offset, length = int(numbers["offset"]), int(numbers["length"])
    if offset + length > size:
        raise _reaches(path, shown, f"takes bytes {offset:,} to {offset + length:,} of {location}, which has {size:,}")
    if length != needed:
        raise _reaches(path, shown, f"needs {needed:,} bytes and takes {length:,} of {location}")


def external_path(path: Path, location: str, shown: str) -> Path:
    """The file that a model names for its data: a regular file of its own, in its own folder or below."""
    parts = PurePosixPath(location)
    if not location or "\x00" in location or "\\" in location:
        raise _reaches(path, shown, f"names the file {location[:80]!r}")
    if path.is_symlink():
        raise _reaches(path, shown, "is kept beside a model that is itself a symbolic link")
    if parts.is_absolute() or re.match(r"^[A-Za-z]:", location):
        raise _reaches(path, shown, f"names the absolute path {location[:120]}")
    if ".." in parts.parts:
        raise _reaches(path, shown, f"leaves the model's folder through '..': {location[:120]}")
    current = path.parent
    for part in parts.parts:
        current = current / part
        try:
            status = current.lstat()
        except OSError:
            raise InputError(
                f"{path}: {shown} is kept in {location[:120]}, which is not there", "put that file beside the model"
            ) from None
        if stat.S_ISLNK(status.st_mode):
            raise _reaches(path, shown, f"is kept behind the symbolic link {current.name}")
    if not stat.S_ISREG(status.st_mode):
        raise _reaches(path, shown, f"is kept in {location[:120]}, which is not a regular file")
    if status.st_nlink > 1:
        raise _reaches(path, shown, f"is kept in {location[:120]}, which is a hard link to another file")
    return current


def _check_declared(path: Path, graph: Any) -> None:
    for value in (*graph.input, *graph.output, *graph.value_info):
        kind = value.type.tensor_type
        sizes = [axis.dim_value for axis in kind.shape.dim if axis.HasField("dim_value")]
        if any(size < 0 for size in sizes) or len(sizes) > MAX_DIMENSIONS:
            raise InputError(f"{path}: '{value.name[:80]}' has an impossible shape", "export the model again")
        _refuse_absurd(path, f"'{value.name[:80]}' of shape {sizes[:8]}", prod(sizes), dtype_bits(kind.elem_type) or 8)


def _constants(model: Any) -> dict[str, list[int]]:
    """The small whole-number tensors by name: what a shape can be made of without running anything."""
    found: dict[str, list[int]] = {}
    for graph in graphs(model):
        for tensor in graph.initializer:
            _remember(found, tensor.name, tensor)
    for node in nodes(model):
        if node.op_type == "Constant" and node.output:
            for attribute in node.attribute:
                if attribute.name == "value":
                    _remember(found, node.output[0], attribute.t)
                elif attribute.name in ("value_ints", "value_int"):
                    found[node.output[0]] = list(attribute.ints) or [attribute.i]
    return found


def _remember(found: dict[str, list[int]], name: str, tensor: Any) -> None:
    kind = dtype_name(tensor.data_type)
    if kind not in ("int64", "int32") or prod(tensor.dims) > 64 or external_fields(tensor) is not None:
        return
    if tensor.raw_data:
        width = 8 if kind == "int64" else 4
        raw = tensor.raw_data
        found[name] = [int.from_bytes(raw[i : i + width], "little", signed=True) for i in range(0, len(raw), width)]
    else:
        found[name] = list(tensor.int64_data if kind == "int64" else tensor.int32_data)


def _check_node(path: Path, node: Any, constants: dict[str, list[int]]) -> None:
    where = f"the operator {node.op_type} '{node.name[:60]}'"
    if node.op_type == "Range" and len(node.input) == 3 and all(name in constants for name in node.input):
        (start, *_), (stop, *_), (step, *_) = (constants[name] or [0] for name in node.input)
        count = max(0, -(-(stop - start) // step)) if step else 0
        _refuse_absurd(path, f"{where} of {count:,} numbers", count, 64)
    index = _SIZED.get(node.op_type)
    if index is None:
        return
    if index < 0:
        sizes = next((list(attribute.ints) for attribute in node.attribute if attribute.name == "shape"), [])
    else:
        sizes = constants.get(node.input[index], []) if len(node.input) > index else []
    _refuse_absurd(path, f"{where} of {sizes[:8]}", prod(abs(size) for size in sizes if size), 32)


def _refuse_absurd(path: Path, what: str, count: int, bits: int) -> None:
    if count * bits // 8 > MAX_TENSOR_BYTES:
        raise ModelRefused(
            f"{path} asks for absurd memory: {what} takes {count * bits // 8:,} bytes; at most {MAX_TENSOR_BYTES:,} "
            "are allowed for one tensor",
            "export the model with smaller or dynamic sizes",
        )


def _reaches(path: Path, shown: str, what: str) -> ModelRefused:
    return ModelRefused(
        f"{path}: {shown} {what}", "export the model again with its data inside, or in a plain file beside it"
    )
