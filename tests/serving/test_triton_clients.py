"""Triton's own clients, as they are, over HTTP and gRPC: what they ask Triton, they can ask here."""

from __future__ import annotations

import asyncio
import queue
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

pytest.importorskip("tritonclient.http")

import tritonclient.grpc as triton_grpc
import tritonclient.grpc.aio as triton_grpc_aio
import tritonclient.http as triton_http
import tritonclient.http.aio as triton_http_aio
from live_server import HOST, Live
from served_models import TABLE, TYPED
from tritonclient.utils import InferenceServerException

X = np.array([[1, 2, 3], [4, 5, 6]], np.float32)
PLACE = np.array([[3], [0]], np.int64)
Y = X + TABLE[PLACE]


@pytest.fixture(scope="module")
def over_http(live: Live) -> Iterator[Any]:
    with triton_http.InferenceServerClient(f"{HOST}:{live.port}", concurrency=4) as client:
        yield client


@pytest.fixture(scope="module")
def over_grpc(live: Live) -> Iterator[Any]:
    with triton_grpc.InferenceServerClient(f"{HOST}:{live.grpc}") as client:
        yield client


@pytest.fixture(params=["http", "grpc"])
def client(request: pytest.FixtureRequest) -> Any:
    return request.getfixturevalue(f"over_{request.param}")


def of(client: Any) -> Any:
    """The module that a client is of."""
    return triton_http if isinstance(client, triton_http.InferenceServerClient) else triton_grpc


def plain(client: Any, said: Any) -> Any:
    """An answer of either, as a dictionary."""
    if isinstance(said, (dict, list)):
        return said
    from google.protobuf import json_format

    return json_format.MessageToDict(said, preserving_proto_field_name=True)


def given(module: Any, name: str, array: Any, datatype: str, **how: Any) -> Any:
    one = module.InferInput(name, array.shape, datatype)
    one.set_data_from_numpy(array, **how)
    return one


def question(module: Any, **how: Any) -> list[Any]:
    return [given(module, "x", X, "FP32", **how), given(module, "place", PLACE, "INT64", **how)]


def test_it_lives_is_ready_and_says_what_it_is(client: Any) -> None:
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.is_model_ready("looks")
    said = plain(client, client.get_server_metadata())
    assert said["name"] == "throughline"
    assert "binary_tensor_data" in said["extensions"]


def test_a_model_says_what_it_takes_and_gives(client: Any) -> None:
    said = plain(client, client.get_model_metadata("looks"))
    assert (said["name"], said["versions"], said["platform"]) == ("looks", ["1"], "onnxruntime_onnx")
    assert [(one["name"], one["datatype"], list(map(int, one["shape"]))) for one in said["inputs"]] == [
        ("x", "FP32", [-1, 3]), ("place", "INT64", [-1, 1])
    ]  # fmt: skip
    assert [one["name"] for one in said["outputs"]] == ["y"]
    configured = plain(client, client.get_model_config("looks"))
    configured = configured.get("config", configured)
    assert configured["max_batch_size"] == 8
    assert [one["data_type"] for one in configured["input"]] == ["TYPE_FP32", "TYPE_INT64"]
    assert list(map(int, configured["input"][0]["dims"])) == [3]


def test_every_model_is_in_the_index_and_counted(client: Any) -> None:
    said = plain(client, client.get_model_repository_index())
    found = {one["name"]: one["state"] for one in (said if isinstance(said, list) else said["models"])}
    assert found == dict.fromkeys(("every", "texts", "looks", "adds", "blobs"), "READY")

    def counted() -> tuple[int, int]:
        said = plain(client, client.get_inference_statistics("looks"))
        one = next(iter(said["model_stats"]), None)
        return (int(one["inference_count"]), int(one["execution_count"])) if one else (0, 0)

    before = counted()
    client.infer("looks", question(of(client)))
    assert counted() == (before[0] + 2, before[1] + 1)
    assert "looks" in {one["name"] for one in plain(client, client.get_inference_statistics())["model_stats"]}


@pytest.mark.parametrize("datatype", TYPED)
def test_every_type_goes_there_and_back_to_the_bit(client: Any, datatype: str) -> None:
    module = of(client)
    random = np.random.default_rng(5)
    inputs, own = [], None
    for name, (_, dtype) in TYPED.items():
        array = np.zeros((3, 2), dtype)
        if name == datatype:
            array = random.integers(0, 256, array.nbytes, np.uint8).view(np.uint8)
            array = (array % 2).view(dtype) if dtype == "bool" else array.view(dtype)
            own = array = np.nan_to_num(array, posinf=1, neginf=1).reshape(-1)[:6].reshape(3, 2)
        inputs.append(given(module, name, array, name))
    assert own is not None
    got = client.infer("every", inputs).as_numpy(f"same_{datatype}")
    assert got.dtype == own.dtype
    assert got.tobytes() == own.tobytes()


def test_texts_go_there_and_back(client: Any) -> None:
    texts = np.array([["a", ""], ["é摄像头", "x" * 5000]], object)
    got = client.infer("texts", [given(of(client), "text", texts, "BYTES")]).as_numpy("same")
    assert [[one.decode() for one in row] for row in got] == texts.tolist()


@pytest.mark.parametrize("there", [True, False])
@pytest.mark.parametrize("back", [True, False])
def test_binary_and_json_in_every_mixture(over_http: Any, there: bool, back: bool) -> None:
    wanted = [triton_http.InferRequestedOutput("y", binary_data=back)]
    result = over_http.infer("looks", question(triton_http, binary_data=there), outputs=wanted, request_id="my own")
    assert np.array_equal(result.as_numpy("y"), Y)
    assert result.get_response()["id"] == "my own"


@pytest.mark.parametrize("how", ["gzip", "deflate"])
def test_requests_may_be_packed_and_answers_asked_to_be(over_http: Any, how: str) -> None:
    result = over_http.infer(
        "looks", question(triton_http), request_compression_algorithm=how, response_compression_algorithm=how
    )
    assert np.array_equal(result.as_numpy("y"), Y)


@pytest.mark.parametrize("how", ["gzip", "deflate"])
def test_grpc_may_be_packed(over_grpc: Any, how: str) -> None:
    result = over_grpc.infer("looks", question(triton_grpc), compression_algorithm=how)
    assert np.array_equal(result.as_numpy("y"), Y)


def test_only_the_outputs_that_are_wanted_come(client: Any) -> None:
    module = of(client)
    inputs = [given(module, name, np.zeros((1, 2), dtype), name) for name, (_, dtype) in TYPED.items()]
    wanted = [module.InferRequestedOutput(f"same_{name}") for name in ("INT8", "FP64")]
    result = client.infer("every", inputs, outputs=wanted, request_id="7", model_version="1", priority=3)
    assert result.as_numpy("same_INT8") is not None
    assert result.as_numpy("same_FP64") is not None
    assert result.as_numpy("same_FP32") is None
    assert plain(client, result.get_response())["id"] == "7"


WRONG: dict[str, Callable[[Any], dict[str, Any]]] = {
    "no such model": lambda module: {"model_name": "nobody", "inputs": question(module)},
    "no such version": lambda module: {"model_version": "9", "inputs": question(module)},
    "an input is missing": lambda module: {"inputs": question(module)[:1]},
    "an input twice": lambda module: {"inputs": [*question(module), question(module)[0]]},
    "another type": lambda module: {
        "inputs": [given(module, "x", X.astype(np.float64), "FP64"), question(module)[1]]
    },
    "another shape": lambda module: {"inputs": [given(module, "x", X[:, :2], "FP32"), question(module)[1]]},
    "numbers of rows that differ": lambda module: {
        "inputs": [question(module)[0], given(module, "place", PLACE[:1], "INT64")]
    },
    "too many rows": lambda module: {
        "inputs": [given(module, "x", np.zeros((9, 3), np.float32), "FP32"),
                   given(module, "place", np.zeros((9, 1), np.int64), "INT64")]
    },
    "no row": lambda module: {
        "inputs": [given(module, "x", X[:0], "FP32"), given(module, "place", PLACE[:0], "INT64")]
    },
    "no such output": lambda module: {"inputs": question(module), "outputs": [module.InferRequestedOutput("z")]},
    "no numbers": lambda module: {"inputs": [given(module, "x", X * np.nan, "FP32"), question(module)[1]]},
    "a place that there is not": lambda module: {
        "inputs": [question(module)[0], given(module, "place", PLACE + 90, "INT64")]
    },
}  # fmt: skip


@pytest.mark.parametrize("what", WRONG)
def test_what_is_wrong_is_said_and_is_nobody_elses_fault(client: Any, what: str) -> None:
    with pytest.raises(InferenceServerException) as error:
        client.infer(**{"model_name": "looks", **WRONG[what](of(client))})
    assert error.value.status() in {
        "400", "404", "422", "StatusCode.INVALID_ARGUMENT", "StatusCode.NOT_FOUND"
    }, error.value  # fmt: skip
    assert np.array_equal(client.infer("looks", question(of(client))).as_numpy("y"), Y)


def test_many_are_on_their_way_at_once(over_http: Any, over_grpc: Any) -> None:
    waiting = [over_http.async_infer("looks", question(triton_http)) for _ in range(20)]
    answered: queue.Queue[tuple[Any, Any]] = queue.Queue()
    for _ in range(20):
        over_grpc.async_infer("looks", question(triton_grpc), lambda result, error: answered.put((result, error)))
    assert all(np.array_equal(one.get_result().as_numpy("y"), Y) for one in waiting)
    for _ in range(20):
        result, error = answered.get(timeout=30)
        assert error is None
        assert np.array_equal(result.as_numpy("y"), Y)


def test_a_stream_answers_in_order_and_goes_on_after_a_mistake(over_grpc: Any) -> None:
    answered: queue.Queue[tuple[Any, Any]] = queue.Queue()
    over_grpc.start_stream(lambda result, error: answered.put((result, error)))
    try:
        for at in range(30):
            x = np.full((1, 3), np.nan if at == 10 else at, np.float32)
            inputs = [given(triton_grpc, "x", x, "FP32"), given(triton_grpc, "place", PLACE[:1], "INT64")]
            over_grpc.async_stream_infer("looks", inputs, request_id=str(at))
        for at in range(30):
            result, error = answered.get(timeout=30)
            if at == 10:
                assert "finite" in str(error)
            else:
                assert error is None
                assert result.get_response().id == str(at)
                assert (result.as_numpy("y") == at + TABLE[3]).all()
    finally:
        over_grpc.stop_stream()


def test_asyncio_clients_of_both_kinds(live: Live) -> None:
    async def ask() -> None:
        async with triton_http_aio.InferenceServerClient(f"{HOST}:{live.port}") as over_http:
            assert await over_http.is_server_ready()
            found = await asyncio.gather(*(over_http.infer("looks", question(triton_http_aio)) for _ in range(8)))
            assert all(np.array_equal(one.as_numpy("y"), Y) for one in found)
        async with triton_grpc_aio.InferenceServerClient(f"{HOST}:{live.grpc}") as over_grpc:
            assert await over_grpc.is_server_ready()
            found = await asyncio.gather(*(over_grpc.infer("looks", question(triton_grpc_aio)) for _ in range(8)))
            assert all(np.array_equal(one.as_numpy("y"), Y) for one in found)

            async def questions() -> Any:
                for at in range(5):
                    yield {"model_name": "looks", "inputs": question(triton_grpc_aio), "request_id": str(at)}

            stream = over_grpc.stream_infer(questions())
            assert [result.get_response().id async for result, error in stream if error is None] == list("01234")

    asyncio.run(ask())


def test_loading_is_for_admins(client: Any, tokens: dict[str, str]) -> None:
    with pytest.raises(InferenceServerException) as refused:
        client.load_model("adds")
    assert refused.value.status() in ("401", "StatusCode.UNAUTHENTICATED")
    with pytest.raises(InferenceServerException) as refused:
        client.unload_model("adds", headers={"authorization": f"Bearer {tokens['infer']}"})
    assert refused.value.status() in ("403", "StatusCode.PERMISSION_DENIED")
    headers = {"authorization": f"Bearer {tokens['admin']}"}
    client.unload_model("adds", headers=headers)
    assert not client.is_server_ready()
    with pytest.raises(InferenceServerException) as refused:
        client.infer("adds", [given(of(client), "x", X, "FP32")])
    assert refused.value.status() in ("503", "StatusCode.UNAVAILABLE")
    client.load_model("adds", headers=headers)
    assert client.is_server_ready()
    assert np.array_equal(client.infer("adds", [given(of(client), "x", X, "FP32")]).as_numpy("y"), X)


def test_a_time_that_is_too_short_is_refused(client: Any) -> None:
    with pytest.raises(InferenceServerException) as refused:
        client.infer("looks", question(of(client)), timeout=1)
    assert refused.value.status() in ("503", "StatusCode.UNAVAILABLE")


UNKNOWN = {"shared_memory_region": "a", "classification": 3, "sequence_id": 7}


@pytest.mark.parametrize("name", UNKNOWN)
def test_what_is_not_there_is_refused_and_not_passed_over(client: Any, name: str) -> None:
    module = of(client)
    wanted = module.InferRequestedOutput("y", **({"class_count": 3} if name == "classification" else {}))
    if name == "shared_memory_region":
        wanted.set_shared_memory("a", 12)
    with pytest.raises(InferenceServerException, match="not known here"):
        client.infer("looks", question(module), outputs=[wanted], sequence_id=7 * (name == "sequence_id"))


def test_grpc_messages_that_lie_are_refused(live: Live) -> None:
    import grpc
    from tritonclient.grpc import service_pb2 as messages
    from tritonclient.grpc import service_pb2_grpc

    def asked(raw: list[bytes] | None = None, values: list[float] | None = None, **changes: Any) -> Any:
        given = {"name": "x", "datatype": "FP32", "shape": [1, 3], **changes}
        tensor = messages.ModelInferRequest.InferInputTensor(**given)
        tensor.contents.fp32_contents.extend(values or [])
        if values is None:
            tensor.ClearField("contents")
        return messages.ModelInferRequest(model_name="adds", inputs=[tensor], raw_input_contents=raw or [])

    with grpc.insecure_channel(f"{HOST}:{live.grpc}") as channel:
        stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
        assert stub.ModelInfer(asked(values=[1, 2, 3]), timeout=30).outputs[0].shape == [1, 3]
        for wrong in (
            asked(), asked(values=[1, 2]), asked(raw=[b"abc"]), asked(raw=[bytes(12)] * 2),
            asked(raw=[bytes(12)], values=[1]),
            asked(values=[1, 2, 3], shape=[-1, 3]), asked(values=[1, 2, 3], shape=[2**62, 3]),
            asked(values=[1], shape=[1] * 100_000), asked(values=[1, 2, 3], datatype="FP99"),
            asked(values=[1, 2, 3], datatype="INT32"), asked(values=[1, 2, 3], name="z" * 9000),
            asked(values=[1, float("nan"), 3]),
        ):  # fmt: skip
            with pytest.raises(grpc.RpcError) as refused:
                stub.ModelInfer(wrong, timeout=30)
            assert refused.value.code() == grpc.StatusCode.INVALID_ARGUMENT
            assert len(refused.value.details()) < 500
        with pytest.raises(grpc.RpcError) as refused:
            stub.ModelInfer(asked(raw=[bytes(9 * 2**20)]), timeout=30)
        assert refused.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
        for _ in range(20):
            with pytest.raises(grpc.RpcError):
                channel.unary_unary("/inference.GRPCInferenceService/ModelInfer")(b"\xff" * 99, timeout=30)
        assert stub.ModelInfer(asked(values=[1, 2, 3]), timeout=30).outputs[0].name == "y"
