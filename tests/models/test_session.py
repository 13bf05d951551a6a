from __future__ import annotations

import dataclasses
import logging
import os
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from throughline.contracts.artifacts import Array, Passport, Predictor, TensorSpec
from throughline.contracts.errors import InputError, PassportMismatch, ThroughlineError, Unavailable
from throughline.hardware import Gpu, detect
from throughline.models import passport as passports
from throughline.models.backends import OutOfMemory, Runner
from throughline.models.session import Session, open_model
from throughline.testing import networks


class Doubling(Runner):
    """A runner in numpy, whose memory can be made as small as a test wants."""

    def __init__(self, batch: int | str = "batch", memory: int = 10**9, max_batch: int | None = None) -> None:
        self.inputs = (TensorSpec("x", "float32", (batch, 2)),)
        self.outputs = (TensorSpec("y", "float32", (batch, 2)),)
        self.max_batch = max_batch
        self.memory = memory
        self.given: list[int] = []
        self.closed = 0

    def predict(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        self.given.append(len(feeds["x"]))
        if len(feeds["x"]) > self.memory:
            raise OutOfMemory("no room")
        return {"y": feeds["x"] * 2}

    def close(self) -> None:
        self.closed += 1


def _session(runner: Runner, **options: Any) -> Session:
    return Session(runner, name="doubling", backend="numpy", device="cpu", threads=1, **options)


def _rows(count: int) -> Array:
    return np.arange(count * 2, dtype=np.float32).reshape(count, 2)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = tmp_path / "model.onnx"
    path.write_bytes(networks.CONVOLUTION.onnx())
    return path


@given(
    rows=st.integers(0, 40),
    fixed=st.none() | st.integers(1, 9),
    limit=st.none() | st.integers(1, 9),
    engine=st.none() | st.integers(1, 9),
    memory=st.integers(1, 40),
)
def test_every_row_is_answered_in_order_whatever_the_limits(
    rows: int, fixed: int | None, limit: int | None, engine: int | None, memory: int
) -> None:
    runner = Doubling(fixed or "batch", memory=max(memory, fixed or 1), max_batch=engine)
    session = _session(runner, max_batch=limit if fixed is None else None)
    np.testing.assert_array_equal(session.predict({"x": _rows(rows)})["y"], _rows(rows) * 2)
    answered = [size for size in runner.given if size <= runner.memory]
    if fixed is not None:
        assert set(runner.given) == {fixed}
    else:
        assert sum(answered) == max(rows, 1)
        assert max(runner.given) <= min(limit or 40, engine or 40, max(rows, 1))


def test_a_fixed_batch_is_filled_up_with_a_row_like_the_others() -> None:
    seen: list[Array] = []

    class Watching(Doubling):
        def predict(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
            seen.append(feeds["x"])
            return super().predict(feeds)

    _session(Watching(4)).predict({"x": _rows(2) + 1})
    np.testing.assert_array_equal(seen[0], (_rows(2) + 1)[[0, 1, 1, 1]])


def test_the_batch_that_fitted_is_remembered() -> None:
    runner = Doubling(memory=3)
    session = _session(runner)
    np.testing.assert_array_equal(session.predict({"x": _rows(16)})["y"], _rows(16) * 2)
    assert runner.given == [16, 8, 4, 2, 2, 2, 2, 2, 2, 2, 2]
    assert session.fitting_batch == 2
    runner.given.clear()
    session.predict({"x": _rows(5)})
    assert runner.given == [2, 2, 1]


@pytest.mark.parametrize("fixed", [None, 4])
def test_memory_too_small_for_the_least_batch_is_said(fixed: int | None) -> None:
    session = _session(Doubling(fixed or "batch", memory=0))
    with pytest.raises(Unavailable, match="memory is full: a batch of"):
        session.predict({"x": _rows(4)})


def test_threads_that_run_out_of_memory_together_all_get_their_answers() -> None:
    session = _session(Doubling(memory=3))
    with ThreadPoolExecutor(8) as pool:
        for rows, answer in zip(
            range(100), pool.map(lambda n: session.predict({"x": _rows(n)}), range(100)), strict=True
        ):
            np.testing.assert_array_equal(answer["y"], _rows(rows) * 2)
    assert session.fitting_batch in (1, 2, 3)


def test_close_waits_for_the_call_that_is_running() -> None:
    entered, leave = threading.Event(), threading.Event()

    class Slow(Doubling):
        def predict(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
            entered.set()
            leave.wait()
            assert not self.closed
            return super().predict(feeds)

    runner = Slow()
    session = _session(runner)
    with ThreadPoolExecutor(2) as pool:
        try:
            answer = pool.submit(session.predict, {"x": _rows(1)})
            entered.wait()
            closing = pool.submit(session.close)
            while not session._closed:
                time.sleep(0)
            assert not runner.closed
        finally:
            leave.set()
        np.testing.assert_array_equal(answer.result()["y"], _rows(1) * 2)
        closing.result()
    session.close()
    assert runner.closed == 1


def test_rows_that_cannot_be_matched_are_refused_only_when_they_must_be_split() -> None:
    class Pairs(Doubling):
        def __init__(self) -> None:
            super().__init__()
            self.inputs = (TensorSpec("x", "float32", ("batch", 2)), TensorSpec("boxes", "float32", ("boxes", 4)))

    feeds = {"x": _rows(3), "boxes": np.zeros((5, 4), np.float32)}
    assert len(_session(Pairs()).predict(feeds)["y"]) == 3
    with pytest.raises(InputError, match="input 'boxes' has another number"):
        _session(Pairs(), max_batch=2).predict(feeds)


def test_an_input_of_fixed_size_before_the_batch_is_not_taken_for_it() -> None:
    class Shifted(Doubling):
        def __init__(self) -> None:
            super().__init__()
            self.inputs = (TensorSpec("mean", "float32", (2,)), TensorSpec("x", "float32", ("batch", 2)))

        def predict(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
            assert feeds["mean"].shape == (2,)
            return super().predict(feeds)

    feeds = {"mean": np.zeros(2, np.float32), "x": _rows(5)}
    np.testing.assert_array_equal(_session(Shifted(), max_batch=2).predict(feeds)["y"], _rows(5) * 2)


def test_a_row_count_declared_constant_is_not_taken_for_the_batch() -> None:
    class Summary(Doubling):
        def __init__(self) -> None:
            super().__init__()
            self.outputs = (TensorSpec("y", "float32", (1, 2)),)

        def predict(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
            return {"y": feeds["x"].sum(0, keepdims=True)}

    assert _session(Summary()).predict({"x": _rows(6)})["y"].shape == (1, 2)
    with pytest.raises(InputError, match="output 'y' does not follow the batch"):
        _session(Summary(), max_batch=1).predict({"x": _rows(6)})


@pytest.mark.parametrize(
    ("options", "said"), [({"max_batch": 0}, "max_batch=0"), ({"max_batch": 2}, "fixes its batch at 4")]
)
def test_a_maximum_below_what_the_model_takes_is_refused(options: dict[str, int], said: str) -> None:
    with pytest.raises(InputError, match=said):
        _session(Doubling(4), **options)


def test_half_precision_overflow_is_noticed(caplog: pytest.LogCaptureFixture) -> None:
    class Halves(Doubling):
        def predict(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
            bad = np.array([[1, -np.inf], [np.nan, 65504]], np.float16)
            return {"view": bad[:, ::-1], "fine": np.array([65504, -65504, 0], np.float16), "whole": np.array([1])}

    session = _session(Halves())
    session.predict({"x": _rows(2)})
    assert session.get_performance_stats().non_finite == 2
    assert "output 'view' holds 2 values that are not finite, first in row 0" in caplog.text
    assert "fine" not in caplog.text


def test_what_runs_it_is_one_line(model: Path) -> None:
    with open_model(model, threads=2) as session:
        assert str(session) == "model.onnx: onnxruntime on cpu, 2 threads"
        assert isinstance(session, Predictor)


def test_the_cpu_replaces_a_gpu_only_when_that_was_asked_for(model: Path, caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(Unavailable, match="cannot use gpu:7 here") as raised:
        open_model(model, device="gpu:7")
    assert raised.value.fix.endswith("name one that is there: cpu")
    with caplog.at_level(logging.WARNING), open_model(model, device="cuda:7", allow_cpu=True) as session:
        assert session.device == "cpu"
        assert "running on the CPU instead" in session.notes[0]
        assert "running on the CPU instead" in caplog.text


def test_a_gpu_that_the_backend_cannot_use_is_not_ignored_in_silence(
    model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = detect()
    there = dataclasses.replace(here, gpus=(Gpu(0, "Z900", "1.0", 8192, "9.9"),))
    monkeypatch.setattr("throughline.models.session.detect", lambda: there)
    with open_model(model, backend="openvino") as session:
        assert session.device == "cpu"
        assert session.notes == ("openvino cannot use the Z900 here; running on the CPU",)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"backend": "onnxruntim"}, "did you mean 'onnxruntime'"),
        ({"backend": "torchscript"}, "backend 'torchscript' opens torchscript"),
        ({"device": "tpu"}, "there is no device 'tpu'"),
        ({"threads": 0}, "threads=0"),
        ({"lanes": 0}, "lanes=0"),
        ({"max_batch": 0}, "max_batch=0"),
        ({"class_": "a:b"}, "brings its own network"),
    ],
)
def test_wrong_options_are_named(model: Path, options: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError, match=said):
        open_model(model, **options)


def test_a_file_that_is_not_there_or_no_model(tmp_path: Path) -> None:
    (tmp_path / "text.onnx").write_text("hello")
    for path, said in ((tmp_path / "none.onnx", "does not exist"), (tmp_path / "text.onnx", "a text file")):
        with pytest.raises(InputError, match=said):
            open_model(path)


def test_a_changed_file_is_not_opened_under_its_old_passport(model: Path) -> None:
    passports.issue(model, Passport(model.name, "", 0, "onnx"), vouch=True)
    model.write_bytes(networks.FIXED.onnx())
    with pytest.raises(PassportMismatch, match="changed after its passport"):
        open_model(model)


def test_values_that_are_not_finite_can_be_an_error(tmp_path: Path) -> None:
    path = tmp_path / "log.onnx"
    path.write_bytes(networks.LOGARITHM.onnx())
    with (
        open_model(path, on_nonfinite="raise") as session,
        pytest.raises(ThroughlineError, match="'logarithm' holds 4"),
    ):
        session.predict({"x": np.zeros((1, 4), np.float32)})


def test_warm_up_makes_its_own_feeds(model: Path) -> None:
    with open_model(model) as session:
        session.warm_up()
        assert session.get_performance_stats().calls == 0


def test_no_runtime_reports_its_use_to_its_maker(tmp_path: Path) -> None:
    program = (
        "import numpy as np, throughline\n"
        "from throughline.bundled import DETECTOR\n"
        "for backend in ('onnxruntime', 'openvino'):\n"
        "    with throughline.open_model(DETECTOR, backend=backend) as model:\n"
        "        model.predict({'images': np.zeros((1, 3, 64, 64), np.float32)})\n"
    )
    homes = {"HOME": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path / "cache"), "XDG_STATE_HOME": str(tmp_path)}
    about = {name: value for name, value in os.environ.items() if name not in ("ORT_DISABLE_TELEMETRY", "CI")}
    ran = subprocess.run([sys.executable, "-c", program], env={**about, **homes}, capture_output=True, check=False)
    assert ran.returncode == 0, ran.stderr
    kept = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert not [path for path in kept if "deviceid" in path.name or "telemetry" in str(path) or path.suffix == ".db"]
