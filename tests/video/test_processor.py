"""The frames of a source in batches: all of them, and never silently short."""

from __future__ import annotations

import contextlib
import itertools
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from throughline import Frame, InputError, SourceFailed, Unavailable, VideoProcessor
from throughline.testing.world import World, write_video


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_video(World(7, 96, 64), tmp_path_factory.mktemp("clip") / "street.mp4", 50)


@pytest.fixture(scope="module")
def cut(clip: Path) -> Path:
    """The same clip with its data overwritten in the middle."""
    data = bytearray(clip.read_bytes())
    middle = len(data) // 2
    data[middle : middle + len(data) // 8] = bytes(len(data) // 8)
    path = clip.with_name("cut.mp4")
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("batch_size", [1, 8, 25, 64])
def test_every_frame_comes_once_and_in_order(clip: Path, batch_size: int) -> None:
    with VideoProcessor(clip) as video:
        batches = list(video.stream_frames(batch_size))
        frames = [frame for batch in batches for frame in batch]
        assert [frame.index for frame in frames] == list(range(50))
        assert [len(batch) for batch in batches[:-1]] == [batch_size] * (len(batches) - 1)
        assert frames[1].seconds == pytest.approx(1 / 30)
        assert frames[0].image.shape == (64, 96, 3)
        assert (video.accounting.decoded, video.accounting.declared, video.accounting.gaps) == (50, 50, ())
        assert (video.info.width, video.info.height, video.info.fps) == (96, 64, 30)


def test_it_can_be_read_again_and_left_early(clip: Path) -> None:
    with VideoProcessor(str(clip)) as video:
        first = next(iter(video.stream_frames(4)))
        assert [frame.index for frame in first] == [0, 1, 2, 3]
        assert video.accounting.decoded == 4
        assert sum(len(batch) for batch in video.stream_frames(7)) == 50
        assert sum(len(batch) for batch in video.stream_frames(7)) == 50
        assert not [thread for thread in threading.enumerate() if thread.name.startswith("throughline-")]


def test_a_damaged_file_gives_what_it_has_and_then_says_what_is_missing(cut: Path) -> None:
    frames: list[Frame] = []
    with VideoProcessor(cut) as video:
        with pytest.raises(SourceFailed, match=r"cut.mp4: \d+ frames were read, and not all there is: \d"):
            frames.extend(itertools.chain.from_iterable(video.stream_frames()))
        assert 0 < len(frames) < 50
        assert video.accounting.decoded == len(frames)
        assert video.accounting.gaps


def test_what_ends_in_the_middle_of_a_batch_still_gives_that_batch(cut: Path) -> None:
    with VideoProcessor(cut) as video:
        told: list[int] = []
        for size in (1, 64):
            frames: list[Frame] = []
            with pytest.raises(SourceFailed):
                frames.extend(itertools.chain.from_iterable(video.stream_frames(size)))
            told.append(len(frames))
        assert told[0] == told[1] > 0


def test_a_closed_one_and_one_that_is_being_read_say_so(clip: Path) -> None:
    video = VideoProcessor(clip)
    loop = video.stream_frames(4)
    next(loop)
    with pytest.raises(InputError, match="being read already"):
        next(video.stream_frames(4))
    video.close()
    with pytest.raises(InputError, match="closed"):
        video.stream_frames(4)
    assert sum(len(batch) for batch in loop) < 50  # it was asked to end


def test_a_program_that_leaves_in_the_middle_ends(clip: Path) -> None:
    program = f"""
import sys
from throughline import VideoProcessor
batches = VideoProcessor({str(clip)!r}).stream_frames(2)
next(batches)
sys.exit(7)
"""
    assert subprocess.run([sys.executable, "-c", program], timeout=60, check=False).returncode == 7


@pytest.mark.parametrize("batch_size", [0, -1])
def test_a_batch_of_nothing_is_refused_at_once(clip: Path, batch_size: int) -> None:
    with VideoProcessor(clip) as video, pytest.raises(InputError, match="one frame or more"):
        video.stream_frames(batch_size)


def test_what_cannot_be_opened_is_an_error_of_its_own(tmp_path: Path, clip: Path) -> None:
    with pytest.raises(InputError, match="is not there"):
        VideoProcessor(tmp_path / "nowhere.mp4")
    with pytest.raises(Unavailable, match="warp"):
        VideoProcessor(clip, hw_accel="warp")
    listing = tmp_path / "all.txt"
    listing.write_text(f"{clip}\n{clip}\n")
    with pytest.raises(InputError, match="lists 2 sources"):
        VideoProcessor(listing)


@pytest.fixture
def address(clip: Path) -> Iterator[str]:
    """A sender of a clip: ``/once``, and then it says nothing more; ``/again`` and again, faster than anybody looks."""
    stream = write_video(World(7, 96, 64), clip.with_suffix(".ts"), 50).read_bytes()
    gone = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            if self.path == "/once":
                self.wfile.write(stream)
                gone.wait(30)
            with contextlib.suppress(OSError):  # the listener has gone
                while not gone.is_set():
                    self.wfile.write(stream)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    gone.set()
    server.shutdown()
    server.server_close()
    thread.join()


def test_a_live_source_gives_what_has_come_and_ends_with_the_loop(address: str) -> None:
    with VideoProcessor(f"{address}/once") as video:
        assert video.info.live
        seen: list[int] = []
        for batch in video.stream_frames(batch_size=64):  # would wait for ever if it waited for 64
            assert batch
            seen += [frame.index for frame in batch]
            if len(seen) >= 20:
                break
        assert all(a < b for a, b in itertools.pairwise(seen))
        with pytest.raises(InputError, match="closed"):
            video.stream_frames()


def test_what_a_live_source_drops_is_accounted_for(address: str) -> None:
    with VideoProcessor(f"{address}/again") as video:
        for given, (frame,) in enumerate(video.stream_frames(batch_size=1), 1):
            np.sort(np.arange(2**21)[::-1])  # slower than the sender
            accounting = video.accounting
            assert accounting.inferred == given
            assert accounting.decoded == frame.index + 1
            if accounting.dropped or given == 500:
                break
        assert accounting.dropped["late"] > 0
