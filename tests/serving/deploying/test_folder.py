"""A folder is there whole or not at all, and nobody's work is lost."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from throughline.contracts.errors import InputError
from throughline.serving.deploying._folder import RECORD, files_in, whole_folder


def write(target: Path, **files: str) -> None:
    with whole_folder(target) as draft:
        (draft / "deeper").mkdir()
        (draft / "deeper" / "always").write_text("here")
        for name, text in files.items():
            (draft / name).write_text(text)


def test_what_was_written_is_on_record_as_sha256sum_reads_it(tmp_path: Path) -> None:
    write(tmp_path / "out", one="1", two="2")
    assert files_in(tmp_path / "out") == ["deeper/always", "one", "two"]
    checked = subprocess.run(["sha256sum", "-c", RECORD], cwd=tmp_path / "out", capture_output=True, text=True)
    assert checked.returncode == 0, checked.stderr
    assert [path.name for path in tmp_path.iterdir() if path.name != "state"] == ["out"]


def test_a_failure_leaves_nothing_and_what_was_there_before(tmp_path: Path) -> None:
    target = tmp_path / "out"
    write(target, one="1")
    for place in (target, tmp_path / "new"):
        with pytest.raises(InputError, match="cannot write"):
            write(place, **{"one": "other", "no/such/folder": ""})
    assert (target / "one").read_text() == "1"
    assert [path.name for path in tmp_path.iterdir() if path.name != "state"] == ["out"]


def test_it_takes_the_place_of_itself_and_of_an_empty_folder(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    write(tmp_path / "out", one="1", two="2")
    write(tmp_path / "out", one="3")
    assert files_in(tmp_path / "out") == ["deeper/always", "one"]
    assert (tmp_path / "out" / "one").read_text() == "3"


def changed(target: Path) -> None:
    (target / "one").write_text("mine")


def added(target: Path) -> None:
    (target / "deeper" / "mine").write_text("mine")


def removed(target: Path) -> None:
    (target / "one").unlink()


def unrecorded(target: Path) -> None:
    (target / RECORD).unlink()


def scribbled(target: Path) -> None:
    (target / RECORD).write_bytes(b"\xff nothing\n")


@pytest.mark.parametrize(
    ("by_hand", "says"),
    [
        (changed, "one was changed by hand"),
        (added, "deeper/mine was put there by hand"),
        (removed, "one was taken out by hand"),
        (unrecorded, "deploy did not write it"),
        (scribbled, "was changed"),
    ],
)
def test_what_somebody_changed_is_left_alone(by_hand, says: str, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    target = tmp_path / "out"
    write(target, one="1")
    by_hand(target)
    before = {name: (target / name).read_bytes() for name in files_in(target)}
    with pytest.raises(InputError, match=says):
        write(target, one="2")
    assert {name: (target / name).read_bytes() for name in files_in(target)} == before


@pytest.mark.parametrize("name", [".", "..", "/"])
def test_what_is_no_new_folder_is_refused(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path / "empty")
    with pytest.raises(InputError, match="no name for a new folder"):
        write(Path(name))


def test_a_file_and_a_link_are_left_alone_too(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    for name in ("file", "link"):
        with pytest.raises(InputError, match="deploy did not write it"):
            write(tmp_path / name)
