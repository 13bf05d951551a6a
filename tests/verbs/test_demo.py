"""The demo as a newcomer meets it: the whole job, marked against the truth, as often as they like."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import av
import pytest

from throughline import demo
from throughline.contracts.errors import InputError
from throughline.evaluation.boxes import score_boxes
from throughline.evaluation.results import read_results
from throughline.evaluation.tracks import score_tracks
from throughline.testing.world import LABELS, World
from throughline.verbs.demo import DemoReport

CLI = [sys.executable, "-m", "throughline.cli", "demo"]
FRAMES = 40


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> DemoReport:
    return demo(out=tmp_path_factory.mktemp("demo") / "here", frames=FRAMES, threads=1)


def test_it_does_the_whole_job_and_says_how_right_it_was(first: DemoReport) -> None:
    assert str(first.accounting) == f"{FRAMES} decoded = {FRAMES} inferred + 0 dropped"
    with av.open(str(first.video)) as video:
        assert sum(1 for _ in video.decode(video=0)) == FRAMES
    assert first.report is not None
    page = first.report.read_text()
    assert "street.mp4" in page
    assert "data:image/jpeg" in page, "the report shows samples"
    assert first.boxes.frames == first.tracks.frames == FRAMES
    assert 0.5 < first.boxes.map50_95 < first.boxes.map50 < 1
    assert 0.6 < first.tracks.idf1 < 1
    assert 0.5 < first.tracks.mota < 1
    assert first.frames_per_second > 0
    assert first.stage_ms["model"] > 0
    told = str(first)
    for figure in (f"mAP50-95 {first.boxes.map50_95:.3f}", f"IDF1 {first.tracks.idf1:.3f}", "frames per second"):
        assert figure in told
    for path in (first.video, first.report):
        assert str(path) in told


def test_the_figures_are_those_of_its_results_against_the_world_itself(first: DemoReport) -> None:
    def truth() -> list:
        return [truth.detections for _, truth in World(seed=7, width=1280, height=768).frames(FRAMES)]

    assert first.boxes == score_boxes(read_results(first.results, LABELS), truth())
    assert first.tracks == score_tracks(read_results(first.results, LABELS), truth())
    assert first.detections == sum(map(len, read_results(first.results)))
    assert first.truth.exists()


def test_asked_again_it_begins_afresh(first: DemoReport) -> None:
    folder = first.video.parents[1]
    (folder / "street.mp4" / "left-over").write_text("of the first")
    command = [*CLI, "--out", str(folder), "--frames", "6", "--seed", "3", "--threads", "1", "--json"]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    told = json.loads(ran.stdout)
    assert told["accounting"]["decoded"] == told["boxes"]["frames"] == 6
    assert set(told["boxes"]["classes"]) <= set(LABELS)
    assert {"map50_95", "map50"} <= set(told["boxes"])
    assert {"idf1", "mota", "hota", "switches"} <= set(told["tracks"])
    assert Path(told["video"]).exists()
    assert not (folder / "street.mp4" / "left-over").exists()


def test_what_no_demo_made_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "holiday.mp4").write_bytes(b"precious")
    for out in (tmp_path, tmp_path / "holiday.mp4"):
        with pytest.raises(InputError, match=r"no demo made|cannot be read as a folder"):
            demo(out=out, frames=1)
    assert [path.name for path in tmp_path.iterdir()] == ["holiday.mp4"]
    assert (tmp_path / "holiday.mp4").read_bytes() == b"precious"


@pytest.mark.parametrize(("said", "leaves"), [("filming", "nothing to watch"), ("writing to", "a run that can go on")])
def test_interrupted_it_says_so_and_leaves(said: str, leaves: str, tmp_path: Path) -> None:
    frames = "100000" if said == "filming" else "60"
    command = [*CLI, "--frames", frames, "--threads", "1", "--out", str(tmp_path / "out")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        line = "-"
        while line and said not in line:
            line = process.stderr.readline()
        process.send_signal(signal.SIGINT)
        told, rest = process.communicate(timeout=120)
    assert process.returncode == 130, rest
    assert told == ""
    assert rest.endswith("interrupted\n")
    if said == "filming":
        assert not [path for path in tmp_path.rglob("*") if path.is_file() and path.name not in {".demo", ".lock"}]
    else:
        assert f"throughline run --resume {tmp_path / 'out'}" in rest
        assert (tmp_path / "out" / "run.json").exists()
    again = demo(out=tmp_path / "out", frames=2, threads=1)
    assert again.accounting.decoded == 2
