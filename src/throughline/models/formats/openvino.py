"""OpenVINO IR: a graph in XML and its weights in a .bin beside it. Data alone."""

from __future__ import annotations

import re
from pathlib import Path

from throughline.contracts.artifacts import Axis, TensorSpec
from throughline.contracts.errors import ModelRefused
from throughline.models.decoder_family import decoder_family
from throughline.models.formats import Description, Glimpse, Risk
from throughline.models.formats._exported import exported_fields
from throughline.models.formats._precision import precision_of
from throughline.models.loading.openvino_guard import weights_of
from throughline.models.loading.xml_graph import BITS, Layer, Net, read_net
from throughline.plugins import Plugin

_DTYPES = {
    "f64": "float64", "f32": "float32", "f16": "float16", "bf16": "bfloat16", "boolean": "bool", "nf4": "float4",
    "f8e4m3": "float8_e4m3fn", "f8e5m2": "float8_e5m2", "f4e2m1": "float4_e2m1fn",
}  # fmt: skip
_MAX_YAML = 1 << 20

ASKED_PRECISION = ("model_info", "precision")
"""Where a graph says in which precision it wants to be computed, when that is not the one of its numbers."""


class OpenVino:
    """An ``.xml`` file with its ``.bin``."""

    suffixes = (".xml",)

    def recognises(self, file: Glimpse) -> bool:
        """Whether it is XML whose root is a net of layers."""
        head = file.head[:4096].lstrip(b"\xef\xbb\xbf \t\r\n")
        return head.startswith(b"<") and re.search(rb"<net\s+[^<>]{0,1000}?\bversion\s*=", head) is not None

    def describe(self, file: Glimpse) -> Description:
        """Read the graph, and what its exporter wrote into it and beside it."""
        net = read_net(file.path)
        info = _model_info(net)
        text = {**_yaml(file.path.with_name("metadata.yaml")), **info}
        fields = exported_fields(text)
        outer = {layer.name: layer for layer in net.layers if layer.depth == 0}
        inputs = tuple(
            _spec(layer, layer.outputs, layer.ports) for layer in outer.values() if layer.type == "Parameter"
        )
        outputs = tuple(_result(layer, outer) for layer in outer.values() if layer.type == "Result")
        decoder = fields.pop("decoder") or decoder_family(outputs, fields["task"], fields["labels"], fields["imgsz"])
        if decoder is not None:
            fields["task"] = fields["task"] or ("classify" if decoder == "classify" else "detect")
        elements, quantised = _measure(net)
        asked = "bfloat16" if info.get(ASKED_PRECISION[-1]) == "bfloat16" else None  # nothing else is acted upon
        risk, weights = Risk("data", "a graph and numbers: nothing in it runs when it is opened"), None
        try:
            weights = weights_of(file.path)
        except ModelRefused as refusal:
            risk = Risk("data", f"opening it is refused: {refusal.problem}")
        return Description(
            path=file.path,
            format="openvino",
            kind=f"IR version {net.version[:10]}",
            risk=risk,
            inputs=inputs,
            outputs=outputs,
            decoder=decoder,
            precision=asked or precision_of(elements, quantised=quantised),
            parameters=sum(count for dtype, count in elements.items() if "float" in dtype) + quantised,
            producer="OpenVINO " + net.info["Runtime_version"] if "Runtime_version" in net.info else "OpenVINO",
            files=(file.path, weights) if weights else (file.path,),
            **fields,
        )


def dtype_of(element_type: str) -> str:
    """Numpy's name for an OpenVINO element type."""
    if element_type in _DTYPES:
        return _DTYPES[element_type]
    return re.sub(r"^([iu])(\d+)$", lambda m: ("int" if m[1] == "i" else "uint") + m[2], element_type)


def _spec(layer: Layer, shapes: list[list[int]], ports: list[dict[str, str]]) -> TensorSpec:
    names = ports[0].get("names", "") if ports else ""
    return TensorSpec(
        names.split(",")[0] or layer.name,
        dtype_of(layer.data.get("element_type", "f32")),
        _axes(shapes[0] if shapes else []),
    )


def _result(layer: Layer, outer: dict[str, Layer]) -> TensorSpec:
    """A result has no name of its own; it carries that of what feeds it, which the exporter put in ``output_names``."""
    name = layer.data.get("output_names") or layer.name.partition("/sink_port")[0]
    source = outer.get(name)
    dtype = source.ports[0].get("precision", "FP32") if source and source.ports else "FP32"
    if source and source.ports and source.ports[0].get("names"):
        name = source.ports[0]["names"].split(",")[0]
    short = {"FP32": "f32", "FP16": "f16", "FP64": "f64", "BF16": "bf16", "BOOL": "boolean"}.get(dtype, dtype.lower())
    return TensorSpec(name, dtype_of(short), _axes(layer.inputs[0] if layer.inputs else []))


def _axes(shape: list[int]) -> tuple[Axis, ...]:
    return tuple(size if size >= 0 else ("batch" if axis == 0 else f"axis{axis}") for axis, size in enumerate(shape))


def _measure(net: Net) -> tuple[dict[str, int], int]:
    """Constants by type, and how many of the small integers are weights (there is no other use for many of them)."""
    elements: dict[str, int] = {}
    quantised = 0
    for layer in net.layers:
        if layer.type != "Const":
            continue
        kind, size = layer.data.get("element_type", ""), layer.data.get("size", "0")
        bits = BITS.get(kind, 0)
        if not bits or not size.isdecimal() or len(size) > 18:
            continue
        count, dtype = int(size) * 8 // bits, dtype_of(kind)
        elements[dtype] = elements.get(dtype, 0) + count
        if kind in ("i8", "u8", "i4", "u4", "nf4", "u2") and len(layer.data.get("shape", "").split(",")) > 1:
            quantised += count
    return elements, quantised


def _model_info(net: Net) -> dict[str, str]:
    """What was written under ``model_info``; labels there are one string, divided by spaces."""
    found = {key.rpartition("model_info.")[2]: value for key, value in net.info.items() if "model_info." in key}
    if "names" not in found and "labels" in found and "[" not in found["labels"] and "{" not in found["labels"]:
        found["labels"] = ",".join(label.replace("_", " ") for label in found["labels"].split())
    return found


def _yaml(path: Path) -> dict[str, str]:
    """The few shapes of YAML that exporters write beside the model: ``key: value``, and one level of lists or maps."""
    try:
        if path.is_symlink() or path.stat().st_size > _MAX_YAML:
            return {}
        lines = path.read_text("utf-8", "replace").splitlines()
    except OSError:
        return {}
    found: dict[str, list[str]] = {}
    key = ""
    for line in lines:
        if match := re.match(r"^([A-Za-z_]\w*):\s*(.*)$", line):
            key = match[1]
            found[key] = [match[2].strip("'\" ")] if match[2] else []
        elif key and (match := re.match(r"^\s*(?:-|\d+:)\s+(.*)$", line)):
            found[key].append(match[1].strip("'\" "))
    return {
        key: values[0] if len(values) == 1 else "[" + ", ".join(_quoted(value) for value in values) + "]"
        for key, values in found.items()
        if values
    }


def _quoted(value: str) -> str:
    return value if value.lstrip("-").isdecimal() else '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'


PLUGIN = Plugin(make=OpenVino, summary="a graph in XML with its weights beside it (.xml)")
