"""A model repository for Triton: ``NAME/config.pbtxt`` and ``NAME/1/`` with the model.

The configuration is a message of Triton's own schema, written by protobuf: whatever a tensor or a class is called, it
is text between quotes there. What Triton cannot serve is refused here, and not found out at its start.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final, TypeAlias

from throughline.contracts.artifacts import Artifact, TensorSpec
from throughline.contracts.errors import InputError
from throughline.models.backends import ANY_SHAPE, UNKNOWN
from throughline.models.session import open_model
from throughline.plugins import Plugin
from throughline.serving.deploying import USUAL_LATENCY_MS, Made, Order
from throughline.serving.deploying._measured import largest_batch
from throughline.serving.deploying._model import carried

Specs: TypeAlias = tuple[TensorSpec, ...]

_BACKENDS: Final = {"onnx": "onnxruntime", "openvino": "openvino", "tensorrt": "tensorrt"}
_TYPES: Final = {
    "bool": "BOOL", "uint8": "UINT8", "uint16": "UINT16", "uint32": "UINT32", "uint64": "UINT64", "int8": "INT8",
    "int16": "INT16", "int32": "INT32", "int64": "INT64", "float16": "FP16", "float32": "FP32", "float64": "FP64",
    "bfloat16": "BF16", "string": "STRING", "object": "STRING",
}  # fmt: skip
_THREADS: Final = {"onnx": "intra_op_thread_count", "openvino": "INFERENCE_NUM_THREADS"}
_LABELS: Final = "labels.txt"


def make(order: Order, folder: Path) -> Made:
    """Write the repository."""
    model = order.model
    if model.format == "tensorrt" and "RTX" in order.kind:
        raise InputError(
            f"{model.path} is an engine of TensorRT-RTX, which Triton does not load",
            "export --to tensorrt, or deploy the ONNX file that it was made from",
        )
    inputs, outputs, batch = _interface(order)
    for spec in (*inputs, *outputs):
        _refuse_what_triton_cannot_say(model.path, spec)
    configuration, labels = _written(order, inputs, outputs, batch), _label_lines(model)
    home = folder / order.name
    carried(model, home / "1", "model")
    (home / "config.pbtxt").write_text(configuration, "utf-8")
    if labels:
        (home / _LABELS).write_text(labels, "utf-8")
    return Made(
        (("tritonserver", f"--model-repository={order.out}"),),
        notes=("it was not run in Triton: its configuration was written by Triton's own schema, and nothing else",),
    )


def _interface(order: Order) -> tuple[Specs, Specs, int]:
    """What the model really takes and returns, and the largest batch, which is 0 where rows are not to be batched."""
    model = order.model
    if model.format == "tensorrt":  # it is another machine's: there is nothing but its passport to go by
        inputs, outputs = model.inputs, model.outputs
        if not inputs or not outputs:
            raise InputError(f"{model.path}: nothing says what it takes and returns", "export it on this machine")
        firsts = {spec.shape[0] if spec.shape else 0 for spec in (*inputs, *outputs)}
        alike = len(firsts) == 1 and isinstance(next(iter(firsts)), str)
        return inputs, outputs, order.max_batch_size if alike and order.max_batch_size > 1 else 0
    with open_model(model.path, device="cpu") as session:
        size = largest_batch(session, model, order.max_batch_size)
        return session.inputs, session.outputs, size if size > 1 else 0


def _refuse_what_triton_cannot_say(path: Path, spec: TensorSpec) -> None:
    if spec.dtype == UNKNOWN or spec.shape == ANY_SHAPE:
        raise InputError(f"{path}: nothing says what {spec.name!r} looks like", "export it again")
    if spec.dtype not in _TYPES:
        raise InputError(
            f"{path}: {spec.name!r} is {spec.dtype}, for which Triton has no type",
            f"export it with one of: {', '.join(_TYPES)}",
        )
    if not spec.shape or any(isinstance(axis, int) and axis < 1 for axis in spec.shape):
        raise InputError(
            f"{path}: {spec.name!r} has the shape {list(spec.shape)}, which Triton cannot describe",
            "export it with at least one axis, and none of length 0",
        )


def _label_lines(model: Artifact) -> str:
    """The classes as Triton reads them, one a line."""
    for label in model.labels:
        if label.splitlines() not in ([], [label]) or not _is_text(label):
            raise InputError(
                f"the class {label!r} cannot stand on a line of a text file, as Triton wants it",
                "rename it: throughline inspect MODEL --labels",
            )
    return "".join(f"{label}\n" for label in model.labels)


def _written(order: Order, inputs: Specs, outputs: Specs, batch: int) -> str:
    from google.protobuf import text_format
    from tritonclient.grpc import model_config_pb2 as schema

    model = order.model
    for spec in (*inputs, *outputs):
        if not spec.name or not _is_text(spec.name):
            raise InputError(
                f"{model.path}: no request can name the tensor {spec.name!r}", "export it with other names"
            )
    config = schema.ModelConfig(name=order.name, backend=_BACKENDS[model.format], max_batch_size=batch)
    for spec in inputs:
        _describe(config.input.add(), spec, batch, schema)
    for spec in outputs:
        one = config.output.add()
        _describe(one, spec, batch, schema)
        if model.labels and model.task == "classify" and spec.shape[-1] == len(model.labels):
            one.label_filename = _LABELS
    kind = {"onnx": "KIND_AUTO", "openvino": "KIND_CPU", "tensorrt": "KIND_GPU"}[model.format]
    config.instance_group.add(count=1, kind=schema.ModelInstanceGroup.Kind.Value(kind))
    if batch:
        latency = USUAL_LATENCY_MS if order.max_latency_ms is None else order.max_latency_ms
        config.dynamic_batching.max_queue_delay_microseconds = round(1000 * latency)
    if order.threads is not None and model.format in _THREADS:
        config.parameters[_THREADS[model.format]].string_value = str(order.threads)
    return str(text_format.MessageToString(config))


def _describe(one: Any, spec: TensorSpec, batch: int, schema: Any) -> None:
    """Every axis, or all but the rows' own; -1 where it varies."""
    axes = spec.shape[1:] if batch else spec.shape
    one.name, one.data_type = spec.name, schema.DataType.Value(f"TYPE_{_TYPES[spec.dtype]}")
    one.dims.extend([axis if isinstance(axis, int) else -1 for axis in axes] or [1])
    if not axes:
        one.reshape.SetInParent()  # one number a row, which Triton cannot say without an axis


def _is_text(text: str) -> bool:
    """Whether it can be written down: half of a pair of surrogates cannot."""
    return text.isascii() or not any("\ud800" <= char <= "\udfff" for char in text)


PLUGIN = Plugin(
    make=make,
    summary="a model repository for Triton",
    needs=("tritonclient",),
    extra="serve",
    facts={"formats": tuple(_BACKENDS)},
)
