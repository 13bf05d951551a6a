"""``throughline serve`` as a process of its own, and the plainest ways to talk to it."""

from __future__ import annotations

import http.client
import json
import os
import re
import resource
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

HOST = "127.0.0.1"
_UP = re.compile(r"serving on https?://[^:]+:(\d+).*?gRPC on (\d+), health and metrics on (\d+)")
_PATIENCE = 60.0


class Live:
    """A server that runs, and what it has said so far."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self.process = process
        self.lines: list[str] = []
        self._news = threading.Condition()
        self._ended = False
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        ports = _UP.search(self.said(_UP.pattern))
        assert ports is not None
        self.port, self.grpc, self.ops = map(int, ports.groups())

    def said(self, pattern: str) -> str:
        """The first line that matches; waits for it."""
        with self._news:
            found = self._news.wait_for(lambda: self._line(pattern) or self._ended, _PATIENCE)
            line = self._line(pattern)
            assert found, f"it says nothing: {self.text}"
            assert line is not None, f"it ended: {self.text}"
            return line

    @property
    def text(self) -> str:
        """Everything on stderr."""
        return "".join(self.lines)

    def end(self, sign: int = signal.SIGTERM) -> int:
        """Ask it to end; its exit code."""
        self.process.send_signal(sign)
        return self.wait()

    def wait(self) -> int:
        """Its exit code, once it has one."""
        code = self.process.wait(_PATIENCE)
        self._reader.join(_PATIENCE)
        return code

    def ask(
        self,
        method: str,
        path: str,
        body: bytes | Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
        port: int | None = None,
    ) -> tuple[int, Any, dict[str, str]]:
        """One request: its status, its body (read as JSON where it is), its headers."""
        client = http.client.HTTPConnection(HOST, port or self.port, timeout=_PATIENCE)
        sent = dict(headers or {})
        if body is not None and not isinstance(body, bytes):
            body = json.dumps(body).encode()
            sent.setdefault("Content-Type", "application/json")
        try:
            client.request(method, path, body, sent)
            answer = client.getresponse()
            data = answer.read()
            given = {name.lower(): value for name, value in answer.getheaders()}
            if given.get("content-type") == "application/json" and data:
                return answer.status, json.loads(data), given
            return answer.status, data, given
        finally:
            client.close()

    def raw(self, data: bytes = b"", port: int | None = None) -> socket.socket:
        """A connection on which these bytes were sent."""
        opened = socket.create_connection((HOST, port or self.port), timeout=_PATIENCE)
        if data:
            opened.sendall(data)
        return opened

    def metric(self, name: str) -> float:
        """What is counted under a name, labels and all."""
        _, text, _ = self.ask("GET", "/metrics", port=self.ops)
        found = re.search(rf"^{re.escape(name)} ([\d.e+-]+)$", text.decode(), re.MULTILINE)
        return float(found[1]) if found else 0.0

    def _line(self, pattern: str) -> str | None:
        return next((line for line in self.lines if re.search(pattern, line)), None)

    def _read(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            with self._news:
                self.lines.append(line.decode("utf-8", "replace"))
                self._news.notify_all()
        with self._news:
            self._ended = True
            self._news.notify_all()


@contextmanager
def serving(
    *arguments: str | Path,
    folder: Path,
    environment: Mapping[str, str] | None = None,
    files: int | None = None,
    ended: Sequence[int] = (0,),
) -> Iterator[Live]:
    """A server for as long as the block runs; it is then asked to end, and must end well."""
    command = [str(Path(sys.executable).with_name("throughline")), "serve", *map(str, arguments), "--port", "0"]
    for option in ("--grpc-port", "--ops-port"):
        command += [] if option in arguments else [option, str(free_port())]
    known = {name: value for name, value in os.environ.items() if not name.startswith("THROUGHLINE_")}

    def narrow() -> None:
        if files is not None:
            resource.setrlimit(resource.RLIMIT_NOFILE, (files, files))

    process = subprocess.Popen(
        command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, cwd=folder, preexec_fn=narrow,
        env={**known, "XDG_STATE_HOME": str(folder / "state"), "XDG_CACHE_HOME": str(folder / "cache"),
             **(environment or {})},
    )  # fmt: skip
    live = None
    try:
        live = Live(process)
        yield live
        if process.poll() is None:
            assert live.end() in ended, live.text
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()
        if live is not None:
            live._reader.join(_PATIENCE)
        assert process.stderr is not None
        process.stderr.close()


def free_port() -> int:
    """A port below those that clients are given, so that nobody takes it before it is listened on."""
    for _ in range(200):
        port = 10_000 + int.from_bytes(os.urandom(2), "little") % 20_000
        with socket.socket() as tried:
            try:
                tried.bind((HOST, port))
            except OSError:
                continue
            return port
    raise AssertionError("no port is free")


def tensor(name: str, shape: Sequence[int], datatype: str, data: Sequence[Any]) -> dict[str, Any]:
    """An input, as JSON."""
    return {"name": name, "shape": list(shape), "datatype": datatype, "data": list(data)}


def head(method: str, path: str, *lines: str) -> bytes:
    """The head of a request, as bytes."""
    return "\r\n".join([f"{method} {path} HTTP/1.1", "Host: here", *lines, "", ""]).encode("latin-1")


def answer_of(connection: socket.socket) -> bytes:
    """Everything until the other side closes; what a reset leaves is what came before it."""
    parts = []
    try:
        while part := connection.recv(65536):
            parts.append(part)
    except ConnectionError:
        pass
    return b"".join(parts)
