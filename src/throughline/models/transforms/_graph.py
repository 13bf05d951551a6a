"""An ONNX graph on its way through a transform: read whole, changed in memory, written checked.

Whatever a transform does in between, what it writes passes the checker with every shape inferred, has the
names, sizes and metadata of what it was made from, and is the same file each time.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from throughline.contracts.artifacts import Array, Artifact
from throughline.contracts.errors import InputError, ModelRefused, first_line

USUAL_SIZE: Final = 640
"""The side of pictures, where nobody has said."""
USUAL_STRIDE: Final = 32
"""What the sides of pictures are multiples of, where nobody has said."""
OUTSIDE_FROM: Final = 1_500_000_000
"""From so many bytes on, weights are kept in a file beside the graph: protobuf ends at two gigabytes."""
STANDARD: Final = ("", "ai.onnx")


def cleared(source: Artifact, transform: str) -> Path:
    """Where the graph of an artifact is, once it is known to be one that may be read.

    Raises:
        InputError: the artifact is not ONNX, or damaged.
        ModelRefused: it reaches for files that are not its own.
    """
    from throughline.models.loading.onnx_guard import check_onnx

    if source.format != "onnx":
        raise InputError(
            f"{source.path} is {source.format}; '{transform}' takes onnx",
            f"export it first: throughline export {source.path} --to onnx",
        )
    check_onnx(source.path)
    return source.path


def load(source: Artifact, transform: str) -> Any:
    """The graph of an artifact with all its weights in memory; refused where ``cleared`` refuses it."""
    import onnx

    model = onnx.load(cleared(source, transform))
    if (version := opset(model)) < 11:
        raise InputError(
            f"{source.path} is of opset {version}; '{transform}' takes 11 and later",
            "export the model again with a newer opset",
        )
    for inner in (model.graph, *model.functions):
        name_nodes(inner.node)
    return model


def opset(model: Any) -> int:
    """The version of the standard operators that a model is written in."""
    return next((entry.version for entry in model.opset_import if entry.domain in STANDARD), 1)


def raised_to(model: Any, least: int, why: str) -> Any:
    """The model in opset ``least``, or as it is where it is that new already."""
    from onnx import version_converter

    if opset(model) >= least:
        return model
    try:
        raised = version_converter.convert_version(model, least)
    except Exception as error:
        raise ModelRefused(
            f"{why} takes opset {least}; "
            f"the model is of {opset(model)} and cannot be raised: {first_line(error)[:200]}",
            f"export the model again with opset {least}",
        ) from None
    raised.ir_version = max(raised.ir_version, model.ir_version, 10 if least >= 21 else 8)
    del raised.metadata_props[:]
    raised.metadata_props.extend(model.metadata_props)
    name_nodes(raised.graph.node)
    return raised


def name_nodes(nodes: Any) -> None:
    """Give a name to every node that has none: layers are kept, left out and reported by name."""
    taken = {node.name for node in nodes}
    for number, node in enumerate(nodes):
        if not node.name:
            name = f"{node.op_type}_{number}"
            while name in taken:
                name += "_"
            node.name = name
            taken.add(name)


def inferred(model: Any) -> Any:
    """The model with the shape and type of every tensor that can be known without running it."""
    from onnx import shape_inference

    if model.ByteSize() >= OUTSIDE_FROM:
        return model  # it does not pass through memory a second time; what it says of itself has to do
    try:
        return shape_inference.infer_shapes(model, check_type=True, strict_mode=True, data_prop=True)
    except shape_inference.InferenceError:
        # strict inference knows standard operators alone
        return shape_inference.infer_shapes(model, data_prop=True)


def forget_shapes(model: Any) -> None:
    """Drop what was inferred of the tensors inside, so that it is inferred anew."""
    del model.graph.value_info[:]


def interface(model: Any) -> tuple[tuple[str, int, tuple[int | str, ...]], ...]:
    """Name, element type and shape of every input and output, in order."""
    weights = {tensor.name for tensor in model.graph.initializer}
    values = [value for value in model.graph.input if value.name not in weights] + list(model.graph.output)
    return tuple((value.name, value.type.tensor_type.elem_type, axes(value)) for value in values)


def axes(value: Any) -> tuple[int | str, ...]:
    """The shape that a value declares, with names, or "", for what is open."""
    return tuple(
        axis.dim_value if axis.HasField("dim_value") else axis.dim_param for axis in value.type.tensor_type.shape.dim
    )


def inputs(model: Any) -> list[Any]:
    """What has to be fed: older files list their weights among the inputs, too."""
    weights = {tensor.name for tensor in model.graph.initializer}
    return [value for value in model.graph.input if value.name not in weights]


def constants(model: Any) -> dict[str, Array]:
    """Every constant of the outer graph by name: weights, and what ``Constant`` nodes give."""
    from onnx import numpy_helper

    found = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    for node in model.graph.node:
        if node.op_type == "Constant" and node.domain in STANDARD:
            value = _constant(node)
            if value is not None:
                found[node.output[0]] = value
    return found


def lift_constants(model: Any) -> None:
    """Turn every ``Constant`` node of the outer graph into an initializer: one kind of constant to think of."""
    from onnx import numpy_helper

    kept = []
    for node in model.graph.node:
        value = _constant(node) if node.op_type == "Constant" and node.domain in STANDARD else None
        if value is None:
            kept.append(node)
        else:
            model.graph.initializer.append(numpy_helper.from_array(value, node.output[0]))
    del model.graph.node[:]
    model.graph.node.extend(kept)


def drop_unused_weights(model: Any) -> None:
    """Take out the initializers that nothing reads any more."""
    from throughline.models.loading.onnx_graph import graphs

    read = {name for graph in graphs(model) for node in graph.node for name in node.input}
    read.update(value.name for graph in graphs(model) for value in graph.output)
    kept = [tensor for tensor in model.graph.initializer if tensor.name in read]
    gone = {tensor.name for tensor in model.graph.initializer} - {tensor.name for tensor in kept}
    del model.graph.initializer[:]
    model.graph.initializer.extend(kept)
    listed = [value for value in model.graph.input if value.name not in gone]
    del model.graph.input[:]
    model.graph.input.extend(listed)


def attribute(node: Any, name: str, default: Any = None) -> Any:
    """One attribute of a node, or the default where it is not given."""
    from onnx import helper

    found = next((entry for entry in node.attribute if entry.name == name), None)
    return default if found is None else helper.get_attribute_value(found)


def has_inner_graphs(node: Any) -> bool:
    """Whether the node is an If, a Loop or the like."""
    return any(entry.HasField("g") or entry.graphs for entry in node.attribute)


def unknown_names(asked: Sequence[str], nodes: Any, option: str) -> None:
    """Refuse names of nodes that the graph does not have."""
    from throughline.contracts.errors import nearest

    names = {node.name for node in nodes}
    for name in asked:
        if name not in names:
            close = nearest(name, names)
            raise InputError(
                f"{option} names the node '{name}', which the graph does not have",
                close if len(names) <= 20 else close.partition(" (")[0],
            )


def facts_of(source: Artifact) -> dict[str, str]:
    """What is known of a model, as YOLO exports write it into their files."""
    about = source.passport
    facts = {
        "task": about.task,
        "stride": None if about.stride is None else str(about.stride),
        "imgsz": None if about.imgsz is None else str(list(about.imgsz)),
        "names": str(dict(enumerate(about.labels))) if about.labels else None,
        "license": about.licence,
        "decoder": about.decoder,
    }
    return {name: value for name, value in facts.items() if value}


def set_metadata(model: Any, facts: Mapping[str, str]) -> None:
    """Write facts into the file's own metadata, over those of the same name."""
    kept = [(entry.key, entry.value) for entry in model.metadata_props if entry.key not in facts]
    del model.metadata_props[:]
    for key, value in [*kept, *facts.items()]:
        entry = model.metadata_props.add()
        entry.key, entry.value = key, value


def save(model: Any, target: Path, *, like: Any = None) -> tuple[str, ...]:
    """Check the graph and write it; the names of the files beside it.

    Args:
        model: the finished graph.
        target: where to write.
        like: the graph whose interface and metadata it has to have; not compared when not given.
    """
    import onnx

    if like is not None:
        _same_interface(model, like)
        _as_declared(model, like)
        del model.metadata_props[:]
        model.metadata_props.extend(like.metadata_props)
    model.producer_name, model.producer_version = (like or model).producer_name, (like or model).producer_version
    model = inferred(model)
    if model.ByteSize() < OUTSIDE_FROM:
        _checked(model, "what was made")
        target.write_bytes(model.SerializeToString(deterministic=True))
        return ()
    beside = target.name + ".data"
    onnx.save(model, target, save_as_external_data=True, location=beside, size_threshold=1024)
    _checked(str(target), "what was made")
    return (beside,)


def tool(*packages: str) -> str:
    """The packages that did the work, with their versions: what a step's line in the passport says."""
    from importlib.metadata import version

    return ", ".join(f"{package} {version(package)}" for package in packages)


def _checked(model: Any, what: str) -> None:
    from onnx import checker, shape_inference

    try:
        checker.check_model(model, full_check=True)
    except (checker.ValidationError, shape_inference.InferenceError) as error:
        raise ModelRefused(
            f"{what} is no valid ONNX graph: {first_line(error)[:300]}", "simplify the model first, or export it again"
        ) from None


def _same_interface(model: Any, like: Any) -> None:
    for here, there in zip(interface(model), interface(like), strict=False):
        if here[0] != there[0] or not _fits(here[2], there[2]):
            raise ModelRefused(
                f"'{there[0]}' {list(there[2])} became '{here[0]}' {list(here[2])}",
                "leave this transform away, or report the model that shows it",
            )
    if len(interface(model)) != len(interface(like)):
        raise ModelRefused(
            f"a graph with {len(interface(like))} inputs and outputs became one with {len(interface(model))}",
            "leave this transform away, or report the model that shows it",
        )


def _fits(here: Sequence[int | str], there: Sequence[int | str]) -> bool:
    """Whether every size that was given is as it was; what was open may be known better by now."""
    if not there:
        return True
    return len(here) == len(there) and all(
        isinstance(old, str) or new == old for new, old in zip(here, there, strict=True)
    )


def _as_declared(model: Any, like: Any) -> None:
    """Give inputs and outputs the shapes that they were declared with: names of axes are part of the interface."""
    for here, there in ((model.graph.input, like.graph.input), (model.graph.output, like.graph.output)):
        known = {value.name: value for value in there}
        for value in here:
            if value.name in known:
                value.type.tensor_type.ClearField("shape")
                if known[value.name].type.tensor_type.HasField("shape"):
                    value.type.tensor_type.shape.CopyFrom(known[value.name].type.tensor_type.shape)


def _constant(node: Any) -> Array | None:
    import numpy as np
    from onnx import numpy_helper

    for entry in node.attribute:
        if entry.name == "value":
            value: Array = numpy_helper.to_array(entry.t)
            return value
        if entry.name in ("value_float", "value_floats"):
            return np.array(entry.f if entry.name == "value_float" else list(entry.floats), np.float32)
        if entry.name in ("value_int", "value_ints"):
            return np.array(entry.i if entry.name == "value_int" else list(entry.ints), np.int64)
    return None
