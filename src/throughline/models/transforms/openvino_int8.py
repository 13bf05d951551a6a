"""A second opinion on INT8: NNCF's post-training quantisation, which knows OpenVINO's kernels, on the same feeds."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

from throughline.contracts.artifacts import Artifact, Step
from throughline.contracts.errors import InputError, ModelRefused, first_line
from throughline.models.transforms import Feeds, Made
from throughline.models.transforms import _graph as graph
from throughline.models.transforms import _ir as ir
from throughline.models.transforms._layers import tail
from throughline.models.transforms._running import each, quietly
from throughline.plugins import Plugin


def openvino_int8(
    source: Artifact,
    target: Path,
    *,
    feeds: Feeds,
    preset: Literal["mixed", "performance"] = "mixed",
    keep: tuple[str, ...] = (),
) -> Made:
    """Quantise with NNCF and write OpenVINO IR.

    Args:
        source: the ONNX model.
        target: the ``.xml`` to write; its weights go beside it.
        feeds: real inputs, a few dozen: they decide the ranges.
        preset: "mixed" leaves activations that are not symmetric so; "performance" takes all for symmetric.
        keep: names of nodes that stay float.
    """
    if preset not in ("mixed", "performance"):
        raise InputError(f"preset={preset!r}", "one of: mixed, performance")
    model = ir.read(source, "openvino_int8")
    names = {operation.get_friendly_name() for operation in model.get_ops()}
    if unknown := [name for name in keep if name not in names]:
        raise InputError(
            f"keep names the node '{unknown[0]}', which OpenVINO's graph does not have",
            "read the names from the ONNX graph; a node that OpenVINO merges into another has none of its own",
        )
    outside = _outside(graph.load(source, "openvino_int8"), keep, names)
    samples = [dict(feed) for feed in each(feeds)]
    with quietly():
        import nncf

        try:
            made = nncf.quantize(
                model,
                nncf.Dataset(samples),
                preset=nncf.QuantizationPreset(preset),
                subset_size=len(samples),
                ignored_scope=nncf.IgnoredScope(names=outside, validate=False),
            )
        except Exception as error:
            raise ModelRefused(
                f"{source.path}: NNCF cannot quantise it: {first_line(error)[:300]}", "use the transform int8"
            ) from None
    companions = ir.write(made, source, target)
    count = sum(operation.get_type_name() == "FakeQuantize" for operation in made.get_ops())
    return Made(
        Step(
            "openvino_int8",
            {"preset": preset, "feeds": len(samples), "kept": list(keep)},
            graph.tool("nncf", "openvino"),
        ),
        companions,
        notes=(f"{count} tensors are quantised",),
    )


def _outside(model: Any, keep: tuple[str, ...], names: set[str]) -> list[str]:
    """What NNCF must leave alone: what is kept, and the decoding after the last layer, by OpenVINO's names."""
    float_nodes = {*keep, *tail(model)}
    # a node that OpenVINO takes apart has its parts named after it
    return sorted(name for name in names if any(part in float_nodes for part in _stems(name)))


def _stems(name: str) -> Iterator[str]:
    parts = name.split("/")
    return ("/".join(parts[:count]) for count in range(len(parts), 0, -1))


PLUGIN = Plugin(
    make=openvino_int8,
    summary="static INT8 as OpenVINO IR (NNCF)",
    needs=("openvino", "nncf"),
    extra="optimize",
    facts={"takes": ("onnx",), "gives": "openvino"},
)
