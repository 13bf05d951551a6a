from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from throughline.contracts.errors import InputError
from throughline.files import whole_file, writing


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("name", ["notes.txt", "archive.tar.gz", "plain", ".hidden", "摄" * 80 + ".mp4"])
def test_a_file_takes_its_name_when_it_is_whole(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    with whole_file(path) as draft:
        assert draft.suffix == path.suffix, "writers choose a format by it"
        draft.write_text("new")
        assert draft.name.startswith(".")
        assert not path.exists()
    assert (path.read_text(), names(tmp_path)) == ("new", [name])


def test_its_rights_are_those_of_any_new_file(tmp_path: Path) -> None:
    (tmp_path / "plain").touch()
    with whole_file(tmp_path / "whole") as draft:
        draft.write_bytes(b"")
    assert (tmp_path / "whole").stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_a_block_that_fails_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("old")

    def interrupted() -> None:
        with whole_file(path) as draft:
            draft.write_text("half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert (path.read_text(), names(tmp_path)) == ("old", ["file"])


def test_a_writer_that_removes_its_draft_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot write: No such file"), whole_file(tmp_path / "file") as draft:
        draft.unlink()
    assert names(tmp_path) == []


@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_a_kill_leaves_the_old_file(tmp_path: Path, step: str) -> None:
    path = tmp_path / "file"
    path.write_text("old")
    program = (
        "import os, pathlib, sys; from throughline.files import whole_file\n"
        f"os.{step} = pathlib.Path.replace = lambda *_: os.kill(os.getpid(), 9)\n"
        "with whole_file(pathlib.Path(sys.argv[1])) as draft: draft.write_text('new')\n"
    )
    killed = subprocess.run([sys.executable, "-c", program, str(path)], check=False)
    assert killed.returncode == -9
    assert path.read_text() == "old"
    assert len(names(tmp_path)) == 2, "the draft stays, hidden"
    with whole_file(path) as draft:
        draft.write_text("newer")
    assert path.read_text() == "newer"


def test_a_full_disk_is_one_error_that_names_the_file(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("old")
    program = (
        "import pathlib, resource, signal, sys; from throughline.files import whole_file\n"
        "from throughline.contracts.errors import InputError\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (64, 64))\n"
        "try:\n"
        "    with whole_file(pathlib.Path(sys.argv[1])) as draft: draft.write_text('x' * 10_000)\n"
        "except InputError as error: print(error)\n"
    )
    ran = subprocess.run([sys.executable, "-c", program, str(path)], capture_output=True, text=True, check=True)
    assert f"{path}: cannot write: File too large\n  fix: choose a folder with room" in ran.stdout
    assert (path.read_text(), names(tmp_path)) == ("old", ["file"])


def test_what_cannot_be_written_is_refused_before_the_work(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for path in (tmp_path / "file" / "inside", tmp_path / "gone" / "inside"):
        with pytest.raises(InputError, match="cannot write"), whole_file(path):
            pytest.fail("the block was begun")


def test_the_bytes_are_on_the_disk_before_the_name_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[str] = []
    sync, rename = os.fsync, Path.replace
    monkeypatch.setattr(os, "fsync", lambda handle: (done.append("sync"), sync(handle)))
    monkeypatch.setattr(Path, "replace", lambda path, to: (done.append("rename"), rename(path, to)))
    with whole_file(tmp_path / "file") as draft:
        draft.write_text("new")
    assert done == ["sync", "rename", "sync"], "the file, its name, the folder"


def test_an_error_without_the_systems_words_is_told_as_it_is(tmp_path: Path) -> None:
    with (
        pytest.raises(InputError, match="f: cannot write: the tape is torn\n  fix: mend it"),
        writing(Path("f"), "mend it"),
    ):
        raise OSError("the tape is torn")


def test_a_folder_in_its_place_is_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "file").mkdir()
    with pytest.raises(InputError, match="cannot write: Is a directory"), whole_file(tmp_path / "file") as draft:
        draft.write_text("new")
    assert names(tmp_path) == ["file"]
