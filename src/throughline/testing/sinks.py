"""What every sink must do, as a test class: subclass it and name the sink.

    class TestMine(SinkConformance):
        sink = "mine"

A sink is given what three models say of each frame: boxes that are tracked, masks and
keypoints that are not, and classes of the whole frame. The promise at its heart: a run
that is killed, anywhere and often, ends with the very bytes of a run that was not. A
sink that writes no files says so (``writes = False``).
"""
# ruff: noqa: D102 - a test's name is its docstring, and this file imports without pytest

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import warnings
from abc import ABC
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import Any, ClassVar, cast

import numpy as np

from throughline.contracts.detections import Detections
from throughline.contracts.errors import InputError
from throughline.contracts.frames import Frame
from throughline.contracts.masks import Crop, Masks
from throughline.contracts.streams import Sink, SourceInfo
from throughline.video.sinks import SINKS

INFO = SourceInfo("Straße/摄像头 <1>.mp4", 96, 64, Fraction(25))
MODELS = ("boxes", 'Umriß, <b>"形"', "../kinds")
_DETECTED = ("cat", "../Hund/狗", '<script>alert("x")</script>', "a,b\nc", "")
_SHAPED, _CLASSIFIED = ("person",), ("day", "Nacht/夜")
LABELS = _DETECTED + _SHAPED + _CLASSIFIED


def moment(index: int, count: int | None = None) -> tuple[Frame, Detections]:
    """A noisy frame with up to four tracked objects, the same ones at each call; some lie half outside."""
    dice = np.random.default_rng(index)
    count = index % 5 if count is None else count
    image = dice.integers(0, 256, (INFO.height, INFO.width, 3), np.uint8)
    corner, size = dice.uniform(-20, 80, (count, 2)), dice.uniform(1, 60, (count, 2))
    found = Detections(
        np.hstack([corner, corner + size]).astype(np.float32),
        dice.random(count).astype(np.float32),
        dice.integers(0, len(_DETECTED), count),
        tracker_id=np.arange(1, count + 1),
        labels=_DETECTED,
    )
    said = Detections.together([found, _shapes(dice, index % 3), _kinds(dice, index % 2)], MODELS)
    return Frame(index, index / 25, image, INFO.name), said


def _shapes(dice: np.random.Generator, count: int) -> Detections:
    """Objects with masks and keypoints, and no identity."""
    corner = dice.integers(0, 30, (count, 2))
    crops = [Crop(int(top), int(left), dice.random((30, 40)) < 0.8) for left, top in corner]
    return Detections(
        np.hstack([corner, corner + np.array([40, 30])]).astype(np.float32),
        dice.random(count).astype(np.float32),
        np.zeros(count, np.int64),
        Masks((INFO.height, INFO.width), tuple(crops)),
        data={"keypoints": dice.uniform(0, 60, (count, 17, 3)).astype(np.float32)},
        labels=_SHAPED,
    )


def _kinds(dice: np.random.Generator, count: int) -> Detections:
    """What is true of the whole frame."""
    return Detections(
        np.tile(np.array([0, 0, INFO.width, INFO.height], np.float32), (count, 1)),
        dice.random(count).astype(np.float32),
        dice.integers(0, len(_CLASSIFIED), count),
        data={"of_frame": np.ones(count, np.bool_)},
        labels=_CLASSIFIED,
    )


def kinds_of_results() -> Iterator[Detections]:
    """Every kind of result that one model, or several, can give for a frame of ``INFO``."""
    dice = np.random.default_rng(7)
    _, several = moment(9)
    yield several
    yield several[~several.of_frame]
    yield several[several.of_frame]
    yield several[:0]
    yield from (_shapes(dice, 2), _kinds(dice, 2), _shapes(dice, 0), _kinds(dice, 0), Detections.empty(LABELS))


class SinkConformance(ABC):
    """The suite. pytest collects the subclasses whose names begin with ``Test``."""

    sink: ClassVar[str]
    writes: ClassVar[bool] = True
    options: ClassVar[Mapping[str, Any]] = {}
    examples: ClassVar[int] = 15

    def make(self, folder: Path) -> Sink:
        """The sink, as a run opens it."""
        return cast("Sink", SINKS.make(self.sink, folder, info=INFO, labels=LABELS, models=MODELS, **self.options))

    def run(self, folder: Path, sizes: Sequence[int], lost: Mapping[int, int] | None = None) -> dict[str, bytes]:
        """Write parts of these sizes, dying in part p after ``lost[p]`` frames of it, and give every file's bytes."""
        folder.mkdir(exist_ok=True)
        sink, index = self.make(folder), 0
        for part, size in enumerate(sizes):
            if lost and part in lost:
                for ahead in range(min(size, lost[part])):
                    sink.write(*moment(index + ahead))
                if lost[part] % 3 == 0:
                    sink.commit(part)  # in place, but the journal never heard of it
                elif lost[part] % 3 == 1:
                    sink.abort()
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore", ResourceWarning)  # who is killed closes nothing
                    sink = self.make(folder)
            for _ in range(size):
                sink.write(*moment(index))
                index += 1
            sink.commit(part)
        written = sink.finish(len(sizes))
        assert all(path.exists() for path in written)
        assert [path for path in folder.iterdir() if path not in written] == [], "only the result is left"
        return files(folder)

    def test_a_run_gives_its_result_and_nothing_else(self, tmp_path: Path) -> None:
        assert bool(self.run(tmp_path / "run", [4, 5])) is self.writes

    def test_nothing_is_under_its_final_name_before_the_end(self, tmp_path: Path) -> None:
        sink = self.make(tmp_path)
        for part in range(2):
            for index in range(5):
                sink.write(*moment(5 * part + index))
            sink.commit(part)
        assert [path for path in tmp_path.iterdir() if not path.name.startswith(".")] == []
        sink.abort()

    def test_the_bytes_do_not_tell_where_a_run_was_killed(self) -> None:
        from hypothesis import given, settings
        from hypothesis import strategies as some

        kills = some.dictionaries(some.integers(0, 4), some.integers(0, 12), max_size=3)

        @settings(max_examples=self.examples, deadline=None, derandomize=True)
        @given(some.lists(some.integers(0, 8), max_size=5), kills)
        def hold(sizes: list[int], lost: dict[int, int]) -> None:
            with tempfile.TemporaryDirectory() as whole, tempfile.TemporaryDirectory() as killed:
                assert self.run(Path(whole), sizes) == self.run(Path(killed), sizes, lost)

        hold()

    def test_a_finish_that_was_killed_can_be_finished(self, tmp_path: Path) -> None:
        sizes, step = [3, 4, 2], 0
        expected = self.run(tmp_path / "whole", sizes)
        while self.writes:  # die in the first rename of the finish, then in the second, and so on
            folder = tmp_path / f"killed-{step}"
            if not self._killed(folder, sizes, step):
                assert files(folder) == expected
                break
            self.make(folder).finish(len(sizes))
            assert files(folder) == expected, f"killed at rename {step}"
            step += 1
        assert step >= 2 or not self.writes

    def _killed(self, folder: Path, sizes: Sequence[int], step: int) -> bool:
        sink, index = self.make(folder), 0
        for part, size in enumerate(sizes):
            for _ in range(size):
                sink.write(*moment(index))
                index += 1
            sink.commit(part)
        with _dying_at_rename(step):
            try:
                sink.finish(len(sizes))
            except _Killed:
                return True
        return False

    def test_a_run_without_frames_ends_well(self, tmp_path: Path) -> None:
        assert self.run(tmp_path / "none", []) == self.run(tmp_path / "empty", [0])

    def test_one_frame_is_a_run(self, tmp_path: Path) -> None:
        assert bool(self.run(tmp_path, [1, 0])) or not self.writes or self.sink == "crops"

    def test_frames_in_which_nothing_is_found_are_taken(self, tmp_path: Path) -> None:
        sink = self.make(tmp_path)
        for index in range(3):
            frame, _ = moment(index)
            sink.write(frame, Detections.empty(LABELS))
        sink.commit(0)
        assert all(path.exists() for path in sink.finish(1))

    def test_every_kind_of_result_is_taken(self, tmp_path: Path) -> None:
        for models in (MODELS, ()):
            folder = tmp_path / str(len(models))
            sink = cast("Sink", SINKS.make(self.sink, folder, info=INFO, labels=LABELS, models=models, **self.options))
            for index, found in enumerate(kinds_of_results()):
                sink.write(Frame(index, index / 25, moment(index)[0].image, INFO.name), found)
            sink.commit(0)
            assert bool(sink.finish(1)) is self.writes

    def test_what_was_aborted_is_not_in_the_result(self, tmp_path: Path) -> None:
        expected = self.run(tmp_path / "whole", [3, 4])
        sink = self.make(tmp_path / "aborted")
        for part, indices in enumerate((range(3), range(3, 7))):
            sink.write(*moment(99))
            sink.abort()
            for index in indices:
                sink.write(*moment(index))
            sink.commit(part)
        sink.finish(2)
        assert files(tmp_path / "aborted") == expected

    def test_an_abort_at_the_start_leaves_no_trace(self, tmp_path: Path) -> None:
        sink = self.make(tmp_path)
        sink.write(*moment(3))
        sink.abort()
        assert files(tmp_path) == {}

    def test_a_full_disk_is_one_error_that_loses_nothing_committed(self, tmp_path: Path) -> None:
        if not self.writes:
            return
        expected = self.run(tmp_path / "whole", [20, 40])
        for stage in ("commit", "finish"):
            folder = tmp_path / stage
            sink = self.make(folder)
            for index in range(20):
                sink.write(*moment(index))
            sink.commit(0)
            self._in_child(folder, stage)
            assert [path for path in folder.iterdir() if not path.name.endswith(".parts")] == []
            sink = self.make(folder)
            for index in range(20, 60):
                sink.write(*moment(index))
            sink.commit(1)
            sink.finish(2)
            assert files(folder) == expected

    def _in_child(self, folder: Path, stage: str) -> None:
        program = f"from throughline.testing.sinks import fill; fill({self.sink!r}, {str(folder)!r}, {stage!r})"
        ran = subprocess.run(
            [sys.executable, "-W", "error", "-c", program], capture_output=True, text=True, check=False
        )
        assert (ran.stdout, ran.stderr) == ("InputError\n", "")

    def test_a_folder_that_cannot_be_written_is_refused_at_once(self, tmp_path: Path) -> None:
        if not self.writes:
            return
        (tmp_path / "file").write_text("")
        _refused(lambda: self.make(tmp_path / "file" / "run"))
        with tempfile.TemporaryDirectory() as name, _nobody():
            _refused(lambda: self.make(Path(name)))


def files(folder: Path) -> dict[str, bytes]:
    """Every file under a folder, by its path in it."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def fill(name: str, folder: str, stage: str) -> None:
    """Run into the end of the disk, in a process of its own, while committing part 1 or while finishing."""
    import resource
    import signal

    sink = cast("Sink", SINKS.make(name, Path(folder), info=INFO, labels=LABELS, models=MODELS))
    if stage == "finish":
        for index in range(20, 60):
            sink.write(*moment(index))
        sink.commit(1)
    else:
        sink.write(*moment(20))  # whatever is opened with the first frame is open
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (256, 256))
    try:
        if stage == "finish":
            sink.finish(2)
        else:
            for index in range(21, 60):
                sink.write(*moment(index))
            sink.commit(1)
    except InputError as error:
        sink.abort()
        print("InputError" if "cannot write" in error.problem and error.fix else error)


class _Killed(BaseException):
    """Stands for SIGKILL where a test needs it at one exact place."""


@contextmanager
def _dying_at_rename(step: int) -> Iterator[None]:
    """Let ``step`` renames happen, then die; what a dying process cannot do any more, it does not do."""
    left, dead = step, False

    def watch(event: str, arguments: Collection[Any]) -> None:
        nonlocal left, dead
        if not active or event not in ("os.rename", "os.remove", "os.rmdir", "shutil.rmtree"):
            return
        if dead or left == 0:
            dead = True
            raise _Killed
        left -= 1

    active = True
    sys.addaudithook(watch)  # cannot be taken away again, so it is told to sleep
    try:
        yield
    finally:
        active = False


@contextmanager
def _nobody() -> Iterator[None]:
    """Be a user without rights for a while, where this process may choose; root can write anywhere."""
    was = os.geteuid()
    if was == 0:
        os.seteuid(65_534)
    try:
        yield
    finally:
        os.seteuid(was)


def _refused(make: Callable[[], object]) -> None:
    try:
        make()
    except InputError as error:
        problem = error.problem
    else:
        problem = "it was not refused"
    assert "cannot write" in problem
