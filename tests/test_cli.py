from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from throughline import cli
from throughline.contracts.errors import ThroughlineError


def throughline(*arguments: str, **options: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "throughline.cli", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, **options)  # type: ignore[call-overload]


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A detector's interface over a graph that does almost nothing, with an exporter's metadata."""
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["images", "weight"], ["output0"])],
        "detector",
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, ["batch", 6, 32])],
        [helper.make_tensor_value_info("output0", TensorProto.FLOAT, ["batch", 6, 16])],
        [helper.make_tensor("weight", TensorProto.FLOAT, [32, 16], np.zeros(512, np.float32))],
    )
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    helper.set_model_props(proto, {"names": "{0: 'cat', 1: 'dog'}", "task": "detect", "stride": "32"})
    path = tmp_path / "model.onnx"
    onnx.save(proto, path)
    return path


def test_inspect_honours_what_the_exporter_wrote_and_keeps_what_is_given(model: Path) -> None:
    told = json.loads(throughline("inspect", str(model), "--json").stdout)
    assert told["labels"] == ["cat", "dog"]
    assert (told["task"], told["stride"], told["format"], told["passport"]) == ("detect", 32, "onnx", "none")
    assert told["inputs"] == ["images float32[batch, 6, 32]"]
    given = throughline("inspect", str(model), "--labels", "lynx,wolf", "--licence", "MIT", "--imgsz", "384x640")
    assert given.returncode == 0, given.stderr
    assert model.with_name("model.passport.json").exists()
    again = json.loads(throughline("inspect", str(model), "--json").stdout)
    assert (again["labels"], again["licence"], again["imgsz"]) == (["lynx", "wolf"], "MIT", [384, 640])
    assert "matches the file" in again["passport"]


def test_labels_may_come_from_a_file_and_must_fit_the_model(model: Path) -> None:
    names = model.with_name("names.txt")
    names.write_text("lynx\nwolf\n\n")
    assert throughline("inspect", str(model), "--labels", str(names)).returncode == 0
    wrong = throughline("inspect", str(model), "--labels", "only-one")
    assert wrong.returncode == 2
    assert "1" in wrong.stderr
    assert "Traceback" not in wrong.stderr


def test_what_no_passport_can_say_is_not_written(model: Path) -> None:
    refused = throughline("inspect", str(model), "--stride", "-3")
    assert refused.returncode == 2
    assert "'stride' is -3" in refused.stderr
    assert not model.with_name("model.passport.json").exists()


def test_a_passport_of_other_bytes_is_refused_with_its_own_exit_code(model: Path) -> None:
    assert throughline("inspect", str(model), "--licence", "MIT").returncode == 0
    with model.open("ab") as file:
        file.write(b"\x7a\x00")  # an unknown empty field: still a valid model
    refused = throughline("inspect", str(model))
    assert refused.returncode == 5
    assert "the file changed after its passport was issued" in refused.stderr


BAD_FILES = {
    "missing.onnx": None,
    "empty.onnx": b"",
    "text.onnx": b"I am not a model.\n",
    "page.onnx": b"<!DOCTYPE html><html>404</html>",
    "pointer.onnx": b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 9\n",
    "noise.bin": bytes(range(7, 256)),
    "picture.pt": b"\x89PNG\r\n\x1a\n" + bytes(64),
    "cut.pt": b"PK\x03\x04" + bytes(200),
    "cut.safetensors": (10**6).to_bytes(8, "little") + b'{"a": ',
}


@pytest.mark.parametrize("name", [*BAD_FILES, "folder.onnx", "truncated.onnx"])
@pytest.mark.parametrize("as_json", [False, True])
def test_bad_files_get_one_clear_error(name: str, as_json: bool, tmp_path: Path, model: Path) -> None:
    path = tmp_path / "bad" / name
    path.parent.mkdir()
    if name == "folder.onnx":
        path.mkdir()
    elif name == "truncated.onnx":
        path.write_bytes(model.read_bytes()[:-200])
    elif (content := BAD_FILES[name]) is not None:
        path.write_bytes(content)
    before = sorted(tmp_path.rglob("*"))
    ran = throughline("inspect", str(path), *["--json"] * as_json)
    assert ran.returncode == 2, ran.stderr
    assert ran.stderr.startswith("error: ")
    assert str(path) in ran.stderr
    assert "fix: " in ran.stderr
    assert "Traceback" not in ran.stderr
    assert len(ran.stderr.splitlines()) <= 3
    assert sorted(tmp_path.rglob("*")) == before
    if as_json:
        error = json.loads(ran.stdout)["error"]
        assert error["exit_code"] == 2
        assert error["problem"] in ran.stderr
    else:
        assert ran.stdout == ""


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["inspekt", "x"], "did you mean 'inspect'"),
        (["inspect"], "requires an argument"),
        (["inspect", "x.onnx", "--lables", "a"], "--lables"),
        (["inspect", "x.onnx", "--stride", "wide"], "wide"),
        (["inspect", "x.onnx", "--imgsz", "0x64"], "height x width"),
        (["inspect", "x.onnx", "--labels", ",,"], "holds no name"),
        (["inspect", "x.onnx", "--decoder", "yolo55"], "did you mean 'yolov5'"),
        (["doctor", "--profile", "tiny_gpu"], "small_gpu"),
        (["doctor", "--config", "absent.toml"], "absent.toml"),
        (["demo", "--frames", "0"], "--frames 0"),
        (["demo", "--backend", "onnxruntim"], "did you mean 'onnxruntime'"),
    ],
)
def test_wrong_usage_is_exit_code_2_and_says_what_is_allowed(arguments: list[str], told: str, tmp_path: Path) -> None:
    ran = throughline(*arguments, cwd=tmp_path)
    assert ran.returncode == 2, ran.stderr
    assert told in ran.stderr
    assert "Traceback" not in ran.stderr
    assert not list(tmp_path.rglob("*.mp4"))


def test_debug_shows_the_traceback() -> None:
    assert "Traceback" in throughline("inspect", "nowhere.onnx", "--debug").stderr


def test_a_fault_of_ours_is_exit_code_1_in_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    def broken(tokens: list[str]) -> None:
        raise ZeroDivisionError("oh\x1b[2J")

    monkeypatch.setattr(cli, "_call", broken)
    assert cli.main(["inspect", "x"]) == ThroughlineError.exit_code == 1
    told = capsys.readouterr().err
    assert "ZeroDivisionError: oh\\x1b[2J" in told, "what an error carries cannot repaint the terminal"
    assert "--debug" in told


def test_a_reader_that_leaves_early_is_no_error() -> None:
    program = f"{sys.executable} -m throughline.cli doctor | head -1; exit ${{PIPESTATUS[0]}}"
    ran = subprocess.run(["bash", "-c", program], capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "Machine\n", "")


def test_doctor_names_every_backend_with_a_reason_or_a_version_and_signs_every_setting(tmp_path: Path) -> None:
    (tmp_path / "throughline.toml").write_text("conf = 0.4\niou = 0.5\n")
    ran = throughline("doctor", "--json", cwd=tmp_path, env={**os.environ, "THROUGHLINE_IOU": "0.6"})
    told = json.loads(ran.stdout)
    backends = {backend["name"]: backend for backend in told["backends"]}
    assert set(backends) >= {"onnxruntime", "openvino", "torch", "torchscript", "tensorrt", "tensorrt_rtx"}
    assert all(backend["works"] or (backend["detail"] and backend["fix"]) for backend in backends.values())
    assert backends["onnxruntime"]["works"]
    signed = {setting["name"]: (setting["value"], setting["origin"]) for setting in told["settings"]}
    assert signed["conf"] == (0.4, "throughline.toml")
    assert signed["iou"] == (0.6, "THROUGHLINE_IOU")
    assert signed["max_det"] == (300, "default")
    assert signed["device"][1].startswith("profile ")
