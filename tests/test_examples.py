"""The examples, each run as its reader would run it: a program of its own, in a folder of their own."""

from __future__ import annotations

import csv
import itertools
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import cv2
import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from throughline import VideoProcessor
from throughline.bundled import DETECTOR
from throughline.testing.world import World, write_video
from throughline.testing.world.folder import save_picture

EXAMPLES = Path(__file__).parents[1] / "examples"
SMALL = {"count_people", "blur_people", "comings_and_goings", "photos", "watch", "two_models", "serve"}
WORLD, FRAMES = World(11), 45


@pytest.fixture(scope="module")
def street(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_video(WORLD, tmp_path_factory.mktemp("street") / "street.mp4", FRAMES)


def run(name: str, *arguments: object) -> str:
    program = [sys.executable, "-W", "error", str(EXAMPLES / f"{name}.py"), *map(str, arguments)]
    ran = subprocess.run(program, capture_output=True, text=True, timeout=200, check=False)
    assert ran.returncode == 0, ran.stderr
    assert ran.stderr == ""
    return ran.stdout


def people(index: int) -> list[int]:
    """Who is in plain view in a frame of the world."""
    found = WORLD.frame(index)[1].detections
    plain = (found.class_id == 0) & (found.data["visibility"] > 0.8) & (found.xyxy[:, 3] - found.xyxy[:, 1] > 24)
    return found.tracker_id[plain].tolist()


def test_people_are_counted_once(street: Path) -> None:
    there = set(itertools.chain.from_iterable(people(index) for index in range(FRAMES)))
    counted = int(run("count_people", street).removesuffix(" people\n"))
    assert len(there) > 3
    assert 0.5 * len(there) <= counted <= 2 * len(there)


def test_nobody_is_recognised_and_every_frame_stays(street: Path, tmp_path: Path) -> None:
    run("blur_people", street, tmp_path / "blurred.mp4")
    sharper, elsewhere = [], []
    with VideoProcessor(street) as before, VideoProcessor(tmp_path / "blurred.mp4") as after:
        pairs = zip(*(itertools.chain.from_iterable(one.stream_frames()) for one in (before, after)), strict=True)
        for index, (was, now) in enumerate(pairs):
            assert now.seconds == pytest.approx(was.seconds, abs=1e-3)
            found = WORLD.frame(index)[1].detections
            person = np.zeros(was.size, bool)
            for left, top, right, bottom in found.xyxy[found.class_id == 0].round().astype(int):
                person[max(0, top) : bottom, max(0, left) : right] = True
            detail = [abs(cv2.Laplacian(one.image[..., 1], cv2.CV_32F)) for one in (was, now)]
            sharper.append(detail[1][person].mean() / detail[0][person].mean())
            elsewhere.append(detail[1][~person].mean() / detail[0][~person].mean())
        assert after.accounting.decoded == FRAMES
    assert np.mean(sharper) < 0.65
    assert np.mean(elsewhere) > 0.85


def test_who_comes_and_goes_is_told_in_order(street: Path) -> None:
    lines = run("comings_and_goings", street).splitlines()
    times = [float(line.split()[0]) for line in lines]
    assert times == sorted(times)
    came = [re.search(r"s  (\w+ \d+) comes", line) for line in lines]
    who = [match[1] for match in came if match]
    assert len(who) == len(set(who)) > 3
    went = [re.search(r"s  (\w+ \d+) has gone", line) for line in lines]
    assert {match[1] for match in went if match} <= set(who)


def test_every_photo_has_its_row_whatever_its_size(tmp_path: Path) -> None:
    for n, width in enumerate((640, 320, 500)):
        image, _ = WORLD.frame(40 * n)
        height = width * 3 // 5
        save_picture(tmp_path / f"photo{n}.png", cv2.resize(image.image, (width, height)))
    rows = list(csv.DictReader(run("photos", tmp_path).splitlines()))
    assert [row["picture"] for row in rows] == ["photo0.png", "photo1.png", "photo2.png"]
    assert all(sum(int(row[label]) for label in WORLD.labels) > 0 for row in rows)


@pytest.fixture
def camera(street: Path, tmp_path: Path) -> Iterator[str]:
    """A sender that sends the street and then keeps the line open until its listener has gone."""
    with VideoProcessor(street) as video:
        assert video.info.width == WORLD.width
    sent, over = write_video(WORLD, tmp_path / "street.ts", FRAMES).read_bytes(), threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            try:
                while not over.is_set():
                    self.wfile.write(sent)
            except OSError:  # the listener has gone
                pass

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/live.ts"
    over.set()
    server.shutdown()
    server.server_close()
    thread.join()


def test_a_stream_is_watched_and_the_function_called(camera: str) -> None:
    lines = run("watch", camera, 0.5).splitlines()
    assert lines
    assert all(re.fullmatch(r"\d+\.\d\d s: \d+ people, \d+% sure", line) for line in lines)


def test_two_models_are_held_against_each_other(street: Path, tmp_path: Path) -> None:
    model = onnx.load(DETECTOR)
    model.graph.initializer.append(numpy_helper.from_array(np.float32(1.5), "doubt"))
    for scores in [node for node in model.graph.node if node.op_type == "Sigmoid"]:
        unsure = onnx.helper.make_node("Sub", [scores.input[0], "doubt"], [f"{scores.name}-unsure"])
        model.graph.node.insert(list(model.graph.node).index(scores), unsure)
        scores.input[0] = unsure.output[0]
    onnx.save(model, tmp_path / "shy.onnx")
    for name in ("old", "same"):
        shutil.copy(DETECTOR, tmp_path / f"{name}.onnx")
    assert run("two_models", street, tmp_path, "old", "same").splitlines()[-1] == f"0 of {FRAMES} frames differ"
    told = run("two_models", street, tmp_path, "old", "shy").splitlines()
    assert int(told[-1].split()[0]) == sum("->" in line for line in told) > FRAMES // 2


def test_the_list_of_examples_is_all_of_them_and_each_is_small() -> None:
    listed = set(re.findall(r"^\| \[`(\w+)\.py`\]", (EXAMPLES / "README.md").read_text(), re.M))
    assert listed == SMALL
    assert {path.stem for path in EXAMPLES.glob("*.py")} == SMALL | {
        "next_version",
        "train_demo_model",
        "measure_demo_model",
    }
    for name in SMALL:
        lines = (EXAMPLES / f"{name}.py").read_text().splitlines()
        assert len(lines) <= 40
        assert lines[2].startswith(f"Try it: python examples/{name}.py ")


def test_the_next_version_is_swapped_in_on_evidence_and_a_worse_one_is_not(tmp_path: Path) -> None:
    program = [sys.executable, str(EXAMPLES / "next_version.py")]
    ran = subprocess.run(program, cwd=tmp_path, capture_output=True, text=True, timeout=290, check=False)
    assert ran.returncode == 0, ran.stderr
    told = ran.stdout
    assert "models:/street/2 is better than models:/street@champion" in told
    assert "@champion: version 1 -> 2" in told
    assert "refused: models:/street/3 was not promoted: the comparison did not pass" in told
    assert "@champion: version 2 -> 1" in told
    moves = re.findall(r"^(\d)  (promote|rollback) @champion: (\S+) -> (\S+)$", told, re.M)
    assert moves == [("3", "rollback", "2", "1"), ("2", "promote", "1", "2"), ("1", "promote", "nothing", "1")]


def test_a_server_is_asked_and_ends(tmp_path: Path) -> None:
    picture = tmp_path / "street.jpg"
    save_picture(picture, WORLD.frame(0)[0].image)
    program = [sys.executable, "-W", "error", str(EXAMPLES / "serve.py"), str(DETECTOR), str(picture)]
    ran = subprocess.run(program, capture_output=True, text=True, timeout=200, check=False)
    assert ran.returncode == 0, ran.stderr
    said = ran.stdout.splitlines()
    assert int(said[0].split()[0]) > 3
    assert said[1] == "scores and boxes: (1, 10, 126)"
    assert said[-1] == "exit code 0"
