"""A process that decodes for another one: a whole file, or a stretch of it from a key picture on.

    python -m throughline.video.sources._decode_worker MEMORY ANSWERS ROOM FILE OPTIONS

Commands come on standard input, a line each; so do the places of pictures that are not
held any more. Answers go to the descriptor ANSWERS, pictures into slots of MEMORY. When
the input ends, so does this process, whatever it is doing: whoever asked is gone.
"""

from __future__ import annotations

import dataclasses
import json
import math
import os
import signal
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from queue import SimpleQueue
from typing import Any, final

from throughline.contracts.errors import ThroughlineError
from throughline.contracts.frames import Frame
from throughline.contracts.runs import Gap
from throughline.video.sources._cuts import cuts_of
from throughline.video.sources._media import open_file, picture_stream
from throughline.video.sources._picture import Planes, decoded
from throughline.video.sources._reading import Reading
from throughline.video.sources._ring import Slots
from throughline.video.sources._siting import Sitings
from throughline.video.sources._table import Entry
from throughline.video.sources._turn import Turns
from throughline.video.sources.file import FileSource, while_whole


@final
class DecodeWorker:
    """What one file is asked for."""

    def __init__(self, slots: Slots, answers: int, file: str, options: dict[str, Any]) -> None:
        self._slots, self._answers, self._file, self._options = slots, os.fdopen(answers, "wb"), file, options
        self._until = math.inf
        self._sitings = Sitings()
        self._asked: SimpleQueue[list[Any]] = SimpleQueue()

    def listen(self) -> None:
        """Hear commands until there is nobody any more who could give one."""
        for line in sys.stdin.buffer:
            said = json.loads(line)
            if isinstance(said, int):
                self._slots.give_back(said)
            elif said[0] == "until":
                self._until = said[1]
            else:
                self._asked.put(said)
        os._exit(0)

    def work(self) -> None:
        """Answer one command after the other."""
        answers: dict[str, Callable[..., None]] = {
            "info": self._info,
            "cuts": self._cuts,
            "frames": self._frames,
            "stretch": self._stretch,
        }
        while True:
            command, *more = self._asked.get()
            try:
                answers[command](*more)
            except ThroughlineError as error:
                self._say("error", type(error).__name__, error.problem, error.fix)
            except BrokenPipeError:
                return
            except Exception as error:
                self._say("error", "", f"{Path(self._file).name}: it cannot be decoded ({error!r})", "")

    def _say(self, *answer: Any) -> None:
        self._answers.write(json.dumps(answer).encode() + b"\n")
        self._answers.flush()

    def _info(self) -> None:
        info = dataclasses.asdict(FileSource(self._file, **self._options).info)
        fps = info["fps"]
        self._say("info", {**info, "fps": None if fps is None else [fps.numerator, fps.denominator]})

    def _cuts(self, least: int) -> None:
        """Where it can be cut."""
        cuts = cuts_of(Path(self._file), self._options, least)
        self._say("cuts", [dataclasses.astuple(entry) for entry in cuts.at], cuts.last, cuts.total)

    def _frames(self, start: int, gaps: Sequence[Sequence[Any]], due: int) -> None:
        """All from this number on; what is before ``due`` is not given, and it ends sooner where it is told to."""
        source, told = FileSource(self._file, **self._options), tuple[Gap, ...]()
        for frame in source.frames(start, [Gap(*gap) for gap in gaps]):
            if frame.index >= self._until:
                break
            if frame.index >= due:
                told = self._tell(source, told)
                self._give(frame)
        self._tell(source, told)
        self._say("done")

    def _tell(self, source: FileSource, told: tuple[Gap, ...]) -> tuple[Gap, ...]:
        if source.gaps != told:
            self._say("gaps", [dataclasses.astuple(gap) for gap in source.gaps])
        return source.gaps

    def _stretch(self, entry: Sequence[Any], start: int, until: int | None) -> None:
        """From a key picture on, as long as nothing is wrong; what is given begins at ``start``."""
        path, gaps = Path(self._file), list[Gap]()
        with open_file(path, self._options.get("hwaccel")) as media:
            stream = picture_stream(media, path.name, self._options.get("threads"))
            reading, turns = Reading(media, stream, path.name, path, gaps), Turns()
            reading.begin_at(Entry(*entry))
            alone = stream.codec_context.thread_count == 1  # one thread says at once what it meets
            for picture, at, seconds in reading.pictures() if alone else while_whole(reading):
                if gaps or reading.damaged or reading.astray or (until is not None and at >= until):
                    break
                if at >= start:
                    self._give(Frame(at, seconds, decoded(picture, turns.of(picture)), path.name))
                if until is not None and at + 1 >= until:
                    break
        whole = not (gaps or reading.damaged or reading.astray)
        self._say("done" if whole else "flawed")

    def _give(self, frame: Frame) -> None:
        picture: Any = frame.picture
        if isinstance(picture, Planes) and picture.picture is not None:
            picture.siting = self._sitings.of(picture.picture)
        self._say("frame", frame.index, frame.seconds, self._slots.put(picture))


def main() -> None:
    """Work until there is nobody to work for."""
    for ending in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):  # whoever asked ends in good order, and this with it
        signal.signal(ending, signal.SIG_IGN)
    memory, answers, room, file, options = sys.argv[1:]
    worker = DecodeWorker(Slots(int(memory), int(room)), int(answers), json.loads(file), json.loads(options))
    threading.Thread(target=worker.listen, daemon=True).start()
    worker.work()


if __name__ == "__main__":
    main()
