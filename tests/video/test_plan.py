from __future__ import annotations

import dataclasses
import json
import os
from pathlib import Path

import pytest

from throughline.contracts.errors import InputError
from throughline.video.plan import ModelPlan, Plan, fingerprint, folder_names, new_folder

MODEL = ModelPlan(
    name="m", path="/models/m.onnx", sha256="ab", decoder="yolo", labels=("cat", "chien élevé"), classes=None,
    canvas=(384, 640), imgsz=640, stride=32, builds=None,
)  # fmt: skip
PLAN = Plan(
    version="1", sources=("a.mp4", "rtsp://b"), tracker="hybrid", save=("jsonl",),
    models=(MODEL, dataclasses.replace(MODEL, name="n", classes=(0, 1), canvas=None)),
    conf=0.1 + 0.2, iou=0.7, max_det=300, vid_stride=1, start=None, end=2.5, max_frames=None, hwaccel=None,
    policy="latest", reconnect=None, stall_timeout=2.5, backend="auto", device="cpu", threads=0, batch=8, trust=False,
)  # fmt: skip


def test_a_plan_is_read_as_it_was_written(tmp_path: Path) -> None:
    PLAN.write(tmp_path)
    assert Plan.read(tmp_path) == PLAN
    assert os.listdir(tmp_path) == ["run.json"]


@pytest.mark.parametrize("text", [None, "", "[]", "{}", '{"version": 1}', "\x00"])
def test_what_is_no_plan_is_refused(tmp_path: Path, text: str | None) -> None:
    if text is not None:
        (tmp_path / "run.json").write_text(text)
    with pytest.raises(InputError, match=r"no run was begun here|is not the plan of a run"):
        Plan.read(tmp_path)


def test_a_source_that_changed_has_another_fingerprint(tmp_path: Path) -> None:
    file = tmp_path / "clip.mp4"
    file.write_bytes(bytes(3 * 2**20))
    os.utime(file, ns=(5, 5))
    first = fingerprint(str(file))
    assert fingerprint(str(file)) == first
    assert json.loads(json.dumps(first)) == first
    for change in (bytes([1]) + bytes(3 * 2**20 - 1), bytes(3 * 2**20 - 1) + bytes([1]), bytes(3 * 2**20 + 1)):
        file.write_bytes(change)
        os.utime(file, ns=(5, 5))
        assert fingerprint(str(file)) != first
    file.write_bytes(bytes(3 * 2**20))
    assert fingerprint(str(file)) != first, "another time"
    folder, pattern = fingerprint(str(tmp_path)), fingerprint(f"{tmp_path}/*.png")
    (tmp_path / "another.png").write_text("")
    assert fingerprint(str(tmp_path)) != folder
    assert fingerprint(f"{tmp_path}/*.png") != pattern
    assert fingerprint("rtsp://camera/1") == {"name": "rtsp://camera/1"}


def test_the_identity_names_every_setting_and_the_source(tmp_path: Path) -> None:
    identity = PLAN.identity("rtsp://b")
    assert {*identity} == {*dataclasses.asdict(PLAN), "source name"}


def test_a_new_run_never_takes_an_old_ones_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert [str(new_folder(None, None)) for _ in range(3)] == ["runs/run", "runs/run-2", "runs/run-3"]
    assert str(new_folder(None, "night")) == "runs/night"
    assert new_folder(tmp_path / "deep" / "here", None).is_dir()
    PLAN.write(Path("runs/night"))
    with pytest.raises(InputError, match="holds a run already"):
        new_folder(None, "night")
    for name in ("../x", "", ".", "a/b"):
        with pytest.raises(InputError, match="no name for a folder"):
            new_folder(None, name)
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot write"):
        new_folder(tmp_path / "file" / "run", None)


def test_sources_of_one_name_get_folders_of_their_own() -> None:
    sources = [
        "/a/clip.mp4",
        "/b/clip.mp4",
        "rtsp://cam:554/live?x=1",
        "../",
        "clip.mp4-2",
        "/c/clip.mp4",
        "Zürich.mkv",
    ]
    names = folder_names(sources)
    assert names == ["clip.mp4", "clip.mp4-2", "live_x_1", "source", "clip.mp4-2-2", "clip.mp4-3", "Zürich.mkv"]
    assert len(set(names)) == len(sources)
