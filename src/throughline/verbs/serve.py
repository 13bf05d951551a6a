"""`throughline serve`: models behind a port."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from throughline import __version__
from throughline.contracts.errors import InputError, MissingExtra
from throughline.contracts.frames import Frame
from throughline.contracts.observations import Spoke
from throughline.models.references import is_reference
from throughline.terminal import fields, note

if TYPE_CHECKING:
    from throughline.monitoring.live import Live


@dataclass(frozen=True, slots=True)
class ServeReport:
    """What was served.

    Attributes:
        models: the names of the models.
        requests: how many requests were answered, by model.
        refused: and how many were not, by kind.
        seconds: for how long.
    """

    models: tuple[str, ...]
    requests: dict[str, int]
    refused: dict[str, int]
    seconds: float

    def __str__(self) -> str:
        answered = ", ".join(f"{name} {count:,}" for name, count in self.requests.items()) or "none"
        refused = ", ".join(f"{count:,} {kind}" for kind, count in self.refused.items()) or "none"
        return fields([("answered", answered), ("refused", refused), ("served for", f"{self.seconds:,.0f} s")])


def serve(
    *models: str,
    host: str = "127.0.0.1",
    port: int = 8000,
    grpc_port: int = 8001,
    ops_port: int = 8002,
    max_batch_size: int = 8,
    max_latency_ms: float = 5.0,
    timeout_ms: float = 1000.0,
    max_queue: int = 512,
    backend: str = "auto",
    device: str = "auto",
    threads: int = 0,
    conf: float = 0.25,
    iou: float = 0.7,
    keys: Path | None = None,
    private: bool = False,
    certificate: Path | None = None,
    certificate_key: Path | None = None,
    monitor: Path | None = None,
    observations: Path | None = None,
    keep: int = 0,
    webhook: str | None = None,
    stream: list[str] | None = None,
    dedupe: bool = False,
    cache_mb: float = 0.0,
    max_body_mb: float = 64.0,
    grace_s: float = 0.0,
    trust: bool = False,
    server: str = "uvicorn",
    callback: Callable[[str, int, int | None, int | None], None] | None = None,
) -> ServeReport:
    """Serve models: Triton's protocol over HTTP and gRPC, and pictures as they are.

    Args:
        models: Model files, models:/NAME@ALIAS, or NAME=MODEL to choose what clients call it.
        host: The address to listen on; 0.0.0.0 for every one of this machine.
        port: The port of HTTP; 0 for any that is free.
        grpc_port: The port of gRPC; 0 for none.
        ops_port: The port of health and metrics alone; 0 for none.
        max_batch_size: The largest batch.
        max_latency_ms: The longest that a request waits for others to share its batch.
        timeout_ms: The time in which a request is answered or refused, where it does not say itself.
        max_queue: How many rows may wait.
        backend: The runtime: auto, onnxruntime, openvino and so on.
        device: Where to run: auto, cpu, gpu or gpu:N.
        threads: CPU threads of a model; 0 is every core.
        conf: The least confidence of an object.
        iou: Two boxes that overlap more are one object.
        keys: A file of API keys; make one with: throughline key NAME --keys FILE.
        private: Nobody may ask models without a key, either; what is served is never changed without one.
        certificate: A PEM certificate, for TLS.
        certificate_key: Its private key.
        monitor: A profile of what the model was made for (throughline monitor makes it): drift is watched as it comes.
        observations: A folder to keep what was seen in, as Parquet: figures, and no pictures.
        keep: Keep the pictures of so many answers beside the observations, the newest.
        webhook: Where to post that an alarm went on or off.
        stream: NAME=SOURCE: a camera or stream that clients may watch by its name; there are no others.
        dedupe: Compute what is asked twice at once only once.
        cache_mb: Keep answers to give them again, up to so many MiB.
        max_body_mb: The largest request, in MiB.
        grace_s: How long to go on taking requests, while saying not to be ready, when asked to end.
        trust: Open models that are programs and that no passport of this machine vouches for.
        server: Who runs it.
        callback: Told the host and the three ports once the server listens.
    """
    from throughline.serving.hosts import HOSTS, Address

    names = _named(models)
    for flag, value in (("max-batch-size", max_batch_size), ("max-queue", max_queue)):
        if value < 1:
            raise InputError(f"--{flag} {value}: there would be no room for a request", "give 1 or more")
    for flag, seconds in (("max-latency-ms", max_latency_ms), ("timeout-ms", timeout_ms), ("grace-s", grace_s)):
        if not 0 <= seconds < 1e7:
            raise InputError(f"--{flag} {seconds:g}: it is no time to wait", "give 0 or more")
    for flag, size in (("max-body-mb", max_body_mb), ("cache-mb", cache_mb)):
        if not 0 <= size < 1e7:
            raise InputError(f"--{flag} {size:g}: it is no size", "give 0 or more")
    for flag, number in (("port", port), ("grpc-port", grpc_port), ("ops-port", ops_port)):
        if not 0 <= number < 65_536:
            raise InputError(f"--{flag} {number}: there is no such port", "give 0 to 65535")
    if (certificate is None) != (certificate_key is None):
        raise InputError("one of --certificate and --certificate-key is missing", "give both, or none")
    if (lacking := HOSTS.get(server).missing()) is not None:
        raise MissingExtra(lacking, "serving", "serve")
    from throughline.serving.opening import Monitor, Opening

    live = _live(monitor, observations, webhook, keep)
    opening = Opening(
        names,
        running={
            "backend": backend, "device": device, "threads": threads or None, "max_batch_size": max_batch_size,
            "max_latency": max_latency_ms / 1e3, "max_queue": max_queue, "timeout": timeout_ms / 1e3,
            "conf": conf, "iou": iou, "trust": trust,
        },
        keys=keys, anonymous=not private, body=int(max_body_mb * 2**20), grace=grace_s, watch=_frames_of, say=note,
        streams=_streams(stream or []), dedupe=dedupe, cache=int(cache_mb * 2**20), version=__version__,
        monitor=None if live is None else Monitor(
            lambda request, served, seen: live.see(
                request, Spoke(served.name, served.version, served.artifact.sha256), seen.picture, seen.found
            ),
            live.figures, live.told,
        ),
    )  # fmt: skip
    grpc = (host, grpc_port, certificate, certificate_key) if grpc_port else None

    def up(listening: str, http: int, ops: int | None) -> None:
        scheme = "http" if certificate is None else "https"
        where = f"[{listening}]" if ":" in listening else listening
        note(f"serving on {scheme}://{where}:{http} (docs at /docs, dashboard at /)"
             + (f", gRPC on {opening.grpc_port}" if grpc else "")
             + (f", health and metrics on {ops}" if ops is not None else ""))  # fmt: skip
        if callback is not None:
            callback(listening, http, opening.grpc_port if grpc else None, ops)

    address = Address(host, port, ops_port or None, certificate, certificate_key)
    try:
        HOSTS.make(server, lambda: opening.begin(grpc), opening.end, address, up)
    finally:
        if live is not None:
            live.close()
    requests, refused, seconds = opening.totals()
    return ServeReport(tuple(names), requests, refused, seconds)


def _named(models: tuple[str, ...]) -> dict[str, str]:
    """Models by the name that clients call them."""
    if not models:
        raise InputError("no model was given", "throughline serve MODEL.onnx, or NAME=models:/NAME@ALIAS")
    found: dict[str, str] = {}
    for text in models:
        name, equals, source = text.partition("=")
        if not equals or "/" in name or is_reference(text):
            name, source = "", text
        if not name:
            name = _name_in(source)
        if name in found:
            raise InputError(f"two models are called '{name}'", "give them names: one=A.onnx two=B.onnx")
        if not name.strip(".") or len(name) > 100 or not all(one.isalnum() or one in "-_." for one in name):
            raise InputError(f"'{name[:100]}' is no name for a model", "letters, digits, '-', '_' and '.': NAME=MODEL")
        found[name] = source
    return found


def _name_in(source: str) -> str:
    if is_reference(source):
        return source.partition(":/")[2].strip("/").partition("@")[0].partition("/")[0]
    return Path(source).stem


def _live(reference: Path | None, folder: Path | None, webhook: str | None, keep: int) -> Live | None:
    """What watches the answers, where somebody wants that."""
    if reference is None and folder is None:
        if keep:
            raise InputError(f"--keep {keep}: nothing says where", "give --observations FOLDER as well")
        if webhook is not None:
            raise InputError("--webhook: nothing is watched that could be told", "give --monitor PROFILE as well")
        return None
    from throughline.monitoring.live import Live

    return Live(reference, folder, webhook, keep)


def _streams(named: list[str]) -> dict[str, str]:
    """Streams by the name that clients ask for."""
    found: dict[str, str] = {}
    for text in named:
        name, equals, source = text.partition("=")
        if not equals or not name or not source or "/" in name:
            raise InputError(f"--stream {text}: it is not NAME=SOURCE", "yard=rtsp://camera/1, say")
        found[name] = source
    return found


def _frames_of(spec: str) -> Iterator[Frame]:
    """The frames of a video file or a stream, by the same decoders that ``run`` has."""
    from throughline.video.sources import open_sources

    (source,) = open_sources([spec])
    try:
        yield from source.frames()
    finally:
        source.close()
