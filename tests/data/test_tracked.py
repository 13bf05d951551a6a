"""What DVC tracks is recognised from its own files, and a working copy that is another version is told."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from throughline.data.lock import check_lock, lock_data, lock_path, read_lock
from throughline.data.problems import Problems
from throughline.data.tracked import difference, tracked, versions
from throughline.testing.world import World, write_yolo

FOLDER = {"a.txt": b"one\n", "sub/b.txt": b"two\n", "sub \xe9/c d.txt": b"x"}
FOLDERS_VERSION = "24d7b15b6b32ad6e58079d51cb4c08f8.dir"  # as DVC 3.67.1 wrote it: dvc add data


def md5(data: bytes) -> str:
    return hashlib.md5(data).hexdigest()


def listed(folder: Path) -> tuple[str, bytes]:
    """A folder's version and the list behind it, as DVC's documentation describes them."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    entries = [{"md5": md5(path.read_bytes()), "relpath": path.relative_to(folder).as_posix()} for path in files]
    text = json.dumps(sorted(entries, key=lambda one: one["relpath"]), sort_keys=True).encode()
    return f"{md5(text)}.dir", text


def dvc_file(path: Path, version: str, name: str, new: bool = True) -> None:
    path.write_text(f"outs:\n- md5: {version}\n  size: 8\n" + ("  hash: md5\n" if new else "") + f"  path: {name}\n")


@pytest.fixture
def street(tmp_path: Path) -> Path:
    """A data set in a repository, tracked as a whole."""
    (tmp_path / ".dvc").mkdir()
    (tmp_path / ".dvcignore").write_text("# patterns\n\n")
    folder = write_yolo(World(3, 160, 96), tmp_path / "data" / "street", train=2, val=1).parent
    version, text = listed(folder)
    dvc_file(tmp_path / "data" / "street.dvc", version, "street")
    cache = tmp_path / ".dvc" / "cache" / "files" / "md5" / version[:2]
    cache.mkdir(parents=True)
    (cache / version[2:]).write_bytes(text)
    return folder


def test_a_folder_is_the_version_that_dvc_makes_of_it(tmp_path: Path) -> None:
    for name, data in FOLDER.items():
        path = tmp_path / "data" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    (tmp_path / "data" / "empty").mkdir()
    dvc_file(tmp_path / "data.dvc", FOLDERS_VERSION, "data")
    (one,) = tracked(tmp_path / "data", Problems())
    assert (one.path, one.said_in, one.line) == (tmp_path / "data", tmp_path / "data.dvc", 2)
    assert difference(one) is None


def test_all_of_a_data_set_or_what_it_lies_in_or_parts_of_it(tmp_path: Path, street: Path) -> None:
    for place in (street, street / "images", street / "data.yaml"):
        (one,) = tracked(place, Problems())
        assert one.path == street
        assert difference(one) is None
    (tmp_path / "data" / "street.dvc").unlink()
    dvc_file(street / "images.dvc", listed(street / "images")[0], "images")
    (one,) = tracked(street, Problems())
    assert one.path == street / "images"
    assert tracked(tmp_path / "data" / "other", Problems()) == ()


def test_stages_of_a_pipeline(tmp_path: Path, street: Path) -> None:
    (tmp_path / "data" / "street.dvc").unlink()
    (tmp_path / "dvc.lock").write_text(
        "schema: '2.0'\nstages:\n  draw:\n    cmd: draw\n    outs:\n    - path: data/street\n      hash: md5\n"
        f"      md5: {listed(street)[0]}\n      nfiles: 7\n    - path: s3://bucket/x\n      etag: abc\n"
    )
    (one,) = tracked(street, Problems())
    assert (one.path, one.said_in, one.line, difference(one)) == (street, tmp_path / "dvc.lock", 6, None)


def test_a_working_copy_that_is_another_version_is_told_with_its_files(street: Path) -> None:
    (street / "labels" / "val" / "000000.txt").write_text("")
    (street / "images" / "train" / "000000.png").unlink()
    (street / "new.txt").write_text("")
    problems = Problems()
    (line,) = versions(street, problems)
    assert line == f"street md5 {tracked(street, problems)[0].md5} (DVC, {street}.dvc)"
    (problem,) = problems.found
    assert (problem.kind, problem.severe, problem.line) == ("not DVC's version", False, 2)
    assert problem.says == (
        f"{street}: 1 changed: labels/val/000000.txt; 1 missing: images/train/000000.png; "
        "1 not in that version: new.txt"
    )
    (street / ".dvcignore").write_text("new.txt\n")
    assert str(difference(tracked(street, problems)[0])).endswith("which is not reckoned with here)")


def test_files_and_the_line_ends_of_older_versions(tmp_path: Path) -> None:
    table = tmp_path / "t.csv"
    table.write_bytes(b"a,b\r\n1,2\r\n")
    for new, data in ((True, b"a,b\r\n1,2\r\n"), (False, b"a,b\n1,2\n")):
        dvc_file(tmp_path / "t.csv.dvc", md5(data), "t.csv", new)
        assert difference(tracked(table, Problems())[0]) is None
    table.write_bytes(b"a,b\r\n1,3\r\n")
    assert difference(tracked(table, Problems())[0]) == "its bytes are not those of that version"
    table.unlink()
    assert "dvc pull" in str(difference(tracked(table, Problems())[0]))


@pytest.mark.parametrize("text", ["outs: !!python/object/apply:os.system ['true']\n", "outs: [\n", "\0"])
def test_a_hostile_file_is_a_problem_and_no_more(tmp_path: Path, text: str) -> None:
    (tmp_path / "x.dvc").write_text(text)
    problems = Problems()
    assert tracked(tmp_path, problems) == ()
    assert [problem.kind for problem in problems.found] == ["DVC"]


@pytest.mark.parametrize("out", ["md5: ../../../../etc/passwd", "path: 7\n  md5: [1]", "size: 3", "md5: {a: b}"])
def test_a_strange_version_is_none(tmp_path: Path, out: str) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "x.dvc").write_text(f"outs:\n- {out}\n  path: data\n" if "path" not in out else f"outs:\n- {out}\n")
    assert all(one.md5 == "" and difference(one) is None for one in tracked(tmp_path / "data", Problems()))


def test_a_lock_has_dvcs_version_and_lies_beside_what_dvc_tracks(tmp_path: Path, street: Path) -> None:
    path = lock_data(street)
    assert path == lock_path(street / "data.yaml") == tmp_path / "data" / "street-data.lock"
    version = listed(street)[0]
    assert read_lock(path).tracked == {"street": version}
    assert difference(tracked(street, Problems())[0]) is None, "the lock is no part of what DVC tracks"
    assert check_lock(street) == ()
    dvc_file(tmp_path / "data" / "street.dvc", f"{'0' * 32}.dir", "street")
    assert [problem.says for problem in check_lock(street)] == [
        f"the version of street that DVC has written down is {'0' * 32}.dir, and was {version}"
    ]
