"""A lock names data exactly: whatever happens to one file of them is told, and what."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from small_pictures import picture

from throughline.contracts.errors import InputError
from throughline.data import lock as locking
from throughline.data.lock import check_lock, lock_data, lock_path, read_lock
from throughline.data.reading import open_data
from throughline.data.tables import open_table
from throughline.testing.world import World, write_coco, write_mot

YAML = "train: images/train\nval: images/val\nnames: [ant, bee]\n"


@pytest.fixture
def ants(tmp_path: Path) -> Path:
    """Four pictures, locked."""
    folder = tmp_path / "ants"
    for seed, name in enumerate(("train/a", "train/b", "val/c", "val/d")):
        picture(folder / "images" / f"{name}.png", seed)
        label = folder / "labels" / f"{name}.txt"
        label.parent.mkdir(parents=True, exist_ok=True)
        label.write_text("0 0.5 0.5 0.2 0.2\n1 0.25 0.25 0.1 0.1\n")
    (folder / "data.yaml").write_text(YAML)
    assert lock_data(folder) == folder / "data.lock"
    return folder


def told(folder: Path) -> set[str]:
    found = check_lock(folder)
    assert all(problem.severe and problem.kind == "not as locked" for problem in found)
    return {str(problem).replace(f"{folder}/", "").replace(str(folder), "") for problem in found}


def test_it_holds_what_the_data_are(ants: Path) -> None:
    lock = read_lock(ants / "data.lock")
    assert (lock.name, lock.format, lock.labels) == ("ants", "yolo", ("ant", "bee"))
    for split in ("train", "val"):
        data = open_data(ants, split)
        assert (lock.splits[split].rows, lock.splits[split].sha256) == (2, data.sha256)
        for sample in data:
            assert (lock.files[sample.name].sha256, lock.files[sample.name].splits) == (sample.sha256, (split,))
    assert len(lock.files) == 9, "four pictures, four labels, and data.yaml"
    assert check_lock(ants) == check_lock(ants / "data.yaml") == ()
    moved = ants.rename(ants.with_name("elsewhere"))
    assert [str(one) for one in check_lock(moved)] == [], "where they lie is not part of what they are"


def move(folder: Path) -> None:
    for kind, ending in (("images", "png"), ("labels", "txt")):
        shutil.move(folder / kind / "train" / f"b.{ending}", folder / kind / "val" / f"b.{ending}")


def leave_out(folder: Path) -> None:
    (folder / "data.yaml").write_text(YAML.replace("images/val", "val.txt"))
    (folder / "val.txt").write_text("images/val/c.png\n")


CHANGES: dict[str, tuple[Callable[[Path], object], set[str]]] = {
    "another picture": (
        lambda folder: picture(folder / "images/val/c.png", 9), {"images/val/c.png: it has changed"}
    ),
    "another label": (
        lambda folder: (folder / "labels/val/c.txt").write_text("0 0.5 0.5 0.2 0.2\n"),
        {
            "images/val/c.png: what is true of it has changed: 1 on it, and there were 2",
            "labels/val/c.txt: it has changed",
        },
    ),
    "a picture less": (
        lambda folder: [(folder / "images/val/c.png").unlink(), (folder / "labels/val/c.txt").unlink()],
        {"images/val/c.png: it has vanished", "labels/val/c.txt: it has vanished", ": val has 1 rows, and had 2"},
    ),
    "a picture more": (
        lambda folder: picture(folder / "images/train/e.png", 9),
        {"images/train/e.png: it was added to train", ": train has 3 rows, and had 2"},
    ),
    "another split": (
        move,
        {
            "images/val/b.png: it moved from train to val; it was images/train/b.png",
            "labels/val/b.txt: it was labels/train/b.txt",
            ": train has 1 rows, and had 2", ": val has 3 rows, and had 2",
        },
    ),
    "a picture left out": (
        leave_out,
        {
            "images/val/d.png: it is there, and no longer part of the data",
            "labels/val/d.txt: it is there, and no longer part of the data",
            "val.txt: it was added", "data.yaml: it has changed", ": val has 1 rows, and had 2",
        },
    ),
    "other classes": (
        lambda folder: (folder / "data.yaml").write_text(YAML.replace("bee", "wasp")),
        {"data.yaml: it has changed", ": its classes are ant, wasp; they were ant, bee"},
    ),
    "a picture cut short": (
        lambda folder: (folder / "images/val/c.png").write_bytes((folder / "images/val/c.png").read_bytes()[:99]),
        {"images/val/c.png: it has changed, and cannot be read any more", ": val has 1 rows, and had 2"},
    ),
    "an index that cannot be read": (
        lambda folder: [(folder / "data.yaml").write_text("names: ant\n"), picture(folder / "images/val/c.png", 9)],
        {
            ": data.yaml:1: the class names are missing",
            "data.yaml: it has changed", "images/val/c.png: it has changed",
        },
    ),
}  # fmt: skip


@pytest.mark.parametrize("change", CHANGES)
def test_what_became_of_which_file_is_told(ants: Path, change: str) -> None:
    alter, says = CHANGES[change]
    alter(ants)
    assert told(ants) == says


def test_data_that_must_be_mended_are_not_locked(ants: Path) -> None:
    before = (ants / "data.lock").read_bytes()
    (ants / "labels/val/c.txt").write_text("7 0.5 0.5 0.2 0.2\n")
    with pytest.raises(InputError, match="must be mended first"):
        lock_data(ants)
    assert (ants / "data.lock").read_bytes() == before


def test_a_lock_is_written_whole_or_not_at_all(ants: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = (ants / "data.lock").read_bytes()
    picture(ants / "images/train/e.png", 9)

    def power_fails(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("throughline.files.put_in_place", power_fails)
    with pytest.raises(KeyboardInterrupt):
        lock_data(ants)
    assert (ants / "data.lock").read_bytes() == before
    assert not [one for one in ants.iterdir() if one.name.startswith(".")]


def test_a_lock_that_somebody_edited_is_refused(ants: Path) -> None:
    path = ants / "data.lock"
    path.write_text(path.read_text().replace('"rows": 2', '"rows": 3', 1))
    with pytest.raises(InputError, match="its checksum does not hold"):
        check_lock(ants)
    for text in ("[]", "{}", '{"throughline": "data lock 2"}', "<<<<<<< HEAD\n"):
        path.write_text(text)
        with pytest.raises(InputError, match=r"data\.lock"):
            check_lock(ants)
    bare = {"throughline": "data lock 1", "files": []}
    path.write_text(json.dumps({**bare, "checksum": locking._checksum(bare)}))
    with pytest.raises(InputError, match="it is not laid out as a lock"):
        check_lock(ants)


def test_one_file_is_one_line_and_the_same_data_give_the_same_bytes(ants: Path) -> None:
    path = ants / "data.lock"
    before = path.read_text().splitlines()
    picture(ants / "images/val/c.png", 9)
    lock_data(ants)
    now = path.read_text().splitlines()
    assert len(now) == len(before)
    changed = [line for line, was in zip(now, before, strict=True) if line != was]
    assert len(changed) == 3, "the picture, the hash of its split, and the checksum"
    assert lock_data(ants).read_text().splitlines() == now


@pytest.mark.parametrize("write", [write_coco, write_mot])
def test_files_of_every_format_are_in_it(tmp_path: Path, write: Callable[[World, Path, int], Path]) -> None:
    data = write(World(3, 160, 96), tmp_path / "set", 2)
    lock = read_lock(lock_data(data))
    written = {path.relative_to(data if data.is_dir() else data.parent).as_posix()
               for path in (tmp_path / "set").rglob("*") if path.is_file() and path.suffix != ".lock"}  # fmt: skip
    assert lock.files.keys() == {name.removeprefix("set/") for name in written}
    assert check_lock(data) == ()


def test_a_table_is_locked_beside_itself(tmp_path: Path) -> None:
    path = tmp_path / "sales.csv"
    path.write_text("shop,price\nOslo,1\nRome,2\n")
    assert check_lock(path) == (), "nothing was locked"
    assert lock_data(path) == tmp_path / "sales.csv.lock"
    lock = read_lock(tmp_path / "sales.csv.lock")
    assert (lock.splits["all"].rows, lock.splits["all"].sha256) == (2, open_table(path).sha256)
    assert check_lock(path) == ()
    path.write_text("shop,price,sold\nOslo,1.5,1\n")
    assert [problem.says for problem in check_lock(path)] == [
        "it has changed",
        "all has 1 rows, and had 2",
        "column 'price' is number, and was whole number",
        "column 'sold' is whole number, and was not there",
    ]
    path.unlink()
    with pytest.raises(InputError, match="is no file and no folder"):
        lock_path(path)
