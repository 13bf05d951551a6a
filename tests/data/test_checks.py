"""Every fault that a data set can have, planted, and found at its place."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from small_pictures import picture

from throughline.contracts.errors import InputError
from throughline.data.checks import check_data
from throughline.data.reading import open_data

YAML = "train: images/train\nval: images/val\nnames:\n  0: ant\n  1: bee\n"


def yolo(folder: Path) -> Path:
    """Four pictures, on which nothing is wrong."""
    for seed, name in enumerate(("train/a", "train/b", "val/c", "val/d")):
        picture(folder / "images" / f"{name}.png", seed)
        label = folder / "labels" / f"{name}.txt"
        label.parent.mkdir(parents=True, exist_ok=True)
        label.write_text("0 0.5 0.5 0.2 0.2\n1 0.25 0.25 0.1 0.1\n")
    (folder / "data.yaml").write_text(YAML)
    return folder / "data.yaml"


def put(name: str, text: str) -> Callable[[Path], object]:
    return lambda folder: (folder / name).write_text(text)


def last(text: str) -> Callable[[Path], object]:
    return put("labels/val/c.txt", f"0 0.5 0.5 0.2 0.2\n\n{text}\n")


def cut(folder: Path) -> None:
    path = folder / "images" / "val" / "c.png"
    path.write_bytes(path.read_bytes()[:-40])


def garble(folder: Path) -> None:
    path = folder / "images" / "val" / "c.png"
    data = bytearray(path.read_bytes())
    data[60:200] = bytes(140)
    path.write_bytes(bytes(data))


FAULTS: dict[str, tuple[Callable[[Path], object], str, str, int | None, bool]] = {
    "a class that is not there": (last("2 0.5 0.5 0.1 0.1"), "label out of range", "labels/val/c.txt", 3, True),
    "a class below nothing": (last("-1 0.5 0.5 0.1 0.1"), "label out of range", "labels/val/c.txt", 3, True),
    "half a class": (last("0.5 0.5 0.5 0.1 0.1"), "label out of range", "labels/val/c.txt", 3, True),
    "a number that is none": (last("0 nan 0.5 0.1 0.1"), "not a number", "labels/val/c.txt", 3, True),
    "an endless number": (last("0 0.5 inf 0.1 0.1"), "not a number", "labels/val/c.txt", 3, True),
    "a word": (last("0 0.5 x 0.1 0.1"), "malformed line", "labels/val/c.txt", 3, True),
    "a number too many": (last("0 0.5 0.5 0.1 0.1 0.9"), "malformed line", "labels/val/c.txt", 3, True),
    "pixels": (last("0 20 12 8 8"), "box outside", "labels/val/c.txt", 3, True),
    "a box outside": (last("0 1.5 0.5 0.1 0.1"), "box outside", "labels/val/c.txt", 3, True),
    "a box that reaches out": (last("0 0.98 0.5 0.2 0.2"), "box outside", "labels/val/c.txt", 3, False),
    "a box of nothing": (last("0 0.5 0.5 0 0.1"), "box without area", "labels/val/c.txt", 3, False),
    "a box inside out": (last("0 0.5 0.5 -0.1 0.1"), "box without area", "labels/val/c.txt", 3, True),
    "the same line twice": (last("0 0.5 0.5 0.2 0.2"), "duplicate line", "labels/val/c.txt", 3, False),
    "labels that are no text": (
        lambda folder: (folder / "labels/val/c.txt").write_bytes(b"\xff\xfe\0"),
        "label unreadable", "labels/val/c.txt", None, True,
    ),
    "a label without a picture": (
        put("labels/val/e.txt", ""), "label without image", "labels/val/e.txt", None, False
    ),
    "a picture that is listed and missing": (
        lambda folder: [
            put("data.yaml", YAML.replace("images/val", "val.txt"))(folder),
            put("val.txt", "images/val/c.png\nimages/val/x.png\nimages/val/d.png\n")(folder),
        ],
        "image missing", "val.txt", 2, True,
    ),
    "a picture listed twice": (
        lambda folder: [
            put("data.yaml", YAML.replace("images/val", "val.txt"))(folder),
            put("val.txt", "images/val/c.png\nimages/val/d.png\nimages/val/c.png\n")(folder),
        ],
        "same picture twice", "val.txt", 3, False,
    ),
    "a list that leads out": (
        lambda folder: [
            put("data.yaml", YAML.replace("images/val", "val.txt"))(folder),
            put("val.txt", "images/val/c.png\n../../../../etc/passwd\n")(folder),
        ],
        "path outside", "val.txt", 2, True,
    ),
    "a split that leads out": (
        put("data.yaml", YAML.replace("images/val", "../../etc")), "path outside", "data.yaml", 2, True
    ),
    "a split that is not there": (
        put("data.yaml", YAML.replace("images/val", "images/vall")), "images missing", "data.yaml", 2, True
    ),
    "a split without pictures": (
        lambda folder: [path.unlink() for path in (folder / "images/val").iterdir()],
        "images missing", "data.yaml", 2, True,
    ),
    "a split without labels": (
        lambda folder: shutil.rmtree(folder / "labels/val"), "labels missing", "data.yaml", 2, False
    ),
    "a picture cut short": (cut, "image unreadable", "images/val/c.png", None, True),
    "a picture damaged inside": (garble, "image unreadable", "images/val/c.png", None, True),
    "no picture at all": (put("images/val/c.png", "hello"), "image unreadable", "images/val/c.png", None, True),
    "twice in one split": (
        lambda folder: shutil.copy(folder / "images/val/c.png", folder / "images/val/d.png"),
        "same picture twice", "images/val/d.png", None, False,
    ),
    "in two splits": (
        lambda folder: shutil.copy(folder / "images/train/a.png", folder / "images/val/d.png"),
        "same picture in two splits", "images/val/d.png", None, False,
    ),
    "a class without objects": (
        put("data.yaml", YAML + "  2: cow\n"), "class without objects", "data.yaml", 6, False
    ),
    "a class name missing": (put("data.yaml", YAML + "  3: cow\n"), "class names", "data.yaml", 4, True),
    "a class name empty": (put("data.yaml", YAML + "  2:\n"), "class names", "data.yaml", 6, True),
    "a class name doubled": (put("data.yaml", YAML + "  2: bee\n"), "class names", "data.yaml", 6, False),
    "another number of classes": (put("data.yaml", YAML + "nc: 3\n"), "class names", "data.yaml", 6, True),
    "a key with a typo": (put("data.yaml", YAML + "downlaod: no\n"), "unknown key", "data.yaml", 6, False),
    "a split with a typo": (put("data.yaml", YAML.replace("val:", "vall:")), "unknown key", "data.yaml", 2, True),
    "traits of no picture": (put("traits.csv", "file,light\nz.png,dusk\n"), "traits", "traits.csv", None, False),
}  # fmt: skip


def test_nothing_is_wrong_where_nothing_is(tmp_path: Path) -> None:
    assert check_data(yolo(tmp_path)) == ()


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_found_at_its_place(tmp_path: Path, fault: str) -> None:
    plant, kind, file, line, severe = FAULTS[fault]
    index = yolo(tmp_path)
    plant(tmp_path)
    found = {(one.kind, one.file, one.line, one.severe): one for one in check_data(index)}
    assert (kind, str(tmp_path / file), line, severe) in found, [str(one) for one in found.values()]
    assert any(one[3] for one in found) == severe, "and nothing worse than it is"
    decoded = fault == "a picture damaged inside"  # which opening does not do
    if severe and not decoded:
        with pytest.raises(InputError, match="must be mended"):
            open_data(index)
    else:
        open_data(index)


def test_two_splits_of_the_same_pictures_are_one_problem(tmp_path: Path) -> None:
    index = yolo(tmp_path)
    index.write_text(YAML.replace("images/val", "images/train"))
    shutil.rmtree(tmp_path / "labels" / "val")
    assert [(one.kind, one.says) for one in check_data(index)] == [
        ("same picture in two splits", "train and val are the same pictures")
    ]


def coco(folder: Path, change: Callable[[dict[str, Any]], object]) -> Path:
    for seed, name in enumerate("ab"):
        picture(folder / "images" / f"{name}.png", seed)
    whole: dict[str, Any] = {
        "images": [{"id": at, "file_name": f"{name}.png", "width": 40, "height": 24} for at, name in enumerate("ab")],
        "categories": [{"id": 1, "name": "ant"}],
        "annotations": [
            {"id": 1, "image_id": 0, "category_id": 1, "bbox": [1, 1, 5, 5]},
            {"id": 2, "image_id": 1, "category_id": 1, "bbox": [2, 2, 5, 5]},
        ],
    }
    change(whole)
    (folder / "set.json").write_text(json.dumps(whole))
    return folder / "set.json"


def second(**fields: Any) -> Callable[[dict[str, Any]], None]:
    return lambda whole: whole["annotations"][1].update(fields)


COCO: dict[str, tuple[Callable[[dict[str, Any]], object], str, str, bool]] = {
    "an id twice": (second(id=1), "duplicate id", "annotations[1]: the id 1 is that of annotations[0]", True),
    "no such picture": (second(image_id=9), "label without image", "annotations[1]: image_id 9", True),
    "no such category": (second(category_id=9), "label out of range", "annotations[1]: category_id 9", True),
    "a category that is a word": (second(category_id="1"), "label out of range", "annotations[1]", True),
    "a box of three": (second(bbox=[1, 2, 3]), "malformed line", "annotations[1]: bbox", True),
    "a box of words": (second(bbox="none"), "malformed line", "annotations[1]: bbox", True),
    "a box too large for any number": (second(bbox=[1, 2, 3, 10**400]), "malformed line", "annotations[1]", True),
    "a box outside": (second(bbox=[50, 2, 5, 5]), "box outside", "annotations[1]: the box (50, 2, 55, 7)", True),
    "a box that reaches out": (second(bbox=[38, 2, 5, 5]), "box outside", "annotations[1]", False),
    "a box of nothing": (second(bbox=[3, 3, 0, 5]), "box without area", "annotations[1]", False),
    "a box inside out": (second(bbox=[3, 3, -2, 5]), "box without area", "annotations[1]", True),
    "an outline of two points": (second(segmentation=[[1, 2, 3, 4]]), "malformed line", "annotations[1]", True),
    "an outline of words": (second(segmentation="x"), "malformed line", "annotations[1]", True),
    "run lengths of another size": (
        second(segmentation={"size": [4, 4], "counts": [16]}), "malformed line", "annotations[1]", True
    ),
    "run lengths that do not fill": (
        second(segmentation={"size": [24, 40], "counts": [16]}), "malformed line", "annotations[1]", True
    ),
    "no annotation": (lambda whole: whole["annotations"].append(7), "malformed line", "annotations[2]", True),
    "the same twice": (
        lambda whole: whole["annotations"].append({**whole["annotations"][1], "id": 3}),
        "duplicate line", "annotations[2]: the same as annotations[1]", False,
    ),
    "a picture's id twice": (
        lambda whole: whole["images"].append(whole["images"][0]), "duplicate id", "images[2]", True
    ),
    "a picture twice": (
        lambda whole: whole["images"].append({**whole["images"][0], "id": 7}), "same picture twice", "images[2]", True
    ),
    "a picture without a name": (lambda whole: whole["images"].append({"id": 7}), "malformed line", "images[2]", True),
    "a picture of another size": (
        lambda whole: whole["images"][1].update(width=24, height=40), "picture size", "images[1]: it says 24 x 40", True
    ),
    "a picture that is missing": (
        lambda whole: whole["images"].append({"id": 7, "file_name": "z.png"}), "image missing", "z.png", True
    ),
    "a picture that leads out": (
        lambda whole: whole["images"].append({"id": 7, "file_name": "../../../etc/passwd"}),
        "path outside", "images[2]", True,
    ),
    "a category twice": (
        lambda whole: whole["categories"].append({"id": 1, "name": "bee"}), "duplicate id", "categories[1]", True
    ),
    "a category's name twice": (
        lambda whole: whole["categories"].append({"id": 2, "name": "ant"}), "class names", "categories[1]", False
    ),
    "a category without a name": (
        lambda whole: whole["categories"].append({"id": 2}), "malformed line", "categories[1]", True
    ),
    "a category without objects": (
        lambda whole: whole["categories"].append({"id": 2, "name": "bee"}), "class without objects", "'bee'", False
    ),
    "no categories": (lambda whole: whole.pop("categories"), "class names", "no categories", True),
}  # fmt: skip


@pytest.mark.parametrize("fault", COCO)
def test_a_fault_in_coco_is_found_at_its_place(tmp_path: Path, fault: str) -> None:
    change, kind, says, severe = COCO[fault]
    assert check_data(coco(tmp_path, lambda whole: None)) == ()
    index = coco(tmp_path, change)
    found = [one for one in check_data(index) if one.kind == kind and says in one.says]
    assert [(one.file, one.severe) for one in found] == [(str(index), severe)], check_data(index)
    if severe:
        with pytest.raises(InputError, match="must be mended"):
            open_data(index)
    else:
        open_data(index)


def test_the_line_of_an_entry_is_found_where_there_are_lines(tmp_path: Path) -> None:
    index = coco(
        tmp_path, lambda whole: (second(bbox=[3, 3, 0, 5])(whole), whole["images"][1].update(file_name="z.png"))
    )
    index.write_text(json.dumps(json.loads(index.read_text()), indent=1))
    lines = index.read_text().splitlines()
    found = {one.kind: one for one in check_data(index)}
    missing = found["image missing"].line
    assert missing is not None
    assert "z.png" in "".join(lines[missing - 1 : missing + 3])
    index.write_text(index.read_text().replace("z.png", "b.png"))
    [found_box] = check_data(index)
    assert found_box.line is not None
    assert (lines[found_box.line - 1].strip(), lines[found_box.line].strip()) == ("{", '"id": 2,')


MOT = {
    "1,1,1,1,5": ("malformed line", True),
    "1,x,1,1,5,5,1": ("malformed line", True),
    "1,1.5,1,1,5,5,1": ("malformed line", True),
    "1,nan,1,1,5,5,1": ("not a number", True),
    "7,1,1,1,5,5,1,1,1": ("label without image", True),
    "1,1,1,1,5,5,1,14,1": ("label out of range", True),
    "1,4,2,2,5,5,1,1,1": ("duplicate id", True),
    "1,-3,1,1,5,5,1,1,1": ("malformed line", True),
    "1,9,90,90,5,5,1,1,1": ("box outside", False),
    "1,9,9,9,0,5,1,1,1": ("box without area", False),
    "1,9,1e300,9,5,5,1,1,1e300": ("box outside", True),
}


@pytest.mark.parametrize("line", MOT)
def test_a_fault_in_a_sequence_is_found_at_its_line(tmp_path: Path, line: str) -> None:
    for number in (1, 2):
        picture(tmp_path / "img1" / f"{number:06}.png", number)
    (tmp_path / "gt").mkdir()
    (tmp_path / "gt" / "gt.txt").write_text(f"1,4,1,1,5,5,1,1,1\n\n{line}\n")
    kind, severe = MOT[line]
    found = [(one.kind, one.file, one.line, one.severe) for one in check_data(tmp_path)]
    assert found == [(kind, str(tmp_path / "gt" / "gt.txt"), 3, severe)]


def test_frames_that_are_missing_are_counted(tmp_path: Path) -> None:
    for number in (1, 2, 4):
        picture(tmp_path / "img1" / f"{number:06}.png", number)
    picture(tmp_path / "img1" / "cover.png", 9)
    (tmp_path / "seqinfo.ini").write_text("[Sequence]\nseqLength=5\n")
    found = {one.kind: one for one in check_data(tmp_path)}
    assert found["images missing"].says == "2 of 5 frames have no picture; the first is 3"
    assert found["malformed line"].file.endswith("cover.png")


def test_splits_with_other_classes_do_not_go_together(tmp_path: Path) -> None:
    for split, kind in (("train", "ant"), ("val", "bee")):
        index = coco(tmp_path / split, lambda whole, kind=kind: whole["categories"][0].update(name=kind))
        index.rename(index.parent / "_annotations.coco.json")
    assert "the split val has other classes than train" in " ".join(one.says for one in check_data(tmp_path))


def test_checking_loads_no_framework(tmp_path: Path) -> None:
    import subprocess
    import sys

    program = (
        "import sys; from throughline.data.checks import check_data; check_data(sys.argv[1]);"
        "print({'torch', 'onnx', 'onnxruntime', 'openvino', 'av'} & set(sys.modules))"
    )
    ran = subprocess.run(
        [sys.executable, "-c", program, str(yolo(tmp_path))], capture_output=True, text=True, check=True
    )
    assert ran.stdout == "set()\n"
