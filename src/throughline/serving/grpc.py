"""The Open Inference Protocol over gRPC: Triton's own messages, answered by the same queues as HTTP."""

from __future__ import annotations

import os
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Final, final

import numpy as np

from throughline.contracts.artifacts import Array
from throughline.contracts.errors import InputError, ThroughlineError, Unavailable, nearest
from throughline.serving.house import House
from throughline.serving.json_bodies import MOST_VALUES
from throughline.serving.operations import EXTENSIONS, NAME, about, config_of, load_from, repository, statistics
from throughline.serving.refusals import kind_of, status_of
from throughline.serving.served import Served
from throughline.serving.wire import (
    MOST_AXES,
    complete,
    datatype,
    dtype_of,
    from_bytes,
    held_to,
    shown,
    supported,
    timeout_of,
    to_bytes,
    whole,
)

_CONTENTS: Final = {
    "BOOL": "bool_contents", "INT8": "int_contents", "INT16": "int_contents", "INT32": "int_contents",
    "INT64": "int64_contents", "UINT8": "uint_contents", "UINT16": "uint_contents", "UINT32": "uint_contents",
    "UINT64": "uint64_contents", "FP32": "fp32_contents", "FP64": "fp64_contents", "BYTES": "bytes_contents",
}  # fmt: skip
_CODES: Final = {
    400: "INVALID_ARGUMENT", 401: "UNAUTHENTICATED", 403: "PERMISSION_DENIED", 404: "NOT_FOUND",
    409: "FAILED_PRECONDITION", 413: "RESOURCE_EXHAUSTED", 422: "INVALID_ARGUMENT", 429: "RESOURCE_EXHAUSTED",
    501: "UNIMPLEMENTED", 503: "UNAVAILABLE", 504: "DEADLINE_EXCEEDED",
}  # fmt: skip


async def listening(house: House, host: str, port: int, certificate: Path | None, key: Path | None) -> tuple[Any, int]:
    """A gRPC server that listens, and its port."""
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")  # else it has a line for every handshake that fails
    import grpc
    from tritonclient.grpc import service_pb2_grpc

    most = house.bounds.body
    server = grpc.aio.server(
        options=[
            ("grpc.max_receive_message_length", most),
            ("grpc.max_send_message_length", -1),
            ("grpc.so_reuseport", 0),
            ("grpc.max_metadata_size", 65_536),
            ("grpc.server_handshake_timeout_ms", 5_000),
        ]
    )
    service_pb2_grpc.add_GRPCInferenceServiceServicer_to_server(_servicer(house), server)
    where = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    try:
        if certificate is None or key is None:
            taken = server.add_insecure_port(where)
        else:
            pair = (key.read_bytes(), certificate.read_bytes())
            taken = server.add_secure_port(where, grpc.ssl_server_credentials([pair]))
    except (RuntimeError, OSError) as error:
        raise Unavailable(f"cannot listen on {where}: {error}", "give another --grpc-port, or 0 for none") from None
    await server.start()
    return server, taken


def _servicer(house: House) -> Any:
    """The methods of the protocol; each is let in, answered and counted the same way."""
    import grpc
    from google.protobuf import json_format
    from tritonclient.grpc import service_pb2 as messages
    from tritonclient.grpc import service_pb2_grpc

    async def answered(context: Any, role: str, work: Any) -> Any:
        try:
            metadata = dict(context.invocation_metadata() or ())
            given = metadata.get("authorization")
            house.door.check(role, given if isinstance(given, str) else None)
            return await work()
        except Exception as error:
            await context.abort(*_refused(error))

    def _refused(error: Exception) -> tuple[Any, str]:
        house.metrics.failed(kind_of(error), "grpc")
        if not isinstance(error, ThroughlineError):
            house.log.failure("fault", error, route="grpc")
            return grpc.StatusCode.INTERNAL, "a fault of the server's"
        code = getattr(grpc.StatusCode, _CODES.get(status_of(error), "INTERNAL"))
        return code, f"{error.problem}; {error.fix}" if error.fix else error.problem

    def filled(message: Any, values: dict[str, Any]) -> Any:
        return json_format.ParseDict(values, message, ignore_unknown_fields=True)

    def served_of(request: Any) -> Served:
        version = getattr(request, "version", "") or getattr(request, "model_version", "")
        name = getattr(request, "model_name", "") or getattr(request, "name", "")
        return house.shelf.find(name, version or None)

    async def inferred(request: Any) -> Any:
        began = time.perf_counter()
        served = served_of(request)
        for one in (request, *request.outputs):
            supported(one.parameters)
        feeds = _feeds(request, served)
        parameters = {name: _parameter(value) for name, value in request.parameters.items()}
        timeout = timeout_of(parameters.get("timeout"))
        read = time.perf_counter()
        priority = whole(parameters.get("priority", 0), "priority")
        with served.held():
            done = await house.ask(served, feeds, timeout, priority)
        response = messages.ModelInferResponse(
            model_name=served.name, model_version=served.version, id=request.id[:200]
        )
        wanted = [one.name for one in request.outputs] or list(done.outputs)
        for name in wanted:
            if name not in done.outputs:
                raise InputError(f"there is no output '{name[:80]}'", nearest(name[:80], done.outputs))
            array = done.outputs[name]
            response.outputs.add(name=name, datatype=datatype(array.dtype.name), shape=array.shape)
            response.raw_output_contents.append(to_bytes(array))
        stages = {"read": read - began, "queue": done.queued, "compute": done.computed}
        stages["all"] = time.perf_counter() - began
        house.answered(served, "grpc", request.id[:200], stages)
        return response

    @final
    class Servicer(service_pb2_grpc.GRPCInferenceServiceServicer):  # type: ignore[misc]
        async def ServerLive(self, request: Any, context: Any) -> Any:
            return messages.ServerLiveResponse(live=True)

        async def ServerReady(self, request: Any, context: Any) -> Any:
            return messages.ServerReadyResponse(ready=house.ready and house.shelf.ready)

        async def ModelReady(self, request: Any, context: Any) -> Any:
            async def work() -> Any:
                served_of(request)
                return messages.ModelReadyResponse(ready=house.ready)

            return await answered(context, "infer", work)

        async def ServerMetadata(self, request: Any, context: Any) -> Any:
            async def work() -> Any:
                return messages.ServerMetadataResponse(name=NAME, version=house.version, extensions=EXTENSIONS)

            return await answered(context, "infer", work)

        async def ModelMetadata(self, request: Any, context: Any) -> Any:
            async def work() -> Any:
                served = served_of(request)
                said = about(served, list(house.shelf.model(served.name).versions))
                return filled(messages.ModelMetadataResponse(), said)

            return await answered(context, "infer", work)

        async def ModelConfig(self, request: Any, context: Any) -> Any:
            async def work() -> Any:
                return filled(messages.ModelConfigResponse(), {"config": config_of(served_of(request))})

            return await answered(context, "infer", work)

        async def ModelStatistics(self, request: Any, context: Any) -> Any:
            async def work() -> Any:
                found = statistics(house, request.name or None)
                return filled(messages.ModelStatisticsResponse(), {"model_stats": found})

            return await answered(context, "infer", work)

        async def ModelInfer(self, request: Any, context: Any) -> Any:
            return await answered(context, "infer", lambda: inferred(request))

        async def ModelStreamInfer(self, requests: AsyncIterator[Any], context: Any) -> AsyncIterator[Any]:
            async for request in requests:
                try:
                    metadata = dict(context.invocation_metadata() or ())
                    house.door.check("infer", metadata.get("authorization"))
                    yield messages.ModelStreamInferResponse(infer_response=await inferred(request))
                except Exception as error:
                    response = messages.ModelInferResponse(id=request.id[:200])
                    yield messages.ModelStreamInferResponse(error_message=_refused(error)[1], infer_response=response)

        async def RepositoryIndex(self, request: Any, context: Any) -> Any:
            async def work() -> Any:
                return filled(messages.RepositoryIndexResponse(), {"models": repository(house)})

            return await answered(context, "infer", work)

        async def RepositoryModelLoad(self, request: Any, context: Any) -> Any:
            async def work() -> Any:
                parameters = {name: _parameter(value) for name, value in request.parameters.items()}
                await load_from(house, request.model_name, {"parameters": parameters})
                return messages.RepositoryModelLoadResponse()

            return await answered(context, "admin", work)

        async def RepositoryModelUnload(self, request: Any, context: Any) -> Any:
            async def work() -> Any:
                await house.shelf.unload(request.model_name)
                return messages.RepositoryModelUnloadResponse()

            return await answered(context, "admin", work)

    return Servicer()


def _feeds(request: Any, served: Served) -> dict[str, Array]:
    known = {spec.name: spec for spec in served.inputs}
    raw = request.raw_input_contents
    if raw and len(raw) != len(request.inputs):
        raise InputError(f"{len(request.inputs)} inputs, and the bytes of {len(raw)}", "send the bytes of each")
    feeds: dict[str, Array] = {}
    for at, tensor in enumerate(request.inputs):
        spec = known.get(tensor.name)
        if spec is None:
            raise InputError(f"there is no input '{tensor.name[:80]}'", nearest(tensor.name[:80], known))
        if tensor.name in feeds:
            raise InputError(f"input '{tensor.name}' is given twice", "give each input once")
        supported(tensor.parameters)
        shape = tuple(tensor.shape)
        if len(shape) > MOST_AXES or min(shape, default=0) < 0:
            raise InputError(f"input '{tensor.name}': its shape is {shown(shape)}", "give a list of sizes")
        if raw and tensor.HasField("contents"):
            raise InputError(f"input '{tensor.name}' is given as bytes and as values", "send one of them")
        if raw:
            feeds[tensor.name] = from_bytes(memoryview(raw[at]), tensor.datatype, shape, spec)
            continue
        dtype = dtype_of(tensor.datatype, spec)
        held_to(shape, spec)
        field = _CONTENTS.get(tensor.datatype)
        if field is None:
            raise InputError(f"input '{tensor.name}': {tensor.datatype} is sent as bytes", "use raw_input_contents")
        try:
            contents = getattr(tensor.contents, field)
            if len(contents) > MOST_VALUES:
                raise InputError(f"input '{tensor.name}': {len(contents):,} values", "send them as raw_input_contents")
            values = list(contents)
            feeds[tensor.name] = np.array(values, object if dtype == "str" else dtype).reshape(shape)
        except (ValueError, OverflowError) as error:
            raise InputError(f"input '{tensor.name}': {error}", "let shape and contents agree") from None
    return complete(feeds, served.inputs)


def _parameter(value: Any) -> Any:
    which = value.WhichOneof("parameter_choice")
    return getattr(value, which) if which else None
