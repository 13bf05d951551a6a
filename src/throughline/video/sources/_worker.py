"""A decoding process, as the process that asks it sees it: commands go in, pictures come out, and an end is noticed.

However this process ends, the other one goes with it: its input ends then. However the
other one ends, reading its answers comes to an end here.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import subprocess
import sys
from collections.abc import Mapping
from typing import Any, final

from throughline.video.sources._ring import Picture, Pictures, Wire, nameless_memory

_MODULE = "throughline.video.sources._decode_worker"


@final
class Worker:
    """One process at work on one file. ``room`` bounds the memory for its pictures, in bytes."""

    def __init__(self, file: str, options: Mapping[str, Any], room: int) -> None:
        self._memory, self._rest = _Descriptor(nameless_memory()), b""
        answers, theirs = os.pipe()
        read, write = os.pipe()
        self._answers, self._commands = _Descriptor(answers), _Descriptor(write)
        told = [self._memory.number, theirs, room, json.dumps(file), json.dumps(dict(options))]
        path = os.pathsep.join(entry for entry in sys.path if os.path.isabs(entry))
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", _MODULE, *map(str, told)],
                stdin=read,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                pass_fds=(self._memory.number, theirs),
                env={**os.environ, "PYTHONPATH": path},
            )
        finally:
            os.close(read)
            os.close(theirs)
        commands = self._commands  # which stays open as long as there is a picture that might still be let go of
        self._pictures = Pictures(self._memory.number, lambda offset: commands.write(b"%d\n" % offset))

    def ask(self, command: str, *more: Any) -> None:
        """Tell it what to do; it does one thing after the other."""
        self._commands.write(json.dumps([command, *more]).encode() + b"\n")

    @property
    def has_answered(self) -> bool:
        """Whether ``answer`` need not wait."""
        return b"\n" in self._rest or bool(select.select([self._answers.number], [], [], 0)[0])

    def answer(self) -> list[Any] | None:
        """What it says next; None when it has ended."""
        while b"\n" not in self._rest:
            more = os.read(self._answers.number, 1 << 16)
            if not more:
                return None
            self._rest += more
        line, self._rest = self._rest.split(b"\n", 1)
        answer: list[Any] = json.loads(line)
        return answer

    def picture(self, wire: Wire) -> Picture:
        """One that it spoke of."""
        return self._pictures.take(wire)

    def end(self) -> None:
        """End it at once. Pictures that somebody holds stay; may be called on any thread, and again."""
        self._process.kill()
        self._process.wait()

    def release(self) -> None:
        """Nobody reads from it any more: what is held is copied out, so that the shared memory can go."""
        self.end()
        self._pictures.copy_out(0)


@final
class _Descriptor:
    """An open file that is closed when nobody can use it any more, and not before: numbers are given out again."""

    def __init__(self, number: int) -> None:
        self.number = number

    def write(self, line: bytes) -> None:
        """To the other side, if there still is one."""
        with contextlib.suppress(BrokenPipeError):
            while line:
                line = line[os.write(self.number, line) :]

    def __del__(self) -> None:
        os.close(self.number)
