"""A clip as phones make them, read and drawn: turned, at a variable rate, with sound that begins at its own time."""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import pytest

from throughline.contracts.detections import Detections
from throughline.contracts.frames import Frame
from throughline.contracts.streams import SourceInfo
from throughline.video.sinks import SINKS
from throughline.video.sources import open_sources

ONE = 1 << 16
TURNS = {
    "upright": None,
    "to the left": (0, -ONE, 0, ONE, 0, 0, 0, 0, 1 << 30),
    "to the right": (0, ONE, 0, -ONE, 0, 0, 0, 0, 1 << 30),
    "upside down": (-ONE, 0, 0, 0, -ONE, 0, 0, 0, 1 << 30),
}
RED, GREEN, BLUE, BLACK = (220, 40, 40), (40, 200, 40), (40, 40, 220), (0, 0, 0)  # from the upper left, row by row
CORNERS = {"upright": RED, "to the left": GREEN, "to the right": BLUE, "upside down": BLACK}
TIMES = [0, 40, 80, 95, 200, 240, 400, 410, 420, 600, 640, 700, 860, 1000]  # milliseconds
FIRST = 300
RATE = 48_000


def clip(path: Path, turn: str = "upright", late: float = 0.0) -> Path:
    """Pictures with a different colour in each corner, and a tone that grows louder, beginning ``late`` or early."""
    image = np.zeros((64, 96, 3), np.uint8)
    image[:32, :48], image[:32, 48:], image[32:, :48] = RED, GREEN, BLUE
    with av.open(str(path), "w") as file:
        pictures = file.add_stream("libx264", rate=25, options={"bf": "2"})
        pictures.width, pictures.height, pictures.pix_fmt = 96, 64, "yuv420p"
        pictures.codec_context.time_base = Fraction(1, 1000)
        if (matrix := TURNS[turn]) is not None:
            pictures.set_display_matrix(matrix)
        tone = file.add_stream("aac", rate=RATE, layout="mono")
        wave = (np.sin(np.arange(RATE) / 20) * np.arange(RATE) / RATE * 30_000).astype(np.int16)[None]
        sound = av.AudioFrame.from_ndarray(wave, format="s16", layout="mono")
        sound.rate, sound.pts, sound.time_base = RATE, round((FIRST / 1000 + late) * RATE), Fraction(1, RATE)
        for shaped in av.AudioResampler(tone.codec_context.format, "mono", RATE, 1024).resample(sound):
            file.mux(tone.encode(shaped))
        file.mux(tone.encode(None))
        for at in TIMES:
            picture = av.VideoFrame.from_ndarray(image, format="rgb24")
            picture.pts, picture.time_base = FIRST + at, Fraction(1, 1000)
            file.mux(pictures.encode(picture))
        file.mux(pictures.encode(None))
    return path


def read(path: Path, **window: float) -> tuple[SourceInfo, list[Frame]]:
    (source,) = open_sources([str(path)], **window)
    try:
        return source.info, list(source.frames())
    finally:
        source.close()


def drawn(folder: Path, info: SourceInfo, frames: list[Frame], sound: Path, *, killed: bool = False) -> Path:
    sink = SINKS.make("video", folder, info=info, sound=sound)
    for part, start in enumerate(range(0, len(frames), 5)):
        for frame in frames[start : start + 5]:
            sink.write(frame, Detections.empty())
        if killed and part == 1:
            sink.abort()
            sink = SINKS.make("video", folder, info=info, sound=sound)
            for frame in frames[start : start + 5]:
                sink.write(frame, Detections.empty())
        sink.commit(part)
    (path,) = sink.finish(part + 1)
    return path


def heard(path: Path) -> dict[bytes, float]:
    with av.open(str(path)) as file:
        return {bytes(one): float(one.pts * one.time_base) for one in file.demux(audio=0) if one.size}


@pytest.mark.parametrize("turn", TURNS)
def test_what_lay_on_its_side_stands_upright(tmp_path: Path, turn: str) -> None:
    info, frames = read(clip(tmp_path / "phone.mp4", turn))
    sideways = turn.startswith("to")
    assert (info.width, info.height) == ((64, 96) if sideways else (96, 64))
    path = drawn(tmp_path / "run", info, frames, tmp_path / "phone.mp4")
    with av.open(str(path)) as file:
        pictures = list(file.decode(video=0))
    assert len(pictures) == len(frames) == len(TIMES)
    for picture, frame in zip(pictures, frames, strict=True):
        assert (picture.width, picture.height, picture.rotation) == (info.width, info.height, 0)
        shown = picture.to_ndarray(format="rgb24").astype(int)
        assert np.abs(shown - frame.image).mean() < 6
    top_left = pictures[0].to_ndarray(format="rgb24")[10, 10].astype(int)
    assert np.abs(top_left - CORNERS[turn]).max() < 25


def test_every_picture_keeps_its_own_time(tmp_path: Path) -> None:
    info, frames = read(clip(tmp_path / "phone.mp4"))
    path = drawn(tmp_path / "run", info, frames, tmp_path / "phone.mp4")
    with av.open(str(path)) as file:
        times = [picture.time for picture in file.decode(video=0)]
    np.testing.assert_allclose(times, np.array(TIMES) / 1000, atol=1e-4)
    assert len({round(later - earlier, 3) for earlier, later in pairwise(times)}) > 4, "the rate does vary"


@pytest.mark.parametrize("late", [0.0, 0.25, -0.2])
def test_the_sound_keeps_its_distance_to_the_pictures(tmp_path: Path, late: float) -> None:
    source = clip(tmp_path / "phone.mkv", late=late)
    info, frames = read(source)
    got, given = heard(drawn(tmp_path / "run", info, frames, source)), heard(source)
    end = (TIMES[-1] + 40) / 1000
    for data, at in got.items():
        assert at == pytest.approx(given[data] - FIRST / 1000, abs=0.003)
    expected = {data for data, at in given.items() if 0.01 < at - FIRST / 1000 < end - 0.03}
    assert expected <= got.keys(), "nothing is missing in between"


def test_a_window_of_the_source_has_the_sound_of_that_window(tmp_path: Path) -> None:
    source = clip(tmp_path / "phone.mp4")
    info, frames = read(source, start=0.4, end=0.7)
    assert [round(1000 * frame.seconds) for frame in frames] == [400, 410, 420, 600, 640]
    got, given = heard(drawn(tmp_path / "run", info, frames, source)), heard(source)
    assert 0.38 < min(got.values()) < 0.43
    assert 0.6 < max(got.values()) < 0.72
    assert all(at == pytest.approx(given[data] - FIRST / 1000, abs=0.003) for data, at in got.items())


def test_a_kill_does_not_show_in_sound_or_pictures(tmp_path: Path) -> None:
    source = clip(tmp_path / "phone.mp4", "to the left", late=0.1)
    info, frames = read(source)
    whole = drawn(tmp_path / "whole", info, frames, source)
    assert drawn(tmp_path / "killed", info, frames, source, killed=True).read_bytes() == whole.read_bytes()
