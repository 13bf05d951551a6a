"""Fewer nodes, same answers: constants folded, shapes worked out once, what has no effect taken out."""

from __future__ import annotations

from pathlib import Path

from throughline.contracts.artifacts import Artifact, Step
from throughline.contracts.errors import ModelRefused, first_line
from throughline.models.transforms import Made
from throughline.models.transforms._graph import forget_shapes, interface, load, save, tool
from throughline.models.transforms._running import quietly
from throughline.plugins import Plugin


def simplify(source: Artifact, target: Path) -> Made:
    """Fold constants and merge nodes, with the interface as it was."""
    model = load(source, "simplify")
    import onnx

    before = onnx.ModelProto()
    before.CopyFrom(model)
    with quietly():
        import onnxslim

        try:
            slim = onnxslim.slim(model)
        except Exception as error:
            raise ModelRefused(
                f"{source.path}: onnxslim cannot simplify it: {first_line(error)[:200]}", "go on without simplifying it"
            ) from None
    if [one[:2] for one in interface(slim)] != [one[:2] for one in interface(before)]:
        raise ModelRefused(
            f"{source.path}: simplifying it changed its inputs or outputs from "
            f"{', '.join(one[0] for one in interface(before))} to {', '.join(one[0] for one in interface(slim))}",
            "go on without simplifying it",
        )
    forget_shapes(slim)
    companions = save(slim, target, like=before)
    count = len(slim.graph.node)
    return Made(
        Step("simplify", {"nodes_before": len(before.graph.node), "nodes": count}, tool("onnxslim")),
        companions,
        notes=(f"{len(before.graph.node)} nodes became {count}",),
    )


PLUGIN = Plugin(
    make=simplify,
    summary="fold constants and merge nodes (onnxslim)",
    needs=("onnx", "onnxslim"),
    extra="optimize",
    facts={"takes": ("onnx",), "gives": None},
)
