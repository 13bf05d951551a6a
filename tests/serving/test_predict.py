"""Pictures, rows and videos as people have them."""

from __future__ import annotations

import json
import socket
import tempfile
import time
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from blobs import picture
from live_server import Live, head

FORM = "a-boundary-of-ours"


def filmed(path: Path, frames: int) -> bytes:
    with av.open(str(path), "w") as out:
        stream = out.add_stream("mpeg4", rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for index in range(frames):
            for packet in stream.encode(av.VideoFrame.from_ndarray(picture(index), format="rgb24")):
                out.mux(packet)
        for packet in stream.encode():
            out.mux(packet)
    return path.read_bytes()


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return filmed(tmp_path_factory.mktemp("film") / "film.mp4", 40)


def form(*parts: tuple[str, bytes], end: bool = True) -> tuple[bytes, dict[str, str]]:
    body = b"".join(
        f'--{FORM}\r\nContent-Disposition: form-data; name="{name}"; filename="a.png"\r\n\r\n'.encode() + data + b"\r\n"
        for name, data in parts
    )
    return body + (f"--{FORM}--\r\n".encode() if end else b""), {
        "Content-Type": f"multipart/form-data; boundary={FORM}"
    }


def events(data: bytes) -> list[tuple[str, dict[str, Any]]]:
    found = []
    for block in data.decode().split("\n\n")[:-1]:
        kind, said = block.split("\n")
        found.append((kind.removeprefix("event: "), json.loads(said.removeprefix("data: "))))
    return found


def test_a_picture_as_it_is(live: Live, small_picture: bytes) -> None:
    status, said, _ = live.ask("POST", "/v2/models/blobs/predict", small_picture, {"Content-Type": "image/png"})
    assert status == 200
    assert (said["model"], said["version"], said["height"], said["width"]) == ("blobs", "1", 48, 64)
    assert len(said["detections"]) >= 3
    assert all(one["class"] == "blob" and 0.25 <= one["confidence"] <= 1 for one in said["detections"])
    again = live.ask("POST", "/predict?model=blobs", small_picture, {"X-Request-Id": "my own"})[1]
    assert again == {"model": "blobs", "version": "1", "id": "my own", **{k: said[k] for k in said if k in again}}


def test_one_picture_in_a_form_and_several(live: Live, small_picture: bytes) -> None:
    alone = live.ask("POST", "/predict?model=blobs", small_picture)[1]["detections"]
    for count in (1, 3, 20):
        body, headers = form(("note", b"not a picture"), *[("image", small_picture)] * count)
        status, said, _ = live.ask("POST", "/predict?model=blobs", body, headers)
        assert status == 200
        assert [one["detections"] for one in said["images"]] == [alone] * count


def test_rows_as_json(live: Live) -> None:
    for given in ([[1, 2.5, 3]], {"x": [[1, 2.5, 3]]}):
        status, said, _ = live.ask("POST", "/predict?model=adds", {"inputs": given})
        assert status == 200
        assert said["outputs"] == {"y": {"shape": [1, 3], "data": [1, 2.5, 3]}}
    status, said, _ = live.ask("POST", "/predict?model=looks", {"inputs": {"x": [[0, 0, 0]], "place": [[3]]}})
    assert said["outputs"]["y"]["data"] == [3.5] * 3


@pytest.mark.parametrize(
    "inputs",
    [[["1", "2", "3"]], [[1, 2]], [[1, 2, None]], [], [[]], {}, {"y": [[1, 2, 3]]}, {"x": {"a": 1}}, {"x": "text"},
     [[1, 2, [3]]], {"x": [[[[1]]]]}, [[1e39, 0, 0]]],
)  # fmt: skip
def test_rows_that_are_none_are_refused(live: Live, inputs: Any) -> None:
    status, said, _ = live.ask("POST", "/predict?model=adds", {"inputs": inputs})
    assert status == 400, said
    assert said["error"]


def test_which_model_is_to_be_said_where_there_are_several(live: Live, small_picture: bytes) -> None:
    status, said, _ = live.ask("POST", "/predict", small_picture)
    assert status == 400
    assert "?model=" in said["error"]


def test_a_model_that_sees_no_pictures_says_so(live: Live, small_picture: bytes) -> None:
    for model in ("adds", "texts", "every"):
        status, said, _ = live.ask("POST", f"/predict?model={model}", small_picture)
        assert 400 <= status < 500, said


def sized(width: int, height: int) -> bytes:
    """The head of a PNG that says to be so large, with a pixel in it."""
    import struct
    import zlib

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    pixels = zlib.compress(b"\0\1\2\3")
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        [chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)), chunk(b"IDAT", pixels),
         chunk(b"IEND", b"")]
    )  # fmt: skip


def test_pictures_of_every_size(live: Live) -> None:
    status, said, _ = live.ask("POST", "/predict?model=blobs", sized(1, 1))
    assert (status, said["height"], said["width"]) == (200, 1, 1)
    for size in ((30_000, 30_000), (2**31 - 1, 2**31 - 1), (0, 0), (1, 100_000)):
        status, said, _ = live.ask("POST", "/predict?model=blobs", sized(*size))
        assert status in (400, 413), said


@pytest.mark.parametrize(
    "data", [b"", b"\0", b"GIF89a" + bytes(99), b"\xff\xd8\xff", b"BM" + bytes(99), b"II*\0", b"RIFF"]
)
def test_what_is_no_picture_is_refused(live: Live, small_picture: bytes, data: bytes) -> None:
    for body in (data, small_picture[: len(small_picture) // 2]):
        status, said, _ = live.ask("POST", "/predict?model=blobs", body)
        assert status == 400, said
    body, headers = form(("image", small_picture), ("image", data), ("image", small_picture))
    assert live.ask("POST", "/predict?model=blobs", body, headers)[0] == 400


@pytest.mark.parametrize(
    ("body", "kind", "status"),
    [
        (b"", f"multipart/form-data; boundary={FORM}", 400),
        (b"", "multipart/form-data", 400),
        (b"--x", "multipart/form-data; boundary=" + "x" * 300, 400),
        (form(("other", b"x"))[0], f"multipart/form-data; boundary={FORM}", 400),
        (form(*[("image", b"x")] * 65)[0], f"multipart/form-data; boundary={FORM}", 413),
        (b"\xff" * 999, f"multipart/form-data; boundary={FORM}", 400),
        ((f"--{FORM}\r\n" + "A: b\r\n" * 30 + "\r\n").encode(), f"multipart/form-data; boundary={FORM}", 400),
        ((f"--{FORM}\r\nA: " + "b" * 9999 + "\r\n\r\n").encode(), f"multipart/form-data; boundary={FORM}", 400),
    ],
)
def test_forms_that_are_none_are_refused(live: Live, body: bytes, kind: str, status: int) -> None:
    seen, said, _ = live.ask("POST", "/predict?model=blobs", body, {"Content-Type": kind})
    assert seen == status, said


def test_a_form_that_has_no_end_is_refused(live: Live, small_picture: bytes) -> None:
    body, headers = form(("image", small_picture), end=False)
    status, said, _ = live.ask("POST", "/predict?model=blobs", body[:-40], headers)
    assert status == 400, said


def test_a_video_is_told_of_frame_by_frame(live: Live, film: bytes) -> None:
    status, data, headers = live.ask("POST", "/v2/models/blobs/video", film)
    assert (status, headers["content-type"]) == (200, "text/event-stream")
    said = events(data)
    assert [kind for kind, _ in said] == ["frame"] * 40 + ["end"]
    assert [one["index"] for _, one in said[:-1]] == list(range(40))
    assert np.allclose([one["seconds"] for _, one in said[:-1]], np.arange(40) / 10)
    assert all(one["detections"] for _, one in said[:-1])
    assert said[-1][1]["frames"] == 40


@pytest.mark.parametrize("what", ["empty", "garbage", "a list of other files", "half of its head"])
def test_what_is_no_video_is_refused_and_leads_nowhere(live: Live, film: bytes, what: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as elsewhere:
        elsewhere.setblocking(False)
        port = elsewhere.getsockname()[1]
        playlist = f"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nhttp://127.0.0.1:{port}/a.ts\n#EXT-X-ENDLIST\n"
        body = {"empty": b"", "garbage": bytes(range(256)) * 40, "a list of other files": playlist.encode(),
                "half of its head": film[:20]}[what]  # fmt: skip
        status, said, _ = live.ask("POST", "/v2/models/blobs/video", body)
        assert status == 400, said
        with pytest.raises(BlockingIOError):
            elsewhere.accept()


def test_a_video_that_nobody_watches_any_more_is_put_away(live: Live, tmp_path: Path) -> None:
    film, rows = filmed(tmp_path / "film.mp4", 1500), 'throughline_batch_rows_sum{model="blobs",version="1"}'
    before, there = live.metric(rows), kept()
    connection = live.raw(head("POST", "/v2/models/blobs/video", f"Content-Length: {len(film)}") + film)
    while b"event: frame" not in connection.recv(65536):
        pass
    assert kept() > there
    connection.close()
    until = time.monotonic() + 30
    while kept() > there and time.monotonic() < until:
        live.ask("GET", "/v2/health/live")
    assert kept() <= there
    assert live.metric(rows) - before < 1000


def kept() -> set[Path]:
    """The videos that lie on the disk."""
    return set(Path(tempfile.gettempdir()).glob("throughline-video-*"))
