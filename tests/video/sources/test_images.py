from __future__ import annotations

import struct
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest

from throughline.contracts.errors import InputError, SourceFailed
from throughline.data.picture_headers import size_of
from throughline.data.pictures import read_picture
from throughline.video.sources import SOURCES, kind_of, open_sources
from throughline.video.sources.images import ImagesSource


def save(path: Path, image: np.ndarray) -> Path:
    assert cv2.imwrite(str(path), image[..., ::-1])
    return path


def picture(shade: int = 0, height: int = 21, width: int = 34) -> np.ndarray:
    image = np.full((height, width, 3), shade, np.uint8)
    image[: height // 2, : width // 2] = (220, 40, 90)
    return image


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def test_every_member_describes_itself() -> None:
    assert {"file", "images"} <= set(SOURCES.names())
    assert all(SOURCES.get(name).summary for name in SOURCES.names())


@pytest.mark.parametrize("ending", ["png", "jpg", "bmp", "webp", "tiff"])
def test_the_size_is_read_from_the_header(tmp_path: Path, ending: str) -> None:
    path = save(tmp_path / f"a.{ending}", picture())
    assert size_of(path.read_bytes()) == (34, 21)
    assert read_picture(path).shape == (21, 34, 3)


def test_pictures_come_in_the_order_in_which_people_count(tmp_path: Path) -> None:
    for number in (10, 9, 1, 100):
        save(tmp_path / f"frame{number}.png", picture(number))
    (tmp_path / "notes.md").write_text("no picture")
    for spec in (str(tmp_path), str(tmp_path / "*.png")):
        source = ImagesSource(spec)
        frames = list(source.frames())
        assert [int(frame.image[-1, -1, 0]) for frame in frames] == [1, 9, 10, 100]
        assert [frame.index for frame in frames] == [0, 1, 2, 3]
        assert frames[1].seconds == pytest.approx(1 / 30)
        assert np.array_equal(frames[0].image[0, 0], [220, 40, 90])
        assert [frame.index for frame in source.frames(2)] == [2, 3]


def test_one_that_is_damaged_is_a_gap_in_its_place(tmp_path: Path) -> None:
    for number in range(3):
        save(tmp_path / f"{number}.jpg", picture(number))
    data = (tmp_path / "1.jpg").read_bytes()
    (tmp_path / "1.jpg").write_bytes(data[: len(data) // 2])
    source = ImagesSource(str(tmp_path))
    assert [frame.index for frame in source.frames()] == [0, 2]
    assert [(round(gap.start * 30), round(gap.end * 30)) for gap in source.gaps] == [(1, 2)]


def test_a_folder_of_nothing_but_damage_fails(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    with pytest.raises(SourceFailed):
        list(ImagesSource(str(tmp_path)).frames())


def test_exif_orientation_is_applied(tmp_path: Path) -> None:
    path = save(tmp_path / "turned.jpg", picture())
    tiff = b"MM\0*" + struct.pack(">IHHHIHHI", 8, 1, 0x0112, 3, 1, 6, 0, 0)
    data = path.read_bytes()
    exif = b"Exif\0\0" + tiff
    path.write_bytes(data[:2] + b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif + data[2:])
    turned = read_picture(path)
    assert turned.shape == (34, 21, 3)
    assert np.abs(turned[2, -3].astype(int) - (220, 40, 90)).max() < 40
    assert (ImagesSource(str(path)).info.width, ImagesSource(str(path)).info.height) == (21, 34)


def test_an_absurd_size_is_refused_before_it_is_decoded(tmp_path: Path) -> None:
    header = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    data = (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0" * 99)) + chunk(b"IEND", b"")
    )
    (tmp_path / "bomb.png").write_bytes(data)
    with pytest.raises(InputError, match="60000x60000"):
        read_picture(tmp_path / "bomb.png")


def test_the_kind_follows_from_what_is_there(tmp_path: Path) -> None:
    save(tmp_path / "a.png", picture())
    disguised = tmp_path / "a.mp4"
    disguised.write_bytes((tmp_path / "a.png").read_bytes())
    assert kind_of(str(disguised)) == "images"
    assert kind_of("rtsp://10.0.0.1/live") == "stream"
    assert kind_of("0") == kind_of("/dev/video2") == "camera"
    with pytest.raises(InputError, match="addresses of this kind"):
        kind_of("ftp://10.0.0.1/a.mp4")


def test_a_listing_opens_what_it_lists(tmp_path: Path) -> None:
    for name in ("a.png", "b.png"):
        save(tmp_path / name, picture())
    listing = tmp_path / "all.txt"
    listing.write_text("# the pictures\na.png\n\nb.png\n")
    assert [source.info.name for source in open_sources([str(listing)])] == ["a.png", "b.png"]
    listing.write_text("all.txt\n")
    with pytest.raises(InputError, match="another listing"):
        open_sources([str(listing)])
    listing.write_text("# nothing\n")
    with pytest.raises(InputError, match="lists nothing"):
        open_sources([str(listing)])
