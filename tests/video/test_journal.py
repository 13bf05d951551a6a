from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as some

from throughline.contracts.errors import InputError
from throughline.video.journal import Journal, only_one

WHO = {"model": "abc", "sizes": (1, 2), "conf": 0.1}


def write(path: Path, *entries: dict[str, object]) -> bytes:
    with Journal(path, WHO) as journal:
        for entry in entries:
            journal.append(entry)
    return path.read_bytes()


def test_what_was_appended_last_is_there_when_it_is_opened_again(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "journal.jsonl"
    with Journal(path, WHO) as journal:
        assert journal.last is None
    write(path, {"part": 1}, {"part": 2, "speed": 0.1 + 0.2, "name": "Zürich\n"})
    with Journal(path, WHO) as journal:
        assert journal.last == {"part": 2, "speed": 0.1 + 0.2, "name": "Zürich\n"}
        journal.append({"part": 3})
    with Journal(path, WHO) as journal:
        assert journal.last == {"part": 3}
    assert len(path.read_bytes().splitlines()) == 4


def test_cut_anywhere_it_opens_with_the_last_line_that_is_whole(tmp_path: Path) -> None:
    whole = write(tmp_path / "whole", {"part": 1}, {"part": 2})
    ends = [match.end() for match in re.finditer(b"\n", whole)]
    for cut in range(len(whole)):
        path = tmp_path / "cut"
        path.write_bytes(whole[:cut])
        with Journal(path, WHO) as journal:
            lines = sum(end <= cut for end in ends)
            assert journal.last == (None if lines < 2 else {"part": lines - 1})
            journal.append({"part": "again"})
        with Journal(path, WHO) as journal:
            assert journal.last == {"part": "again"}


@given(at=some.integers(0, 10_000), flip=some.integers(1, 255))
def test_a_changed_byte_is_never_believed(tmp_path_factory: pytest.TempPathFactory, at: int, flip: int) -> None:
    path = tmp_path_factory.mktemp("flip") / "journal"
    whole = bytearray(write(path, {"part": 1}, {"part": 2}, {"part": 3}))
    at %= len(whole)
    whole[at] ^= flip
    path.write_bytes(whole)
    last_begins = whole.rindex(b"\n", 0, len(whole) - 1) + 1
    if at < last_begins - 1:
        with pytest.raises(InputError, match="damaged, and is not the last"):
            Journal(path, WHO)
    else:
        with Journal(path, WHO) as journal:
            assert journal.last == ({"part": 2} if at >= last_begins else {"part": 1})


@pytest.mark.parametrize("order", [(0, 2, 1, 3), (0, 1, 3), (0, 1, 1, 2, 3)])
def test_a_line_that_was_moved_lost_or_doubled_is_noticed(tmp_path: Path, order: tuple[int, ...]) -> None:
    path = tmp_path / "journal"
    lines = write(path, {"part": 1}, {"part": 2}, {"part": 3}).splitlines(keepends=True)
    path.write_bytes(b"".join(lines[number] for number in order) + lines[-1])
    with pytest.raises(InputError, match="damaged"):
        Journal(path, WHO)


def test_it_goes_on_only_as_the_same_run_and_says_what_differs(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    before = write(path, {"part": 1})
    with pytest.raises(InputError) as refused:
        Journal(path, {**WHO, "conf": 0.2, "iou": 0.5})
    assert "conf was 0.1 and is 0.2; iou was None and is 0.5" in refused.value.problem
    assert "model" not in refused.value.problem
    assert path.read_bytes() == before


def test_a_full_disk_is_an_error_and_leaves_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    program = f"""
import resource, signal
from pathlib import Path
from throughline.contracts.errors import InputError
from throughline.video.journal import Journal
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
journal = Journal(Path({str(path)!r}), {{"model": "abc"}})
journal.append({{"part": 1}})
resource.setrlimit(resource.RLIMIT_FSIZE, (path_size := Path({str(path)!r}).stat().st_size + 50, path_size))
try:
    journal.append({{"part": 2, "more": "x" * 100}})
except InputError as error:
    print(error.problem)
"""
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert "cannot write" in ran.stdout, ran.stderr
    assert path.read_bytes().endswith(b"\n"), "half a line was taken back"
    with Journal(path, {"model": "abc"}) as journal:
        assert journal.last == {"part": 1}


def test_a_place_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot write"):
        Journal(tmp_path / "file" / "journal", WHO)
    with pytest.raises(InputError, match="cannot write"), only_one(tmp_path / "file" / "run"):
        pass


def test_two_processes_cannot_hold_one_run_and_a_dead_one_holds_nothing(tmp_path: Path) -> None:
    program = f"""
import os, signal, sys
from pathlib import Path
from throughline.video.journal import only_one
with only_one(Path({str(tmp_path)!r})):
    print("held", flush=True)
    sys.stdin.read()
"""
    with subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        with pytest.raises(InputError, match="another process is working on this run"), only_one(tmp_path):
            pass
        other.kill()
        other.wait()
        with only_one(tmp_path):
            assert os.listdir(tmp_path) == [".lock"]
