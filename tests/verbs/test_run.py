from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
from blobs import SIDE, write_model
from runs import CLI, results, write_clip

from throughline import run
from throughline.contracts.errors import InputError, PassportMismatch
from throughline.contracts.runs import Ending

FRAMES = 1200


@pytest.fixture(scope="module")
def assets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("assets")
    write_model(folder / "blobs.onnx")
    write_clip(folder / "short.mp4", 40)
    write_clip(folder / "long.mp4", FRAMES)
    return folder


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(scope="module")
def whole(assets: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """What an uninterrupted run over the long clip leaves."""
    out = tmp_path_factory.mktemp("whole")
    report = run(str(assets / "long.mp4"), model=assets / "blobs.onnx", out=out, conf=0.4, threads=1)
    assert report.sources[0].accounting.decoded == FRAMES
    return results(out)


@contextmanager
def running(assets: Path, out: Path) -> Iterator[subprocess.Popen[str]]:
    """A run of its own, from the moment on that it can be told to end."""
    command = [*CLI, str(assets / "long.mp4"), "--model", str(assets / "blobs.onnx"), "--out", str(out)]
    command += ["--conf", "0.4", "--threads", "1"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        said = "-"
        while said and "writing to" not in said:
            said = process.stderr.readline()
        assert said, process.communicate()
        try:
            yield process
        finally:
            process.kill()


def committed(out: Path) -> int:
    try:
        return (out / "long.mp4" / "journal.jsonl").read_bytes().count(b"\n")
    except FileNotFoundError:
        return 0


def test_a_run_says_what_became_of_every_source_and_keeps_them_apart(assets: Path, here: Path) -> None:
    clip = str(assets / "short.mp4")
    report = run(clip, clip, model=assets / "blobs.onnx", conf=0.4, vid_stride=2)
    assert report.exit_code == 0
    assert report.folder == Path("runs/run")
    assert [one.ending for one in report.sources] == [Ending.COMPLETE] * 2
    assert all(str(one.accounting) == "40 decoded = 20 inferred + 20 dropped (20 stride)" for one in report.sources)
    first, second = (Path("runs/run") / name / "detections.jsonl" for name in ("short.mp4", "short.mp4-2"))
    assert first.read_text() == second.read_text().replace("short.mp4-2", "short.mp4")
    rows = [json.loads(line) for line in first.read_text().splitlines()]
    assert [row["index"] for row in rows] == list(range(0, 40, 2))
    assert sum(len(row["detections"]) for row in rows) == report.sources[0].detections > 20
    assert all(one["class_name"] == "blob" and one["tracker_id"] >= 1 for row in rows for one in row["detections"])
    told = str(report)
    assert "COMPLETE" in told
    assert str(first) in told
    assert Path("runs/run/report.html").read_text().count("short.mp4") >= 2
    assert run(clip, model=assets / "blobs.onnx").folder == Path("runs/run-2")


def test_the_command_prints_one_object_and_the_rest_goes_to_stderr(assets: Path, here: Path) -> None:
    command = [*CLI, str(assets / "short.mp4"), "--model", str(assets / "blobs.onnx"), "--name", "a", "--json"]
    ran = subprocess.run([*command, "--save", "jsonl,csv"], capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    told = json.loads(ran.stdout)
    assert (told["folder"], told["exit_code"], told["resume"]) == ("runs/a", 0, "")
    assert told["sources"][0]["accounting"]["decoded"] == 40
    assert {Path(path).suffix for path in told["sources"][0]["files"]} == {".jsonl", ".csv"}
    assert "\x1b" not in ran.stderr
    again = subprocess.run(command, capture_output=True, text=True, check=False)
    assert again.returncode == 2
    assert "runs/a: holds a run already" in again.stderr


def test_a_run_from_a_listing_can_be_limited_and_narrowed(assets: Path, here: Path) -> None:
    (here / "list.txt").write_text(f"# two\n{assets / 'short.mp4'}\n{assets / 'long.mp4'}\n")
    report = run("list.txt", model=assets / "blobs.onnx", max_frames=15, tracker="none", classes="blob", save="jsonl")
    assert [one.accounting.decoded for one in report.sources] == [15, 15]
    line = json.loads((report.folder / "long.mp4" / "detections.jsonl").read_text().splitlines()[3])
    assert line["detections"]
    assert all(one["tracker_id"] is None for one in line["detections"])
    none = run(str(assets / "short.mp4"), model=assets / "blobs.onnx", classes="7", save="jsonl")
    assert none.sources[0].detections == 0


def test_a_signal_ends_it_clean_and_it_goes_on_to_the_same_bytes(
    assets: Path, here: Path, whole: dict[str, bytes]
) -> None:
    for number in (signal.SIGINT, signal.SIGTERM):
        out = here / number.name
        with running(assets, out) as process:
            process.send_signal(number)
            told, said = process.communicate(timeout=120)
        assert process.returncode == 130, said
        assert f"throughline run --resume {out}" in said
        assert "INTERRUPTED" in told
        assert "Traceback" not in said
        ran = subprocess.run([*CLI, "--resume", str(out)], capture_output=True, text=True, check=False)
        assert ran.returncode == 0, ran.stderr
        assert results(out) == whole


def test_a_second_signal_ends_it_at_once_and_it_still_goes_on(
    assets: Path, here: Path, whole: dict[str, bytes]
) -> None:
    with running(assets, here / "out") as process:
        assert process.stderr is not None
        process.send_signal(signal.SIGINT)
        while "coming to a clean end" not in process.stderr.readline():
            assert process.poll() is None
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=120)
    assert process.returncode == 130
    assert run(resume=here / "out").exit_code == 0
    assert results(here / "out") == whole


@pytest.mark.parametrize("lines", [1, 4])
def test_killed_with_so_many_lines_in_its_journal_it_goes_on_to_the_same_bytes(
    assets: Path, here: Path, whole: dict[str, bytes], lines: int
) -> None:
    with running(assets, here / "out") as process:
        while committed(here / "out") < lines:
            assert process.poll() is None
        with pytest.raises(InputError, match="another process is working on this run"):
            run(resume=here / "out")
        process.kill()
    report = run(resume=here / "out")
    assert report.exit_code == 0
    assert report.sources[0].resumed_at >= (lines - 1) * 128
    assert results(here / "out") == whole
    finished = run(resume=here / "out")
    assert finished.exit_code == 0
    assert finished.sources[0].files == report.sources[0].files
    assert results(here / "out") == whole


def test_it_goes_on_only_with_the_source_and_the_model_it_was_begun_with(assets: Path, here: Path) -> None:
    clip, model = here / "clip.mp4", here / "model.onnx"
    clip.write_bytes((assets / "short.mp4").read_bytes())
    model.write_bytes((assets / "blobs.onnx").read_bytes())
    run(str(clip), model=model, out=here / "out")
    with pytest.raises(InputError, match="given too: conf, vid_stride"):
        run(resume=here / "out", conf=0.3, vid_stride=2)
    os.utime(clip, ns=(1, 1))
    with pytest.raises(InputError, match=r"source mtime_ns was .* and is 1"):
        run(resume=here / "out")
    model.write_bytes(write_model(here / "other.onnx").read_bytes() + b"\x7a\x00")
    with pytest.raises(PassportMismatch, match="the model changed since the run was begun"):
        run(resume=here / "out")
    with pytest.raises(InputError, match="no run was begun here"):
        run(resume=here / "elsewhere")


def test_a_source_that_cannot_be_read_does_not_stop_the_others_and_is_no_success(assets: Path, here: Path) -> None:
    whole_clip = (assets / "long.mp4").read_bytes()
    cut = here / "cut.mp4"
    cut.write_bytes(whole_clip[: len(whole_clip) // 3])  # the index at its end is gone
    report = run(str(cut), str(assets / "short.mp4"), model=assets / "blobs.onnx")
    assert [one.said for one in report.sources] == ["FAILED", "COMPLETE"]
    assert report.exit_code == 4
    assert report.sources[0].why in str(report)
    with pytest.raises(InputError, match=r"cut\.mp4"):
        run(str(cut), model=assets / "blobs.onnx")


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ([], "no source was given"),
        (["short.mp4"], "no --model was given"),
        (["absent.mp4", "--model", "blobs.onnx"], "absent.mp4"),
        (["short.mp4", "--model", "absent.onnx"], "absent.onnx"),
        (["short.mp4", "--model", "blobs.onnx", "--tracker", "hybird"], "did you mean 'hybrid'"),
        (["short.mp4", "--model", "blobs.onnx", "--save", "jsonl,cvs"], "did you mean 'csv'"),
        (["short.mp4", "--model", "blobs.onnx", "--save", ","], "names nothing"),
        (["short.mp4", "--model", "blobs.onnx", "--decoder", "yola"], "did you mean 'yolo'"),
        (["short.mp4", "--model", "blobs.onnx", "--classes", "blub"], "did you mean 'blob'"),
        (["short.mp4", "--model", "blobs.onnx", "--vid-stride", "0"], "--vid-stride 0"),
        (["short.mp4", "--model", "blobs.onnx", "--conf", "2"], "conf is 2.0"),
        (["short.mp4", "--model", "blobs.onnx", "--imgsz", "640"], f"takes pictures of {SIDE}x{SIDE} only"),
        (["short.mp4", "--model", "blobs.onnx", "--backend", "onnxruntim"], "did you mean 'onnxruntime'"),
        (["short.mp4", "--model", "blobs.onnx", "--name", "../up"], "no name for a folder"),
        (["short.mp4", "--model", "blobs.onnx", "--out", "blobs.onnx/run"], "cannot write"),
    ],
)
def test_wrong_usage_is_refused_before_anything_is_written(
    assets: Path, arguments: list[str], told: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from throughline import cli

    monkeypatch.chdir(assets)
    before = sorted(assets.rglob("*"))
    assert cli.main(["run", *arguments]) == 2
    said = capsys.readouterr().err
    assert told in said
    assert "fix: " in said
    assert sorted(assets.rglob("*")) == before


def test_a_model_that_is_a_program_is_refused_before_anything_else_is_asked(assets: Path, here: Path) -> None:
    torch.save(torch.nn.Linear(2, 2), here / "whole.pt")
    command = [*CLI, str(assets / "short.mp4"), "--model", "whole.pt"]
    refused = subprocess.run(command, capture_output=True, text=True, check=False)
    assert refused.returncode == 5, refused.stderr
    assert "torch.nn.modules.linear.Linear" in refused.stderr
    assert not (here / "runs").exists()
