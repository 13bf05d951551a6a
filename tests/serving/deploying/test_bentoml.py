"""The BentoML service: what can be read of it without BentoML, and where BentoML is, that it answers."""

from __future__ import annotations

import ast
import json
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import numpy as np
import pytest
import yaml
from small_models import HOSTILE, issued, order_of, write_model

from throughline.contracts.errors import InputError
from throughline.models.session import open_model
from throughline.serving.deploying import TARGETS

BENTOML = Path(sys.executable).with_name("bentoml")


def made(path: Path, out: Path, **given: object) -> Path:
    out.mkdir()
    TARGETS.make("bentoml", order_of(path, out, **given), out)
    return out


def test_the_service_is_python_and_what_it_is_built_from_is_there(tmp_path: Path) -> None:
    out = made(write_model(tmp_path / "m.onnx"), tmp_path / "out", max_batch_size=4, threads=2)
    tree = ast.parse((out / "service.py").read_text())
    (service,) = (one for one in tree.body if isinstance(one, ast.ClassDef))
    bento = yaml.safe_load((out / "bentofile.yaml").read_text())
    assert bento["service"] == f"service:{service.name}"
    assert all(list(out.glob(pattern)) for pattern in bento["include"])
    predict = next(one for one in service.body if isinstance(one, ast.FunctionDef) and one.name == "predict")
    (decorator,) = predict.decorator_list
    assert isinstance(decorator, ast.Call)
    told = {one.arg: ast.literal_eval(one.value) for one in decorator.keywords}
    assert told == {"batchable": True, "max_batch_size": 4}
    wheel = (out / bento["python"]["requirements_txt"]).read_text().splitlines()[0]
    assert (out / wheel).is_file()


def test_no_word_of_a_model_is_in_what_runs(tmp_path: Path) -> None:
    good = made(write_model(tmp_path / "m.onnx"), tmp_path / "good")
    bad = write_model(tmp_path / ("".join(HOSTILE[:8]) + ".onnx"), inputs=HOSTILE, output="out")
    issued(bad, labels=HOSTILE, task=HOSTILE[0], licence=HOSTILE[1])
    other = made(bad, tmp_path / "bad")
    for name in ("service.py", "bentofile.yaml", "requirements.txt"):
        assert (good / name).read_bytes() == (other / name).read_bytes()


def test_one_row_at_a_time_is_not_batched_for(tmp_path: Path) -> None:
    out = made(write_model(tmp_path / "m.onnx"), tmp_path / "out", max_batch_size=1)
    assert "@bentoml.api()" in (out / "service.py").read_text()


def test_what_bentoml_cannot_do_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="BentoML decides itself"):
        made(write_model(tmp_path / "m.onnx"), tmp_path / "a", max_latency_ms=5.0)
    with pytest.raises(InputError, match="not rows of plain numbers"):
        made(write_model(tmp_path / "m.onnx", shape=(4, 3)), tmp_path / "b")


@pytest.mark.skipif(not BENTOML.exists(), reason="no BentoML")
def test_it_is_built_and_answers(tmp_path: Path) -> None:
    model = write_model(tmp_path / "m.onnx")
    out = made(model, tmp_path / "out")
    home = {**os.environ, "BENTOML_HOME": str(tmp_path / "home"), "BENTOML_DO_NOT_TRACK": "True"}
    built = subprocess.run([str(BENTOML), "build", "."], cwd=out, env=home, capture_output=True, text=True)
    assert "Successfully built" in built.stdout, built.stderr
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    served = subprocess.Popen(
        [str(BENTOML), "serve", "--host", "127.0.0.1", "--port", str(port), "."], cwd=out, env=home,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        _up(f"http://127.0.0.1:{port}/readyz", served)
        x = np.random.default_rng(0).random((3, 3), np.float32)
        rows = [{"x": row} for row in x.tolist()]
        body = json.dumps({"rows": [rows[0], {"x": [1]}, *rows[1:]]}).encode()
        asked = urllib.request.Request(f"http://127.0.0.1:{port}/predict", body, {"Content-Type": "application/json"})
        with urllib.request.urlopen(asked, timeout=60) as answer:
            said = json.load(answer)
    finally:
        served.terminate()
        served.wait(60)
    assert "error" in said.pop(1)
    with open_model(model) as session:
        expected = session.predict({"x": x})["y"]
    np.testing.assert_array_equal(np.array([one["y"] for one in said], np.float32), expected)


def _up(url: str, process: subprocess.Popen[bytes]) -> None:
    ends = time.monotonic() + 120
    while time.monotonic() < ends and process.poll() is None:
        try:
            with urllib.request.urlopen(url, timeout=1):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.1)
    raise AssertionError("it did not come up")
