"""Observations in Parquet: whole or not at all, back after a kill, and nobody is made to wait for the disk."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from streams import remembered

from throughline.contracts.errors import InputError
from throughline.contracts.observations import Observation, Spoke
from throughline.monitoring.observation_files import is_observations, read_observations
from throughline.monitoring.observers import OBSERVERS
from throughline.monitoring.observers.parquet import recover


def plain(one: Observation) -> tuple[object, ...]:
    vector = None if one.vector is None else one.vector.tolist()
    return (
        one.request, one.seconds, one.model, sorted((a, repr(b)) for a, b in one.numbers.items()),
        sorted(one.categories.items()), vector, one.picture, one.prediction, repr(one.score), one.source,
    )  # fmt: skip


text = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
observations = st.builds(
    Observation,
    request=text,
    seconds=st.floats(0, 1e9),
    model=st.builds(Spoke, text, text, text),
    numbers=st.dictionaries(text, st.floats(allow_nan=True, allow_infinity=True), max_size=3),
    categories=st.dictionaries(text, text, max_size=3),
    vector=st.none()
    | st.lists(st.floats(width=32, allow_nan=False), max_size=4).map(lambda v: np.array(v, np.float32)),
    picture=text,
    prediction=text,
    score=st.floats(0, 1) | st.just(float("nan")),
    source=text,
)


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(observations, min_size=1, max_size=12))
def test_what_is_read_is_what_was_kept(tmp_path: Path, kept: list[Observation]) -> None:
    folder = tmp_path / os.urandom(4).hex()
    observer = OBSERVERS.make("parquet", folder)
    assert all(observer.take(one) for one in kept)
    observer.close()
    assert list(map(plain, read_observations(folder))) == list(map(plain, kept))
    assert [path.suffix for path in folder.iterdir()] == [".parquet"]


def test_files_are_closed_when_they_are_full_or_old(tmp_path: Path) -> None:
    every = list(remembered(100))
    observer = OBSERVERS.make("parquet", tmp_path / "full", rows=10)
    for one in every:
        observer.take(one)
        assert observer.settled()
    assert len(list((tmp_path / "full").glob("*.parquet"))) == 10
    observer.close()
    assert [one.request for one in read_observations(tmp_path / "full")] == [one.request for one in every]
    old = OBSERVERS.make("parquet", tmp_path / "old", seconds=1e-6)
    for one in every[:3]:
        old.take(one)
        assert old.settled()
    assert len(list((tmp_path / "old").glob("*.parquet"))) == 3
    old.close()


def test_a_kill_loses_nothing_that_was_appended(tmp_path: Path) -> None:
    program = (
        "import os, signal, sys\n"
        f"sys.path.insert(0, {str(Path(__file__).parent)!r})\n"
        "from streams import remembered\n"
        "from throughline.monitoring.observers import OBSERVERS\n"
        "observer = OBSERVERS.make('parquet', sys.argv[1])\n"
        "for one in remembered(500): observer.take(one)\n"
        "assert observer.settled()\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    died = subprocess.run([sys.executable, "-c", program, str(tmp_path)], check=False)
    assert died.returncode == -9
    assert not is_observations(tmp_path)
    [journal] = tmp_path.glob(".observations-*.arrows")
    assert recover(tmp_path) == 500
    assert not journal.exists()
    assert list(map(plain, read_observations(tmp_path))) == list(map(plain, remembered(500)))
    assert recover(tmp_path) == 0


def test_a_journal_that_is_torn_anywhere_gives_its_whole_batches(tmp_path: Path) -> None:
    every = list(remembered(40))
    observer = OBSERVERS.make("parquet", tmp_path / "whole")
    for at in range(0, 40, 10):
        for one in every[at : at + 10]:
            observer.take(one)
        assert observer.settled()
    [journal] = (tmp_path / "whole").glob(".observations-*.arrows")
    data, counts = journal.read_bytes(), []
    for cut in np.linspace(0, len(data), 25).astype(int).tolist():
        folder = tmp_path / f"cut-{cut}"
        folder.mkdir()
        (folder / journal.name).write_bytes(data[:cut])
        recover(folder)
        found = [one.request for one in read_observations(folder)] if is_observations(folder) else []
        assert found == [one.request for one in every[: len(found)]]
        counts.append(len(found))
        assert not list(folder.glob(".*"))
    assert counts == sorted(counts)
    assert counts[-1] == 40
    observer.close()


def test_a_journal_whose_process_lives_is_left_alone(tmp_path: Path) -> None:
    first = OBSERVERS.make("parquet", tmp_path)
    for one in remembered(5):
        first.take(one)
    assert first.settled()
    second = OBSERVERS.make("parquet", tmp_path)
    assert second.recovered == 0
    for one in remembered(5, 1, start=5):
        second.take(one)
    first.close()
    second.close()
    assert sorted(int(one.request) for one in read_observations(tmp_path)) == list(range(10))


def test_a_full_queue_drops_and_counts_and_holds_nobody_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    go, began = threading.Event(), threading.Event()
    import throughline.monitoring.observers.parquet as module

    real = module.batch_of

    def slow(several: list[Observation]) -> pa.RecordBatch:
        began.set()
        go.wait()
        return real(several)

    monkeypatch.setattr(module, "batch_of", slow)
    observer = OBSERVERS.make("parquet", tmp_path, room=8)
    one = next(remembered(1))
    observer.take(one)
    assert began.wait(10)
    assert sum(observer.take(one) for _ in range(20)) == 8
    assert observer.dropped == 12
    go.set()
    observer.close()
    assert observer.kept == 9
    assert len(list(read_observations(tmp_path))) == 9


def test_a_disk_that_says_no_reaches_nobody(tmp_path: Path) -> None:
    folder = tmp_path / "gone"
    observer = OBSERVERS.make("parquet", folder)
    folder.rmdir()
    assert observer.take(next(remembered(1)))
    assert observer.settled()
    assert (observer.failed, observer.kept) == (1, 0)
    folder.mkdir()
    assert observer.take(next(remembered(1)))
    observer.close()
    assert len(list(read_observations(folder))) == 1


def test_what_are_no_observations_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no observations in it"):
        list(read_observations(tmp_path))
    (tmp_path / "observations-1.parquet").write_bytes(b"PAR1 nothing")
    with pytest.raises(InputError, match="cannot be read"):
        list(read_observations(tmp_path))
    pq.write_table(pa.table({"a": [1]}), tmp_path / "observations-1.parquet")
    with pytest.raises(InputError, match="it lacks categories, model"):
        list(read_observations(tmp_path))
    with pytest.raises(InputError, match="0 rows"):
        OBSERVERS.make("parquet", tmp_path / "x", rows=0)


def test_names_that_are_no_text_are_kept(tmp_path: Path) -> None:
    observer = OBSERVERS.make("parquet", tmp_path)
    observer.take(replace(next(remembered(1)), request="a\udcff"))
    observer.close()
    assert [one.request for one in read_observations(tmp_path)] == ["a\\udcff"]
