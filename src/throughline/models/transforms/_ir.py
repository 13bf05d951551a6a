"""OpenVINO IR on its way out: what the parent knew is written where the product, and OpenVINO's own tools, read it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from throughline.contracts.artifacts import Artifact
from throughline.contracts.errors import ModelRefused, first_line
from throughline.models.transforms import _graph as graph


def read(source: Artifact, transform: str) -> Any:
    """An ONNX artifact as an OpenVINO model."""
    import openvino

    path = graph.cleared(source, transform)
    try:
        model = openvino.Core().read_model(path)  # convert_model would do, and may speak to the network
    except Exception as error:
        raise ModelRefused(
            f"{source.path}: OpenVINO cannot read it: {first_line(error)[:300]}", "simplify it first"
        ) from None
    _name(model)
    return model


def write(model: Any, source: Artifact, target: Path, *, half: bool = False) -> tuple[str, ...]:
    """Write a model with its facts; the names of the files beside it."""
    import openvino

    for name, value in graph.facts_of(source).items():
        model.set_rt_info(value, ["model_info", name])
    _name(model)
    openvino.save_model(model, target, compress_to_fp16=half)
    return (target.with_suffix(".bin").name,)


def _name(model: Any) -> None:
    """Name what has only a number that counts on through the life of the process: the same model, the same bytes."""
    operations = model.get_ordered_ops()
    taken = {operation.get_friendly_name() for operation in operations}
    number = 0
    for operation in operations:
        if operation.get_friendly_name() == operation.get_name():
            while (name := f"{operation.get_type_name()}#{number}") in taken:
                number += 1
            taken.add(name)
            operation.set_friendly_name(name)
