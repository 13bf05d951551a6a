"""The image's recipe: read by the tool that finds faults in such recipes, and no model's words in it."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper
from small_models import HOSTILE, issued, order_of, write_model

from throughline.contracts.errors import InputError
from throughline.models.artifact import read_artifact
from throughline.serving.deploying import TARGETS

HADOLINT = shutil.which("hadolint", path=f"{Path(sys.executable).parent}:{os.environ['PATH']}")


def made(path: Path, out: Path, **given: object) -> dict[str, bytes]:
    out.mkdir()
    TARGETS.make("docker", order_of(path, out, **given), out)
    return {file.relative_to(out).as_posix(): file.read_bytes() for file in out.rglob("*") if file.is_file()}


def instructions(text: str) -> list[tuple[str, str]]:
    """A Dockerfile as Docker reads it: a line an instruction, unless it ends in a backslash."""
    lines = re.sub(r"\\[ \t]*\n", "", text).splitlines()
    words = [line.partition(" ") for line in lines if line.strip() and not line.lstrip().startswith("#")]
    return [(word, rest) for word, _, rest in words]


@pytest.fixture
def dockerfile(tmp_path: Path) -> str:
    return made(write_model(tmp_path / "m.onnx"), tmp_path / "out", threads=3)["Dockerfile"].decode()


def test_it_is_pinned_small_and_nobody_is_root(dockerfile: str) -> None:
    told = instructions(dockerfile)
    python = ".".join(map(str, sys.version_info[:3]))
    assert [rest.split()[0] for word, rest in told if word == "FROM"] == [f"python:{python}-slim"] * 2
    last = dict(told[max(at for at, (word, _) in enumerate(told) if word == "FROM") :])
    assert last["USER"] == "10001:10001"
    health = last["HEALTHCHECK"].partition(" CMD ")[2]
    assert json.loads(health)[:2] == ["python", "-c"]
    compile(json.loads(health)[2], "health", "exec")
    assert "curl" not in dockerfile
    served = [*json.loads(last["ENTRYPOINT"]), *json.loads(last["CMD"])]
    assert served == [
        "throughline", "serve", "/srv/model/small.onnx", "--host", "0.0.0.0",
        "--max-batch-size", "8", "--max-latency-ms", "5", "--threads", "3",
    ]  # fmt: skip


@pytest.mark.skipif(HADOLINT is None, reason="no hadolint")
def test_the_tool_that_finds_faults_finds_none(dockerfile: str, tmp_path: Path) -> None:
    def faults(text: str) -> list[str]:
        file = tmp_path / "Dockerfile"
        file.write_text(text)
        told = subprocess.run([str(HADOLINT), "--format", "json", str(file)], capture_output=True, text=True)
        return [one["code"] for one in json.loads(told.stdout)]

    assert faults(dockerfile) == []
    assert "DL3002" in faults(dockerfile.replace("USER 10001:10001", "USER root"))  # it does look


def test_only_what_is_needed_can_reach_the_image(tmp_path: Path) -> None:
    files = made(write_model(tmp_path / "m.onnx"), tmp_path / "out")
    assert files[".dockerignore"].decode().splitlines() == ["*", "!requirements.txt", "!*.whl", "!model/"]
    copied = [rest.split() for word, rest in instructions(files["Dockerfile"].decode()) if word == "COPY"]
    sources = {part for parts in copied for part in parts[:-1] if not part.startswith("--")}
    assert sources - {"model/", "/opt/throughline"} == {name for name in files if name.endswith((".whl", ".txt"))}


def test_no_word_of_a_model_is_in_what_runs(tmp_path: Path) -> None:
    good = write_model(tmp_path / "m.onnx")
    bad = write_model(
        tmp_path / ("".join(HOSTILE[:8]).replace("/", "") + ".onnx"), inputs=HOSTILE, output="".join(HOSTILE)
    )
    issued(bad, labels=HOSTILE, task=HOSTILE[0], licence=HOSTILE[1], decoder=HOSTILE[2])
    carried = read_artifact(bad)
    written = []
    for model, out in ((good, tmp_path / "good"), (bad, tmp_path / "bad")):
        files, sha256 = made(model, out), read_artifact(model).sha256.encode()
        recipe = {name: text for name, text in files.items() if not name.startswith("model/")}
        written.append({name: text.replace(sha256, b"SHA256") for name, text in recipe.items()})
    assert written[0] == written[1]
    there = read_artifact(tmp_path / "bad" / "model" / "small.onnx")
    assert (there.labels, there.inputs, there.sha256) == (HOSTILE, carried.inputs, carried.sha256)
    assert sorted(path.name for path in (tmp_path / "bad" / "model").iterdir()) == ["small.onnx", "small.passport.json"]


def test_weights_in_a_file_of_their_own_come_along(tmp_path: Path) -> None:
    weights = numpy_helper.from_array(np.ones((300, 3), np.float32), "w")
    graph = helper.make_graph(
        [helper.make_node("Add", ["x", "w"], ["y"])], "g",
        [helper.make_tensor_value_info("x", 1, [300, 3])], [helper.make_tensor_value_info("y", 1, [300, 3])], [weights],
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    onnx.save(model, tmp_path / "m.onnx", save_as_external_data=True, location="w $(x).bin", size_threshold=0)
    files = made(tmp_path / "m.onnx", tmp_path / "out")
    assert "model/w $(x).bin" in files
    assert read_artifact(tmp_path / "out" / "model" / "small.onnx").issued
    known = read_artifact(tmp_path / "m.onnx")
    for companions in ({}, {**known.passport.companions, "m.onnx": ""}):  # left behind, or taken along for nothing
        issued(tmp_path / "m.onnx", companions=companions)
        with pytest.raises(InputError, match="its passport names"):
            made(tmp_path / "m.onnx", tmp_path / f"with {len(companions)}")
    (tmp_path / "second").mkdir()
    second = tmp_path / "second" / "m.onnx"
    onnx.save(
        onnx.load(tmp_path / "m.onnx"), second, save_as_external_data=True, location="small.onnx", size_threshold=0
    )
    with pytest.raises(InputError, match="called as the model itself"):
        made(second, tmp_path / "third")
