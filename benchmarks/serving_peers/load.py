"""The client: one process, one epoll loop, prebuilt bytes; so cheap because it shares the cores with the server.

    python load.py '{"mode": "closed", "port": 8000, "request": "FILE", "clients": 64, "seconds": 5}'

Closed: so many clients, each sending its next request when its last is answered. Open: requests come at a rate, as
in the world, whether or not the last ones are answered; a client whose answer takes longer than its patience hangs
up. A latency counts from when a request was due, not from when there was time to send it. SIGINT ends either early.
It prints "started" after the first answer, and one line of JSON at the end, which says its own CPU time, too.
"""

from __future__ import annotations

import errno
import gc
import json
import os
import random
import select
import signal
import socket
import sys
import time
from collections import Counter, deque
from contextlib import suppress
from typing import Any

FIRST = -10
now = time.monotonic
_REFUSED = (errno.ECONNREFUSED, errno.EADDRNOTAVAIL)


class Connection:
    """One socket, and the request that is on its way through it."""

    __slots__ = ("answered", "busy", "due", "got", "left", "opened", "sent", "sock", "writing")

    def __init__(self, port: int) -> None:
        self.sock = socket.socket()
        self.sock.setblocking(False)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 18)
        self.left: memoryview | None = None
        self.got, self.due, self.sent, self.answered, self.busy = b"", 0.0, 0.0, 0, False
        self.writing = False
        self.opened = self.sock.connect_ex(("127.0.0.1", port)) not in _REFUSED


class Load:
    """The loop, and what it counts."""

    def __init__(self, asked: dict[str, Any]) -> None:
        self.asked, self.port = asked, int(asked["port"])
        with open(asked["request"], "rb") as file:
            self.request = memoryview(file.read())
        self.poll = select.epoll()
        self.open: dict[int, Connection] = {}
        self.free: list[Connection] = []  # and some that are closed by now
        self.busy, self.answers = 0, 0
        self.count: Counter[str] = Counter()
        self.taken: dict[str, list[float]] = {}
        self.lost: list[float] = []  # when each request was sent whole that nobody answered
        self.late: list[float] = []
        self.inflight: deque[tuple[float, Connection, int]] = deque()
        self.patience, self.told = float(asked.get("patience", 1e9)), False
        self.over = False
        signal.signal(signal.SIGINT, self.end)

    def end(self, *_: object) -> None:
        """Begin nothing more; what is on its way is waited for."""
        self.over = True

    def start(self, due: float) -> bool:
        """Send a request that was due then; False where no connection is free and no more may be opened."""
        connection = None
        while self.free and connection is None:
            connection = self.free.pop()
            connection = connection if connection.sock.fileno() >= 0 else None
        connection = connection or self._connect()
        if connection is None:
            return False
        connection.due, connection.left, connection.got, connection.sent = due, self.request, b"", 0.0
        connection.busy, self.busy = True, self.busy + 1
        self.count["begun"] += 1
        if not connection.opened:
            self._drop(connection, "no connection")
            return True
        if self.patience < 1e9:
            self.inflight.append((due + self.patience, connection, connection.answered))
        self._write(connection)
        return True

    def turn(self, seconds: float) -> None:
        """Take what the sockets have for us, and hang up where patience has ended."""
        for number, events in self.poll.poll(max(seconds, 0)):
            connection = self.open.get(number)
            if connection is None:
                continue
            if events & select.EPOLLOUT and connection.left is not None:
                self._write(connection)
            if events & (select.EPOLLIN | select.EPOLLHUP | select.EPOLLERR):
                self._read(connection)
        while self.inflight and self.inflight[0][0] < now():
            _, connection, number = self.inflight.popleft()
            if connection.busy and connection.answered == number:
                self._drop(connection, "gave up")

    def _connect(self) -> Connection | None:
        if len(self.open) >= self.asked.get("most", 1000):
            return None
        connection = Connection(self.port)
        self.open[connection.sock.fileno()] = connection
        self.poll.register(connection.sock, select.EPOLLIN)
        return connection

    def _write(self, connection: Connection) -> None:
        assert connection.left is not None
        try:
            connection.left = connection.left[connection.sock.send(connection.left) :]
        except (BlockingIOError, InterruptedError):
            pass
        except OSError as error:
            kind = "no connection" if error.errno in _REFUSED or not connection.answered else "closed before sent"
            self._drop(connection, kind if error.errno != errno.ENOTCONN else "no connection")
            return
        if bool(connection.left) != connection.writing:
            connection.writing = not connection.writing
            self.poll.modify(connection.sock, select.EPOLLIN | (select.EPOLLOUT if connection.writing else 0))
        if not connection.left:
            connection.left, connection.sent = None, now()

    def _read(self, connection: Connection) -> None:
        try:
            piece = connection.sock.recv(1 << 16)
        except (BlockingIOError, InterruptedError):
            return
        except OSError as error:
            self._drop(connection, "no connection" if error.errno in _REFUSED else "reset")
            return
        if not piece:
            self._drop(connection, "reset")
            return
        if not connection.busy:  # said without being asked, such as that it closes
            self._forget(connection)
            return
        connection.got += piece
        head = connection.got.find(b"\r\n\r\n")
        if head < 0:
            return
        lines = connection.got[:head].lower()
        at = lines.find(b"content-length:")
        if at < 0:
            whole = connection.got.endswith(b"0\r\n\r\n")
        else:
            end = lines.find(b"\r", at)
            whole = len(connection.got) >= head + 4 + int(lines[at + 15 : end if end > 0 else None])
        if whole:
            status = connection.got[9:12].decode("latin-1")
            self.count[status] += 1
            self.taken.setdefault(status, []).append(now() - connection.due)
            self.answers += status == "200"
            self._answered(connection, b"connection: close" in lines)

    def _answered(self, connection: Connection, closing: bool) -> None:
        if not self.told:
            self.told = True
            print("started", flush=True)
        connection.answered += 1
        if closing or connection.left is not None:  # refused before all was sent: what is left cannot be left out
            self._forget(connection)
        else:
            connection.busy, self.busy = False, self.busy - 1
            self.free.append(connection)

    def _drop(self, connection: Connection, why: str) -> None:
        """A request that ends without an answer, or a connection that nobody used."""
        if connection.busy:
            if why == "reset" and not connection.sent:
                why = "closed before sent" if connection.answered else "no connection"
            self.count[why] += 1
            if why == "reset":
                self.lost.append(connection.sent)
        self._forget(connection)

    def _forget(self, connection: Connection) -> None:
        self.open.pop(connection.sock.fileno(), None)
        self.busy -= connection.busy
        connection.busy = False
        connection.sock.close()

    def report(self, seconds: float, answers: int) -> None:
        """One line of JSON; ``answers`` are those that came while it lasted."""
        use = time.process_time()
        taken = {status: _percentiles(values) for status, values in self.taken.items()}
        within = sum(one <= self.asked.get("objective", 0.25) for one in self.taken.get("200", ()))
        told = {"seconds": seconds, "rate": answers / seconds, "counts": dict(self.count), "latency": taken}
        more = {"within": within, "cpu": use, "lost": self.lost, "late": _percentiles(self.late)}
        print(json.dumps({**told, **more}), flush=True)


def closed(load: Load) -> None:
    """So many clients; after a refused connection a client waits a moment, as anyone would."""
    clients, began = int(load.asked["clients"]), now()
    until = began + float(load.asked["seconds"])
    paused: float = 0
    while (moment := now()) < until and not load.over:
        for _ in range(clients - load.busy if moment >= paused else 0):
            busy = load.busy
            load.start(now())
            if load.busy == busy:
                paused = moment + 0.02
                break
        load.turn(min(until - moment, 0.02))
    seconds, answers, late = now() - began, load.answers, now() + 5
    while load.busy and now() < late:
        load.turn(0.05)
    load.count["unanswered"] += load.busy
    load.report(seconds, answers)


def opened(load: Load) -> None:
    """Requests at a rate, at random moments; those that find no free connection wait for one, up to the patience."""
    chance, rate, began = random.Random(1), float(load.asked["rate"]), now()
    until, due = began + float(load.asked["seconds"]), began
    waiting: deque[float] = deque()
    while ((moment := now()) < until and not load.over) or load.busy or waiting:
        while due <= moment and due < until and not load.over:
            waiting.append(due)
            load.late.append(moment - due)
            due += chance.expovariate(rate)
        for _ in range(min(len(waiting), 32)):  # answers are looked at in between
            if waiting[0] + load.patience < moment:
                load.count["not sent"] += 1
            elif not load.start(waiting[0]):
                load.turn(0.002)  # until a connection is free
                break
            waiting.popleft()
        load.turn(0 if waiting else min(due - now(), 0.005) if due < until else 0.005)
    load.report(until - began, load.answers)


def _percentiles(values: list[float]) -> dict[str, float]:
    if not values:
        return {}
    ordered = sorted(values)
    at = {"p50": 0.5, "p99": 0.99, "max": 1.0}
    last = len(ordered) - 1
    return {"n": len(ordered), **{name: 1000 * ordered[min(int(p * len(ordered)), last)] for name, p in at.items()}}


if __name__ == "__main__":
    gc.disable()
    with suppress(OSError):  # a client is another machine in truth, and does not wait for the server's cores
        os.setpriority(os.PRIO_PROCESS, 0, FIRST)
    spec = json.loads(sys.argv[1])
    {"closed": closed, "open": opened}[spec["mode"]](Load(spec))
