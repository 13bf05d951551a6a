from __future__ import annotations

import itertools
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import av
import clips
import numpy as np
import pytest
import rtsp

from throughline.contracts.errors import InputError, SourceFailed
from throughline.contracts.frames import Frame
from throughline.video.sources import open_sources
from throughline.video.sources._live import LiveSource, Patience


class Sender:
    """A real server on loopback: each connection gets the next of its replies, None closes without a word.

    Where it is to linger, it then says nothing more and does not hang up; where it is to drip, it sends a
    little of the rest at a time.
    """

    def __init__(self, replies: list[bytes | None], *, lingers: bool = False, drip: bytes = b"") -> None:
        waiting = iter(replies)
        self._over = over = threading.Event()

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                reply = next(waiting, None)
                if reply is None:
                    self.send_error(503)
                    return
                self.send_response(200)
                self.send_header("Content-Type", "video/mp2t")
                self.end_headers()
                with suppress(ConnectionError):  # whoever reads may hang up
                    self.wfile.write(reply)
                    for at in range(0, len(drip), 188):
                        if over.wait(0.02):
                            break
                        self.wfile.write(drip[at : at + 188])
                if lingers:
                    over.wait()

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"http://someone:secret@127.0.0.1:{self._server.server_port}/live"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._over.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@pytest.fixture
def clip(tmp_path: Path) -> bytes:
    return clips.write_kind(tmp_path, "h264.ts", 24).read_bytes()


@pytest.fixture
def larger(tmp_path: Path) -> bytes:
    images = [np.repeat(np.repeat(image, 2, 0), 2, 1) for image in clips.street(12)]
    return clips.write(tmp_path / "larger.ts", images).read_bytes()


@pytest.fixture
def senders() -> Iterator[list[Sender]]:
    made: list[Sender] = []
    yield made
    for sender in made:
        sender.close()


def test_a_sender_that_dies_and_comes_back_leaves_a_gap(senders: list[Sender], clip: bytes, larger: bytes) -> None:
    senders.append(Sender([clip, None, larger]))
    [source] = open_sources([senders[0].address], policy="block", reconnect=2)
    frames: list[Frame] = []
    with pytest.raises(SourceFailed, match="not back after 2 tries"):
        frames.extend(source.frames())
    assert [frame.index for frame in frames] == list(range(36))
    assert [frame.image.shape[:2] for frame in frames] == [(96, 160)] * 24 + [(192, 320)] * 12
    assert all(a.seconds < b.seconds for a, b in itertools.pairwise(frames))
    assert [gap.start <= frames[24].seconds for gap in source.gaps] == [True]
    assert source.gaps[0].end == pytest.approx(frames[24].seconds, abs=1e-3)
    assert source.info.live
    assert "secret" not in source.info.name
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("receive ")]


def test_it_ends_when_told(senders: list[Sender], clip: bytes) -> None:
    senders.append(Sender([clip] * 50))
    [source] = open_sources([senders[0].address], policy="block")
    coming = source.frames()
    first = next(coming)
    assert first.index == 0
    source.close()
    assert list(coming) == []


def test_max_frames_ends_it(senders: list[Sender], clip: bytes) -> None:
    senders.append(Sender([clip] * 50))
    [source] = open_sources([senders[0].address], policy="block", max_frames=30, reconnect=5)
    assert len(list(source.frames())) == 30


@pytest.mark.parametrize(("policy", "kept"), [("latest", [47]), ("drop-oldest", list(range(16, 48)))])
def test_who_reads_late_gets_what_the_policy_keeps_and_is_told_how_many_were_dropped(
    senders: list[Sender], tmp_path: Path, policy: str, kept: list[int]
) -> None:
    senders.append(Sender([clips.write_kind(tmp_path, "h264.ts", 48).read_bytes()]))
    [source] = open_sources([senders[0].address], policy=policy, reconnect=0)
    assert isinstance(source, LiveSource)
    source._receive()  # all that is sent comes before anything is read
    frames = list(source._kept)
    assert [frame.index for frame in frames] == kept
    assert len(kept) + source.late == 48
    source.close()


def test_what_comes_before_the_window_is_neither_given_nor_late(senders: list[Sender], clip: bytes) -> None:
    senders.append(Sender([clip, clip, clip]))
    [source] = open_sources([senders[0].address], policy="block", reconnect=2, start=0.2)
    frames: list[Frame] = []
    with pytest.raises(SourceFailed):
        frames.extend(source.frames())
    assert frames[0].index == 0
    assert frames[0].seconds >= 0.2
    assert source.late == 0


def test_a_sender_that_falls_silent_is_lost_after_the_stall_timeout(senders: list[Sender], clip: bytes) -> None:
    senders.append(Sender([clip, clip], lingers=True))
    [source] = open_sources([senders[0].address], policy="block", reconnect=1, stall_timeout=0.6)
    frames, began = [], time.monotonic()
    with pytest.raises(SourceFailed, match="not back after 1 tries"):
        frames.extend(source.frames())
    assert len(frames) > 30
    assert 0.6 < time.monotonic() - began < 20
    [gap] = source.gaps
    assert gap.reason == "nothing came for 0.6 s"
    assert gap.start < gap.end
    assert gap.end >= 0.6


def test_a_server_that_accepts_and_says_nothing_is_an_error() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        began = time.monotonic()
        for scheme in ("http", "rtsp"):
            with pytest.raises(InputError, match=r"127\.0\.0\.1"):
                open_sources([f"{scheme}://127.0.0.1:{port}/live"], stall_timeout=0.5)
        assert time.monotonic() - began < 20


def test_sound_alone_is_no_sign_of_life(senders: list[Sender], tmp_path: Path) -> None:
    path = tmp_path / "sound.ts"
    with av.open(str(path), "w") as media:
        video, audio = media.add_stream("libx264", rate=25, options={"g": "12"}), media.add_stream("mp2", rate=48_000)
        video.width, video.height, video.pix_fmt = clips.WIDTH, clips.HEIGHT, "yuv420p"
        for image in clips.street(24):
            media.mux(video.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        media.mux(video.encode())
        pictures = 0
        for number in range(1000):
            sound = av.AudioFrame.from_ndarray(np.zeros((1, 1152), np.int16), format="s16", layout="mono")
            sound.sample_rate, sound.pts = 48_000, 1152 * number
            media.mux(audio.encode(sound))
        media.mux(audio.encode())
    data = path.read_bytes()
    pictures = max(
        at for at in range(0, len(data), 188) if int.from_bytes(data[at + 1 : at + 3], "big") & 0x1FFF == 256
    )
    senders.append(Sender([data[: pictures + 188]], drip=data[pictures + 188 :]))
    [source] = open_sources([senders[0].address], policy="block", reconnect=0, stall_timeout=0.5)
    frames, began = [], time.monotonic()
    with pytest.raises(SourceFailed, match="no picture came"):
        frames.extend(source.frames())
    assert len(frames) > 10
    assert time.monotonic() - began < 10


def test_nothing_is_shown_before_the_first_whole_picture(senders: list[Sender], tmp_path: Path) -> None:
    for codec in ("mpeg4", "libx264", "mpeg2video", "libx265"):
        options = {"g": "24", "b": "2000000", "x265-params": "log-level=none:pools=1:frame-threads=1"}
        path = clips.write(tmp_path / f"{codec}.ts", clips.street(48), codec, options)
        data, starts = path.read_bytes(), []
        for at in range(0, len(data), 188):
            if int.from_bytes(data[at + 1 : at + 3], "big") & 0x5FFF == 0x4100:
                starts.append(at)
        senders.append(Sender([data[: 188 * 3] + data[starts[6] :]]))
        [source] = open_sources([senders[-1].address], policy="block", reconnect=0)
        frames: list[Frame] = []
        with pytest.raises(SourceFailed):
            frames.extend(source.frames())
        street = [image.astype(int) for image in clips.street(48)]
        assert frames
        for frame in frames:
            assert min(np.abs(frame.image - image).mean() for image in street) < 14, (codec, frame.index)


@pytest.mark.parametrize("hangs_up", [True, False])
def test_rtsp(tmp_path: Path, hangs_up: bool) -> None:
    path = clips.write(tmp_path / "clip.h264", clips.street(36), "libx264", {"g": "12", "bf": "0"})
    sender = rtsp.RtspSender(rtsp.pictures(path), clips.RATE, connections=2, hangs_up=hangs_up)
    try:
        [source] = open_sources([sender.address], policy="block", reconnect=1, stall_timeout=0.6)
        frames: list[Frame] = []
        with pytest.raises(SourceFailed, match="not back after 1 tries"):
            frames.extend(source.frames())
    finally:
        sender.close()
    assert [frame.index for frame in frames] == list(range(72))
    assert np.abs(frames[0].image.astype(int) - clips.street(36)[0]).mean() < 12
    assert source.info.decoder.startswith("h264 on the CPU")
    assert sender.asked[:4] == ["OPTIONS", "DESCRIBE", "SETUP", "PLAY"]
    [gap] = source.gaps
    assert gap.reason == ("the stream ended" if hangs_up else "nothing came for 0.6 s")


def test_nobody_there_is_an_error() -> None:
    with pytest.raises(InputError, match=r"127\.0\.0\.1"):
        open_sources(["http://127.0.0.1:9/none"], stall_timeout=2.0)
    with pytest.raises(InputError, match="no camera"):
        open_sources(["/dev/video999"])
    with pytest.raises(InputError, match="policy 'some'"):
        Patience(policy="some")


def test_a_file_at_an_address_is_read_once_in_its_own_time(tmp_path: Path, senders: list[Sender]) -> None:
    path = clips.write(tmp_path / "whole.mkv", clips.street(40))
    senders.append(Sender([path.read_bytes()] * 3))
    [source] = open_sources([senders[0].address])
    [here] = open_sources([str(path)])
    there = [(frame.index, pytest.approx(frame.seconds, abs=2e-3)) for frame in here.frames()]
    assert [(frame.index, frame.seconds) for frame in source.frames()] == there
    assert len(there) == 40
    assert source.gaps == ()


def test_a_file_at_an_address_that_is_lost_is_no_whole_one(tmp_path: Path, senders: list[Sender]) -> None:
    path = clips.write(tmp_path / "whole.mkv", clips.street(40))
    senders.append(Sender([path.read_bytes(), path.read_bytes()[: path.stat().st_size // 2]]))
    [source] = open_sources([senders[0].address])
    assert len(list(source.frames())) == 40
    [source] = open_sources([senders[0].address])
    frames = source.frames()
    assert next(frames).index == 0
    with pytest.raises(SourceFailed, match=r"lost after 0\.\d s of 1\.6"):
        list(frames)
