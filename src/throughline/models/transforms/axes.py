"""Open or fix the batch axis and the picture's sides, and prove by running that what is declared open is open.

An axis is easily renamed; whether the graph goes along is another matter. A size that an exporter baked into a
Reshape stops a run at another size, or, worse, mixes the pictures of a batch without a word. So the new graph is run
at two batches and two sizes, each picture alone and all together. What is found is mended where it can be, and
refused with the node's name where it cannot.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from throughline.contracts.artifacts import Artifact, Step
from throughline.contracts.errors import InputError, ModelRefused
from throughline.models.transforms import Made
from throughline.models.transforms import _graph as graph
from throughline.models.transforms._axes_proof import Problem, Trial, prove
from throughline.models.transforms._axes_repair import mend, without_baked_sizes
from throughline.plugins import Plugin


def axes(
    source: Artifact,
    target: Path,
    *,
    batch: int | Literal["dynamic"] | None = None,
    imgsz: tuple[int, int] | Literal["dynamic"] | None = None,
) -> Made:
    """Change which sizes of a model's inputs are open.

    Args:
        source: the model.
        target: what to write.
        batch: so many pictures at once, or "dynamic"; as it is when not given.
        imgsz: height and width, or "dynamic"; as they are when not given.
    """
    _check(batch, imgsz)
    original = graph.load(source, "axes")
    pictures = [value for value in graph.inputs(original) if len(graph.axes(value)) == 4]
    if imgsz is not None and len(pictures) != 1:
        raise InputError(
            f"{source.path} takes {', '.join(map(str, source.inputs))}: not one input of pictures",
            "leave imgsz away, or give a model that takes batch x channels x height x width",
        )
    import onnx

    model = onnx.ModelProto()
    model.CopyFrom(original)
    mended = without_baked_sizes(model, batch=batch is not None)
    _declare(model, batch, imgsz)
    trial = Trial.of(original, model, source.passport.stride or graph.USUAL_STRIDE, source.passport.imgsz)
    mended += _prove(source, model, trial)
    trial.declare_outputs(model, original)
    fixed = imgsz if isinstance(imgsz, tuple) else None
    if fixed is not None:
        graph.set_metadata(model, {"imgsz": str(list(fixed))})
    companions = graph.save(model, target)
    same = ": each picture's answers are the same alone and together" if trial.compared else ""
    notes = [f"ran at {', '.join(trial.said())}{same}"]
    notes += [f"mended: {line}" for line in mended]
    return Made(
        Step(
            "axes",
            {"batch": batch, "imgsz": list(fixed) if fixed else imgsz, "mended": len(mended)},
            graph.tool("onnx", "onnxruntime"),
        ),
        companions,
        {} if fixed is None else {"imgsz": fixed},
        tuple(notes),
    )


def _check(batch: int | str | None, imgsz: tuple[int, int] | str | None) -> None:
    if batch is None and imgsz is None:
        raise InputError("neither batch nor imgsz is given: there is nothing to change", "give one of them")
    if batch is not None and batch != "dynamic" and (not isinstance(batch, int) or batch < 1):
        raise InputError(f"batch={batch!r}", "give a number from 1, or 'dynamic'")
    sides = imgsz if isinstance(imgsz, tuple) else ()
    if imgsz is not None and imgsz != "dynamic" and (len(sides) != 2 or any(side < 1 for side in sides)):
        raise InputError(f"imgsz={imgsz!r}", "give (height, width), or 'dynamic'")


def _declare(model: Any, batch: int | str | None, imgsz: tuple[int, int] | str | None) -> None:
    """Write the new sizes on the inputs, and forget all that was worked out from the old ones."""
    values = graph.inputs(model)
    first = graph.axes(values[0])[:1] if values else ()
    for value in values:
        sizes = value.type.tensor_type.shape.dim
        if batch is not None and len(sizes) and graph.axes(value)[:1] == first:
            _set(sizes[0], batch, "batch")
        if imgsz is not None and len(sizes) == 4:
            height, width = imgsz if isinstance(imgsz, tuple) else (imgsz, imgsz)
            _set(sizes[2], height, "height")
            _set(sizes[3], width, "width")
    graph.forget_shapes(model)
    for value in model.graph.output:
        value.type.tensor_type.ClearField("shape")


def _set(axis: Any, size: int | str, name: str) -> None:
    axis.Clear()
    if isinstance(size, int):
        axis.dim_value = size
    else:
        axis.dim_param = name


def _prove(source: Artifact, model: Any, trial: Trial) -> list[str]:
    """Run, mend what stops it, and run again; what cannot be mended is refused. What was mended."""
    mended: list[str] = []
    tried: dict[str, int] = {}
    first: dict[str, Problem] = {}
    last = ""
    while (problem := prove(model, trial)) is not None:
        first.setdefault(problem.node, problem)
        line = mend(model, problem.node, trial.original, tried, spoils_batch=problem.silent)
        if line is None:
            # a mend that only moved the trouble to where the graph ran before is not what is wrong with it
            moved = last and trial.sizes.index(problem.size) < trial.sizes.index(first[last].size)
            raise _refusal(source, first[last if moved else problem.node])
        mended.append(line)
        last = problem.node
    return mended


def _refusal(source: Artifact, problem: Problem) -> ModelRefused:
    where = f"at the node '{problem.node}' ({problem.op})" if problem.node else "somewhere in the graph"
    return ModelRefused(
        f"{source.path}: {problem.axis} cannot be changed: {problem.what}, {where}",
        "export the model again with this axis dynamic, or leave it as it is",
    )


PLUGIN = Plugin(
    make=axes,
    summary="open or fix the batch and the picture's sides, proven by running",
    needs=("onnx", "onnxruntime"),
    facts={"takes": ("onnx",), "gives": None},
)
