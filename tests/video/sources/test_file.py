from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import clips
import numpy as np
import pytest

from throughline.contracts.errors import InputError, SourceFailed
from throughline.video.sources import open_sources
from throughline.video.sources.file import FileSource


def near(image: np.ndarray, expected: np.ndarray, limit: float = 12.0) -> bool:
    return image.shape == expected.shape and float(np.abs(image.astype(int) - expected).mean()) < limit


def marked(height: int = 64, width: int = 96) -> np.ndarray:
    """A picture that looks different in each of the eight ways in which it can lie."""
    image = np.full((height, width, 3), 60, np.uint8)
    image[: height // 2, : width // 2] = 220
    image[height // 2 :, : width // 4] = (200, 30, 30)
    return image


@pytest.mark.parametrize("kind", clips.KINDS)
def test_a_whole_clip_gives_every_frame_and_no_gap(tmp_path: Path, kind: str) -> None:
    source = FileSource(str(clips.write_kind(tmp_path, kind)))
    frames = list(source.frames())
    assert [frame.index for frame in frames] == list(range(36))
    assert np.allclose([frame.seconds for frame in frames], np.arange(36) / clips.RATE, atol=1e-3)
    assert all(near(frame.image, image) for frame, image in zip(frames, clips.street(36), strict=True))
    assert source.gaps == ()
    assert (source.info.width, source.info.height) == (clips.WIDTH, clips.HEIGHT)
    assert source.info.declared in (None, 36)


@pytest.mark.parametrize("kind", ["h264.mp4", "h264.ts", "hevc.mp4", "vp9.mkv", "mpeg4.avi"])
def test_reading_from_the_middle_is_reading_all_and_skipping(tmp_path: Path, kind: str) -> None:
    source = FileSource(str(clips.write_kind(tmp_path, kind, 120)))
    whole = list(source.frames())
    for start in (1, 64, 71, 72, 73, 84, 100, 119, 120):
        part = list(source.frames(start))
        assert [(one.index, one.seconds) for one in part] == [(one.index, one.seconds) for one in whole[start:]]
        assert all(np.array_equal(one.image, two.image) for one, two in zip(part, whole[start:], strict=True))


def test_the_middle_is_reached_without_decoding_what_is_before_it(tmp_path: Path) -> None:
    from throughline.video.sources._table import Table

    path = clips.write_kind(tmp_path, "h264.mp4", 120)
    table = Table.read(path, None)
    assert table is not None
    entry = table.entry(100, 0.0)
    assert entry is not None
    assert entry.number == 96


def test_times_of_a_variable_rate_that_begins_late(tmp_path: Path) -> None:
    times = [90_000 + t for t in (0, 3000, 3500, 9000, 40_000, 41_000, 90_000, 100_000)]
    path = clips.write(
        tmp_path / "late.mp4", clips.street(8), "libx264", {"bf": "2"}, times=times, base=Fraction(1, 90_000)
    )
    source = FileSource(str(path))
    seconds = [frame.seconds for frame in source.frames()]
    assert np.allclose(seconds, [(t - times[0]) / 90_000 for t in times], atol=1e-3)
    assert source.gaps == ()


@pytest.mark.parametrize(
    ("matrix", "upright"),
    [
        ((1, 0, 0, 1), lambda image: image),
        ((-1, 0, 0, 1), lambda image: image[:, ::-1]),
        ((1, 0, 0, -1), lambda image: image[::-1]),
        ((-1, 0, 0, -1), lambda image: image[::-1, ::-1]),
        ((0, -1, 1, 0), lambda image: np.rot90(image)),
        ((0, 1, -1, 0), lambda image: np.rot90(image, -1)),
        ((0, 1, 1, 0), lambda image: image.transpose(1, 0, 2)),
        ((0, -1, -1, 0), lambda image: np.rot90(image, 2).transpose(1, 0, 2)),
    ],
)
def test_every_way_of_lying_is_put_upright(tmp_path: Path, matrix: tuple[int, ...], upright) -> None:
    a, b, c, d = (65_536 * value for value in matrix)
    path = clips.write(
        tmp_path / "turned.mp4", [marked()] * 3, options={"crf": "10"}, matrix=(a, b, 0, c, d, 0, 0, 0, 1 << 30)
    )
    source = FileSource(str(path))
    frame = next(source.frames())
    assert near(frame.image, upright(marked()), 6)
    assert (source.info.height, source.info.width) == frame.image.shape[:2]


@pytest.mark.parametrize("colour", [(6, 1), (6, 2), (1, 1), (1, 2), (9, 1)])
@pytest.mark.parametrize("pix_fmt", ["yuv420p", "yuv420p10le"])
def test_colours_come_back_whatever_matrix_and_range_the_stream_uses(
    tmp_path: Path, colour: tuple[int, int], pix_fmt: str
) -> None:
    patches = np.zeros((64, 128, 3), np.uint8)
    for column, rgb in enumerate([(200, 20, 20), (20, 200, 20), (20, 20, 200), (240, 240, 240)]):
        patches[:, 32 * column : 32 * column + 32] = rgb
    path = clips.write(tmp_path / "colour.mkv", [patches] * 2, options={"crf": "4"}, pix_fmt=pix_fmt, colour=colour)
    image = next(FileSource(str(path)).frames()).image
    for column in range(4):
        assert np.abs(image[32, 32 * column + 16].astype(int) - patches[32, 32 * column + 16]).max() <= 6


def test_odd_sides_stay_odd(tmp_path: Path) -> None:
    image = np.full((33, 47, 3), 128, np.uint8)
    path = clips.write(tmp_path / "odd.mkv", [image] * 2, "ffv1", pix_fmt="yuv444p")
    assert next(FileSource(str(path)).frames()).image.shape == (33, 47, 3)


def test_a_window_keeps_numbers_and_times(tmp_path: Path) -> None:
    path = str(clips.write_kind(tmp_path, "h264.mp4", 120))
    whole = list(FileSource(path).frames())
    for options, expected in [
        ({"start": 2.0, "end": 3.0}, range(50, 75)),
        ({"max_frames": 7}, range(7)),
        ({"start": 3.2, "max_frames": 5}, range(80, 85)),
        ({"end": 0.1}, range(3)),
    ]:
        source = FileSource(path, **options)
        assert [frame.index for frame in source.frames()] == list(expected)
        assert source.gaps == ()
        resumed = list(source.frames(expected[1]))
        assert [frame.index for frame in resumed] == list(expected)[1:]
        assert np.array_equal(resumed[0].image, whole[expected[1]].image)


def test_an_end_that_is_missing_is_a_gap(tmp_path: Path) -> None:
    path = clips.write_kind(tmp_path, "h264.mkv")
    data = path.read_bytes()
    path.write_bytes(data[: len(data) * 2 // 3])
    source = FileSource(str(path))
    given = len(list(source.frames()))
    assert 0 < given < 36
    assert source.gaps[-1].end == pytest.approx(36 / clips.RATE, abs=0.01)


def test_what_is_missing_after_the_window_is_no_gap(tmp_path: Path) -> None:
    path = clips.write_kind(tmp_path, "h264.mkv")
    data = path.read_bytes()
    path.write_bytes(data[: len(data) * 2 // 3])
    source = FileSource(str(path))
    given = len(list(source.frames()))
    assert source.gaps
    for count in range(given - 5, given):
        source = FileSource(str(path), max_frames=count)
        assert len(list(source.frames())) == count
        assert source.gaps == ()


def test_what_is_no_video_is_one_clear_error(tmp_path: Path) -> None:
    for name, data in {
        "empty.mp4": b"",
        "noise.mp4": bytes(range(256)) * 64,
        "playlist.mp4": b"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nfile:///etc/passwd\n#EXT-X-ENDLIST\n",
        "script.mp4": b"ffconcat version 1.0\nfile '/etc/hostname'\n",
    }.items():
        path = tmp_path / name
        path.write_bytes(data)
        with pytest.raises((InputError, SourceFailed)):
            open_sources([str(path)])
    with pytest.raises(InputError, match="is not there"):
        open_sources([str(tmp_path / "nowhere.mp4")])


def test_an_absurd_size_is_refused_before_it_is_allocated(tmp_path: Path) -> None:
    image = np.zeros((32, 20_000, 3), np.uint8)
    path = clips.write(tmp_path / "wide.mkv", [image], "ffv1", pix_fmt="yuv420p")
    with pytest.raises(InputError, match="20000x32"):
        FileSource(str(path))


def changing(path: Path, codec: str, sizes: list[tuple[int, int]], each: int = 12) -> Path:
    """One stream whose pictures change their size on the way; each part begins with a key picture."""
    with av.open(str(path), "w") as media:
        stream = media.add_stream(codec, rate=clips.RATE)
        stream.width, stream.height, stream.pix_fmt = *sizes[0], "yuv420p"
        for part, (width, height) in enumerate(sizes):
            encoder = av.CodecContext.create(codec, "w")
            encoder.width, encoder.height, encoder.pix_fmt = width, height, "yuv420p"
            encoder.time_base, encoder.options = Fraction(1, clips.RATE), {"bf": "0"}
            packets = []
            for number, image in enumerate(clips.street(each)):
                picture = av.VideoFrame.from_ndarray(image, format="rgb24").reformat(width, height, "yuv420p")
                picture.pts, picture.time_base = part * each + number, Fraction(1, clips.RATE)
                packets += encoder.encode(picture)
            for packet in packets + encoder.encode(None):
                packet.stream = stream
                media.mux(packet)
    return path


@pytest.mark.parametrize("name", ["changes.ts", "changes.mkv"])
@pytest.mark.parametrize("threads", [1, 2])
def test_every_frame_has_its_own_size_where_the_size_changes(tmp_path: Path, name: str, threads: int) -> None:
    sizes = [(160, 96), (320, 192), (96, 160)]
    source = FileSource(str(changing(tmp_path / name, "libx264", sizes)), threads=threads)
    frames = list(source.frames())
    assert [frame.index for frame in frames] == list(range(36))
    assert [frame.size[::-1] for frame in frames] == [size for size in sizes for _ in range(12)]
    assert all(frame.image.shape[:2] == frame.size for frame in frames)
    assert source.gaps == ()
