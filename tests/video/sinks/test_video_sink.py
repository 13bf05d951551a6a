from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import pytest

from throughline.contracts.detections import Detections
from throughline.contracts.errors import InputError
from throughline.contracts.frames import Frame
from throughline.contracts.streams import SourceInfo
from throughline.video.sinks import SINKS, in_one_part

INFO = SourceInfo("test", 96, 64, Fraction(25))
BOX = Detections(np.array([[20, 20, 60, 50]], np.float32), np.array([0.9], np.float32), np.array([0]), labels=("cat",))


def picture(index: int, height: int = 64, width: int = 96, seconds: float | None = None) -> Frame:
    image = np.full((height, width, 3), (200, 40, 40 + index), np.uint8)
    return Frame(index, index / 25 if seconds is None else seconds, image, "test")


def write(folder: Path, frames: Iterable[Frame], *, info: SourceInfo = INFO, part: int = 4, sound: Path | None = None):
    sink, frames = SINKS.make("video", folder, info=info, labels=BOX.labels, sound=sound), list(frames)
    starts = range(0, len(frames), part)
    for number, start in enumerate(starts):
        for frame in frames[start : start + part]:
            sink.write(frame, BOX)
        sink.commit(number)
    return sink.finish(len(starts))


def sound_file(path: Path, codec: str, seconds: float, start: Fraction = Fraction(0)) -> Path:
    """Black pictures with a tone that grows louder, both beginning at ``start``."""
    rate = 48_000
    with av.open(str(path), "w") as file:
        pictures = file.add_stream("mpeg4", rate=25)
        pictures.width, pictures.height, pictures.pix_fmt = 32, 32, "yuv420p"
        tone = file.add_stream(codec, rate=rate, layout="mono")
        for index in range(round(seconds * 25)):
            frame = av.VideoFrame.from_ndarray(np.zeros((32, 32, 3), np.uint8), format="rgb24")
            frame.pts, frame.time_base = index + round(start * 25), Fraction(1, 25)
            file.mux(pictures.encode(frame))
        count = round(seconds * rate)
        wave = (np.sin(np.arange(count) / 20) * np.arange(count) / count * 30_000).astype(np.int16)[None]
        frame = av.AudioFrame.from_ndarray(wave, format="s16", layout="mono")
        frame.rate, frame.pts, frame.time_base = rate, round(start * rate), Fraction(1, rate)
        size = tone.codec_context.frame_size or 1024
        for shaped in av.AudioResampler(tone.codec_context.format, "mono", rate, size).resample(frame):
            file.mux(tone.encode(shaped))
        file.mux(pictures.encode(None))
        file.mux(tone.encode(None))
    return path


def heard(path: Path) -> list[tuple[float, bytes]]:
    with av.open(str(path)) as file:
        return [
            (float(packet.pts * packet.time_base), bytes(packet)) for packet in file.demux(audio=0) if packet.size > 0
        ]


@pytest.mark.parametrize("part", [1, 4, 100])
def test_every_frame_is_in_the_file_at_its_own_time(tmp_path: Path, part: int) -> None:
    times = [0, 1, 2, 5, 6, 10, 11, 30, 31]  # frames were dropped: the gaps stay
    (path,) = write(tmp_path, map(picture, times), part=part)
    assert path == tmp_path / "annotated.mp4"
    with av.open(str(path)) as file:
        frames = list(file.decode(video=0))
        assert (frames[0].width, frames[0].height) == (96, 64)
        assert [frame.time for frame in frames] == [index / 25 for index in times]
        for index, frame in zip(times, frames, strict=True):
            pixel = frame.to_ndarray(format="rgb24")[5, 90]
            assert abs(pixel.astype(int) - [200, 40, 40 + index]).max() < 12, "red stays red, and frames keep order"


def test_the_video_lasts_to_the_end_of_its_last_frame(tmp_path: Path) -> None:
    (path,) = write(tmp_path, map(picture, range(10)))
    with av.open(str(path)) as file:
        stream = file.streams.video[0]
        assert float(stream.duration * stream.time_base) == pytest.approx(0.4)
        assert stream.average_rate == 25


@pytest.mark.parametrize("colour", [(30, 200, 60), (20, 40, 220), (250, 250, 250)])
def test_colours_are_kept_and_players_are_told_how(tmp_path: Path, colour: tuple[int, int, int]) -> None:
    frames = [Frame(index, index / 25, np.full((64, 96, 3), colour, np.uint8), "test") for index in range(2)]
    (path,) = write(tmp_path, frames)
    with av.open(str(path)) as file:
        frame = next(file.decode(video=0))
        assert (frame.colorspace, frame.color_range) == (1, 1), "BT.709, limited"
        assert abs(frame.to_ndarray(format="rgb24")[60, 90].astype(int) - colour).max() < 5


def test_each_part_begins_with_a_key_frame_so_that_players_can_seek(tmp_path: Path) -> None:
    (path,) = write(tmp_path, map(picture, range(10)), part=5)
    with av.open(str(path)) as file:
        keys = [frame.key_frame for frame in file.decode(video=0)]
    assert keys[0]
    assert keys[5]


def test_frames_that_claim_one_time_follow_each_other(tmp_path: Path) -> None:
    (path,) = write(tmp_path, [picture(index, seconds=0.2) for index in range(6)], part=2)
    with av.open(str(path)) as file:
        times = [frame.pts for frame in file.decode(video=0)]
    assert len(times) == 6
    assert all(earlier < later for earlier, later in pairwise(times))


def test_odd_sides_lose_one_pixel_rather_than_the_video(tmp_path: Path) -> None:
    (path,) = write(tmp_path, [picture(0, 65, 97)], info=SourceInfo("odd", 97, 65, Fraction(25)))
    with av.open(str(path)) as file:
        assert (file.streams.video[0].width, file.streams.video[0].height) == (96, 64)


def test_a_frame_of_another_size_is_fitted_in_whole(tmp_path: Path) -> None:
    (path,) = write(tmp_path, [picture(0), picture(1, 128, 96)])
    with av.open(str(path)) as file:
        _, tall = (frame.to_ndarray(format="rgb24") for frame in file.decode(video=0))
    assert tall.shape == (64, 96, 3)
    assert tall[32, 5].max() < 30, "black beside it"
    assert abs(tall[60, 48].astype(int) - [200, 40, 41]).max() < 16, "its lower edge is there"


def test_an_error_inside_leaves_no_file(tmp_path: Path) -> None:
    def interrupted() -> None:
        with in_one_part(SINKS.make("video", tmp_path, info=INFO)) as sink:
            sink.write(picture(0), BOX)
            raise RuntimeError("the model failed")

    with pytest.raises(RuntimeError, match="the model failed"):
        interrupted()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("made", "codec", "written"),
    [("a.mp4", "aac", "annotated.mp4"), ("b.mkv", "libopus", "annotated.mp4"), ("c.mkv", "pcm_s16le", "annotated.mkv")],
)
def test_the_sound_is_copied_and_stays_with_its_frames(tmp_path: Path, made: str, codec: str, written: str) -> None:
    source = sound_file(tmp_path / made, codec, 1.0)
    (path,) = write(tmp_path / "run", map(picture, range(20)), sound=source)  # 0.8 of its 1.0 seconds
    assert path.name == written
    (again,) = write(tmp_path / "again", map(picture, range(20)), sound=source)
    assert path.read_bytes() == again.read_bytes(), "no random number, no date"
    given, got = dict(heard(source)), heard(path)
    by_data = {data: at for at, data in given.items()}
    assert 0.75 < max(at for at, _ in got) < 0.8, "it ends with the pictures"
    assert min(at for at, _ in got) < 0.05
    assert all(abs(by_data[data] - at) < 0.002 for at, data in got), "the same packets at the same times"


def test_the_sound_of_a_source_that_does_not_begin_at_zero_is_not_shifted(tmp_path: Path) -> None:
    source = sound_file(tmp_path / "late.mkv", "pcm_s16le", 1.0, start=Fraction(5))
    (path,) = write(tmp_path / "run", map(picture, range(25)), sound=source)
    assert [data for _, data in heard(path)][:5] == [data for _, data in heard(source)][:5]
    assert heard(path)[0][0] == pytest.approx(0, abs=0.005)


def test_a_source_that_is_cut_off_keeps_the_sound_there_is(tmp_path: Path) -> None:
    source = sound_file(tmp_path / "whole.mkv", "pcm_s16le", 1.0)
    source.write_bytes(source.read_bytes()[: source.stat().st_size // 2])
    (path,) = write(tmp_path / "run", map(picture, range(25)), sound=source)
    with av.open(str(path)) as file:
        assert len(list(file.decode(video=0))) == 25
    assert 0 < len(heard(path)) < 50


def test_a_sound_file_that_is_not_there_is_refused_at_once(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"gone\.mp4: cannot read its sound"):
        SINKS.make("video", tmp_path / "run", info=INFO, sound=tmp_path / "gone.mp4")
