"""Files made to hurt whoever reads them: each is refused, quickly, with one sentence."""

from __future__ import annotations

import json
import resource
import time
from pathlib import Path

import pytest
from small_pictures import picture

from throughline.contracts.errors import InputError
from throughline.data.checks import check_data
from throughline.data.reading import open_data

LAUGHS = "a: &a [ha, ha]\n" + "".join(
    f"{name}: &{name} [{', '.join([f'*{before}'] * 9)}]\n" for before, name in zip("abcdefgh", "bcdefghi", strict=True)
)

YAML = {
    "an object": ("names: !!python/object/apply:os.system ['touch {here}/ran']\nval: .\n", r":1: the tag 'tag:yaml"),
    "a name": ("names: !!python/name:os.system\nval: .\n", "more than data"),
    "a tag of its own": ("val: !join [a, b]\nnames: [a]\n", "more than data"),
    "a binary": ("val: !!binary aGVsbG8=\nnames: [a]\n", "more than data"),
    "billion laughs": (LAUGHS + "names: *i\n", "anchors and aliases"),
    "itself": ("names: &n [a, *n]\n", "anchors and aliases"),
    "depth": ("names: " + "[" * 5000 + "]" * 5000, "nested deeper"),
    "a number that takes hours": ("names: [a]\nnc: " + "1:" * 5000 + "1\n", "a value of"),
    "a name twice": ("names: [a]\nval: .\nnames: [b]\n", ":3: 'names' is there twice"),
    "a path outside": (
        "path: ../../etc\nval: ../../../etc/passwd\nnames: [a]\n",
        ":1: path is '../../etc': it leads out",
    ),
    "no mapping": ("- names\n- val: 3\n", "no mapping"),
    "no yaml": ("names: [a\nval: }\n", r":2: it is no YAML"),
    "no text": ("names: [a]\n\0", "it is no YAML"),
    "names of names": ("names: {{a: b}: c}\nval: .\n", "a collection"),
    "names by word": ("names: {a: b}\nval: .\n", "no class number"),
    "no names": ("val: .\n", "class names are missing"),
    "nothing to see": ("names: [a]\n", "names no pictures"),
    "keypoints of nothing": ("names: [a]\nval: .\nkpt_shape: [x]\n", ":3: kpt_shape"),
    "keypoints without end": ("names: [a]\nval: .\nkpt_shape: [999999999, 3]\n", ":3: kpt_shape"),
}


@pytest.mark.parametrize("kind", YAML)
def test_a_hostile_data_yaml_is_refused(tmp_path: Path, kind: str) -> None:
    text, says = YAML[kind]
    index = tmp_path / "data.yaml"
    index.write_text(text.replace("{here}", str(tmp_path)))
    before = time.process_time(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for look in (open_data, check_data):
        with pytest.raises(InputError, match=says):
            look(index)
    assert time.process_time() - before[0] < 5
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before[1] < 500_000
    assert [path.name for path in tmp_path.iterdir() if path.name != "state"] == ["data.yaml"]


def test_a_hundred_megabytes_in_one_line_are_not_read(tmp_path: Path) -> None:
    with (tmp_path / "data.yaml").open("wb") as file:
        file.write(b"names: [")
        file.seek(100_000_000)
        file.write(b"]\n")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(InputError, match="100,000,002 bytes; at most 1,048,576 are read"):
        open_data(tmp_path)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 20_000


IMAGES = '{"annotations": [], "images": '
JSON = {
    "a name twice": (IMAGES + '[{"id": 1, "id": 2, "file_name": "a.png"}]}', "'id' is there twice"),
    "a number that is none": (IMAGES + '[{"id": NaN}]}', "NaN"),
    "an endless number": (IMAGES + "-Infinity}", "-Infinity"),
    "depth": (IMAGES + "[" * 200_000 + "]" * 200_000 + "}", "nested too deep"),
    "a number of a million digits": (IMAGES + '[{"id": ' + "9" * 1_000_000 + "}]}", "digits"),
    "cut short": (IMAGES + '[\n{"id": 1,\n', ":3: it is no JSON"),
    "no list": (IMAGES + "{}}", "no list 'images'"),
    "no text": (IMAGES + '"\ud800"}', "no text in UTF-8"),
}


@pytest.mark.parametrize("kind", JSON)
def test_a_hostile_coco_file_is_refused(tmp_path: Path, kind: str) -> None:
    text, says = JSON[kind]
    index = tmp_path / "set.json"
    index.write_bytes(text.encode("utf-8", "surrogatepass"))
    for look in (open_data, check_data):
        with pytest.raises(InputError, match=says):
            look(index)


def test_an_outline_without_end_is_refused(tmp_path: Path) -> None:
    picture(tmp_path / "a.png", height=100, width=16_000)
    far = [0, 0, 16_000, 99] * 20
    whole = {
        "images": [{"id": 1, "file_name": "a.png"}],
        "categories": [{"id": 1, "name": "ant"}],
        "annotations": [{"id": 1, "image_id": 1, "category_id": 1, "segmentation": [far]}],
    }
    (tmp_path / "set.json").write_text(json.dumps(whole))
    with pytest.raises(InputError, match=r"annotations\[0\]: an outline of [\d,]+ pixels' length"):
        open_data(tmp_path / "set.json")


def test_a_sequence_of_a_hundred_million_frames_costs_nothing(tmp_path: Path) -> None:
    picture(tmp_path / "img1" / "000001.png")
    (tmp_path / "seqinfo.ini").write_text("[Sequence]\nseqLength=99999999\n")
    before = time.process_time()
    with pytest.raises(InputError, match="99,999,998 of 99,999,999 frames have no picture; the first is 2"):
        open_data(tmp_path)
    assert time.process_time() - before < 2


CSV = {
    "no file": ("light\ndusk\n", "traits.csv:1"),
    "cells too many": ("file,light\na.png,dusk,7\n", "traits.csv:2: 3 cells under 2 columns"),
    "a picture twice": ("file,light\na.png,dusk\na.png,dawn\n", "traits.csv:3"),
    "a cell without end": ("file,light\na.png," + "x" * 200_000 + "\n", "traits.csv:2"),
    "a column twice": ("file,light,light\na.png,1,2\n", "traits.csv:1"),
}


@pytest.mark.parametrize("kind", CSV)
def test_a_table_of_traits_that_is_none_is_refused(tmp_path: Path, kind: str) -> None:
    text, says = CSV[kind]
    picture(tmp_path / "a.png")
    (tmp_path / "traits.csv").write_text(text)
    with pytest.raises(InputError, match=says):
        open_data(tmp_path)


def test_a_name_that_no_system_can_have_is_refused(tmp_path: Path) -> None:
    for spec in ("a\0b", "a" * 5000):
        with pytest.raises(InputError):
            open_data(spec)
