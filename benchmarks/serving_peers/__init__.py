"""The servers that are measured beside ours, one file each (``on_*.py``), and how each is asked and started.

A peer runs in a virtual environment of its own, since their needs contradict each other; ONNX Runtime and numpy are
the same release in all of them. What they are told goes by environment variables: MODEL, PORT, SPARE_PORT, THREADS,
BATCH, WAIT_MS, OBJECTIVE_MS, AT_ONCE (how many requests may be inside at once before others are refused), FOLDER.
"""

from __future__ import annotations

from dataclasses import dataclass

from serving_peers.wire import JSON_BASE64, PROTOCOL, PROTOCOL_BASE64, RAW, Form


@dataclass(frozen=True, slots=True)
class Server:
    """One server: what its environment needs, how it is started, what it takes, where it says that it is well.

    Attributes:
        wait_ms: how long its batching waits for more. At 64 clients 1 to 10 made no clear difference; one client
            pays for all of it.
        health: on its main port; the same path on its other port, if it has one.
        command: what is run, where ``python`` and ``bin`` are those of its environment.
    """

    name: str
    needs: tuple[str, ...]
    command: tuple[str, ...]
    form: Form
    health: str
    wait_ms: float = 0.0
    ops: bool = False


OURS = Server(
    "ours",
    (),
    (
        *("{bin}/throughline", "serve", "{model}", "--port", "{port}", "--grpc-port", "0", "--ops-port", "{spare}"),
        *("--max-batch-size", "{batch}", "--threads", "{threads}"),
    ),
    PROTOCOL,
    "/v2/health/ready",
    ops=True,
)
PEERS = (
    Server(
        "fastapi", ("fastapi==0.165.0", "uvicorn[standard]==0.54.0"), ("{bin}/python", "{here}/on_fastapi.py"), RAW,
        "/health",
    ),
    Server("litserve", ("litserve==0.2.19",), ("{bin}/python", "{here}/on_litserve.py"), RAW, "/health", 2.0),
    Server(
        "bentoml",
        ("bentoml==1.4.39",),
        (
            *("{bin}/bentoml", "serve", "on_bentoml:Pictures", "--working-dir", "{here}"),
            *("--host", "127.0.0.1", "--port", "{port}"),
        ),
        JSON_BASE64,
        "/readyz",
    ),
    Server(
        "ray serve", ("ray[serve]==2.60.0",), ("{bin}/python", "{here}/on_ray_serve.py"), RAW, "/-/healthz", 2.0
    ),
    Server(
        "mlserver", ("mlserver==1.7.1", "uvloop==0.21.0"), ("{bin}/python", "{here}/on_mlserver.py"), PROTOCOL_BASE64,
        "/v2/health/ready", 2.0,
    ),
)  # fmt: skip
