"""Watching real data with a real model: verdicts and exit codes, the page in a browser, and what is written."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper, save

from throughline.cli import main
from throughline.contracts.errors import InputError
from throughline.monitoring.observers import OBSERVERS
from throughline.monitoring.observing import observe_frame
from throughline.testing.world import Look, World, write_video, write_yolo
from throughline.verbs.monitor import MonitorReport, monitor

DETECTOR = Path(__file__).parents[2] / "src" / "throughline" / "bundled" / "detector.onnx"
STREET = World(7, 320, 192, fps=5)


def write_rows(path: Path, seed: int, shift: float, rows: int = 400) -> None:
    chance = np.random.default_rng(seed)
    kinds = np.array(["card", "cash", "invoice"])[np.minimum(2, chance.integers(0, 3, rows) + int(shift > 0))]
    lines = [
        f"{age:.3f},{amount:.3f},{kind},{seed}"
        for age, amount, kind in zip(
            chance.normal(40, 9, rows), chance.normal(100 + 40 * shift, 30, rows), kinds, strict=True
        )
    ]
    path.write_text("age,amount,kind,label\n" + "\n".join(lines) + "\n")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("monitor")
    write_video(STREET, place / "usual.mp4", 200)
    write_video(replace(STREET, look=Look(light=0.6)), place / "dim.mp4", 80)
    for name, seed, shift in (("before", 1, 0.0), ("same", 2, 0.0), ("after", 3, 1.0)):
        write_rows(place / f"{name}.csv", seed, shift)
    write_yolo(World(3, 160, 96), place / "photos", 30, 24)
    return place


@pytest.fixture(scope="module")
def dimmed(folder: Path) -> MonitorReport:
    return monitor(
        str(folder / "usual.mp4"), str(folder / "dim.mp4"), model=str(DETECTOR), imgsz=320, threads=1, label=10,
        out=folder / "dimmed",
    )  # fmt: skip


def test_a_street_that_grew_dark_has_drifted(folder: Path, dimmed: MonitorReport) -> None:
    assert dimmed.exit_code == 5
    assert {"brightness", "contrast"} <= set(dimmed.drifted)
    assert (dimmed.windows, dimmed.seen) == (4, 80)
    assert dimmed.sentence.startswith(f"{folder / 'dim.mp4'} has drifted from {folder / 'usual.mp4'}: brightness")
    assert dimmed.verdict is not None
    assert not dimmed.verdict.passed
    told = str(dimmed)
    assert told.endswith(dimmed.sentence)
    assert re.search(r"^brightness +changed +wasserstein", told, re.M)
    assert str(dimmed.report) in told


def test_the_page_shows_each_feature_then_and_now_and_the_strangest_frames(dimmed: MonitorReport) -> None:
    assert dimmed.report is not None
    page = dimmed.report.read_text()
    for part in ("What changed", "Window by window", "Then and now", "Least like the reference", "DRIFT", "Holm"):
        assert part in page
    assert page.count("data:image/jpeg;base64,") == 4
    assert page.count('aria-label="share of ') == 6
    assert 'href="evidently.html"' in page
    assert dimmed.evidently is not None
    assert dimmed.evidently.stat().st_size > 1_000_000


@pytest.mark.browser
def test_in_a_browser_both_pages_open_and_ask_for_nothing(dimmed: MonitorReport, tmp_path: Path, chromium: str) -> None:
    from browser import Browser

    assert dimmed.report is not None
    assert dimmed.evidently is not None
    with Browser(chromium, tmp_path / "profile", width=420) as tab:
        tab.open(dimmed.report.absolute().as_uri())
        assert tab.value("document.documentElement.scrollWidth <= window.innerWidth")
        assert tab.value("document.querySelectorAll('svg path').length") > 20
        tab.open(dimmed.evidently.absolute().as_uri())
        tab.until("document.body.innerText.includes('Dataset Drift')")
        assert not [one for one in tab.requests if not one.startswith(("file:", "data:", "blob:"))]
        assert not tab.complaints


def test_the_list_of_what_to_label_has_the_frames_themselves(dimmed: MonitorReport) -> None:
    first = dimmed.labelling
    assert first is not None
    assert (first.rows, first.pictures) == (10, 10)
    assert first.data is not None
    names = first.data.read_text()
    assert '0: "person"' in names
    assert len(list((first.data.parent / "images").rglob("*.jpg"))) == 10


def test_the_profile_says_the_same_as_its_data(folder: Path, dimmed: MonitorReport) -> None:
    again = monitor(
        str(dimmed.profile), str(folder / "dim.mp4"), model=str(DETECTOR), imgsz=320, threads=1, out=folder / "again"
    )
    assert (again.drifted, again.features) == (dimmed.drifted, dimmed.features)
    with pytest.raises(InputError, match="no model was given") as caught:
        monitor(str(dimmed.profile), str(folder / "dim.mp4"), out=folder / "x")
    assert caught.value.fix == "name it: --model MODEL"


def test_the_same_street_again_is_as_usual(folder: Path) -> None:
    done = monitor(str(folder / "usual.mp4"), str(folder / "usual.mp4"), out=folder / "still")
    assert (done.drifted, done.exit_code) == ((), 0)
    assert "is like" in done.sentence
    assert "AS USUAL" in (done.report or Path()).read_text()


def test_tables_are_judged_as_a_whole_and_by_every_column(folder: Path) -> None:
    before = str(folder / "before.csv")
    after = monitor(before, str(folder / "after.csv"), target="label", out=folder / "tables")
    assert after.drifted == ("amount", "kind")
    assert after.windows == 1
    same = monitor(before, str(folder / "same.csv"), target="label", out=folder / "tables-same")
    assert (same.drifted, same.exit_code) == ((), 0)
    rows = monitor(
        before, str(folder / "after.csv"), target="label", detectors="psi,ks", window=40, out=folder / "tables-psi"
    )
    assert rows.windows == 10
    assert {one.detector for one in rows.features} == {"psi", "ks", "missing"}
    assert rows.drifted == ("amount", "kind")


def test_a_model_of_tables_is_watched_by_its_answers(folder: Path) -> None:
    weights = np.array([[0.0, 0.0], [0.02, -0.02]], np.float32)
    graph = helper.make_graph(
        [
            helper.make_node("MatMul", ["rows", "weights"], ["raw"]),
            helper.make_node("Add", ["raw", "bias"], ["moved"]),
            helper.make_node("Softmax", ["moved"], ["probabilities"]),
        ],
        "rows",
        [helper.make_tensor_value_info("rows", TensorProto.FLOAT, ["n", 2])],
        [helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["n", 2])],
        [numpy_helper.from_array(weights, "weights"), numpy_helper.from_array(np.float32([-2, 2]), "bias")],
    )
    model = folder / "rows.onnx"
    save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10), str(model))
    for name in ("before", "after"):
        lines = (folder / f"{name}.csv").read_text().splitlines()
        (folder / f"{name}-numbers.csv").write_text("\n".join(",".join(line.split(",")[:2]) for line in lines) + "\n")
    sides = [str(folder / f"{name}-numbers.csv") for name in ("before", "after")]
    done = monitor(*sides, model=str(model), out=folder / "answers")
    assert set(done.drifted) == {"amount", "answer", "score"}
    with pytest.raises(InputError, match="no model was given"):
        monitor(str(done.profile), sides[1], out=folder / "x")


def test_a_profile_alone_lies_beside_the_model(folder: Path) -> None:
    model = folder / "mine.onnx"
    model.write_bytes(DETECTOR.read_bytes())
    model.with_suffix(".passport.json").write_text(
        DETECTOR.with_suffix(".passport.json").read_text().replace("detector.onnx", "mine.onnx")
    )
    done = monitor(str(folder / "photos"), model=str(DETECTOR), split="train", imgsz=320, out=folder / "p")
    assert done.profile == folder / "p" / "detector.profile.json"
    assert (done.seen, done.report, done.windows) == (30, None, 0)
    assert str(done).endswith("says what is usual, from 30 observations.")


def test_kept_observations_are_a_side_like_any_other(folder: Path) -> None:
    observer = OBSERVERS.make("parquet", folder / "kept")
    for frame, _ in replace(STREET, look=Look(light=0.6)).frames(120):
        observer.take(observe_frame(frame.image, None, request=str(frame.index), seconds=frame.seconds))
    observer.close()
    done = monitor(str(folder / "usual.mp4"), str(folder / "kept"), label=3, out=folder / "of-kept")
    assert "brightness" in done.drifted
    assert done.labelling is not None
    assert (done.labelling.rows, done.labelling.pictures) == (3, 0)


def test_a_set_without_order_says_what_it_cannot_know_of_a_video(folder: Path) -> None:
    done = monitor(str(folder / "photos"), str(folder / "dim.mp4"), split="train", window=10, out=folder / "mixed")
    assert any("the reference has no order" in note for note in done.notes)


def test_the_command_prints_one_object_and_exits_with_five(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    names = [str(folder / name) for name in ("before.csv", "after.csv", "json")]
    code = main(["monitor", *names[:2], "--target", "label", "--json", "--out", names[2]])
    told = json.loads(capsys.readouterr().out)
    assert code == 5
    assert told["drifted"] == ["amount", "kind"]


def test_nothing_is_asked_of_the_network(folder: Path) -> None:
    program = (
        "import socket, sys\nfrom pathlib import Path\n"
        "def no(*_, **__): raise SystemExit('asked the network')\n"
        "socket.socket.connect = socket.getaddrinfo = socket.create_connection = no\n"
        "from throughline.verbs.monitor import monitor\n"
        "monitor(*sys.argv[1:3], out=Path(sys.argv[3]))\n"
        "import os; assert os.environ['DO_NOT_TRACK'] == '1'\n"
    )
    paths = [str(folder / name) for name in ("before.csv", "after.csv", "offline")]
    home = {**os.environ, "HOME": str(folder)}
    done = subprocess.run(
        [sys.executable, "-c", program, *paths], env=home, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("names", "options", "says"),
    [
        (("usual.mp4", "dim.mp4"), {"detectors": "kss"}, "no such detector"),
        (("usual.mp4", "dim.mp4"), {"label": -1}, "--label -1"),
        (("usual.mp4", "dim.mp4"), {"label": 3}, "label is there already"),
        (("usual.mp4", "dim.mp4"), {"vid_stride": -2}, "--vid-stride -2"),
        (("usual.mp4", "dim.mp4"), {"window": 1000}, "too few"),
        (("usual.mp4", "dim.mp4"), {"alpha": 2.0}, "alpha"),
        (("usual.mp4", "dim.mp4"), {"vid_stride": 100}, "at least 20"),
        (("before.csv", "after.csv"), {"target": "lable"}, "no such column"),
        (("usual.mp4", "after.csv"), {}, "what came has age, amount"),
        (("nothing.mp4", "dim.mp4"), {}, "nothing.mp4"),
        (("dimmed/detector.profile.json",), {}, "a profile already"),
        (("usual.mp4", "dimmed/detector.profile.json"), {}, "stands for what is usual"),
    ],
)
def test_what_makes_no_sense_is_refused_and_nothing_is_left(
    folder: Path, dimmed: MonitorReport, names: tuple[str, ...], options: dict[str, object], says: str
) -> None:
    out = folder / "refused"
    if options.get("label") == 3:
        (out / "label").mkdir(parents=True, exist_ok=True)
        (out / "label" / "mine.txt").write_text("mine")
    with pytest.raises(InputError, match=re.escape(says)) as caught:
        monitor(*(str(folder / name) for name in names), out=out, **options)  # type: ignore[arg-type]
    assert caught.value.fix
    assert not out.exists() or not list(out.glob("*.html"))
