"""Every address of the table, asked by everybody: each answers those whom it is for, and nobody else."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import served_models as made
from live_server import HOST, Live, serving

from throughline.serving.keys import ROLES
from throughline.serving.routes import Route

WHO = ("nobody", "stranger", "infer", "admin")


@pytest.fixture(scope="module")
def closed(tmp_path_factory: pytest.TempPathFactory, tokens: dict[str, str]) -> Iterator[Live]:
    """A server where nobody may do anything without a key."""
    folder = tmp_path_factory.mktemp("closed")
    options = ("--keys", tokens["file"], "--private")
    with serving(f"adds={made.adds(folder / 'adds.onnx')}", *options, folder=folder) as server:
        yield server


def table() -> list[Route]:
    """The table of a server that serves nothing: its addresses are the same."""
    from throughline.serving.app import App
    from throughline.serving.house import House

    parts: Any = None
    return App(House(parts, parts, parts, parts, parts)).table.routes


def header(who: str, tokens: dict[str, str]) -> dict[str, str]:
    return {"nobody": {}, "stranger": {"Authorization": "Bearer tl_of_somebody_else"}}.get(
        who, {"Authorization": f"Bearer {tokens.get(who)}"}
    )


def may(who: str, role: str, anonymous: bool) -> int:
    """200, or the status of the refusal."""
    if role == "open":
        return 200
    if who == "stranger" or (who == "nobody" and not (anonymous and role == "infer")):
        return 401
    return 403 if role == "admin" and who == "infer" else 200


def test_every_address_has_a_role_and_only_these_are_open() -> None:
    routes = table()
    assert len(routes) > 25
    assert {route.role for route in routes} == set(ROLES)
    assert {route.path for route in routes if route.role == "open"} == {
        "/v2/health/live", "/v2/health/ready", "/metrics", "/", "/openapi.json", "/docs"
    }  # fmt: skip
    assert {route.path.rsplit("/", 1)[1] for route in routes if route.role == "admin"} == {
        "load", "unload", "stage", "traffic"
    }  # fmt: skip


@pytest.mark.parametrize("anonymous", [True, False])
@pytest.mark.parametrize("who", WHO)
def test_every_address_answers_those_whom_it_is_for_and_nobody_else(
    request: pytest.FixtureRequest, tokens: dict[str, str], who: str, anonymous: bool
) -> None:
    server: Live = request.getfixturevalue("live" if anonymous else "closed")
    for route in table():
        path = route.path.format(name="adds", version="no-such-version", stream="no-such-stream")
        body = b"{" if route.method == "POST" else None  # whoever is let in is refused for this, and nothing changes
        if path.endswith("/unload"):
            path = path.replace("adds", "no-such-model")
        status, said, headers = server.ask(route.method, path, body, header(who, tokens))
        expected = may(who, route.role, anonymous)
        if expected == 200:
            assert status not in (401, 403), (route.method, path, said)
            assert status < 500, (route.method, path, said)
        else:
            assert status == expected, (route.method, path, said)
            assert ("www-authenticate" in headers) == (status == 401)


@pytest.mark.parametrize(
    "path", ["/v2/nothing", "/admin", "/v2/models/adds/infer/..", "//v2", "/V2", "/debug", "/.env"]
)
def test_there_are_no_other_addresses(live: Live, path: str, admin: dict[str, str]) -> None:
    assert live.ask("GET", path, headers=admin)[0] in (404, 405)


def test_the_other_port_answers_what_is_open_and_nothing_else(live: Live, admin: dict[str, str]) -> None:
    for route in table():
        path = route.path.format(name="adds", version="1", stream="none")
        status, _, _ = live.ask(route.method, path, b"{}" if route.method == "POST" else None, admin, port=live.ops)
        served = route.role == "open" and path not in ("/", "/docs", "/openapi.json")
        assert status == (200 if served else 404), path


@pytest.mark.parametrize("who", WHO)
def test_every_method_of_grpc_answers_those_whom_it_is_for(closed: Live, tokens: dict[str, str], who: str) -> None:
    grpc = pytest.importorskip("grpc")
    from tritonclient.grpc import service_pb2 as messages
    from tritonclient.grpc import service_pb2_grpc

    metadata = [(name.lower(), value) for name, value in header(who, tokens).items()]
    codes = {401: grpc.StatusCode.UNAUTHENTICATED, 403: grpc.StatusCode.PERMISSION_DENIED}
    with grpc.insecure_channel(f"{HOST}:{closed.grpc}") as channel:
        stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
        asked = {
            "ServerLive": "open", "ServerReady": "open", "ModelReady": "infer", "ServerMetadata": "infer",
            "ModelMetadata": "infer", "ModelConfig": "infer", "ModelStatistics": "infer", "ModelInfer": "infer",
            "RepositoryIndex": "infer", "RepositoryModelLoad": "admin", "RepositoryModelUnload": "admin",
        }  # fmt: skip
        for method, role in asked.items():
            try:
                getattr(stub, method)(getattr(messages, f"{method}Request")(), metadata=metadata, timeout=30)
                code = None
            except grpc.RpcError as error:
                code = error.code()
            expected = may(who, role, anonymous=False)
            if expected == 200:
                assert code in (None, grpc.StatusCode.NOT_FOUND), method  # it names no model
            else:
                assert code == codes[expected], method
        stream = stub.ModelStreamInfer(iter([messages.ModelInferRequest()]), metadata=metadata, timeout=30)
        said = "".join(one.error_message for one in stream)
        assert ("no model" in said) == (may(who, "infer", anonymous=False) == 200)
        others = set(dir(stub)) - {*asked, "ModelStreamInfer"}
        for method in (name for name in others if name[0].isupper()):
            with pytest.raises(grpc.RpcError) as refused:
                getattr(stub, method)(getattr(messages, f"{method}Request")(), metadata=metadata, timeout=30)
            assert refused.value.code() == grpc.StatusCode.UNIMPLEMENTED, method
