from __future__ import annotations

from pathlib import Path

import clips
import numpy as np
import pytest
from av.codec.hwaccel import hwdevices_available

from throughline.contracts.errors import InputError, Unavailable
from throughline.video.sources.file import FileSource


def test_what_decodes_is_said(tmp_path: Path) -> None:
    source = FileSource(str(clips.write_kind(tmp_path, "vp9.mkv", 8)), threads=2)
    assert source.info.decoder.endswith("on the CPU, 2 threads")
    assert "vp9" in source.info.decoder


def test_auto_gives_every_picture_and_says_what_gave_them(tmp_path: Path) -> None:
    path = str(clips.write_kind(tmp_path, "h264.mp4", 24))
    source = FileSource(path, hwaccel="auto")
    frames = list(source.frames())
    assert len(frames) == 24
    assert source.gaps == ()
    if "on the CPU" in source.info.decoder:
        assert source.info.decoder.endswith("hwaccel 'auto' does not decode it here")
        plain = next(FileSource(path).frames())
        assert np.array_equal(frames[0].image, plain.image)


def test_a_device_that_does_not_know_the_format_leaves_it_to_the_cpu_and_says_so(tmp_path: Path) -> None:
    if "drm" not in hwdevices_available():
        pytest.skip("FFmpeg was built without drm")
    source = FileSource(str(clips.write_kind(tmp_path, "mjpeg.mkv", 8)), hwaccel="drm")
    assert source.info.decoder.startswith("mjpeg on the CPU")
    assert source.info.decoder.endswith("hwaccel 'drm' does not decode it here")
    assert len(list(source.frames())) == 8


def test_a_device_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    path = clips.write_kind(tmp_path, "h264.mp4", 8)
    with pytest.raises(Unavailable, match="hwaccel 'warp'"):
        FileSource(str(path), hwaccel="warp")
    path.write_bytes(b"no video")
    with pytest.raises(InputError, match="no video that can be read"):
        FileSource(str(path), hwaccel="auto")
