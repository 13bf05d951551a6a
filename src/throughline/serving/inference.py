"""The addresses that ask models: the Open Inference Protocol, and pictures, rows and videos as people have them."""

from __future__ import annotations

import asyncio
import json
import tempfile
import time
from collections.abc import AsyncGenerator, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final, TypeVar

from throughline.contracts.artifacts import Array
from throughline.contracts.errors import InputError, SourceFailed, ThroughlineError, nearest
from throughline.contracts.frames import Frame
from throughline.serving import schemas
from throughline.serving.batcher import Answered
from throughline.serving.house import House
from throughline.serving.http import Request, Response, refusal
from throughline.serving.json_bodies import LONG, plain
from throughline.serving.multipart import images_of
from throughline.serving.pictures import said_of
from throughline.serving.refusals import Refused
from throughline.serving.routes import Route
from throughline.serving.served import Served
from throughline.serving.wire import complete, held_to, read_request, values_of, write_response

_OCTETS: Final = b"application/octet-stream"
_EVENTS: Final = b"text/event-stream"
_T = TypeVar("_T")


def routes(house: House) -> list[Route]:
    """Those of this room."""

    async def infer(request: Request) -> Response:
        return await _infer(house, request)

    async def predict(request: Request) -> Response:
        return await _predict(house, request)

    async def watch(request: Request) -> Response:
        return await _watch(house, request)

    async def stream(request: Request) -> Response:
        return await _stream(house, request)

    v2, one = "/v2/models/{name}", "/v2/models/{name}/versions/{version}"
    asked = {"takes": schemas.INFER, "gives": schemas.INFERRED}
    seen = {"takes": schemas.PREDICT, "gives": schemas.PREDICTED}
    return [
        Route("POST", f"{v2}/infer", "infer", infer, "Ask a model: tensors in, tensors out", **asked),
        Route("POST", f"{one}/infer", "infer", infer, "Ask one version of a model", **asked),
        Route("POST", "/predict", "infer", predict, "What is on a picture, or on several; rows, as JSON", **seen),
        Route("POST", f"{v2}/predict", "infer", predict, "The same, of one of several models", **seen),
        Route(
            "POST", f"{v2}/video", "infer", watch, "What is on each frame of a video, as it is found",
            takes=schemas.VIDEO, gives=schemas.EVENTS,
        ),
        Route(
            "GET", f"{v2}/streams/{{stream}}", "infer", stream,
            "What is on each frame of a stream that the operator named", gives=schemas.EVENTS,
        ),
    ]  # fmt: skip


async def _infer(house: House, request: Request) -> Response:
    began = time.perf_counter()
    name = request.path["name"]
    with house.shelf.find(name, request.path.get("version")).held() as served:
        body = await request.body()
        asked = read_request(body, request.number(b"inference-header-content-length"), served.inputs)
        read, timeout = time.perf_counter(), _left(request, served, asked.timeout)
        answered = await _gone(request, house.ask(served, asked.feeds, timeout, asked.priority))
    written = asked, answered.outputs, name, served.version
    if sum(array.size for array in answered.outputs.values()) > LONG:
        parts, head = await asyncio.to_thread(write_response, *written)
    else:
        parts, head = write_response(*written)
    _count(house, served, request, asked.id, began, read - began, answered)
    if head is None:
        return Response(200, parts)
    return Response(200, parts, _OCTETS, ((b"inference-header-content-length", b"%d" % head),))


async def _predict(house: House, request: Request) -> Response:
    kind = (request.header(b"content-type") or "").partition(";")[0].strip().lower()
    with _asked_for(house, request).held() as served:
        if kind == "application/json":
            return await _rows(house, served, request)
        began = time.perf_counter()
        pictures = await images_of(request, house.bounds.pictures)
        timeout = _left(request, served)
        seeing = asyncio.gather(*(house.eyes.see(house.ask, served, data, name, timeout) for name, data in pictures))
        seen = await _gone(request, seeing)
    name = request.header(b"x-request-id") or ""
    stages = {stage: sum(one.stages[stage] for one in seen) / len(seen) for stage in seen[0].stages}
    stages["all"] = time.perf_counter() - began
    house.answered(served, "http", name, stages, request.header(b"traceparent"))
    if house.observe is not None:
        for one in seen:
            house.observe(name, served, one)
    said = [said_of(one.found, one.picture.shape) for one in seen]
    about = {"model": served.name, "version": served.version, **({"id": name} if name else {})}
    return Response.of({**about, **said[0]} if kind != "multipart/form-data" else {**about, "images": said})


async def _rows(house: House, served: Served, request: Request) -> Response:
    """Plain arrays by the names of the inputs; the one input's name may be left away."""
    said = await request.json()
    if not isinstance(said, dict) or not isinstance(said.get("inputs"), (dict, list)):
        raise InputError("the body has no 'inputs'", 'send {"inputs": {"NAME": [...]}}, or a picture')
    given = said["inputs"]
    if isinstance(given, list):
        if len(served.inputs) != 1:
            raise InputError(f"the model takes {len(served.inputs)} inputs", "send an object: their names, and values")
        given = {served.inputs[0].name: given}
    feeds: dict[str, Array] = {}
    for spec in served.inputs:
        if spec.name in given:
            try:
                feeds[spec.name] = values_of(given[spec.name], spec)
            except (ValueError, TypeError, OverflowError, RecursionError) as error:
                raise InputError(f"input '{spec.name}': {str(error)[:120]}", f"the model takes {spec}") from None
            held_to(feeds[spec.name].shape, spec)
    began = time.perf_counter()
    answered = await _gone(request, house.ask(served, complete(feeds, served.inputs), _left(request, served)))
    _count(house, served, request, request.header(b"x-request-id") or "", began, 0.0, answered)
    outputs = {name: {"shape": list(one.shape), "data": plain(one)} for name, one in answered.outputs.items()}
    return Response.of({"model": served.name, "version": served.version, "outputs": outputs})


async def _watch(house: House, request: Request) -> Response:
    """A video is kept on the disk while it is watched, and no longer."""
    served = _asked_for(house, request)
    if house.watch is None:
        raise Refused(501, "this server watches no videos", "start it with throughline serve")
    with ExitStack() as held:
        held.enter_context(served.held())
        path = Path(held.enter_context(tempfile.TemporaryDirectory(prefix="throughline-video-"))) / "video"
        with path.open("wb") as file:
            async for piece in request.pieces(house.bounds.video):
                await asyncio.to_thread(file.write, piece)
        try:
            return await _watched(house, request, served, house.watch(str(path)), held)
        except SourceFailed as error:
            raise InputError(error.problem, error.fix) from None


async def _stream(house: House, request: Request) -> Response:
    """Only what the operator named can be watched: a client's address is never asked for anything."""
    served = _asked_for(house, request)
    source = house.streams.get(request.path["stream"])
    if source is None or house.watch is None:
        raise Refused(404, "there is no such stream", nearest(request.path["stream"][:80], house.streams))
    with ExitStack() as held:
        held.enter_context(served.held())
        return await _watched(house, request, served, house.watch(source), held)


async def _watched(
    house: House, request: Request, served: Served, frames: Iterator[Frame], held: ExitStack
) -> Response:
    """The frames as events; what is held is let go of at the end of them, or by the caller where there is none."""
    first = await asyncio.to_thread(next, frames, None)
    if first is None:
        raise InputError("the video has no frame", "send a video file")
    until = held.pop_all()
    leaving: set[asyncio.Future[Any]] | None = request.scope.get("throughline.leaving")
    here: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
    if leaving is not None:
        leaving.add(here)  # cancelled when the client is gone

    async def events() -> AsyncGenerator[bytes, None]:
        frame: Frame | None = first
        count = 0
        try:
            while frame is not None and not here.cancelled() and house.ready:
                seen = await house.eyes.look(house.ask, served, frame.image, None)
                said = {"index": frame.index, "seconds": frame.seconds} | said_of(seen.found, frame.size)
                yield _event("frame", said)
                count += 1
                frame = await asyncio.to_thread(next, frames, None)
            yield _event("end", {"frames": count, "whole": frame is None})
        except ThroughlineError as error:
            yield _event("error", json.loads(refusal(error).parts[0]) | {"frames": count})
        finally:
            until.close()
            getattr(frames, "close", lambda: None)()

    return Response(200, kind=_EVENTS, headers=((b"cache-control", b"no-store"),), stream=events())


def _event(kind: str, value: Mapping[str, Any]) -> bytes:
    return f"event: {kind}\ndata: {json.dumps(value, separators=(',', ':'))}\n\n".encode()


def _asked_for(house: House, request: Request) -> Served:
    name = request.path.get("name") or request.query.get("model")
    if name is None:
        if len(house.shelf.models) != 1:
            known = ", ".join(sorted(house.shelf.models))
            raise InputError("several models are served here", f"say which: ?model=NAME, one of: {known}")
        name = next(iter(house.shelf.models))
    return house.shelf.find(name)


def _left(request: Request, served: Served, said: float | None = None) -> float:
    """The seconds that are left for an answer, of those that the client or the server gives it."""
    header = request.number(b"x-timeout-ms")
    whole = said if said is not None else header / 1e3 if header else served.running.timeout
    since: float | None = request.scope.get("throughline.since")
    return whole if since is None else whole - (time.monotonic() - since)


async def _gone(request: Request, answer: asyncio.Future[_T]) -> _T:
    """The answer; where the client leaves before there is one, its place in the queue is given up."""
    leaving = request.scope.get("throughline.leaving")
    if leaving is None:
        return await answer
    leaving.add(answer)
    try:
        return await answer
    finally:
        leaving.discard(answer)


def _count(
    house: House, served: Served, request: Request, name: str, began: float, reading: float, answered: Answered
) -> None:
    stages = {
        "read": reading, "queue": answered.queued, "compute": answered.computed, "all": time.perf_counter() - began
    }  # fmt: skip
    house.answered(served, "http", name, stages, request.header(b"traceparent"))
