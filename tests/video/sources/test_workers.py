"""Pictures that other processes decoded are those that this one would have decoded, whatever becomes of a process."""

from __future__ import annotations

import contextlib
import hashlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import clips
import damage
import numpy as np
import pytest

from throughline.contracts.errors import InputError, SourceFailed, ThroughlineError
from throughline.contracts.frames import Frame
from throughline.contracts.streams import Source
from throughline.hardware import cores
from throughline.video.pipeline import Intake, Pipeline, Stage
from throughline.video.sources import open_sources
from throughline.video.sources._cuts import workers_for
from throughline.video.sources._picture import Planes
from throughline.video.sources._side_by_side import SideBySide
from throughline.video.sources.file import FileSource

COUNT = 260

Seen = tuple[int, float, bytes]


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    folder = tmp_path_factory.mktemp("clips")

    def written(kind: str) -> Path:
        return folder / kind if (folder / kind).exists() else clips.write_kind(folder, kind, COUNT)

    return written


@pytest.fixture(autouse=True)
def _nothing_is_left() -> Iterator[None]:
    before = set(os.listdir("/dev/shm"))
    yield
    assert children() == []
    assert set(os.listdir("/dev/shm")) == before


def side_by_side(path: Path, workers: int, **options: Any) -> SideBySide:
    [source] = open_sources([str(path)], workers=workers, **options)
    assert isinstance(source, SideBySide)
    return source


def children(parent: int | None = None) -> list[int]:
    """The decoding processes of a process."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
                decodes = b"_decode_worker" in (entry / "cmdline").read_bytes()
            except OSError:
                continue
            if int(fields[1]) == (parent or os.getpid()) and decodes and fields[0] != "Z":
                found.append(int(entry.name))
    return found


def comes_true(said: Callable[[], bool], seconds: float = 20.0) -> bool:
    ends = time.monotonic() + seconds
    while not said() and time.monotonic() < ends:
        time.sleep(0.002)
    return said()


def as_seen(frame: Frame) -> Seen:
    return frame.index, frame.seconds, hashlib.sha256(frame.image.tobytes()).digest()


def once_it_is_cut(source: SideBySide, frames: Iterator[Frame]) -> Iterator[Frame]:
    """The frames, the third one only when it is known where the file can be cut."""
    for number, frame in enumerate(frames):
        if number == 2:
            assert comes_true(lambda: sum(worker.has_answered for worker in source._alive) >= 2)
        yield frame


def told(source: Source, start: int = 0) -> tuple[list[Seen], object, str]:
    """Every frame, every gap, and the error at the end."""
    seen, problem = [], ""
    try:
        for frame in source.frames(start):
            seen.append(as_seen(frame))
    except ThroughlineError as error:
        problem = error.problem
    return seen, source.gaps, problem


@pytest.mark.parametrize("kind", clips.KINDS)
def test_what_several_decode_is_what_one_does(clip: Callable[[str], Path], kind: str) -> None:
    path = clip(kind)
    here = FileSource(str(path))
    whole, gaps, _ = told(here)
    assert gaps == ()
    for workers, start in ((1, 0), (2, 0), (3, 97)):
        source = side_by_side(path, workers)
        assert source.info == here.info
        frames: Iterator[Frame] = source.frames(start)
        if workers > 1 and not start:
            frames = once_it_is_cut(source, frames)
        assert [as_seen(frame) for frame in frames] == whole[start:], (workers, start)
        assert source.gaps == ()


@pytest.mark.parametrize("kind", ["h264.mp4", "mjpeg.avi"])
def test_from_any_number_on(clip: Callable[[str], Path], kind: str) -> None:
    path = clip(kind)
    whole, _, _ = told(FileSource(str(path)))
    source = side_by_side(path, 2)
    for start in (1, 63, 64, 131, COUNT - 1, COUNT, COUNT + 9):
        assert told(source, start) == (whole[start:], (), "")


@pytest.mark.parametrize("kind", ["h264.mp4", "vp9.mkv", "mpeg4.avi", "mjpeg.mkv"])
def test_each_process_decodes_a_part(clip: Callable[[str], Path], kind: str) -> None:
    source = side_by_side(clip(kind), 3)
    memories: dict[int, int] = {}
    for frame in once_it_is_cut(source, source.frames()):
        assert isinstance(frame.picture, Planes)
        base: Any = frame.picture.planes[0].base
        memories[id(base.base.obj)] = memories.get(id(base.base.obj), 0) + 1
    assert len(memories) == 3
    assert min(memories.values()) >= 24


def test_a_window_is_the_same_window(clip: Callable[[str], Path]) -> None:
    path = clip("mjpeg.mkv")
    for options in ({"start": 2.0, "end": 9.1}, {"max_frames": 150}, {"start": 3.2, "max_frames": 170}, {"end": 9.0}):
        here = told(FileSource(str(path), **options))
        source = side_by_side(path, 2, **options)
        assert ([as_seen(frame) for frame in once_it_is_cut(source, source.frames())], source.gaps, "") == here


@pytest.mark.parametrize("when", [0, 1, 20, 100, 170])
def test_a_killed_process_costs_no_frame(clip: Callable[[str], Path], when: int) -> None:
    path = clip("mjpeg.avi")
    source = side_by_side(path, 3)
    seen = []
    for frame in once_it_is_cut(source, source.frames()):
        if frame.index == when:
            for process in children():
                os.kill(process, signal.SIGKILL)
        seen.append(as_seen(frame))
    assert (seen, source.gaps, "") == told(FileSource(str(path)))


def test_one_that_reads_alone_goes_on_where_it_was_killed(clip: Callable[[str], Path]) -> None:
    path = clip("h264.mp4")
    source, seen = side_by_side(path, 1), []
    for frame in source.frames(3):
        if frame.index in (5, 120):
            [process] = children()
            os.kill(process, signal.SIGKILL)
        seen.append(as_seen(frame))
    assert seen == told(FileSource(str(path)), 3)[0]


@pytest.mark.parametrize("workers", [1, 2])
def test_a_picture_that_kills_every_decoder_ends_in_a_clear_error(clip: Callable[[str], Path], workers: int) -> None:
    source, over = side_by_side(clip("mjpeg.mkv"), workers), threading.Event()
    frames = source.frames()
    indexes = [next(frames).index]

    def kill() -> None:
        while not over.is_set():
            for process in children():
                with contextlib.suppress(ProcessLookupError):  # it may have ended by itself
                    os.kill(process, signal.SIGKILL)

    killing = threading.Thread(target=kill)
    killing.start()
    try:
        with pytest.raises(SourceFailed, match="crashed at picture"):
            indexes.extend(frame.index for frame in frames)
    finally:
        over.set()
        killing.join()
    assert indexes == list(range(len(indexes)))
    assert len(indexes) < COUNT


def test_a_signal_meant_for_everybody_ends_no_process(clip: Callable[[str], Path]) -> None:
    others = set(children())
    source = side_by_side(clip("mjpeg.mkv"), 2)
    frames = source.frames()
    begun = [next(frames).index for _ in range(COUNT // 2)]  # by now each of them is up
    there = set(children()) - others
    assert there
    for process in there:
        os.kill(process, signal.SIGINT)
        os.kill(process, signal.SIGTERM)
    assert sum(1 for _ in frames if there <= set(children())) >= COUNT - len(begun) - 2


def test_when_the_parent_is_killed_its_children_end(clip: Callable[[str], Path]) -> None:
    program = (
        "import sys, time\n"
        "from throughline.video.sources import open_sources\n"
        "[source] = open_sources([sys.argv[1]], workers=3)\n"
        "frames = source.frames()\n"
        "held = [next(frames) for _ in range(3)]\n"
        "print('at work', flush=True)\n"
        "time.sleep(600)\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program, str(clip("mjpeg.mkv"))], stdout=subprocess.PIPE, text=True
    ) as parent:
        assert parent.stdout is not None
        assert parent.stdout.readline() == "at work\n"
        there = children(parent.pid)
        assert len(there) == 3
        parent.kill()
    assert comes_true(lambda: not any(_runs(process) for process in there))


def _runs(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.parametrize("workers", [1, 2])
def test_frames_may_be_held_as_long_as_one_likes(clip: Callable[[str], Path], workers: int) -> None:
    path = clip("mjpeg.mkv")
    source = side_by_side(path, workers)
    held = list(source.frames())
    source.close()
    assert [as_seen(frame) for frame in held] == told(FileSource(str(path)))[0]


def test_close_ends_a_reading_that_waits(clip: Callable[[str], Path]) -> None:
    source = side_by_side(clip("h264.mp4"), 2)
    frames = source.frames()
    next(frames)
    for process in children():
        os.kill(process, signal.SIGSTOP)  # from here on nothing comes any more
    reading = threading.Thread(target=list, args=(frames,), daemon=True)
    reading.start()
    source.close()
    reading.join(20)
    assert not reading.is_alive()
    assert list(source.frames()) == []


def test_a_reading_that_is_dropped_leaves_no_process(clip: Callable[[str], Path]) -> None:
    source = side_by_side(clip("h264.mp4"), 2)
    frames = source.frames()
    next(frames)
    assert len(children()) == 2
    del frames
    assert children() == []


@pytest.mark.parametrize("fails", [False, True])
def test_a_run_that_is_halted_or_fails_leaves_no_process(clip: Callable[[str], Path], fails: bool) -> None:
    source = side_by_side(clip("mjpeg.mkv"), 2)

    def looked(intake: Intake[Frame]) -> Iterator[Frame]:
        for frame in intake:
            if fails and frame.index == 20:
                raise InputError("it cannot be looked at")
            yield frame

    stages = [Stage("decode", lambda _: source.frames(), 4), Stage("look", looked)]
    with contextlib.suppress(InputError), Pipeline(stages) as pipeline:
        for frame in pipeline:
            if frame.index == 30:
                break
    assert children() == []


def test_nothing_stays_open(clip: Callable[[str], Path]) -> None:
    source = side_by_side(clip("mjpeg.mkv"), 2)
    before = len(os.listdir("/proc/self/fd"))
    held = [frame for frame in source.frames() if frame.index % 10 == 0]
    assert len(os.listdir("/proc/self/fd")) == before
    assert len(held) == COUNT // 10


@pytest.mark.parametrize("kind", ["h264.mp4", "mpeg4.avi", "mjpeg.mkv"])
def test_a_damaged_file_gives_what_it_gives_here(tmp_path: Path, clip: Callable[[str], Path], kind: str) -> None:
    good, path = clip(kind).read_bytes(), tmp_path / kind
    for seed in range(6):
        how, data = damage.mutate(good, seed)
        path.write_bytes(data)
        assert opened_and_told(path, 0) == opened_and_told(path, 1 + seed // 2), f"seed {seed}, {how}"


def opened_and_told(path: Path, workers: int) -> object:
    try:
        [source] = open_sources([str(path)], workers=workers, threads=2)
    except ThroughlineError as error:
        return type(error), error.problem, error.fix
    return source.info, told(source)


def test_damage_far_inside_is_met_by_a_process_in_the_middle_of_its_stretch(
    tmp_path: Path, clip: Callable[[str], Path]
) -> None:
    path, data = tmp_path / "holed.mkv", bytearray(clip("mjpeg.mkv").read_bytes())
    at = len(data) * 3 // 4
    data[at : at + 600] = bytes(600)
    path.write_bytes(data)
    source = side_by_side(path, 2)
    seen = [as_seen(frame) for frame in source.frames()]
    assert (seen, source.gaps, "") == told(FileSource(str(path)))
    assert len(source.gaps) > 0


def test_pictures_that_grow_and_pictures_of_other_layouts(tmp_path: Path) -> None:
    path = tmp_path / "growing.mkv"
    with av.open(str(path), "w") as container:
        encoders = []
        for side in (64, 200, 96, 640):
            encoder: Any = av.CodecContext.create("mjpeg", "w")
            encoder.width, encoder.height, encoder.pix_fmt = side, side // 2, "yuvj444p" if side == 96 else "yuvj420p"
            encoder.time_base = Fraction(1, clips.RATE)
            encoders.append(encoder)
        stream = container.add_stream("mjpeg", rate=clips.RATE)
        stream.width, stream.height, stream.pix_fmt = 64, 32, "yuvj420p"
        for number in range(160):
            encoder = encoders[number // 40]
            image = np.full((encoder.height, encoder.width, 3), number, np.uint8)
            picture = av.VideoFrame.from_ndarray(image, format="rgb24").reformat(format=encoder.pix_fmt)
            picture.pts, picture.time_base = number, encoder.time_base
            for packet in encoder.encode(picture):
                packet.stream = stream
                container.mux(packet)
    here = told(FileSource(str(path)))
    assert len(here[0]) == 160
    assert told(side_by_side(path, 1)) == here
    assert told(side_by_side(path, 2)) == here


@pytest.mark.parametrize(("codec", "pix_fmt"), [("ffv1", "bgr0"), ("ffv1", "yuv422p10le"), ("libx264", "yuv420p10le")])
def test_every_layout_comes_across(tmp_path: Path, codec: str, pix_fmt: str) -> None:
    quarter = 65_536
    path = clips.write(
        tmp_path / "layout.mkv" if codec == "ffv1" else tmp_path / "layout.mp4",
        clips.street(12), codec, pix_fmt=pix_fmt, matrix=(0, -quarter, 0, quarter, 0, 0, 0, 0, 1 << 30),
    )  # fmt: skip
    here = told(FileSource(str(path)))
    assert len(here[0]) == 12
    assert told(side_by_side(path, 1)) == here


def test_what_cannot_be_opened_is_the_same_clear_error(tmp_path: Path) -> None:
    (tmp_path / "noise.mp4").write_bytes(bytes(range(256)) * 64)
    with pytest.raises(InputError) as there:
        open_sources([str(tmp_path / "noise.mp4")], workers=1)
    with pytest.raises(InputError) as here:
        open_sources([str(tmp_path / "noise.mp4")])
    assert there.value.args == here.value.args
    with pytest.raises(InputError, match="workers is 99"):
        open_sources([str(clips.write_kind(tmp_path, "h264.mp4", 3))], workers=99)


def test_only_a_long_file_whose_decoder_leaves_cores_idle_is_dealt_out(tmp_path: Path) -> None:
    def repeated(name: str, codec: str, pix_fmt: str, count: int) -> Path:
        """The same picture again and again, encoded once."""
        with av.open(str(tmp_path / name), "w") as container:
            stream: Any = container.add_stream(codec, rate=clips.RATE, options={"preset": "ultrafast"})
            stream.width = stream.height = 4096
            stream.pix_fmt = pix_fmt
            [packet] = [*stream.encode(av.VideoFrame(4096, 4096, pix_fmt)), *stream.encode()]
            data = bytes(packet)
            for number in range(count):
                again = av.Packet(data)
                again.pts = again.dts = number
                again.time_base, again.stream, again.is_keyframe = Fraction(1, clips.RATE), stream, True
                container.mux(again)
        return tmp_path / name

    long = repeated("long.mkv", "mjpeg", "yuvj420p", 40)
    assert [workers_for(long, {}, number) for number in (1, 2, 3, 4, 8, 64)] == [0, 0, 0, 2, 4, 8]
    for options in ({"threads": 2}, {"max_frames": 20}, {"start": 0.1, "end": 0.9}, {"hwaccel": "auto"}):
        assert workers_for(long, options, 64) == 0
    assert workers_for(long, {"max_frames": 38, "hwaccel": "none"}, 4) == 2
    assert workers_for(repeated("short.mkv", "mjpeg", "yuvj420p", 20), {}, 64) == 0
    assert workers_for(repeated("threads.mp4", "libx264", "yuv420p", 40), {}, 64) == 0
    [source] = open_sources([str(long)])
    assert isinstance(source, SideBySide if workers_for(long, {}, cores()) else FileSource)
    source.close()
