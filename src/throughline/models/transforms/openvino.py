"""OpenVINO IR: the same numbers in the form that opens fastest on Intel's runtime. Halves only when asked for."""

from __future__ import annotations

from pathlib import Path

from throughline.contracts.artifacts import Artifact, Step
from throughline.models.transforms import Made
from throughline.models.transforms import _ir as ir
from throughline.models.transforms._graph import tool
from throughline.plugins import Plugin


def openvino(source: Artifact, target: Path, *, half: bool = False) -> Made:
    """Write an ONNX graph as IR.

    Args:
        source: the model.
        target: the ``.xml`` to write; its weights go beside it.
        half: keep the weights in FP16. The arithmetic stays that of the graph.
    """
    companions = ir.write(ir.read(source, "openvino"), source, target, half=half)
    notes = ("weights are kept in FP16; what is computed in FP16 is up to the graph",) if half else ()
    return Made(Step("openvino", {"half": half}, tool("openvino")), companions, notes=notes)


PLUGIN = Plugin(
    make=openvino,
    summary="OpenVINO IR (.xml with its .bin)",
    needs=("openvino",),
    facts={"takes": ("onnx",), "gives": "openvino"},
)
