"""A decoded picture gives the same RGB whether it is converted whole, made smaller, or read in single places."""

from __future__ import annotations

import gc
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from throughline.contracts.frames import Frame, Picture
from throughline.video.sources._picture import Planes, decoded
from throughline.video.sources._turn import Turn
from throughline.video.sources.file import FileSource
from throughline.vision.scaling import scaled

av: Any = pytest.importorskip("av")

PLANAR = ["yuv420p", "yuv422p", "yuv444p", "yuvj420p", "yuvj444p", "yuv420p10le", "yuv422p10le", "yuv444p12le"]
TURNS = [Turn(a, b, c) for a in (False, True) for b in (False, True) for c in (False, True)]


def street(height: int, width: int) -> np.ndarray:
    """Smooth colours with a few hard edges, no two quarters alike."""
    y, x = np.mgrid[:height, :width].astype(np.float32)
    waves = [np.sin(x / 31 + phase) * 70 + np.cos(y / (17 + 9 * phase)) * 50 + 128 for phase in range(3)]
    image = np.clip(np.stack(waves, axis=-1), 0, 255).astype(np.uint8)
    image[: height // 3, : width // 3] = (220, 30, 40)
    image[height // 2 :, width // 2 :, 2] //= 2
    return image


def stored(image: np.ndarray, layout: str) -> Any:
    return av.VideoFrame.from_ndarray(image, format="rgb24").reformat(format=layout)


@pytest.mark.parametrize("layout", PLANAR)
@pytest.mark.parametrize("size", [(240, 320), (241, 319), (720, 1280)])
def test_scaling_the_planes_is_scaling_the_picture(layout: str, size: tuple[int, int]) -> None:
    picture = decoded(stored(street(*size), layout), Turn())
    assert isinstance(picture, Planes)
    assert isinstance(picture, Picture)
    assert picture.size == size
    whole = picture.rgb()
    for target in ((96, 160), (200, 300), (480, 640)):
        small = picture.scaled(target)
        assert small.shape == (*target, 3)
        ours = small.astype(np.float64) * (255 / np.iinfo(small.dtype).max)
        theirs = scaled(whole, target).astype(np.float64)
        assert np.abs(ours - theirs).mean() < 2.2  # the whole conversion of 4:2:0 comes out a level too dark
        assert np.percentile(np.abs(ours - theirs), 98) < 12  # colours have half the sharpness of brightness


@pytest.mark.parametrize("turn", TURNS)
def test_every_way_to_lie_comes_upright(turn: Turn) -> None:
    picture = Planes.of(stored(street(120, 200), "yuv444p"), turn)
    whole = picture.rgb()
    assert whole.shape[:2] == picture.size
    small = picture.scaled((picture.size[0] // 2, picture.size[1] // 2))
    assert np.abs(small.astype(int) - scaled(whole, small.shape[:2]).astype(int)).mean() < 1.5
    rows, columns = np.array([[3], [50], [99]]), np.array([[0, 40, 110]])
    assert np.abs(picture.colours(rows, columns).astype(int) - whole[rows, columns].astype(int)).max() <= 2


@pytest.mark.parametrize("layout", PLANAR)
def test_colours_at_places_are_the_pictures(layout: str) -> None:
    frame = Frame(0, 0.0, decoded(stored(street(242, 322), layout), Turn()), "x")
    rows, columns = np.mgrid[5:200:13, 7:300:11]
    differing = np.abs(frame.colours(rows, columns).astype(int) - frame.image[rows, columns].astype(int))
    assert differing.mean() < 1.5


@pytest.mark.parametrize("layout", ["rgb24", "gray", "nv12", "yuv410p", "pal8", "bgra"])
def test_other_layouts_are_converted(layout: str) -> None:
    picture = decoded(stored(street(120, 160), layout if layout != "pal8" else "rgb8"), Turn())
    assert isinstance(picture, np.ndarray)
    assert picture.shape == (120, 160, 3)


def test_white_is_white_and_black_is_black() -> None:
    for layout in PLANAR:
        for shade in (0, 255):
            picture = decoded(stored(np.full((64, 64, 3), shade, np.uint8), layout), Turn())
            assert isinstance(picture, Planes)
            small = picture.scaled((16, 16))
            share = small / np.iinfo(small.dtype).max
            np.testing.assert_allclose(share, shade / 255, atol=2.5 / 255)  # the conversion to planes dithers


def test_a_frame_is_converted_once_and_only_when_read(tmp_path: Path) -> None:
    with av.open(str(tmp_path / "clip.mp4"), "w") as media:
        stream = media.add_stream("libx264", rate=Fraction(25))
        stream.width, stream.height, stream.pix_fmt = 160, 96, "yuv420p"
        for packet in (*stream.encode(stored(street(96, 160), "yuv420p")), *stream.encode()):
            media.mux(packet)
    [frame] = FileSource(str(tmp_path / "clip.mp4")).frames()
    assert frame.size == (96, 160)
    assert "image" not in vars(frame)
    assert frame.image is frame.image
    assert frame.image.shape == (96, 160, 3)


def test_pictures_go_when_nobody_holds_them(tmp_path: Path) -> None:
    image = street(96, 160)
    with av.open(str(tmp_path / "clip.mp4"), "w") as media:
        stream = media.add_stream("libx264", rate=Fraction(25), options={"g": "5"})
        stream.width, stream.height, stream.pix_fmt = 160, 96, "yuv420p"
        stream.set_display_rotation(90)
        for index in range(60):
            for packet in stream.encode(stored(np.roll(image, index, axis=1), "yuv420p")):
                media.mux(packet)
        for packet in stream.encode():
            media.mux(packet)
    gc.collect()
    gc.disable()
    places = set()
    try:
        for frame in FileSource(str(tmp_path / "clip.mp4")).frames():
            assert frame.size == (160, 96)
            assert isinstance(frame.picture, Planes)
            places.add(frame.picture.planes[0].ctypes.data)
    finally:
        gc.enable()
    assert len(places) < 30, "the decoder's memory is used again and again"
