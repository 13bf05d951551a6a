"""What is tried on a server that should survive it: poison, slow clients, its end under load, a model's swap.

Where a request counts as lost, the server lost it: it was sent whole on an open connection, and no answer came. What
the client could not send, or what found no open port, is counted apart.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from serving_peers.hosting import Running
from serving_peers.measures import client
from serving_peers.network import BATCH, POISON, pictures
from serving_peers.wire import ask, post


def poison(running: Running, times: int, *, misfit: bool = False) -> dict[str, int]:
    """Eight at once, of which one makes the network fail, or has another size: how many of the others fail with it."""
    good = pictures(BATCH)
    bad = np.zeros((3, 32, 32), np.float32) if misfit else good[0].copy()
    if not misfit:
        bad[0, 0, 0] = POISON
    failed = refused = 0
    for _ in range(times):
        with_bad = [*good[: BATCH // 2], bad, *good[BATCH // 2 : -1]]
        statuses = _at_once(running, [running.server.form.request(one, None) for one in with_bad])
        refused += 400 <= statuses.pop(BATCH // 2) < 600
        failed += sum(status != 200 for status in statuses)
    return {"neighbours": times * (BATCH - 1), "failed": failed, "poisoned": times, "refused": refused}


def slow(running: Running, connections: int, asked: int) -> dict[str, int]:
    """Clients that send a byte now and then: is another one answered beside them?"""
    request = running.server.form.request(pictures(1)[0], None)
    over, held = threading.Event(), []
    try:
        for _ in range(connections):
            one = socket.socket()
            one.setblocking(False)
            one.connect_ex(("127.0.0.1", running.port))
            held.append(one)

        def trickle() -> None:
            for at in range(len(request)):
                for one in held:
                    with suppress(OSError):
                        one.send(request[at : at + 1])
                if over.wait(0.5):
                    return

        thread = threading.Thread(target=trickle, daemon=True)
        thread.start()
        answered = 0
        for _ in range(asked):
            with suppress(OSError):
                answered += ask(running.port, request, 2.0)[0] == 200
        over.set()
        thread.join()
    finally:
        for one in held:
            one.close()
    return {"asked": asked, "answered": answered, "alive": running.process.poll() is None}


def stop(running: Running, seconds: float) -> dict[str, Any]:
    """Asked to end while sixteen clients send: what is lost of that which was sent, and what is left behind."""
    with client(running, pictures(1)[0], mode="closed", clients=16, seconds=seconds + 4) as load:
        time.sleep(seconds)
        family = running.family()
        told = time.monotonic()
        running.process.send_signal(signal.SIGTERM)
        try:
            code: int | None = running.process.wait(20)
        except subprocess.TimeoutExpired:
            code = None
        took = time.monotonic() - told
        left = running.family()
        until = time.monotonic() + 2
        while left and time.monotonic() < until:
            time.sleep(0.1)
            left = running.family()
        report = load.report()
    before = sum(sent <= told for sent in report["lost"])
    wrong = {code: count for code, count in report["counts"].items() if code.isdigit() and code != "200"}
    return {
        "answered": report["counts"].get("200", 0), "lost_before": before, "lost_after": len(report["lost"]) - before,
        "refused": sum(wrong.values()), "code": code, "seconds": took, "processes": len(family), "left": len(left),
    }  # fmt: skip


def swaps(
    running: Running, times: int, key: str, files: Sequence[Path], right: Callable[[Path], np.ndarray]
) -> dict[str, Any]:
    """Another model in the place of the one that serves, again and again under load; each shown to have come.

    The server's model file is replaced in one step, and the server is asked to load it; what it then says of a picture
    must be what the new file says.
    """
    picture, served = pictures(1)[0], running.model
    request, taken = running.server.form.request(picture, None), []
    load_it = post("/v2/repository/models/pictures/load", b"{}", f"Authorization: Bearer {key}\r\n")
    with client(running, picture, mode="closed", clients=4, seconds=3600) as load:
        for number in range(times):
            file = files[(number + 1) % 2]
            target = served.with_suffix(".new")
            shutil.copyfile(file, target)
            os.replace(target, served)
            began = time.monotonic()
            status, said = ask(running.port, load_it, 30)
            taken.append(1000 * (time.monotonic() - began))
            if status != 200:
                raise RuntimeError(f"the swap was answered with {status}: {said[:200]!r}")
            scores = running.server.form.scores(ask(running.port, request)[1])
            if not np.allclose(scores, right(file), rtol=1e-3, atol=1e-5):
                raise RuntimeError("after the swap, the model before it answers")
        load.process.send_signal(signal.SIGINT)
        counts = load.report()["counts"]
    failed = counts["begun"] - counts.get("200", 0)
    found = {"swaps": times, "swap_p50_ms": float(np.median(taken)), "requests": counts["begun"], "failed": failed}
    return found | {"counts": counts}


def _at_once(running: Running, requests: list[bytes]) -> list[int]:
    """The statuses of requests that are sent together, in their order; 0 where none came."""
    sockets = [socket.create_connection(("127.0.0.1", running.port), 10) for _ in requests]
    statuses = []
    try:
        for one, request in zip(sockets, requests, strict=True):
            one.sendall(request)
        for one in sockets:
            got = b""
            with suppress(OSError):
                while len(got) < 12 and (piece := one.recv(1 << 16)):
                    got += piece
            statuses.append(int(got[9:12]) if got[9:12].isdigit() else 0)
    finally:
        for one in sockets:
            one.close()
    return statuses
