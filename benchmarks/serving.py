"""`throughline serve` beside LitServe, BentoML, Ray Serve, FastAPI and MLServer: speed, overload and bad days.

    python benchmarks/serving.py [--only ours,fastapi] [--measure speed,overload] [--rounds 3] [--json FILE]
    python benchmarks/serving.py --quick --only ours,fastapi
    python benchmarks/serving.py --soak 20m --only ours

All servers get the same ONNX file (a small network that is fitted to this machine: 10 ms for eight pictures), the same
threads for it and the same pictures. What they are held to is the same session in a plain loop at batch 8, in a process
of its own, measured again before every turn of every server: shares are of the loop next to it, so that a busy moment
of the machine hits both. The client is one small process, and the first table says how much of a core it took. All of
it shares the machine's cores, and nothing leaves the machine. Peers get an environment of their own each, made once
(``--environments``); one that cannot be installed or started is said to be so.

Speed and overload are the medians of the rounds, in which the servers take turns; ``--json`` keeps every round.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from serving_peers import OURS, PEERS, Server, measures, network, tables, trials
from serving_peers.hosting import Absent, Rules, Running, started
from serving_peers.wire import ask

from throughline.hardware import cores, detect
from throughline.serving.keys import new_key
from throughline.terminal import note

MEASURES = ("speed", "overload", "poison", "slow", "stop", "swaps")
OBJECTIVE_MS = 250
FACTORS = (3, 10)
AT_ONCE = 128  # more than the 64 clients of the speeds
SLOW, FILES = 300, 256


def main() -> None:
    """Measure, print, and leave nothing running."""
    asked = _asked()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that what was started is ended then, too
    least, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(least, min(8192, most)), most))
    servers = [one for one in (OURS, *PEERS) if one.name in asked.only]
    with tempfile.TemporaryDirectory(prefix="serving") as folder:
        bench = Bench(asked, Path(folder), [server.name for server in servers])
        print(
            f"{detect().cpu.model}, {cores()} cores, {asked.threads} of them for the network; {bench.says}", flush=True
        )
        if asked.soak:
            for server in servers:
                bench.attempt(server, "soak", bench.soak)
        in_turns = not asked.soak and not {"speed", "overload"}.isdisjoint(asked.measure)
        for _ in range(asked.rounds if in_turns else 0):
            for server in servers:
                bench.attempt(server, "speed", bench.speed)
        for measure in () if asked.soak else MEASURES[2:]:
            for server in servers if measure in asked.measure else ():
                if measure != "swaps" or server is OURS:
                    bench.attempt(server, measure, getattr(bench, measure))
    print(tables.of(bench.found, asked.rounds))
    if asked.json:
        asked.json.write_text(json.dumps(bench.found, indent=1) + "\n")


class Bench:
    """One run: its files, its lengths, and what was found, by server and measure, a figure a round."""

    def __init__(self, asked: argparse.Namespace, folder: Path, names: list[str]) -> None:
        note("fitting the network to this machine")
        self.asked, self.folder = asked, folder
        self.model, self.other = network.make(folder, asked.threads)
        self.found: dict[str, dict[str, Any]] = {name: {} for name in names}
        limit = self.limit(2.0)
        self.says = f"{limit['batch_ms']:.1f} ms for eight pictures, {limit['one_ms']:.1f} ms for one"

    def attempt(self, server: Server, measure: str, how: Callable[[Server], Any]) -> None:
        """Take one measure of one server; where it is not to be had, say so and go on."""
        kept = self.found[server.name]
        if "absent" in kept:
            return
        note(f"{server.name}: {measure}")
        try:
            kept.setdefault(measure, []).append(how(server))
        except (
            Absent,
            OSError,
            RuntimeError,
            subprocess.SubprocessError,
        ) as why:  # it did not start, or did not live through it
            note(f"{server.name}: {measure}: {why}")
            if measure in ("speed", "soak"):
                kept["absent"] = f"{measure}: {why}"
            else:
                kept.setdefault(measure, []).append({"absent": str(why)})

    def limit(self, seconds: float) -> dict[str, float]:
        """The plain loop, in a process of its own."""
        command = [
            sys.executable,
            "-m",
            "serving_peers.network",
            str(self.model),
            str(self.asked.threads),
            str(seconds),
        ]
        said = subprocess.run(command, cwd=Path(__file__).parent, capture_output=True, text=True, check=True)
        found: dict[str, float] = json.loads(said.stdout)
        return found

    def speed(self, server: Server) -> dict[str, Any]:
        """One turn: one client, eight, sixty-four, and too many, between two measurements of the limit."""
        before = self.limit(self.asked.seconds / 2)
        found: dict[str, Any] = {}
        with self._running(server) as running:
            self._warm(running)
            found["idle_mb"] = running.memory()
            for clients in (1, 8, 64):
                found[str(clients)] = measures.speed(running, clients, self.asked.seconds)
            if "speed" in self.asked.measure and not self.asked.quick:
                found["wrk"] = measures.wrk(running, 64, self.asked.seconds)
        after = self.limit(self.asked.seconds / 2)
        found["limit"] = {name: (value + after[name]) / 2 for name, value in before.items()}
        if "overload" in self.asked.measure:
            found["overload"] = self._overload(server, max(found[clients]["rate"] for clients in ("8", "64")))
        return found

    def _overload(self, server: Server, peak: float) -> list[dict[str, Any]]:
        """Where a server can be told how much to take at once, it is told what it can answer within the objective."""
        at_once = max(2 * network.BATCH, round(0.6 * peak * OBJECTIVE_MS / 1000))
        with self._running(server, at_once=at_once) as running:
            self._warm(running)
            return [
                {"peak": peak, "factor": factor, "at_once": at_once}
                | measures.overload(running, factor * peak, 3.0 if self.asked.quick else 10.0, OBJECTIVE_MS)
                for factor in FACTORS
            ]

    def poison(self, server: Server) -> dict[str, Any]:
        """A request that makes the network fail, and one of another size, among seven good ones."""
        times = 5 if self.asked.quick else 30
        with self._running(server) as running:
            measures.speed(running, 8, min(2.0, self.asked.seconds))
            return {
                "value": trials.poison(running, times),
                "size": trials.poison(running, times, misfit=True),
            }

    def slow(self, server: Server) -> dict[str, Any]:
        """More slow clients than the server may have open files."""
        with self._running(server, files=FILES) as running:
            return trials.slow(running, SLOW, 5 if self.asked.quick else 20)

    def stop(self, server: Server) -> dict[str, Any]:
        """SIGTERM under load."""
        with self._running(server) as running:
            return trials.stop(running, min(2.0, self.asked.seconds))

    def swaps(self, server: Server) -> dict[str, Any]:
        """One model in another's place."""
        keys, first = self.folder / "keys.json", self.folder / "first.onnx"
        key = new_key(keys, "benchmark", "admin")
        first.write_bytes(self.model.read_bytes())

        @lru_cache
        def right(file: Path) -> np.ndarray:
            return _scores(file, self.asked.threads)

        try:
            with self._running(server, more=("--keys", str(keys))) as running:
                return trials.swaps(running, 20 if self.asked.quick else 200, key, (first, self.other), right)
        finally:
            os.replace(first, self.model)

    def soak(self, server: Server) -> dict[str, Any]:
        """At half of what it can do, for as long as asked."""
        with self._running(server) as running:
            self._held(running)
            rate = measures.speed(running, 8, self.asked.seconds)["rate"] / 2
            print(f"{server.name}: {rate:.0f} requests a second, for {self.asked.soak / 60:.1f} minutes", flush=True)
            return measures.soak(running, rate, self.asked.soak)

    def _running(
        self, server: Server, files: int | None = None, more: tuple[str, ...] = (), at_once: int = AT_ONCE
    ) -> AbstractContextManager[Running]:
        rules = Rules(self.model, self.asked.threads, network.BATCH, OBJECTIVE_MS, at_once)
        return started(server, rules, self.asked.environments, files, more)

    def _warm(self, running: Running) -> None:
        """Two short loads: what adapts itself has done so after the first."""
        for _ in range(2):
            self._held(running)
            measures.speed(running, 8, min(2.0, self.asked.seconds))

    def _held(self, running: Running) -> None:
        """That it answers what the session answers."""
        form = running.server.form
        status, body = ask(running.port, form.request(network.pictures(1)[0], None))
        if status != 200 or not np.allclose(form.scores(body), _scores(self.model, self.asked.threads), 1e-3, 1e-5):
            raise Absent(f"its answer to a picture is {status} {body[:100]!r}, not what the session says")


def _scores(file: Path, threads: int) -> np.ndarray:
    scores: np.ndarray = network.session(file, threads).run(["scores"], {"images": network.pictures(1)})[0][0]
    return scores


def _asked() -> argparse.Namespace:
    names = [server.name for server in (OURS, *PEERS)]
    cache = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "throughline" / "serving-peers"
    parser = argparse.ArgumentParser()
    parser.add_argument("--only", type=_listed(names), default=names, help=f"some of: {','.join(names)}")
    parser.add_argument(
        "--measure", type=_listed(list(MEASURES)), default=MEASURES, help=f"some of: {','.join(MEASURES)}"
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=5.0, help="of each measure of speed")
    parser.add_argument(
        "--threads", type=int, default=1, help="of the network; the rest is the servers' and the client's"
    )
    parser.add_argument("--quick", action="store_true", help="one short round: a look, not a measurement")
    parser.add_argument("--soak", type=_seconds, help="only work for so long, such as 20m, and watch memory and files")
    parser.add_argument("--environments", type=Path, default=cache, help="where the peers are installed")
    parser.add_argument("--json", type=Path, help="write every figure of every round here")
    asked = parser.parse_args()
    if asked.quick:
        asked.rounds, asked.seconds = 1, 1.5
    return asked


def _listed(known: list[str]) -> Callable[[str], list[str]]:
    def read(text: str) -> list[str]:
        given = [one.strip() for one in text.split(",")]
        if unknown := [one for one in given if one not in known]:
            raise argparse.ArgumentTypeError(f"there is no '{unknown[0]}'; there are: {', '.join(known)}")
        return given

    return read


def _seconds(text: str) -> float:
    units = {"s": 1, "m": 60, "h": 3600}
    try:
        return float(text.rstrip("smh")) * units[text[-1] if text[-1:] in units else "s"]
    except ValueError:
        raise argparse.ArgumentTypeError(f"'{text}' is no time; such as 90s, 20m or 2h") from None


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(130)
