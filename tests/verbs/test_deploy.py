"""``throughline deploy`` as its users call it: what is proven is put into production, and what was written works."""

from __future__ import annotations

import dataclasses
import json
import os
import re
import shlex
import signal
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.append(str(Path(__file__).parents[1] / "serving" / "deploying"))

from small_models import issued, write_model

from throughline.bundled import DETECTOR
from throughline.cli import main, verb_app
from throughline.contracts.errors import InputError, ModelRefused, PassportMismatch
from throughline.contracts.verdicts import Check, Verdict
from throughline.models import passport as passports
from throughline.models.artifact import read_artifact
from throughline.models.session import open_model
from throughline.serving.deploying import TARGETS
from throughline.verbs.deploy import deploy
from throughline.verbs.register import register
from throughline.verbs.verify import verify


@pytest.fixture
def model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    issued(write_model(Path("detector.onnx"), shape=("batch", 3)), labels=("a", "b", "c"), task="classify")
    return Path("detector.onnx")


def failing(model: Path) -> None:
    known = read_artifact(model).passport
    verdict = Verdict(("parent", known.sha256), (Check("outputs", 0.5, 0.01, False),))
    passports.issue(model, dataclasses.replace(known, evidence=(verdict,)), vouch=True)


def test_every_target_writes_its_files_and_says_how_to_go_on(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for target in TARGETS.names():
        assert main(["deploy", str(model), "--to", target, "--json"]) == 0
        told = json.loads(capsys.readouterr().out)
        assert (told["name"], told["sha256"]) == ("detector", read_artifact(model).sha256)
        folder = Path(told["folder"])
        assert folder == Path("runs") / f"deploy-detector-{target}"
        assert sorted(told["files"]) == sorted(
            path.relative_to(folder).as_posix() for path in folder.rglob("*")
            if path.is_file() and path.name != "deployed.sha256"
        )  # fmt: skip
        assert told["commands"]
        assert bool(told["measured"]) == (target == "kubernetes")
    assert {path.name for path in Path("runs").iterdir()} == {f"deploy-detector-{name}" for name in TARGETS.names()}


def test_a_model_that_failed_its_proof_is_not_deployed(model: Path) -> None:
    failing(model)
    for target in TARGETS.names():
        with pytest.raises(ModelRefused, match=r"outputs is 0\.5, and 0\.01 is asked for"):
            deploy(model, to=target)
    assert not Path("runs").exists()


def test_what_verify_found_to_be_another_model_is_not_deployed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_model(Path("one.onnx"), inputs=("x", "y"), output="sum")
    write_model(Path("other.onnx"), inputs=("x", "y"), output="sum", rows_out="rows")
    assert verify(Path("one.onnx"), Path("other.onnx"), trust=True).exit_code == 5
    with pytest.raises(ModelRefused, match="a proof in its passport failed"):
        deploy(Path("other.onnx"), to="triton")
    assert deploy(Path("one.onnx"), to="triton").notes[-1].startswith("the model had no passport")


def test_a_passport_of_other_bytes_stops_it(model: Path) -> None:
    write_model(model, output="z")
    with pytest.raises(PassportMismatch):
        deploy(model, to="docker")
    assert not Path("runs").exists()


def test_it_takes_its_own_place_again_and_nobody_elses(model: Path) -> None:
    first = deploy(model, to="triton")
    assert deploy(model, to="triton", max_batch_size=2).files == first.files
    config = first.folder / "detector" / "config.pbtxt"
    assert "max_batch_size: 2" in config.read_text()
    config.write_text(config.read_text() + "# mine\n")
    with pytest.raises(InputError, match=r"detector/config.pbtxt was changed by hand"):
        deploy(model, to="triton")
    assert config.read_text().endswith("# mine\n")


def test_what_is_not_put_into_production_names_what_would_be(model: Path) -> None:
    weights = DETECTOR.with_suffix(".safetensors")
    for target in TARGETS.names():
        with pytest.raises(InputError, match="takes onnx, openvino") as caught:
            deploy(weights, to=target)
        assert "throughline export" in caught.value.fix


def test_a_registered_model_is_deployed_under_its_own_name(model: Path, project: Path, tmp_path: Path) -> None:
    register(tmp_path / model, "Street Detector")
    report = deploy(Path("models:/Street Detector/1"), to="triton")
    assert report.name == "street-detector"
    assert (report.folder / "street-detector" / "1" / "model.onnx").read_bytes() == (tmp_path / model).read_bytes()


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"to": "dokcer"}, "no such target"),
        ({"to": "docker", "name": "Street Detector"}, "a name is a letter"),
        ({"to": "docker", "image": "$(id)"}, "not the name of an image"),
        ({"to": "kubernetes", "replicas": 0}, "must be 1 or more"),
        ({"to": "kubernetes", "replicas": 3, "max_replicas": 2}, "less than --replicas"),
        ({"to": "docker", "max_batch_size": 0}, "must be 1 or more"),
        ({"to": "docker", "threads": -1}, "must be 1 or more"),
        ({"to": "docker", "max_latency_ms": float("nan")}, "from 0 to 60000"),
        ({"to": "bentoml", "max_latency_ms": 3.0}, "BentoML decides itself"),
    ],
)
def test_wrong_usage_is_one_clear_error_and_writes_nothing(model: Path, options: dict[str, object], says: str) -> None:
    before = {path.name for path in Path().iterdir()}
    with pytest.raises(InputError, match=says):
        deploy(model, **options)  # type: ignore[arg-type]
    left = [path for path in Path("runs").iterdir()] if Path("runs").exists() else []
    assert left == []
    assert {path.name for path in Path().iterdir()} - {"runs", "state", "cache"} <= before


def served_by(folder: Path) -> tuple[list[str], str]:
    """What an image of this folder would run, and what tells whether it is well."""
    told = dict(line.split(" ", 1) for line in (folder / "Dockerfile").read_text().splitlines() if line[:1].isupper())
    command = [*json.loads(told["ENTRYPOINT"]), *json.loads(told["CMD"])]
    return command, json.loads(told["HEALTHCHECK"].partition(" CMD ")[2])[2]


def test_the_image_and_the_manifests_run_serve_with_options_that_it_has(model: Path) -> None:
    command, _ = served_by(deploy(model, to="docker", threads=1).folder)
    manifest = (deploy(model, to="kubernetes", threads=1).folder / "deployment.yaml").read_text()
    arguments = re.findall(r"^        - (\S+)$", manifest.partition("args:")[2].partition("ports:")[0], re.M)
    for words in (command[2:], [command[2], *map(json.loads, arguments)]):
        _, bound, _ = verb_app("serve").parse_args(words, exit_on_error=False, print_error=False)
        assert bound.args == ("/srv/model/detector.onnx",)
        assert bound.kwargs["threads"] == 1


def test_what_the_image_runs_serves_is_well_and_ends_well(model: Path, tmp_path: Path) -> None:
    folder = deploy(model, to="docker", threads=1).folder
    command, health = served_by(folder)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [word.replace("/srv/model", str(folder / "model")).replace("0.0.0.0", "127.0.0.1") for word in command]
    command[0] = str(Path(sys.executable).parent / command[0])
    ask = [sys.executable, "-c", health.replace(":8002", f":{port}")]
    nobody = {name: value for name, value in os.environ.items() if name in ("PATH", "LANG")} | {"HOME": str(tmp_path)}
    assert subprocess.run(ask, capture_output=True).returncode != 0  # nothing is there yet
    server = subprocess.Popen(
        [*command, "--port", "0", "--grpc-port", "0", "--ops-port", str(port)],
        env=nobody, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert server.stderr is not None
    said = next((line for line in server.stderr if "serving on" in line), "")
    try:
        assert str(port) in said
        assert subprocess.run(ask, capture_output=True).returncode == 0
    finally:
        server.send_signal(signal.SIGTERM)
        _, rest = server.communicate(timeout=60)
    assert server.returncode == 0, rest


def test_the_commands_are_words_that_a_shell_reads_as_they_were_meant(model: Path) -> None:
    out = Path("a folder; $(touch pwned)") / "x"
    for target in TARGETS.names():
        report = deploy(model, to=target, out=out / target)
        for command in report.commands:
            ran = subprocess.run(
                ["bash", "-c", f"printf '%s\\0' {command}"], capture_output=True, text=True, check=True
            )
            assert ran.stdout.split("\0")[:-1] == shlex.split(command)
        assert any(str(out / target) in word for command in report.commands for word in shlex.split(command))
    assert not Path("pwned").exists()


def test_the_copy_answers_as_the_model_does(model: Path) -> None:
    copy = deploy(model, to="docker", name="street").folder / "model" / "street.onnx"
    x = np.random.default_rng(0).random((2, 3), np.float32)
    with open_model(model) as one, open_model(copy) as other:
        np.testing.assert_array_equal(one.predict({"x": x})["y"], other.predict({"x": x})["y"])
    assert read_artifact(copy).passport.labels == read_artifact(model).passport.labels
