"""One run of several models or several live sources, watched, on a full disk: what ``test_run`` does not ask."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import threading
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import psutil
import pytest
from blobs import job, picture, write_model
from runs import CLI, results, write_clip

from throughline import open_model, run
from throughline.contracts.detections import Detections
from throughline.contracts.errors import InputError
from throughline.contracts.frames import Frame
from throughline.contracts.runs import Ending
from throughline.video.moments import Moment
from throughline.video.sources import open_sources


@pytest.fixture(scope="module")
def assets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("assets")
    write_model(folder / "blobs.onnx")
    write_model(folder / "again.onnx")
    write_clip(folder / "short.mp4", 40)
    write_clip(folder / "long.mp4", 600)
    return folder


def write_images(folder: Path, count: int, broken: int | None = None) -> Path:
    import cv2

    folder.mkdir()
    for index in range(count):
        cv2.imwrite(str(folder / f"{index:03}.png"), picture(index))
    if broken is not None:
        (folder / f"{broken:03}.png").write_bytes(b"\x89PNG\r\n\x1a\n and no more")
    return folder


def test_several_models_share_the_frames_and_every_row_says_whose_it_is(assets: Path, tmp_path: Path) -> None:
    models = [assets / "blobs.onnx", assets / "again.onnx"]
    report = run(str(assets / "short.mp4"), model=models, conf=0.4, out=tmp_path / "both", save="jsonl,csv,parquet")
    alone = run(str(assets / "short.mp4"), model=str(models[0]), conf=0.4, out=tmp_path / "one", save="jsonl")
    assert report.sources[0].detections == 2 * alone.sources[0].detections > 40
    both, one = (
        [
            json.loads(line)["detections"]
            for line in (folder / "short.mp4" / "detections.jsonl").read_text().splitlines()
        ]
        for folder in (tmp_path / "both", tmp_path / "one")
    )
    for together, rows in zip(both, one, strict=True):
        for model in ("blobs", "again"):
            assert [row["xyxy"] for row in together if row["model"] == model] == [row["xyxy"] for row in rows]
        identities = [row["tracker_id"] for row in together]
        assert len(identities) == len(set(identities))
    assert "blobs.onnx" in str(report)
    assert "again.onnx" in str(report)
    page = (tmp_path / "both" / "report.html").read_text()
    assert "again.onnx" in page


def test_a_run_of_several_models_goes_on_as_itself(assets: Path, tmp_path: Path) -> None:
    options = ["--model", str(assets / "blobs.onnx"), "--model", str(assets / "again.onnx"), "--conf", "0.4"]
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    command = [*CLI, str(assets / "long.mp4"), *options, "--save", "jsonl,mot"]
    subprocess.run([*command, "--out", str(whole)], check=True, capture_output=True)
    # room for the parts of the results and not for the whole: the file system says no, as a full disk does
    limited = f"trap '' XFSZ; ulimit -f 900; {shlex.join([*command, '--out', str(cut)])}"
    refused = subprocess.run(["bash", "-c", limited], capture_output=True, text=True, check=False)
    assert refused.returncode == 2, refused.stderr
    assert "cannot write" in refused.stderr
    assert "--resume" in refused.stderr
    assert (cut / "long.mp4" / "journal.jsonl").read_bytes().count(b"\n") > 1
    report = run(resume=cut)
    assert report.sources[0].resumed_at > 0
    assert results(cut) == results(whole)


def _command(process: psutil.Process) -> str:
    """How it was started; nothing for one that has just ended."""
    try:
        return " ".join(process.cmdline())
    except (psutil.NoSuchProcess, psutil.ZombieProcess):
        return ""


def test_a_decoding_process_that_is_killed_costs_a_run_no_frame(assets: Path, tmp_path: Path) -> None:
    def decoders() -> list[psutil.Process]:
        alive = [child for child in psutil.Process().children() if child.status() != psutil.STATUS_ZOMBIE]
        return [child for child in alive if "_decode_worker" in _command(child)]

    killed = []

    def watch(moment: Moment) -> None:
        if moment.accounting.decoded >= 150 * (1 + len(killed)):
            killed.append([child.kill() for child in decoders()])

    clip = str(assets / "long.mp4")
    with open_model(assets / "blobs.onnx", threads=1) as session:
        for name, workers in (("here", 0), ("there", 2)):
            [source] = open_sources([clip], workers=workers)
            told = watch if workers else lambda moment: None
            outcome = job(tmp_path / name, session, source, stride=1, watch=told).run()
            assert (outcome.ending, outcome.accounting.decoded) == (Ending.COMPLETE, 600)
    assert sum(map(len, killed)) >= 2
    assert not decoders()
    here, there = ((tmp_path / name / "lines.jsonl").read_bytes() for name in ("here", "there"))
    assert here == there


def test_one_decoder_a_model_and_no_more(assets: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="names 2 decoders; there is 1 model"):
        run(str(assets / "short.mp4"), model=assets / "blobs.onnx", decoder="yolo,yolo", out=tmp_path / "x")
    with pytest.raises(InputError, match="no class 'blub'"):
        run(str(assets / "short.mp4"), model=[assets / "blobs.onnx", assets / "again.onnx"], classes="blob,blub")
    assert not list(tmp_path.iterdir())


def test_a_function_of_ones_own_hears_every_frame_in_order(assets: Path, tmp_path: Path) -> None:
    heard: list[tuple[int, int]] = []

    def hear(frame: Frame, found: Detections) -> None:
        assert frame.image.shape == (48, 64, 3)
        heard.append((frame.index, len(found)))

    report = run(
        str(assets / "short.mp4"), model=assets / "blobs.onnx", conf=0.4, out=str(tmp_path / "a"), callback=hear
    )
    assert [index for index, _ in heard] == list(range(40))
    assert sum(count for _, count in heard) == report.sources[0].detections
    help_text = subprocess.run([*CLI, "--help"], capture_output=True, text=True, check=True).stdout
    assert "callback" not in help_text.lower()


def test_what_is_missing_is_no_success(assets: Path, tmp_path: Path) -> None:
    folder = write_images(tmp_path / "pictures", 12, broken=5)
    command = [*CLI, str(folder), "--model", str(assets / "blobs.onnx"), "--out", str(tmp_path / "a")]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ran.returncode == 3, ran.stderr
    assert "GAPS" in ran.stdout
    assert "005.png" in ran.stdout


@pytest.mark.parametrize("option", [["--policy", "latest"], ["--reconnect", "3"], ["--stall-timeout", "2"]])
def test_what_is_for_live_sources_is_refused_where_there_is_none(
    assets: Path, tmp_path: Path, option: list[str]
) -> None:
    command = [*CLI, str(assets / "short.mp4"), "--model", str(assets / "blobs.onnx"), "--out", str(tmp_path / "a")]
    ran = subprocess.run([*command, *option], capture_output=True, text=True, check=False)
    assert ran.returncode == 2
    assert f"{option[0]}: for live sources, and there is none" in ran.stderr
    assert not (tmp_path / "a").exists()


@contextmanager
def senders(clip: Path, count: int) -> Iterator[list[str]]:
    """Addresses that each send half of a clip, and the rest only when every one of them is being read."""
    together, over = threading.Barrier(count), threading.Event()
    data = clip.read_bytes()

    class Sender(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "video/mp2t")
            self.end_headers()
            self.wfile.write(data[: len(data) // 2])
            self.wfile.flush()
            together.wait(timeout=60)
            self.wfile.write(data[len(data) // 2 :])
            over.wait(timeout=60)  # a camera does not hang up

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Sender)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield [f"http://127.0.0.1:{server.server_address[1]}/camera-{number}" for number in range(count)]
    finally:
        over.set()
        server.shutdown()
        server.server_close()
        thread.join()


def test_live_sources_all_run_at_once(assets: Path, tmp_path: Path) -> None:
    import av

    clip = tmp_path / "clip.ts"
    with av.open(str(clip), "w", format="mpegts") as file:
        stream = file.add_stream("mpeg2video", rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for index in range(60):
            grain = np.random.default_rng(index).integers(0, 40, (48, 64, 3), np.uint8)
            file.mux(stream.encode(av.VideoFrame.from_ndarray(picture(index) + grain // 8, format="rgb24")))
        file.mux(stream.encode(None))
    with senders(clip, 2) as addresses:
        report = run(
            *addresses, model=assets / "blobs.onnx", conf=0.4, out=tmp_path / "a", policy="block", max_frames=50
        )
    assert [one.ending for one in report.sources] == [Ending.COMPLETE] * 2, str(report)
    assert [one.accounting.inferred for one in report.sources] == [50, 50]


def test_the_page_is_there_while_it_runs_and_gone_after(assets: Path, tmp_path: Path) -> None:
    command = [*CLI, str(assets / "long.mp4"), "--model", str(assets / "blobs.onnx"), "--out", str(tmp_path / "a")]
    with subprocess.Popen([*command, "--show"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        address = None
        while address is None:
            line = process.stderr.readline()
            assert line, "it ended without a page"
            address = re.search(r"http://127\.0\.0\.1:\d+/\S+", line)
        with urllib.request.urlopen(address[0], timeout=30) as answer:
            assert b"<html" in answer.read().lower()
        process.communicate()
    assert process.returncode == 0
    with pytest.raises(OSError, match="refused"):
        urllib.request.urlopen(address[0], timeout=30)
