"""The Open Inference Protocol over HTTP: from bytes to named arrays, and back.

A request is JSON, or JSON followed by the tensors' own bytes; ``Inference-Header-Content-Length`` says where the
JSON ends. Those bytes become arrays as they lie there: no number of theirs is ever a Python object.
"""

from __future__ import annotations

import math
import reprlib
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, final

import numpy as np

from throughline.contracts.artifacts import Array, TensorSpec
from throughline.contracts.errors import InputError, nearest
from throughline.models.backends import ANY_SHAPE, UNKNOWN
from throughline.serving.json_bodies import listed, parsed, written

TYPES: Final[Mapping[str, str]] = {
    "BOOL": "bool", "UINT8": "uint8", "UINT16": "uint16", "UINT32": "uint32", "UINT64": "uint64",
    "INT8": "int8", "INT16": "int16", "INT32": "int32", "INT64": "int64",
    "FP16": "float16", "FP32": "float32", "FP64": "float64", "BF16": "bfloat16", "BYTES": "str",
}  # fmt: skip
"""The protocol's names of types, and ours."""
NAMES: Final[Mapping[str, str]] = {ours: theirs for theirs, ours in TYPES.items()}
_MOST_ELEMENTS: Final = 2**31
_MOST_TEXTS: Final = 500_000
_MOST_SHOWN: Final = 80
MOST_AXES: Final = 16
_UNSUPPORTED: Final = ("shared_memory_region", "shared_memory_byte_size", "shared_memory_offset", "classification",
                       "sequence_id")  # fmt: skip


@final
@dataclass(frozen=True, slots=True)
class Asked:
    """A request, read.

    Attributes:
        id: what the client calls it, to find the answer again; may be empty.
        feeds: the inputs.
        wanted: the outputs it wants and whether as bytes; None for all of them, as ``binary`` says.
        binary: outputs come as bytes where nothing else is said.
        timeout: the seconds in which it wants its answer; None where it does not say.
        priority: greater goes first.
    """

    id: str
    feeds: dict[str, Array]
    wanted: Mapping[str, bool] | None = None
    binary: bool = False
    timeout: float | None = None
    priority: int = 0


def datatype(dtype: str) -> str:
    """The protocol's name of a type."""
    return NAMES.get(dtype, "BYTES" if dtype in ("object", "string") else "FP32")


def read_request(body: bytes | bytearray, header_length: int | None, inputs: Sequence[TensorSpec]) -> Asked:
    """Read a request for a model that takes these inputs.

    Raises:
        InputError: it is malformed, or is not what the model takes.
    """
    if header_length is not None and not 0 <= header_length <= len(body):
        raise InputError(
            f"Inference-Header-Content-Length is {header_length}, and the body has {len(body)} bytes",
            "send the length of the JSON",
        )
    head = _json(bytes(body[:header_length]) if header_length is not None else bytes(body))
    tail = memoryview(body)[header_length:] if header_length is not None else memoryview(b"")
    tensors, at = _list(head, "inputs"), 0
    feeds: dict[str, Array] = {}
    known = {spec.name: spec for spec in inputs}
    for tensor in tensors:
        name = _text(tensor, "name")
        if name not in known:
            raise InputError(f"there is no input '{name[:80]}'", nearest(name[:80], known))
        if name in feeds:
            raise InputError(f"input '{name}' is given twice", "give each input once")
        parameters = _parameters(tensor)
        size = parameters.get("binary_data_size")
        shape = _shape(tensor, name)
        if size is None:
            feeds[name] = _from_json(tensor, name, known[name], shape)
            continue
        if not isinstance(size, int) or isinstance(size, bool) or not 0 <= size <= len(tail) - at:
            raise InputError(
                f"input '{name}': binary_data_size is {shown(size)}, and {len(tail) - at} bytes are left",
                "send as many bytes as it says",
            )
        feeds[name] = from_bytes(tail[at : at + size], _text(tensor, "datatype"), shape, known[name])
        at += size
    if at != len(tail):
        raise InputError(f"{len(tail) - at} bytes are left over after the last input", "send what the inputs need")
    parameters = _parameters(head)
    wanted = _wanted(head)
    return Asked(
        _id(head), complete(feeds, inputs), wanted, bool(parameters.get("binary_data_output")),
        timeout_of(parameters.get("timeout")), whole(parameters.get("priority", 0), "priority"),
    )  # fmt: skip


def complete(feeds: dict[str, Array], inputs: Sequence[TensorSpec]) -> dict[str, Array]:
    """The same feeds, which are known to be all that the model takes."""
    if missing := [spec.name for spec in inputs if spec.name not in feeds]:
        raise InputError(f"input '{missing[0]}' is missing", f"give all of: {', '.join(map(str, inputs))}")
    return feeds


def timeout_of(value: Any) -> float | None:
    """Seconds, from a parameter in microseconds, as Triton has it; 0 and nothing are no limit."""
    microseconds = whole(value or 0, "timeout")
    return microseconds / 1e6 if microseconds > 0 else None


def supported(names: Container[str]) -> None:
    """Refuse parameters that would change the answer, and change nothing here."""
    if lacking := [name for name in _UNSUPPORTED if name in names]:
        raise InputError(f"the parameter '{lacking[0]}' is not known here", "send tensors, and take tensors")


def whole(value: Any, name: str) -> int:
    """A parameter that is a whole number."""
    if isinstance(value, str) and value.removeprefix("-").isdecimal() and len(value) < 20:
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool) or abs(value) > 2**63:
        raise InputError(f"parameter '{name}' is {shown(value)}", "give a whole number")
    return value


def from_bytes(data: memoryview, given: str, shape: tuple[int, ...], spec: TensorSpec) -> Array:
    """A tensor's own bytes as an array, read where they lie."""
    dtype = dtype_of(given, spec)
    held_to(shape, spec)
    if dtype == "str":
        return _strings(data, shape, spec.name)
    kind = _numpy(dtype)
    count = math.prod(shape)
    if count * kind.itemsize != len(data):
        raise InputError(
            f"input '{spec.name}': {list(shape)} of {given} are {count * kind.itemsize} bytes, and {len(data)} came",
            "let shape, datatype and bytes agree",
        )
    array: Array = np.frombuffer(data, kind).reshape(shape)
    if dtype == "bool" and array.view(np.uint8).max(initial=0) > 1:
        raise InputError(f"input '{spec.name}': a byte of BOOL is neither 0 nor 1", "send 0 or 1")
    return array


def dtype_of(given: str, spec: TensorSpec) -> str:
    """Our name of the type that was given; it must be what the model takes."""
    dtype = TYPES.get(given)
    if dtype is None:
        raise InputError(f"input '{spec.name}': there is no datatype '{given[:40]}'", nearest(given[:40], TYPES))
    if spec.dtype != UNKNOWN and datatype(spec.dtype) != given:
        raise InputError(
            f"input '{spec.name}' is {given}, and the model takes {datatype(spec.dtype)}",
            f"send {datatype(spec.dtype)}",
        )
    return dtype


def held_to(shape: tuple[int, ...], spec: TensorSpec) -> None:
    """Refuse a shape that the model does not take."""
    fits = len(shape) == len(spec.shape) and all(
        not isinstance(mine, int) or mine == size for mine, size in zip(spec.shape, shape, strict=True)
    )
    if spec.shape not in ((), ANY_SHAPE) and not fits:
        raise InputError(f"input '{spec.name}' is {list(shape)}, and the model takes {spec}", "send that shape")
    if math.prod(shape) > _MOST_ELEMENTS:
        raise InputError(f"input '{spec.name}': {list(shape)} is too much at once", "send less")
    if (shape and shape[0] == 0) or 0 in shape:
        raise InputError(f"input '{spec.name}' is {list(shape)}: there is nothing in it", "send one row or more")


def write_response(
    asked: Asked, outputs: Mapping[str, Array], model: str, version: str
) -> tuple[list[bytes], int | None]:
    """The parts of a response, and the length of its JSON where bytes follow it."""
    if asked.wanted is not None and (unknown := [name for name in asked.wanted if name not in outputs]):
        raise InputError(f"there is no output '{unknown[0][:80]}'", nearest(unknown[0][:80], outputs))
    wanted = asked.wanted if asked.wanted is not None else dict.fromkeys(outputs, asked.binary)
    said, tail = list[str](), list[bytes]()
    for name, binary in wanted.items():
        array = outputs[name]
        one: dict[str, Any] = {"name": name, "datatype": datatype(array.dtype.name), "shape": list(array.shape)}
        if binary:
            data = to_bytes(array)
            one["parameters"] = {"binary_data_size": len(data)}
            tail.append(data)
        about = written(one)
        said.append(about if binary else f'{about[:-1]},"data":{listed(array)}}}')
    head = {"model_name": model, "model_version": version, **({"id": asked.id} if asked.id else {})}
    whole_head = f'{written(head)[:-1]},"outputs":[{",".join(said)}]}}'.encode()
    return [whole_head, *tail], (len(whole_head) if tail or asked.binary else None)


def to_bytes(array: Array) -> bytes:
    """An array's own bytes; texts, each after its length."""
    if array.dtype.kind in "OSU":
        parts = [one if isinstance(one, bytes) else str(one).encode() for one in array.ravel().tolist()]
        return b"".join(len(part).to_bytes(4, "little") + part for part in parts)
    return array.tobytes()


def shown(value: Any) -> str:
    """What a client sent, for an error: a little of it, however deep and long it is."""
    return reprlib.repr(value)[:_MOST_SHOWN]


def values_of(data: Any, spec: TensorSpec, dtype: str | None = None) -> Array:
    """Values as they were sent, in the type that an input has: 1.5 becomes no 1, nor "1" a number, nor 1 a text.

    Raises:
        ValueError: they are of another type.
    """
    dtype = dtype or TYPES[datatype(spec.dtype)]
    exact = dtype in ("str", "uint64")  # numpy knows no number that holds both -1 and 2**64 - 1
    given: Array = np.array(data, object if exact else None)
    if dtype == "str":
        array, same = given, all(isinstance(one, str) for one in given.ravel().tolist())
    elif _numpy(dtype).kind in "iub":
        whole = given.dtype.kind in "iub" or (exact and all(isinstance(one, int) for one in given.ravel().tolist()))
        array = given.astype(_numpy(dtype)) if whole else given
        same = whole and bool((given == array).all())
    else:
        with np.errstate(over="ignore"):  # what is too large is infinite then, and refused for that
            array = given.astype(_numpy(dtype)) if given.dtype.kind in "iuf" else given
        same = array.dtype == _numpy(dtype)
    if not same:
        raise ValueError(f"its values are not {NAMES[dtype]}")
    return array


def _json(text: bytes) -> dict[str, Any]:
    try:
        said = parsed(text)
    except (ValueError, RecursionError) as error:
        raise InputError(f"the request is no JSON: {str(error)[:120]}", "send an inference request as JSON") from None
    if not isinstance(said, dict):
        raise InputError(f"the request is {type(said).__name__}", "send a JSON object")
    return said


def _list(head: Mapping[str, Any], name: str) -> list[dict[str, Any]]:
    values = head.get(name)
    if not isinstance(values, list) or not all(isinstance(one, dict) for one in values) or len(values) > 1000:
        raise InputError(f"'{name}' is no list of tensors", "see the Open Inference Protocol, version 2")
    return values


def _id(head: Mapping[str, Any]) -> str:
    value = head.get("id", "")
    if not isinstance(value, (str, int)):
        raise InputError(f"the request's 'id' is {shown(value)}", "give a text")
    return str(value)[:200]


def _text(tensor: Mapping[str, Any], name: str) -> str:
    value = tensor.get(name)
    if not isinstance(value, str):
        raise InputError(f"a tensor's '{name}' is {shown(value)}", "give a text")
    return value


def _shape(tensor: Mapping[str, Any], name: str) -> tuple[int, ...]:
    shape = tensor.get("shape")
    if (
        not isinstance(shape, list)
        or len(shape) > MOST_AXES
        or not all(isinstance(one, int) and not isinstance(one, bool) and 0 <= one < 2**31 for one in shape)
    ):
        raise InputError(f"input '{name[:80]}': its shape is {shown(shape)}", "give a list of sizes")
    return tuple(shape)


def _parameters(part: Mapping[str, Any]) -> Mapping[str, Any]:
    parameters = part.get("parameters") or {}
    if not isinstance(parameters, dict):
        raise InputError("'parameters' is no object", "give names and values")
    supported(parameters)
    return parameters


def _wanted(head: Mapping[str, Any]) -> dict[str, bool] | None:
    if not head.get("outputs"):
        return None
    default = bool(_parameters(head).get("binary_data_output"))
    return {_text(one, "name"): bool(_parameters(one).get("binary_data", default)) for one in _list(head, "outputs")}


def _from_json(tensor: Mapping[str, Any], name: str, spec: TensorSpec, shape: tuple[int, ...]) -> Array:
    dtype = dtype_of(_text(tensor, "datatype"), spec)
    held_to(shape, spec)
    data = tensor.get("data")
    if not isinstance(data, list):
        raise InputError(f"input '{name}' has no data", "send 'data', or bytes and 'binary_data_size'")
    try:
        return values_of(data, spec, dtype).reshape(shape)
    except (ValueError, TypeError, OverflowError, RecursionError) as error:
        raise InputError(f"input '{name}': {str(error)[:120]}", "let shape, datatype and data agree") from None


def _strings(data: memoryview, shape: tuple[int, ...], name: str) -> Array:
    found, at = list[str](), 0
    if math.prod(shape) > _MOST_TEXTS:
        raise InputError(f"input '{name}': {list(shape)} are too many texts at once", "send fewer")
    while len(found) <= _MOST_TEXTS and at + 4 <= len(data):
        length = int.from_bytes(data[at : at + 4], "little")
        if at + 4 + length > len(data):
            break
        try:
            found.append(str(data[at + 4 : at + 4 + length], "utf-8"))
        except UnicodeDecodeError:
            raise InputError(f"input '{name}': text {len(found)} is not UTF-8", "send texts as UTF-8") from None
        at += 4 + length
    if at != len(data) or len(found) != math.prod(shape):
        raise InputError(f"input '{name}': its bytes are not {math.prod(shape)} texts", "send each after its length")
    array: Array = np.array(found, object).reshape(shape)
    return array


def _numpy(dtype: str) -> Any:
    if dtype == "bfloat16":
        import ml_dtypes

        return np.dtype(ml_dtypes.bfloat16)
    return np.dtype(dtype)
