"""The addresses that tell how the server and its models are, and those that change what is served."""

from __future__ import annotations

import time
from typing import Any, Final

from throughline.contracts.artifacts import TensorSpec
from throughline.contracts.errors import InputError
from throughline.models.references import is_reference
from throughline.serving import schemas
from throughline.serving.house import House
from throughline.serving.http import Request, Response
from throughline.serving.refusals import Refused
from throughline.serving.routes import Route
from throughline.serving.served import Served
from throughline.serving.wire import datatype, shown

NAME: Final = "throughline"
EXTENSIONS: Final = ("binary_tensor_data", "model_repository", "statistics", "model_configuration")
_PLATFORMS: Final = {"onnxruntime": "onnxruntime_onnx", "openvino": "openvino", "pytorch": "pytorch_libtorch"}


def routes(house: House) -> list[Route]:
    """Those of this room."""

    async def live(_: Request) -> Response:
        return Response.of({"live": True})

    async def ready(_: Request) -> Response:
        whole = house.ready and house.shelf.ready
        return Response.of({"ready": whole}, 200 if whole else 503)

    async def model_ready(request: Request) -> Response:
        served = house.shelf.find(request.path["name"], request.path.get("version"))
        return Response.of({"name": served.name, "ready": house.ready}, 200 if house.ready else 503)

    async def server(_: Request) -> Response:
        return Response.of({"name": NAME, "version": house.version, "extensions": EXTENSIONS})

    async def metadata(request: Request) -> Response:
        served = house.shelf.find(request.path["name"], request.path.get("version"))
        return Response.of(about(served, list(house.shelf.model(served.name).versions)))

    async def config(request: Request) -> Response:
        return Response.of(config_of(house.shelf.find(request.path["name"], request.path.get("version"))))

    async def stats(request: Request) -> Response:
        name = request.path.get("name")
        return Response.of({"model_stats": statistics(house, name)})

    async def metrics(_: Request) -> Response:
        _tell_observed(house)
        return Response(200, [house.metrics.text()], b"text/plain; version=0.0.4; charset=utf-8")

    async def index(_: Request) -> Response:
        return Response.of(repository(house))

    async def load(request: Request) -> Response:
        await load_from(house, request.path["name"], await request.json())
        return Response.of({})

    async def unload(request: Request) -> Response:
        await house.shelf.unload(request.path["name"])
        return Response.of({})

    async def stage(request: Request) -> Response:
        if (source := _reference(await request.json())) is None:
            raise InputError("the body names no model", 'send {"model": "models:/NAME@ALIAS"}')
        served = await house.shelf.stage(request.path["name"], source)
        return Response.of({"name": served.name, "version": served.version})

    async def traffic(request: Request) -> Response:
        said = await request.json()
        if not isinstance(said, dict) or not isinstance(said.get("weights"), dict):
            raise InputError("the body has no 'weights'", 'send {"weights": {"1": 0.9, "2": 0.1}, "shadow": "3"}')
        weights = {str(version): _number(weight) for version, weight in said["weights"].items()}
        shadow = said.get("shadow")
        house.shelf.split(request.path["name"], weights, None if shadow is None else str(shadow))
        return Response.of(compared(house, request.path["name"]))

    async def comparison(request: Request) -> Response:
        return Response.of(compared(house, house.shelf.model(request.path["name"]).name))

    async def feedback(request: Request) -> Response:
        said = await request.json()
        if not isinstance(said, dict) or not isinstance(said.get("id"), str) or ("score" in said) == ("truth" in said):
            raise InputError("the body is no feedback", 'send {"id": "REQUEST", "score": 1.0}, or "truth" for a score')
        name = house.shelf.model(request.path["name"]).name
        if "truth" in said and house.feedback is None:
            raise Refused(501, "nobody here keeps what is true", "start the server with: --monitor FOLDER")
        if house.feedback is not None and "truth" in said:
            if not isinstance(said["truth"], str):
                raise InputError(f"the truth is {shown(said['truth'])}", 'give a text: {"truth": "car, car, dog"}')
            return Response.of({"known": house.feedback(said["id"], said["truth"][:1000])}, 202)
        votes = house.votes.get(name)
        score = _number(said["score"])
        known = votes is not None and votes.say(said["id"], score)
        return Response.of({"known": known}, 202)

    async def live_figures(_: Request) -> Response:
        return Response.of(figures(house))

    v2, of = "/v2/models/{name}", "/v2/models/{name}/versions/{version}"
    repo = "/v2/repository/models/{name}"
    reference = schemas.body(schemas.object_of({"model": schemas.TEXT, "parameters": schemas.ANY}))
    return [
        Route("GET", "/v2/health/live", "open", live, "Whether the server runs"),
        Route("GET", "/v2/health/ready", "open", ready, "Whether it takes requests for every model"),
        Route("GET", "/metrics", "open", metrics, "Everything that is counted, for Prometheus"),
        Route("GET", "/v2", "infer", server, "What this server is"),
        Route("GET", f"{v2}/ready", "infer", model_ready, "Whether a model answers"),
        Route("GET", f"{of}/ready", "infer", model_ready, "Whether a version answers"),
        Route("GET", v2, "infer", metadata, "What a model takes and gives"),
        Route("GET", of, "infer", metadata, "What a version takes and gives"),
        Route("GET", f"{v2}/config", "infer", config, "How a model is run"),
        Route("GET", f"{of}/config", "infer", config, "How a version is run"),
        Route("GET", "/v2/models/stats", "infer", stats, "How many requests each model answered"),
        Route("GET", f"{v2}/stats", "infer", stats, "How many requests a model answered"),
        Route("GET", f"{of}/stats", "infer", stats, "How many requests a version answered"),
        Route("POST", "/v2/repository/index", "infer", index, "Every model and version"),
        Route("GET", "/v2/live", "infer", live_figures, "What the dashboard shows"),
        Route("GET", f"{v2}/comparison", "infer", comparison, "How versions compare that share requests"),
        Route("POST", f"{v2}/feedback", "infer", feedback, "What came of an answer, by the request's id",
              takes=schemas.body(schemas.object_of({"id": schemas.TEXT, "score": schemas.NUMBER}, "id"))),
        Route("POST", f"{repo}/load", "admin", load, "Open the version that a model's source leads to now",
              takes=reference),
        Route("POST", f"{repo}/unload", "admin", unload, "Answer what was accepted, and close a model"),
        Route("POST", f"{repo}/stage", "admin", stage, "Open another version, and send nothing to it yet",
              takes=reference),
        Route("POST", f"{repo}/traffic", "admin", traffic, "Share requests out among versions; ask one as a shadow",
              takes=schemas.body(schemas.object_of({"weights": schemas.ANY, "shadow": schemas.TEXT}, "weights"))),
    ]  # fmt: skip


async def load_from(house: House, name: str, said: Any) -> Served:
    """Load a model, from where it came or from another registered one; a client names no file of this machine."""
    return await house.shelf.load(name, _reference(said))


def about(served: Served, versions: list[str]) -> dict[str, Any]:
    """What a model takes and gives, as the protocol says it."""
    return {
        "name": served.name,
        "versions": versions,
        "platform": _PLATFORMS.get(served.session.backend, served.session.backend),
        "inputs": [_tensor(spec) for spec in served.inputs],
        "outputs": [_tensor(spec) for spec in served.outputs],
        "task": served.artifact.task,
        "labels": list(served.artifact.labels),
        "sha256": served.artifact.sha256,
    }


def config_of(served: Served) -> dict[str, Any]:
    """How a version is run, in Triton's words."""
    running = served.running
    batched = served.rows > 1
    return {
        "name": served.name,
        "platform": _PLATFORMS.get(served.session.backend, served.session.backend),
        "max_batch_size": served.rows if batched else 0,
        "input": [_configured(spec, batched) for spec in served.inputs],
        "output": [_configured(spec, batched) for spec in served.outputs],
        "dynamic_batching": {"max_queue_delay_microseconds": round(running.max_latency * 1e6)} if batched else None,
        "instance_group": [{"count": served.session.lanes, "kind": f"KIND_{served.session.device.upper()[:3]}"}],
    }


def statistics(house: House, only: str | None = None) -> list[dict[str, Any]]:
    """Requests and batches of every version, as Triton's statistics extension has them."""
    if only is not None:
        house.shelf.model(only)
    seen: dict[tuple[str, str], dict[str, float]] = {}
    for name, labels, value in house.metrics.totals():
        if "model" in labels and "version" in labels:
            key = name + "." + labels.get("stage", "")
            one = seen.setdefault((labels["model"], labels["version"]), {})
            one[key] = one.get(key, 0.0) + (value if "le" not in labels else 0.0)
    found = []
    for (model, version), values in sorted(seen.items()):
        if only in (None, model):
            count = int(values.get("throughline_requests_total.", 0))
            batches = int(values.get("throughline_batch_rows_count.", 0))

            def took(stage: str, values: dict[str, float] = values, count: int = count) -> dict[str, int]:
                return {"count": count, "ns": int(values.get(f"throughline_seconds_sum.{stage}", 0) * 1e9)}

            found.append(
                {
                    "name": model, "version": version,
                    "inference_count": int(values.get("throughline_batch_rows_sum.", 0)), "execution_count": batches,
                    "inference_stats": {
                        "success": took("all"), "fail": {"count": 0, "ns": 0}, "queue": took("queue"),
                        "compute_input": took("read"), "compute_infer": took("compute"),
                        "compute_output": took("none"),
                    },
                }
            )  # fmt: skip
    return found


def repository(house: House) -> list[dict[str, Any]]:
    """Every model and version, and whether it answers."""
    found = []
    for model in house.shelf.models.values():
        for version in model.versions or ["1"]:
            share = model.weights.get(version, 0.0)
            state = "READY" if share or version in model.versions else "UNAVAILABLE"
            found.append(
                {"name": model.name, "version": version, "state": state, "reason": "" if share else "no traffic"}
            )
    return found


def compared(house: House, name: str) -> dict[str, Any]:
    """How the versions of a model compare that share its requests, or are asked besides."""
    model = house.shelf.model(name)
    votes = house.votes.get(name)
    return {
        "model": name,
        "weights": model.weights,
        "votes": votes.report() if votes else None,
        "shadow": model.shadow.report() if model.shadow else None,
    }


def _tell_observed(house: House) -> None:
    """Put what monitoring knows beside what is counted."""
    for (model, what), value in (house.observed() if house.observed is not None else {}).items():
        house.metrics.observed.labels(model, what).set(value)


def figures(house: House) -> dict[str, Any]:
    """What the dashboard draws."""
    _tell_observed(house)
    totals: dict[str, float] = {}
    errors: dict[str, float] = {}
    batches: dict[str, float] = {}
    observed: list[dict[str, Any]] = []
    for name, labels, value in house.metrics.totals():
        if name == "throughline_requests_total":
            totals[labels["model"]] = totals.get(labels["model"], 0.0) + value
        elif name == "throughline_errors_total":
            errors[labels["kind"]] = errors.get(labels["kind"], 0.0) + value
        elif name == "throughline_batch_rows_bucket":
            batches[labels["le"]] = batches.get(labels["le"], 0.0) + value
        elif name == "throughline_observed":
            observed.append({"model": labels["model"], "what": labels["what"], "value": value})
    models = [
        {
            "name": one.name,
            "answered": totals.get(one.name, 0.0),
            "latency": house.metrics.latency(one.name),
            "waiting": sum(served.batcher.waiting for served in one.versions.values()),
            "versions": [
                {
                    "version": version, "share": one.weights.get(version, 0.0), "backend": str(served.session),
                    "sha256": served.artifact.sha256[:12],
                    "shadow": bool(one.shadow and one.shadow.served is served),
                }
                for version, served in one.versions.items()
            ],
        }
        for one in house.shelf.models.values()
    ]  # fmt: skip
    return {
        "time": time.time(), "up": time.time() - house.began, "ready": house.ready and house.shelf.ready,
        "models": models, "errors": errors, "batches": batches, "observed": observed,
    }  # fmt: skip


def _reference(said: Any) -> str | None:
    """A registered model that an admin names; nothing where the body says nothing."""
    said = {} if said is None else said
    parameters = said.get("parameters", {}) if isinstance(said, dict) else None
    if not isinstance(parameters, dict):
        raise InputError("the body is no object, or its parameters are none", 'send {"model": "models:/NAME@ALIAS"}')
    if unknown := [name for name in parameters if name != "model"]:
        raise InputError(f"the parameter '{unknown[0][:40]}' is not known here", "name a 'model', or nothing")
    source = said.get("model", parameters.get("model"))
    if source is None:
        return None
    if not isinstance(source, str) or not is_reference(source):
        raise InputError(f"the model is {shown(source)}", "name a registered one: models:/NAME@ALIAS or models:/NAME/3")
    return source


def _number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not abs(value) < 1e300:
        raise InputError(f"{shown(value)} is no number", "give a number")
    return float(value)


def _tensor(spec: TensorSpec) -> dict[str, Any]:
    shape = [size if isinstance(size, int) else -1 for size in spec.shape]
    return {"name": spec.name, "datatype": datatype(spec.dtype), "shape": shape}


def _configured(spec: TensorSpec, batched: bool) -> dict[str, Any]:
    shape = [size if isinstance(size, int) else -1 for size in spec.shape]
    kind = datatype(spec.dtype)
    return {
        "name": spec.name, "data_type": "TYPE_STRING" if kind == "BYTES" else f"TYPE_{kind}",
        "dims": shape[1:] if batched else shape,
    }  # fmt: skip
