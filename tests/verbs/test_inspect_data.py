"""``throughline inspect`` on data, as its users call it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

import throughline
from throughline.cli import main
from throughline.contracts.errors import InputError
from throughline.data.inspection import DataInspection
from throughline.data.table_inspection import TableInspection
from throughline.testing.world import World, write_coco, write_mot, write_yolo
from throughline.verbs.inspect import Inspection

ROOT = Path(__file__).parents[2]
WORLD = World(3, 160, 96)


@pytest.fixture
def street(tmp_path: Path) -> Path:
    return write_yolo(WORLD, tmp_path / "street", train=2, val=3).parent


def test_it_says_what_is_there(street: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["inspect", str(street)]) == 0
    out, err = capsys.readouterr()
    report = throughline.inspect(street)
    assert isinstance(report, DataInspection)
    assert out == f"{report}\n"
    assert err == ""
    train, val = report.splits
    assert (train.name, train.pictures, val.name, val.pictures) == ("train", 2, "val", 3)
    assert train.objects + val.objects == sum(count for _, count in report.labels) > 0
    assert (train.smallest, train.largest) == ((96, 160), (96, 160))
    assert f"val: 3 pictures, {val.objects} objects" in out
    assert "96x160 (height x width)" in out
    assert f"{val.sha256} (val)" in out
    assert [label for label, _ in report.labels][:2] == ["person", "bicycle"]


def test_a_severe_problem_is_named_and_is_exit_code_2(street: Path, capsys: pytest.CaptureFixture[str]) -> None:
    label = street / "labels" / "val" / "000001.txt"
    label.write_text("0 0.5 0.5 0.1 0.1\n9 0.5 0.5 0.1 0.1\n")
    assert main(["inspect", str(street / "data.yaml")]) == 2
    assert f"SEVERE  label out of range  {label}:2: class 9; there are 6: 0 to 5" in capsys.readouterr().out


def test_twenty_are_shown_and_the_others_counted(street: Path, capsys: pytest.CaptureFixture[str]) -> None:
    label = street / "labels" / "val" / "000001.txt"
    label.write_text("9 0.5 0.5 0.1 0.1\n" * 30 + "0 0.5 0.5 0.1 0.1\n" * 3)
    assert main(["inspect", str(street)]) == 2
    out = capsys.readouterr().out
    assert out.count("SEVERE") == 20
    assert "and 10 more of: label out of range" in out
    assert "and 2 more of: duplicate line" in out


def test_json_has_all_of_it(street: Path, capsys: pytest.CaptureFixture[str]) -> None:
    label = street / "labels" / "val" / "000001.txt"
    label.write_text("0 0.5 0.5 0.1\n")
    assert main(["inspect", str(street), "--json"]) == 2
    said = json.loads(capsys.readouterr().out)
    assert (said["format"], said["task"], [split["name"] for split in said["splits"]]) == (
        "yolo", "detect", ["train", "val"],
    )  # fmt: skip
    severe = [problem for problem in said["problems"] if problem["severe"]]
    assert [(problem["kind"], problem["file"], problem["line"]) for problem in severe] == [
        ("malformed line", str(label), 1)
    ]


def test_data_of_every_kind_and_models_go_their_own_ways(tmp_path: Path, street: Path) -> None:
    coco = write_coco(WORLD, tmp_path / "coco", 2)
    mot = write_mot(WORLD, tmp_path / "mot", 2)
    shutil.copytree(street / "images" / "val", tmp_path / "classes" / "dusk")
    for spec, format in {coco: "coco", coco.parent: "coco", mot: "mot", tmp_path / "classes": "folders"}.items():
        report = throughline.inspect(spec)
        assert isinstance(report, DataInspection)
        assert report.format == format
        assert str(report)
    pictures = throughline.inspect(street / "images" / "val")
    assert isinstance(pictures, DataInspection)
    assert "nobody has said" in str(pictures)
    model = throughline.inspect(ROOT / "src" / "throughline" / "bundled" / "detector.onnx")
    assert isinstance(model, Inspection)


def test_a_lock_is_written_when_asked_and_held_to_ever_after(street: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = street / "data.lock"
    assert main(["inspect", str(street)]) == 0
    assert f"lock      none: --lock writes {path}" in capsys.readouterr().out
    assert main(["inspect", str(street), "--lock"]) == 0
    assert f"lock      {path}: written" in capsys.readouterr().out
    assert main(["inspect", str(street / "data.yaml")]) == 0
    assert "all is as it was locked" in capsys.readouterr().out
    label = street / "labels" / "val" / "000001.txt"
    label.write_text("0 0.5 0.5 0.1 0.1\n")
    assert main(["inspect", str(street)]) == 2
    out = capsys.readouterr().out
    assert "2 differences, told below" in out
    assert f"SEVERE  not as locked  {label}: it has changed" in out
    assert main(["inspect", str(street), "--lock"]) == 0, "the user says that it should be so"


def test_a_table_is_told_column_by_column(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "sales.csv"
    path.write_text("shop,price,sold,vip\nOslo,10.5,3,true\nRome,,1200,false\nOslo,2,1,true\n")
    assert main(["inspect", str(path), "--lock"]) == 0
    out = capsys.readouterr().out
    report = throughline.inspect(path)
    assert isinstance(report, TableInspection)
    assert [line.split() for line in out.splitlines()[3:9]] == [
        ["columns", "4"],
        ["name", "holds", "missing", "distinct", "values"],
        ["shop", "text", "0", "2", "'Oslo'", "2", "times"],
        ["price", "number", "1", "2", "2", "to", "10.5,", "mean", "6.25"],
        ["sold", "whole", "number", "0", "3", "1", "to", "1,200,", "mean", "401.3"],
        ["vip", "true", "or", "false", "0", "2", "true", "in", "66.67", "%"],
    ]
    assert main(["inspect", str(path), "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert (said["rows"], said["sha256"], said["columns"][1]["missing"]) == (3, report.sha256, 1)
    path.with_name("sales.schema.yaml").write_text("columns:\n  price: {dtype: float64, greater_than: 5}\n")
    assert main(["inspect", str(path)]) == 2
    out = capsys.readouterr().out
    assert f"SEVERE  schema  {path}:3: column 'price' has no value" in out
    assert f"SEVERE  schema  {path}:4: column 'price': 2.0 fails greater_than(5)" in out
    assert f"SEVERE  not as locked  {path.with_name('sales.schema.yaml')}: it was added" in out


def test_data_that_dvc_tracks_are_told_with_their_version(
    tmp_path: Path, street: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    version = f"{'0' * 32}.dir"
    (tmp_path / "street.dvc").write_text(f"outs:\n- md5: {version}\n  hash: md5\n  path: street\n")
    assert main(["inspect", str(street)]) == 0
    out = capsys.readouterr().out
    assert f"tracked   street md5 {version} (DVC, {tmp_path / 'street.dvc'})" in out
    assert f"not DVC's version  {tmp_path / 'street.dvc'}:2: {street}: its files are not those of that version" in out


def test_a_model_has_no_lock() -> None:
    with pytest.raises(InputError, match="--lock is about data"):
        throughline.inspect(ROOT / "src" / "throughline" / "bundled" / "detector.onnx", lock=True)


def test_options_about_models_are_refused(street: Path) -> None:
    with pytest.raises(InputError, match="is a data set"):
        throughline.inspect(street, task="detect")


def test_a_folder_that_lacks_its_data_yaml_is_told_so(street: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (street / "data.yaml").unlink()
    assert main(["inspect", str(street)]) == 2
    assert "no data.yaml that names the classes" in capsys.readouterr().err


def test_a_hostile_file_is_one_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "data.yaml").write_text("names: !!python/object/apply:os.system ['true']\n")
    assert main(["inspect", str(tmp_path)]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert "asks for more than data" in err
