"""What must be true of an OpenVINO model before the runtime opens it: its weights are its own, and there."""

from __future__ import annotations

import re
import stat
from math import prod
from pathlib import Path

from throughline.contracts.errors import InputError, ModelRefused
from throughline.models.loading.claims import MAX_DIMENSIONS
from throughline.models.loading.onnx_guard import MAX_TENSOR_BYTES
from throughline.models.loading.xml_graph import BITS, Layer, Net, read_net

_OPSETS = re.compile(r"opset\d{1,2}|experimental|extension|ie_internal_opset|type_relaxed_opset|util")
_LIBRARY = re.compile(r"\.(so|dll|dylib)(\.\d+)*$", re.IGNORECASE)


def check_openvino(path: Path) -> None:
    """Refuse an IR whose weights lie elsewhere, end early, or that names a library."""
    net = read_net(path)
    held = _binary(path)
    for layer in net.layers:
        if layer.type == "Const":
            _check_constant(path, layer, held)
        if not _OPSETS.fullmatch(layer.version or "opset1"):
            raise ModelRefused(
                f"{path} uses the operator '{layer.type}' of '{layer.version[:60]}', which needs an extension library",
                "export the model with standard operators only; libraries are not loaded for a model",
            )
        for shape in (*layer.inputs, *layer.outputs):
            size = prod(size for size in shape if size > 0)
            if size > MAX_TENSOR_BYTES:
                raise ModelRefused(
                    f"{path} asks for absurd memory: '{layer.name[:60]}' has the shape {shape[:8]}",
                    "export the model with smaller or dynamic sizes",
                )
    _check_libraries(path, net)


def weights_of(path: Path) -> Path | None:
    """The file of weights beside the graph, once it is known to be its own; None where there is none."""
    return path.with_suffix(".bin") if _binary(path) else None


def _binary(path: Path) -> int:
    """How many bytes of weights there are; none where there is no file for them."""
    binary = path.with_suffix(".bin")
    try:
        status = binary.lstat()
    except OSError:
        return 0
    if stat.S_ISLNK(status.st_mode):
        raise ModelRefused(
            f"{binary} is a symbolic link; the weights must be a file of their own", "copy the file there"
        )
    if not stat.S_ISREG(status.st_mode):
        raise ModelRefused(f"{binary} is not a regular file", "copy the weights there")
    if status.st_nlink > 1:
        raise ModelRefused(f"{binary} is a hard link to another file", "copy the weights there")
    return status.st_size


def _check_constant(path: Path, layer: Layer, held: int) -> None:
    texts = {key: layer.data.get(key, "0") for key in ("offset", "size")}
    for key, text in texts.items():
        if not re.fullmatch(r"[0-9]{1,18}", text):
            raise ModelRefused(
                f"{path}: the constant '{layer.name[:60]}' has the {key} {text[:40]!r}, which is not a number of bytes",
                "export the model again",
            )
    offset, size = int(texts["offset"]), int(texts["size"])
    if offset + size > held:
        kind = InputError if held == 0 else ModelRefused
        binary = path.with_suffix(".bin").name
        raise kind(
            f"{path}: the constant '{layer.name[:60]}' takes bytes {offset:,} to {offset + size:,} of {binary}, "
            + (f"which has {held:,}" if held else "which is not there"),
            f"put the whole {binary} beside the .xml",
        )
    kind_bits = BITS.get(layer.data.get("element_type", ""))
    numbers = [text.strip() for text in layer.data.get("shape", "").split(",") if text.strip()]
    if kind_bits and len(numbers) <= MAX_DIMENSIONS and all(re.fullmatch(r"[0-9]{1,18}", text) for text in numbers):
        needed = -(-prod(map(int, numbers)) * kind_bits // 8)
        if needed != size:
            raise ModelRefused(
                f"{path}: the constant '{layer.name[:60]}' of shape [{', '.join(numbers)}] needs {needed:,} bytes "
                f"and takes {size:,}",
                "export the model again",
            )


def _check_libraries(path: Path, net: Net) -> None:
    for key, value in net.info.items():
        if _LIBRARY.search(value.strip()) and ("extension" in key.lower() or "/" in value or "library" in key.lower()):
            raise ModelRefused(
                f"{path} names the library {value[:120]!r} to be loaded ({key[:80]})",
                "export the model with standard operators only; libraries are not loaded for a model",
            )
