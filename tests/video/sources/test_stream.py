from __future__ import annotations

import itertools
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import clips
import numpy as np
import pytest

from throughline.contracts.errors import InputError, SourceFailed
from throughline.contracts.frames import Frame
from throughline.video.sources import open_sources
from throughline.video.sources._live import LiveSource, Patience


class Sender:
    """A real server on loopback: each connection gets the next of its replies, None closes without a word."""

    def __init__(self, replies: list[bytes | None]) -> None:
        waiting = iter(replies)

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                reply = next(waiting, None)
                if reply is None:
                    self.send_error(503)
                    return
                self.send_response(200)
                self.send_header("Content-Type", "video/mp2t")
                self.end_headers()
                self.wfile.write(reply)

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"http://someone:secret@127.0.0.1:{self._server.server_port}/live"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()

    def close(self) -> None:
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


@pytest.mark.parametrize(("policy", "kept"), [("latest", [23]), ("drop-oldest", list(range(24)))])
def test_who_reads_late_gets_what_the_policy_keeps(
    senders: list[Sender], clip: bytes, policy: str, kept: list[int]
) -> None:
    senders.append(Sender([clip]))
    [source] = open_sources([senders[0].address], policy=policy, reconnect=0)
    assert isinstance(source, LiveSource)
    source._receive()  # all that is sent comes before anything is read
    frames = list(source._kept)
    assert [frame.index for frame in frames] == kept
    source.close()


def test_nobody_there_is_an_error() -> None:
    with pytest.raises(InputError, match=r"127\.0\.0\.1"):
        open_sources(["http://127.0.0.1:9/none"], stall_timeout=2.0)
    with pytest.raises(InputError, match="no camera"):
        open_sources(["/dev/video999"])
    with pytest.raises(InputError, match="policy 'some'"):
        Patience(policy="some")
