from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import blobs
import pytest
from blobs import Blobs, Lines, Nearest, job

from throughline.contracts.errors import InputError, SourceFailed, Unavailable
from throughline.contracts.frames import Frame
from throughline.contracts.runs import Accounting, Ending, Gap
from throughline.models.session import Session, open_model
from throughline.video.halt import Halt
from throughline.video.moments import Moment

KILLS = int(os.environ.get("KILLS", "14"))  # benchmarks/kill_anywhere.py asks for more


@pytest.fixture(scope="module")
def session(blob_model: Path) -> Iterator[Session]:
    with open_model(blob_model, threads=1) as opened:
        yield opened


@pytest.fixture(autouse=True)
def _no_thread_is_left(session: Session) -> Iterator[None]:
    before = set(threading.enumerate())
    yield
    assert not set(threading.enumerate()) - before


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def lines(folder: Path) -> list[Any]:
    return [json.loads(line) for line in (folder / "lines.jsonl").read_text().splitlines()]


def test_every_frame_is_accounted_for_and_every_result_is_there(tmp_path: Path, session: Session) -> None:
    outcome = job(tmp_path, session, Blobs(75), stride=3).run()
    assert outcome.ending is Ending.COMPLETE
    assert outcome.accounting == Accounting(75, 25, {"stride": 50}, declared=75)
    rows = lines(tmp_path)
    assert [row[0] for row in rows] == list(range(0, 75, 3))
    assert sum(len(row[2][0]) for row in rows) == outcome.detections > 25
    assert outcome.files == (tmp_path / "lines.jsonl",)
    assert {path.name for path in tmp_path.iterdir()} == {"journal.jsonl", "lines.jsonl"}
    assert [stage.name for stage in outcome.stages][:3] == ["decode", "letterbox", "model"]
    assert all(stage.busy > 0 for stage in outcome.stages)


def test_the_objects_are_where_they_were_drawn(tmp_path: Path, session: Session) -> None:
    job(tmp_path, session, Blobs(20), stride=1).run()
    for index, _, (boxes, scores, _) in lines(tmp_path):
        image = blobs.picture(index)
        for (x1, y1, x2, y2), score in zip(boxes, scores, strict=True):
            assert image[int(y1) : int(y2) + 1, int(x1) : int(x2) + 1].max() >= 150
            assert score >= 0.5


@pytest.mark.parametrize("batch", [1, 3, 64])
def test_the_parts_and_the_batches_do_not_show_in_the_results(tmp_path: Path, session: Session, batch: int) -> None:
    job(tmp_path / "a", session, Blobs(40)).run()
    job(tmp_path / "b", session, Blobs(40), batch=batch, part=7).run()
    assert lines(tmp_path / "a") == lines(tmp_path / "b")


def test_gaps_and_failures_are_never_success(tmp_path: Path, session: Session) -> None:
    gappy = job(tmp_path / "gaps", session, Blobs(30, lost=range(8, 11)), stride=1).run()
    assert (gappy.ending, gappy.accounting.decoded) == (Ending.GAPS, 27)
    assert gappy.accounting.gaps == (Gap(0.8, 1.1, "unreadable"),)
    failed = job(tmp_path / "failed", session, Blobs(30, fails_at=17), stride=1).run()
    assert (failed.ending, failed.reason) == (Ending.FAILED, "blobs: the cable was pulled")
    assert [row[0] for row in lines(tmp_path / "failed")] == list(range(17)), "what could be read is kept"
    nothing = job(tmp_path / "nothing", session, Blobs(0)).run()
    assert (nothing.ending, nothing.reason) == (Ending.FAILED, "it gave no frame")
    again = job(tmp_path / "failed", session, Blobs(30, fails_at=17), stride=1).run()
    assert (again.ending, again.reason, again.files) == (failed.ending, failed.reason, failed.files)


def test_killed_at_any_line_of_our_code_it_goes_on_and_the_files_are_the_same(tmp_path: Path, blob_model: Path) -> None:
    def live(plans: list[tuple[str, list[int]]]) -> list[Any]:
        command = [sys.executable, blobs.__file__, str(blob_model), json.dumps(plans)]
        ran = subprocess.run(command, capture_output=True, text=True, check=False)
        assert ran.returncode == 0, ran.stderr
        return json.loads(ran.stdout)

    [(code, (ending, _, total))] = live([(str(tmp_path / "whole"), [0])])
    assert (code, ending) == (0, "gaps")
    whole = files(tmp_path / "whole")

    dice = random.Random(5)
    deaths = sorted(dice.sample(range(1, total), KILLS))
    plans = [(str(tmp_path / str(line)), [line, 0]) for line in deaths]
    plans.append((str(tmp_path / "often"), [*(total * share // 6 for share in range(1, 6)), 0]))
    told = live(plans)
    assert sum(code == -9 for code, _ in told) >= KILLS, "a life that was killed was killed by SIGKILL"
    assert sum(said is not None and said[1] > 0 for _, said in told) > KILLS // 3, "many went on from the middle"
    for folder, _ in plans:
        left = files(Path(folder))
        assert {name: left[name] for name in whole} == whole, folder
        assert {name for name in left if not name.endswith(".fresh")} == set(whole), folder


class Dies(Lines):
    """Kills the job, as an error does, at one of the moments around a commit."""

    def __init__(self, folder: Path, moment: str, part: int) -> None:
        super().__init__(folder)
        self.moment, self.at = moment, part

    def commit(self, part: int) -> None:
        if (self.moment, self.at) == ("before", part):
            raise InputError("the disk is full", "make room")
        super().commit(part)
        if (self.moment, self.at) == ("after", part):
            raise InputError("the disk is full", "make room")

    def finish(self, parts: int) -> tuple[Path, ...]:
        done = super().finish(parts)
        if self.moment == "finish":
            raise InputError("the disk is full", "make room")
        return done


@pytest.mark.parametrize("moment", ["before", "after", "finish"])
@pytest.mark.parametrize("part", [0, 1, 3])
def test_an_error_around_any_commit_leaves_a_run_that_goes_on(
    tmp_path: Path, session: Session, moment: str, part: int
) -> None:
    job(tmp_path / "whole", session, Blobs(75)).run()
    with pytest.raises(InputError, match="the disk is full"):
        job(tmp_path / "run", session, Blobs(75), make_sinks=lambda: [Dies(tmp_path / "run", moment, part)]).run()
    outcome = job(tmp_path / "run", session, Blobs(75)).run()
    assert outcome.resumed_at == {"finish": 75}.get(moment, max(0, part * 20 - 1))
    assert files(tmp_path / "run") == files(tmp_path / "whole")


def test_a_disk_that_is_really_full_is_an_error_and_the_run_goes_on(
    tmp_path: Path, session: Session, blob_model: Path
) -> None:
    program = f"""
import resource, signal, sys
from pathlib import Path
sys.path.insert(0, {str(Path(blobs.__file__).parent)!r})
from blobs import Blobs, job, open_model
from throughline.contracts.errors import InputError
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (2500, 2500))
with open_model({str(blob_model)!r}, threads=1) as session:
    try:
        job(Path({str(tmp_path / "run")!r}), session, Blobs(75)).run()
    except InputError as error:
        print(error.problem)
"""
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert "cannot write" in ran.stdout, ran.stderr
    job(tmp_path / "whole", session, Blobs(75)).run()
    outcome = job(tmp_path / "run", session, Blobs(75)).run()
    assert outcome.resumed_at > 0
    left, whole = files(tmp_path / "run"), files(tmp_path / "whole")
    assert {name: left[name] for name in whole} == whole


@pytest.mark.parametrize("after", [1, 4, 25])
def test_a_halt_ends_at_a_commit_and_the_rest_comes_out_the_same(tmp_path: Path, session: Session, after: int) -> None:
    halt = Halt()

    def watch(moment: Moment) -> None:
        if moment.accounting.inferred >= after:
            halt.request()

    stopped = job(tmp_path / "run", session, Blobs(75), halt=halt, watch=watch).run()
    assert stopped.ending is None
    assert stopped.accounting.inferred % 10 == 0
    assert after <= stopped.accounting.inferred < after + 10
    assert job(tmp_path / "run", session, Blobs(75)).run().resumed_at == stopped.accounting.inferred * 2 - 1
    job(tmp_path / "whole", session, Blobs(75)).run()
    assert files(tmp_path / "run") == files(tmp_path / "whole")


def test_a_source_that_lives_ends_when_it_is_told_to_and_everything_is_kept(tmp_path: Path, session: Session) -> None:
    halt = Halt()
    source = Blobs(10**9, live=True)
    outcome = job(
        tmp_path, session, source, halt=halt, watch=lambda now: halt.request() if now.accounting.inferred > 20 else None
    ).run()
    assert source.closed
    assert outcome.ending is Ending.COMPLETE
    assert len(lines(tmp_path)) == outcome.accounting.inferred > 20


def test_a_source_that_lives_and_waits_does_not_keep_a_failed_run_waiting(tmp_path: Path, session: Session) -> None:
    class Quiet(Blobs):
        """Gives twelve frames, and then nothing until it is closed."""

        def __init__(self) -> None:
            super().__init__(12, live=True)
            self.let_go = threading.Event()

        def frames(self, start: int = 0, gaps: Sequence[Gap] = ()) -> Iterator[Frame]:
            yield from super().frames(start)
            self.let_go.wait()

        def close(self) -> None:
            self.let_go.set()

    with pytest.raises(InputError, match="the disk is full"):
        job(tmp_path, session, Quiet(), part=4, make_sinks=lambda: [Dies(tmp_path, "after", 0)]).run()
    halt, source = Halt(), Quiet()
    outcome = job(
        tmp_path / "b", session, source, halt=halt, part=4, stride=1,
        watch=lambda now: halt.request() if now.accounting.inferred == 12 else None,
    ).run()  # fmt: skip
    assert (outcome.ending, outcome.accounting.inferred) == (Ending.COMPLETE, 12)


def test_what_a_live_source_dropped_is_counted(tmp_path: Path, session: Session) -> None:
    class Hurried(Blobs):
        """Drops two of every five frames, which have their numbers all the same."""

        def frames(self, start: int = 0, gaps: Sequence[Gap] = ()) -> Iterator[Frame]:
            return (frame for frame in super().frames(start) if frame.index % 5 < 3)

    outcome = job(tmp_path, session, Hurried(50, live=True), stride=2).run()
    late = sum(index % 5 >= 3 for index in range(48))
    assert outcome.accounting == Accounting(48, 15, {"stride": 48 - late - 15, "late": late}, declared=50)
    assert outcome.ending is Ending.COMPLETE


def test_a_live_run_that_was_killed_keeps_what_it_had_and_does_not_pretend_to_go_on(
    tmp_path: Path, session: Session
) -> None:
    with pytest.raises(InputError, match="the disk is full"):
        job(tmp_path, session, Blobs(75, live=True), make_sinks=lambda: [Dies(tmp_path, "before", 2)]).run()
    source = Blobs(75, live=True)
    source.frames = lambda start=0, gaps=(): pytest.fail("a live source cannot be gone back to")  # type: ignore[method-assign]
    outcome = job(tmp_path, session, source).run()
    assert outcome.ending is Ending.GAPS
    assert "cannot be gone back to" in outcome.why
    assert len(lines(tmp_path)) == outcome.accounting.inferred == 20


class Wrong:
    """Any of a job's parts, failing at its third use."""

    def __init__(self, whole: object, method: str) -> None:
        self._whole, self._method, self._used = whole, method, 0

    def __getattr__(self, name: str) -> Any:
        if name != self._method:
            return getattr(self._whole, name)

        def fails(*args: Any, **options: Any) -> Any:
            self._used += 1
            if self._used == 3:
                raise ZeroDivisionError(name)
            return getattr(self._whole, name)(*args, **options)

        return fails


@pytest.mark.parametrize("stage", ["frames", "fill", "predict", "read", "update", "state", "write", "commit", "watch"])
def test_a_fault_anywhere_stops_everything_is_raised_once_and_the_run_goes_on(
    tmp_path: Path, session: Session, stage: str
) -> None:
    work = job(tmp_path / "run", session, Blobs(75))
    changes: dict[str, Any] = {}
    if stage == "frames":
        source = Blobs(75)
        source.frames = lambda start=0, gaps=(): (
            frame if frame.index < 30 else 1 // 0 for frame in Blobs(75).frames(start)
        )
        changes["source"] = source
    elif stage in ("fill", "predict", "read"):
        changes["detectors"] = {"blobs": Wrong(work.detectors["blobs"], stage)}
    elif stage in ("update", "state"):
        changes["make_tracker"] = lambda: Wrong(Nearest(), stage)
    elif stage in ("write", "commit"):
        changes["make_sinks"] = lambda: [Wrong(Lines(tmp_path / "run"), stage)]
    else:
        changes["watch"] = lambda now: 1 // (now.accounting.inferred < 12)
    broken = type(work)(**{**{name: getattr(work, name) for name in work.__dataclass_fields__}, **changes})
    with pytest.raises(ZeroDivisionError):
        broken.run()
    work.run()
    job(tmp_path / "whole", session, Blobs(75)).run()
    assert files(tmp_path / "run") == files(tmp_path / "whole")


def test_a_tracker_that_cannot_tell_its_state_works_but_cannot_go_on(tmp_path: Path, session: Session) -> None:
    class Forgetful(Nearest):
        def state(self) -> dict[str, Any]:
            raise Unavailable("this tracker cannot be saved", "take another")

    halt = Halt()
    settings = {"make_tracker": Forgetful, "halt": halt}
    job(tmp_path, session, Blobs(75), **settings, watch=lambda *_: halt.request()).run()
    with pytest.raises(Unavailable, match="cannot be put back to where it was"):
        job(tmp_path, session, Blobs(75), make_tracker=Forgetful).run()
    assert job(tmp_path / "fresh", session, Blobs(75), make_tracker=Forgetful).run().ending is Ending.COMPLETE


def test_without_a_tracker_there_are_no_identities(tmp_path: Path, session: Session) -> None:
    job(tmp_path, session, Blobs(30), make_tracker=None).run()
    assert all(ids is None for _, _, (_, _, ids) in lines(tmp_path))


def test_other_settings_are_refused_and_nothing_is_touched(tmp_path: Path, session: Session) -> None:
    job(tmp_path, session, Blobs(30)).run()
    before = files(tmp_path)
    with pytest.raises(InputError, match="stride was 2 and is 3"):
        job(tmp_path, session, Blobs(30), stride=3).run()
    assert files(tmp_path) == before


def test_the_test_source_itself_fails_as_sources_do() -> None:
    with pytest.raises(SourceFailed):
        list(Blobs(3, fails_at=1).frames())
