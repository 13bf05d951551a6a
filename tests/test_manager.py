"""Models and frames for a program of one's own: nothing dropped, nothing short, and every refusal said."""

from __future__ import annotations

import dataclasses
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import onnx
import openvino
import pytest

import throughline
from throughline import Frame, InputError, ModelManager, ModelRefused, SettingsError, Unavailable, hardware
from throughline.bundled import DETECTOR
from throughline.models import passport as passports
from throughline.models.artifact import read_artifact
from throughline.testing.world import World

SIZES = ((384, 640), (100, 50), (384, 640), (31, 333), (640, 640))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    for name in ("day", "night"):
        shutil.copy(DETECTOR, folder / f"{name}.onnx")
        shutil.copy(passports.path_of(DETECTOR), folder / f"{name}.passport.json")
    model = onnx.load(DETECTOR)
    for spec in (*model.graph.input, *model.graph.output):
        spec.type.tensor_type.shape.dim[0].dim_value = 1
    onnx.save(model, folder / "fixed.onnx")
    return folder


@pytest.fixture(scope="module")
def manager(folder: Path) -> Iterator[ModelManager]:
    with ModelManager(folder, device="cpu", max_batch_size=2) as manager:
        manager.load_model("day")
        yield manager


@pytest.fixture(scope="module")
def street() -> list[Frame]:
    return [World(7).frame(index)[0] for index in (0, 40, 80)]


def test_every_frame_has_its_answer_in_its_place(manager: ModelManager, street: list[Frame]) -> None:
    alone = [manager.predict_batch([frame])[0] for frame in street]
    assert all(len(found) > 2 for found in alone)
    assert alone[0] != alone[1]
    together = manager.predict_batch([street[n % 3] for n in range(7)])
    assert len(together) == 7
    for n, found in enumerate(together):
        assert [one.class_name for one in found] == [one.class_name for one in alone[n % 3]]
        np.testing.assert_allclose([one.bbox for one in found], [one.bbox for one in alone[n % 3]], atol=0.05)


def test_frames_and_arrays_of_any_sizes_in_one_call(manager: ModelManager, street: list[Frame]) -> None:
    whole = street[0].image
    pictures = [np.ascontiguousarray(np.resize(whole, (*size, 3))) for size in SIZES]
    pictures[3] = pictures[3][:, ::-1]
    frames = [Frame(0, 0.0, picture, "here") if n % 2 else picture for n, picture in enumerate(pictures)]
    answers = manager.predict_batch(iter(frames))
    assert len(answers) == len(SIZES)
    for frame, found in zip(pictures, answers, strict=True):
        height, width = frame.shape[:2]
        (again,) = manager.predict_batch([frame])
        np.testing.assert_allclose([one.bbox for one in found], [one.bbox for one in again], atol=0.05)
        assert all(0 <= x1 <= x2 <= width and 0 <= y1 <= y2 <= height for x1, y1, x2, y2 in (o.bbox for o in found))


def test_no_frames_are_no_answers(manager: ModelManager) -> None:
    assert manager.predict_batch([]) == []


@pytest.mark.parametrize(
    ("frames", "message"),
    [
        (np.zeros((4, 4, 3), np.uint8), "one picture was given"),
        ([np.zeros((4, 4, 3), np.uint8), np.zeros((4, 4, 3))], r"frame 1 is float64\[4, 4, 3\]"),
        ([np.zeros((4, 4), np.uint8)], r"frame 0 is uint8\[4, 4\]"),
        ([np.zeros((4, 4, 4), np.uint8)], r"uint8\[4, 4, 4\]"),
        ([np.zeros((0, 4, 3), np.uint8)], r"uint8\[0, 4, 3\]"),
        (["street.jpg"], "frame 0 is 'street.jpg'"),
    ],
)
def test_what_is_no_picture_is_named(manager: ModelManager, frames: object, message: str) -> None:
    with pytest.raises(InputError, match=message):
        manager.predict_batch(frames)  # type: ignore[arg-type]


def test_several_models_are_told_apart_and_each_can_go(folder: Path, street: list[Frame]) -> None:
    with ModelManager(folder, device="cpu") as manager:
        with pytest.raises(InputError, match="no model is loaded"):
            manager.predict_batch(street)
        day = manager.load_model("day")
        manager.load_model("night", conf=0.9)
        assert manager.loaded == ("day", "night")
        with pytest.raises(InputError, match="2 models are loaded") as wanted:
            manager.predict_batch(street)
        assert wanted.value.fix == "say which: model='day' or 'night'"
        sure = manager.predict_batch(street, model="night")
        assert sum(map(len, sure)) < sum(map(len, manager.predict_batch(street, model="day")))
        assert manager.get_performance_stats("night").samples == 3
        with pytest.raises(InputError, match="'day' is loaded already"):
            manager.load_model("day")
        manager.unload_model("day")
        with pytest.raises(InputError, match="closed"):
            day.predict_batch(street)
        assert len(manager.predict_batch(street)) == 3  # one is left: it need not be named
        with pytest.raises(InputError, match="no model 'day' is loaded"):
            manager.unload_model("day")
    with pytest.raises(InputError, match="closed"):
        manager.load_model("day")
    manager.close()


def test_threads_may_share_it_and_unload_meanwhile(folder: Path, street: list[Frame]) -> None:
    with ModelManager(folder, device="cpu", max_batch_size=2) as manager, ThreadPoolExecutor(4) as pool:
        manager.load_model("day", imgsz=160)
        expected = manager.predict_batch(street)
        start = threading.Barrier(5)

        def work(_: int) -> list[object]:
            start.wait(30)
            return [manager.predict_batch(street, model="day") for _ in range(5)]

        working = [pool.submit(work, n) for n in range(4)]
        start.wait(30)
        manager.load_model("night", imgsz=160)
        manager.unload_model("night")
        for one in working:
            assert one.result(60) == [expected] * 5
        assert manager.get_performance_stats().samples == 3 + 4 * 5 * 3


def test_optimize_takes_the_fastest_form_that_is_proven_to_be_this_model(
    tmp_path: Path, street: list[Frame], caplog: pytest.LogCaptureFixture
) -> None:
    source = tmp_path / "street.onnx"
    shutil.copy(DETECTOR, source)
    openvino.save_model(openvino.Core().read_model(source), tmp_path / "street.xml")
    with ModelManager(tmp_path, device="cpu") as manager:
        unproven = manager.load_model("street")
        assert unproven.artifact.path == source
        assert "street: street.xml is passed over: it has no passport" in caplog.text
        assert [(item.path.name, item.reason) for item in unproven.passed_over] == [
            ("street.xml", "it has no passport")
        ]
        manager.unload_model("street")
        of = read_artifact(tmp_path / "street.xml").passport
        made = dataclasses.replace(of, parent=passports.digest(source), decoder="yolo", imgsz=(384, 640))
        passports.issue(tmp_path / "street.xml", made, vouch=True)
        fast = manager.load_model("street")
        assert (fast.artifact.path.name, fast.passed_over) == ("street.xml", ())
        assert "openvino" in str(fast)
        slow = manager.load_model("street.onnx", optimize=False)
        assert slow.artifact.path == source
        assert [item.path.name for item in slow.passed_over] == ["street.xml"]
        for a, b in zip(fast.predict_batch(street), slow.predict_batch(street), strict=True):
            assert [one.class_id for one in a] == [one.class_id for one in b]


@pytest.mark.parametrize("name", ["nihgt", "../day", "day/../night", "", ".", "/etc/passwd"])
def test_a_model_that_is_not_in_the_folder_is_not_opened(manager: ModelManager, name: str) -> None:
    with pytest.raises(InputError, match=r"there is no model|did you mean") as refused:
        manager.load_model(name)
    assert "day" in refused.value.fix


def test_options_that_make_no_sense_are_refused(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is no folder"):
        ModelManager(tmp_path / "nowhere")
    for size in (0, -1, 5000):
        with pytest.raises(InputError, match="batch"):
            ModelManager(folder, max_batch_size=size)
    with pytest.raises(SettingsError, match="device"):
        ModelManager(folder, device="tpu")
    with ModelManager(folder) as manager:
        with pytest.raises(SettingsError, match="conf"):
            manager.load_model("day", conf=1.5)
        with pytest.raises(InputError, match="there is no decoder 'yollo'"):
            manager.load_model("day", decoder="yollo")
        assert manager.loaded == ()


def test_a_model_that_is_not_safe_is_refused(folder: Path, tmp_path: Path) -> None:
    data = bytearray(DETECTOR.read_bytes())
    data[len(data) // 2] ^= 1
    (tmp_path / "bad.onnx").write_bytes(data)
    shutil.copy(folder / "day.passport.json", tmp_path / "bad.passport.json")
    (tmp_path / "cut.onnx").write_bytes(data[:-1])
    with ModelManager(tmp_path) as manager:
        with pytest.raises(ModelRefused, match="changed after its passport"):
            manager.load_model("bad")
        with pytest.raises(InputError, match="damaged ONNX file"):
            manager.load_model("cut")


def test_a_model_with_a_batch_of_its_own_takes_any_number_too(folder: Path, street: list[Frame]) -> None:
    with ModelManager(folder, device="cpu") as manager:
        fixed = manager.load_model("fixed", decoder="yolo", imgsz=160)
        assert len(fixed.predict_batch(street * 2)) == 6
        assert set(fixed.get_performance_stats().batch_sizes) == {1}
        assert fixed.get_optimal_batch_size(2**40) == 1


def test_the_batch_that_fits_follows_from_what_a_frame_was_measured_to_need(
    manager: ModelManager, folder: Path
) -> None:
    # a process of its own: one that has done much may hold the memory already that a frame needs
    program = (
        "from throughline import ModelManager\n"
        f"with ModelManager({str(folder)!r}, device='cpu', max_batch_size=2) as manager:\n"
        "    manager.load_model('day')\n"
        "    asked = (0, 1, 50, 100, 200, 400, 10_000)\n"
        "    print(*[manager.get_optimal_batch_size(megabytes * 2**20) for megabytes in asked])\n"
    )
    said = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    sizes = list(map(int, said.split()))
    assert sizes == sorted(sizes)
    assert (sizes[0], sizes[-1]) == (1, 16)
    assert 1 < sizes[4] < 16  # at 640 x 640 one frame of this model takes some 15 to 60 MB
    with pytest.raises(InputError, match="-1 bytes"):
        manager.get_optimal_batch_size(-1)


def test_without_a_gpu_its_memory_is_not_zero_but_an_error(
    manager: ModelManager, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    hardware.detect.cache_clear()
    try:
        with pytest.raises(Unavailable, match="no NVIDIA GPU"):
            manager.get_vram_usage()
    finally:
        hardware.detect.cache_clear()


def test_the_memory_of_the_gpu_that_is_asked_for(folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    driver = tmp_path / "nvidia-smi"
    driver.write_text(
        "#!/bin/sh\ncase $1 in *memory.used*) printf '0, 1, 9\n1, 512, 2048\n';; *) printf '0, A, 5, 9, 9.0\n';; esac\n"
    )
    driver.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    hardware.detect.cache_clear()
    try:
        for asked, device, used, total in (
            ("auto", "gpu:0", 1, 9),
            ("gpu", "gpu:0", 1, 9),
            ("gpu:1", "gpu:1", 512, 2048),
        ):
            usage = ModelManager(folder, device=asked).get_vram_usage()
            assert (usage.device, usage.used_mb, usage.total_mb, usage.models) == (device, used, total, {})
    finally:
        hardware.detect.cache_clear()


@pytest.mark.gpu
def test_on_a_gpu_its_memory_is_what_the_driver_says(folder: Path) -> None:
    with ModelManager(folder) as manager:
        usage = manager.get_vram_usage()
        assert 0 < usage.used_mb < usage.total_mb


def test_the_statistics_begin_after_loading(folder: Path, street: list[Frame]) -> None:
    with ModelManager(folder, device="cpu") as manager:
        model = manager.load_model("day", imgsz=160)
        assert manager.get_performance_stats().calls == 0
        model.predict_batch(street)
        stats = manager.get_performance_stats("day")
        assert stats.samples == 3


def test_frames_side_by_side_and_one_by_one_are_answered_alike(folder: Path, street: list[Frame]) -> None:
    answers = []
    for at_once in (1, 2, 8):
        with ModelManager(folder, device="cpu", max_batch_size=at_once) as manager:
            model = manager.load_model("day", imgsz=320)
            answers.append(model.predict_batch(street * 3))
            assert ("calls at once" in str(model)) == (min(at_once, hardware.cores()) > 1)
    for frame in zip(*answers, strict=True):
        for other in frame[1:]:
            np.testing.assert_allclose([one.bbox for one in other], [one.bbox for one in frame[0]], atol=0.05)


def test_the_manager_is_the_packages_own() -> None:
    assert throughline.ModelManager is ModelManager
