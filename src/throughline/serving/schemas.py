"""The shapes of bodies, as OpenAPI says them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from throughline.serving.wire import TYPES


def object_of(properties: Mapping[str, Any], *required: str) -> dict[str, Any]:
    """An object with these properties."""
    return {"type": "object", "properties": dict(properties), "required": list(required)}


def body(schema: Mapping[str, Any], kind: str = "application/json") -> dict[str, Any]:
    """A body of one media type."""
    return {kind: {"schema": dict(schema)}}


TEXT: Final = {"type": "string"}
NUMBER: Final = {"type": "number"}
WHOLE: Final = {"type": "integer"}
ANY: Final[dict[str, Any]] = {"type": "object"}
_SHAPE: Final = {"type": "array", "items": {"type": "integer", "minimum": 0}, "maxItems": 16}
_TENSOR: Final = object_of(
    {
        "name": TEXT,
        "shape": _SHAPE,
        "datatype": {"type": "string", "enum": list(TYPES)},
        "data": {"type": "array", "items": {}},
        "parameters": ANY,
    },
    "name", "shape", "datatype",
)  # fmt: skip
INFER: Final = body(
    object_of(
        {
            "id": TEXT,
            "inputs": {"type": "array", "items": _TENSOR, "minItems": 1},
            "outputs": {"type": "array", "items": object_of({"name": TEXT, "parameters": ANY}, "name")},
            "parameters": ANY,
        },
        "inputs",
    )
)
INFERRED: Final = body(
    object_of({"model_name": TEXT, "model_version": TEXT, "id": TEXT, "outputs": {"type": "array", "items": _TENSOR}})
)
PREDICT: Final = {
    "image/*": {"schema": {"type": "string", "format": "binary"}},
    "multipart/form-data": {
        "schema": object_of(
            {"image": {"type": "array", "items": {"type": "string", "format": "binary"}, "minItems": 1}}, "image"
        )
    },
    "application/json": {"schema": object_of({"inputs": {"oneOf": [ANY, {"type": "array"}]}}, "inputs")},
}
PREDICTED: Final = body(object_of({"model": TEXT, "version": TEXT, "detections": {"type": "array", "items": ANY}}))
VIDEO: Final = {"video/*": {"schema": {"type": "string", "format": "binary"}}}
ERROR: Final = body(object_of({"error": TEXT}, "error"))
EVENTS: Final = {"text/event-stream": {"schema": {"type": "string"}}}
