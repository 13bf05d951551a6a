from __future__ import annotations

import io
import re

from throughline.video.progress import Progress


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_it_says_how_many_how_fast_and_how_long_still() -> None:
    progress = Progress("clip.mp4", 1000, stream=io.StringIO())
    progress.show(100, 5)
    began = progress._first
    assert began is not None
    told = progress.line(300, 1234, began[0] + 4)
    assert told == "clip.mp4: 300 of 1,000 frames, 50.0 frames per second, 0:14 left, 1,234 objects"
    assert "3:20 left" in progress.line(300, 0, began[0] + 57.2)
    assert "1:07:40 left" in progress.line(300, 0, began[0] + 1160)


def test_a_terminal_gets_a_bar_that_is_wiped_and_a_pipe_gets_lines() -> None:
    bar, lines = Progress("a", 10, stream=Terminal()), Progress("a", 10, stream=io.StringIO())
    assert re.search(r"a \[#{12}\.{12}\] 5 of 10 frames", bar.line(5, 0, 0.0))
    assert "[" not in lines.line(5, 0, 0.0)
    assert "[" not in Progress("a", None, stream=Terminal()).line(5, 0, 0.0)
    bar.close()
    assert bar._stream.getvalue() == "\r\x1b[K"  # type: ignore[attr-defined]


def test_a_name_cannot_move_the_cursor() -> None:
    assert "\x1b" not in Progress("a\x1b[2J", None, stream=io.StringIO()).line(1, 1, 0.0)
