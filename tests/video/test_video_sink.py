from __future__ import annotations

import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from throughline.contracts.detections import Detections
from throughline.contracts.errors import InputError
from throughline.contracts.frames import Frame
from throughline.video.sinks.video import VideoSink


def picture(index: int, height: int = 64, width: int = 96) -> Frame:
    image = np.full((height, width, 3), (200, 40, 40 + index), np.uint8)
    return Frame(index, index / 25, image, "test")


BOX = Detections(np.array([[20, 20, 60, 50]], np.float32), np.array([0.9], np.float32), np.array([0]), labels=("cat",))


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_every_frame_is_in_the_file_at_its_own_time(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"out{suffix}"
    times = [0, 1, 2, 5, 6, 10]  # frames were dropped: the gaps stay
    with VideoSink(path, fps=Fraction(25)) as sink:
        for index in times:
            sink.write(picture(index), BOX)
    with av.open(str(path)) as file:
        frames = list(file.decode(video=0))
        assert (frames[0].width, frames[0].height) == (96, 64)
        assert [round(frame.time * 25) for frame in frames] == times
        pixel = frames[0].to_ndarray(format="rgb24")[5, 90]
        assert abs(pixel.astype(int) - [200, 40, 40]).max() < 12, "red stays red"


def test_odd_sides_lose_one_pixel_rather_than_the_video(tmp_path: Path) -> None:
    with VideoSink(tmp_path / "odd.mp4", fps=Fraction(25)) as sink:
        sink.write(picture(0, 65, 97), Detections.empty())
    with av.open(str(tmp_path / "odd.mp4")) as file:
        assert (file.streams.video[0].width, file.streams.video[0].height) == (96, 64)


def test_a_frame_of_another_size_is_refused(tmp_path: Path) -> None:
    with VideoSink(tmp_path / "out.mp4", fps=Fraction(25)) as sink:
        sink.write(picture(0), BOX)
        with pytest.raises(InputError, match=r"frame 1 is 90x60; .* began with frames of 96x64"):
            sink.write(picture(1, 60, 90), BOX)


def test_an_error_inside_leaves_no_file(tmp_path: Path) -> None:
    def interrupted() -> None:
        with VideoSink(tmp_path / "out.mp4", fps=Fraction(25)) as sink:
            sink.write(picture(0), BOX)
            raise RuntimeError("the model failed")

    with pytest.raises(RuntimeError, match="the model failed"):
        interrupted()
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_is_an_error_and_leaves_the_old_file(tmp_path: Path) -> None:
    old = tmp_path / "out.mp4"
    old.write_bytes(b"the last good one")
    program = f"""
import resource, signal, sys
from fractions import Fraction
sys.path.insert(0, {str(Path(__file__).parent)!r})
from test_video_sink import picture, BOX
from pathlib import Path
from throughline.contracts.errors import InputError
from throughline.video.sinks.video import VideoSink
import numpy as np
from throughline.contracts.frames import Frame
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
rng = np.random.default_rng(0)
try:
    with VideoSink(Path({str(old)!r}), fps=Fraction(25)) as sink:
        for index in range(60):
            sink.write(Frame(index, index / 25, rng.integers(0, 256, (240, 320, 3), np.uint8), "noise"), BOX)
except InputError as error:
    print("InputError", error.problem)
"""
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert ran.stdout.startswith("InputError"), ran.stderr
    assert "out.mp4" in ran.stdout
    assert old.read_bytes() == b"the last good one"
    assert [path.name for path in tmp_path.iterdir()] == ["out.mp4"]


def test_a_name_or_a_folder_that_cannot_be_written_is_refused_at_once(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"\.mp4, \.mkv or \.mov"):
        VideoSink(tmp_path / "out.gif", fps=Fraction(25))
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot write"):
        VideoSink(tmp_path / "file" / "out.mp4", fps=Fraction(25))
