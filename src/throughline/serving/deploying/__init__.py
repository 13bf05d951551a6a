"""From a model that is proven to the files that put it into production: the targets, one file each.

A member's ``make(order, folder)`` writes everything into an empty folder and returns ``Made``. It never judges the
model and never names the folder: the verb clears the model first, and gives the folder its place once it is whole.
Its ``facts`` are ``formats``: the formats of models that it can put into production.

Nothing that a model says of itself (its file's name, labels, tensors) becomes part of a command, a key, or a template.
What has to be named is named by ``Order.name``, which is letters, digits and dashes. Where a model's own words must
be written, a library writes them in its own notation.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final, final

from throughline.contracts.artifacts import Artifact
from throughline.plugins import Family

TARGETS: Final = Family("target", __name__, "targets")
HTTP, GRPC, OPS = 8000, 8001, 8002
"""The ports that ``throughline serve`` listens on: requests twice, and health with metrics."""
USER: Final = 10001
"""Who the server is inside a container: nobody that the machine outside knows."""
USUAL_LATENCY_MS: Final = 5.0
"""How long a batch waits for more, where nobody has said."""


@final
@dataclass(frozen=True, slots=True)
class Order:
    """What is to be put into production, and how.

    Attributes:
        model: the model, cleared.
        kind: what exactly its file is, as ``identify`` says.
        name: what it is called there: a DNS label, whatever the model's file is called.
        image: the container image.
        out: where the folder will be.
        max_batch_size: the largest batch.
        max_latency_ms: the longest that a batch waits for more; None where nobody has said.
        threads: CPU threads of one copy; None where nobody has said.
        replicas: how many copies there are at least.
        max_replicas: and at most.
    """

    model: Artifact
    kind: str
    name: str
    image: str
    out: Path
    max_batch_size: int = 8
    max_latency_ms: float | None = None
    threads: int | None = None
    replicas: int = 2
    max_replicas: int = 10


@final
@dataclass(frozen=True, slots=True)
class Made:
    """What a target has to say besides its files.

    Attributes:
        commands: what to go on with, as words of a command line.
        measured: what was measured for it, in a sentence.
        notes: what is to be known besides.
    """

    commands: tuple[tuple[str, ...], ...]
    measured: str = ""
    notes: tuple[str, ...] = ()


def serve_options(order: Order) -> list[str]:
    """What ``throughline serve`` is told, where the order says so or what was measured depends on it."""
    latency = USUAL_LATENCY_MS if order.max_latency_ms is None else order.max_latency_ms
    told = ["--max-batch-size", str(order.max_batch_size), "--max-latency-ms", f"{latency:g}"]
    return told if order.threads is None else [*told, "--threads", str(order.threads)]
