"""``throughline train``: a recipe in, a model with a passport out; killed or not, the same bytes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import throughline
from throughline.cli import main
from throughline.contracts.errors import InputError
from throughline.data.lock import lock_data
from throughline.models.artifact import read_artifact
from throughline.testing.world import World, write_yolo
from throughline.training.folder import steps_of
from throughline.verbs.train import TrainReport

pytest.importorskip("torch")

NETWORKS = Path(__file__).parents[1] / "training"


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a recipe, the rows it learns from, and the network."""
    folder = tmp_path_factory.mktemp("project")
    dice = np.random.default_rng(3)
    x = dice.standard_normal((80, 6)).astype(np.float32)
    np.savez(folder / "rows.npz", x=x, y=(x[:, 0] > 0).astype(np.int64))
    (folder / "networks_that_learn.py").write_text((NETWORKS / "networks_that_learn.py").read_text())
    (folder / "small.yaml").write_text(
        "trainer: torch_loop\ndata: rows.npz\nmodel: networks_that_learn:dicing\nepochs: 3\nlr: 0.02\nseed: 4\n"
    )
    return folder


@pytest.fixture
def here(place: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(place)
    return place


@pytest.fixture(scope="module")
def small(place: Path) -> TrainReport:
    """The recipe, carried out once."""
    before = Path.cwd()
    os.chdir(place)
    try:
        return throughline.train(Path("small.yaml"), device="cpu", log="jsonl")
    finally:
        os.chdir(before)


def test_the_folder_of_a_run_holds_all_that_made_it_and_came_of_it(here: Path, small: TrainReport) -> None:
    assert small.folder == Path("runs/train-small")
    names = {path.name for path in small.folder.iterdir()}
    expected = {"recipe.yaml", "run.json", "metrics.jsonl", "model.onnx", "model.passport.json", "report.html"}
    assert names >= expected | {"best.safetensors", "last.safetensors"}
    rows = steps_of(small.folder)
    assert [row["step"] for row in rows] == [1, 2, 3]
    assert max(row["val/accuracy"] for row in rows) == small.metrics["accuracy"]
    page = (small.folder / "report.html").read_text()
    assert "<svg" in page
    assert "val/accuracy" in page
    assert "networks_that_learn:dicing" in page
    assert "://" not in page


def test_the_passport_says_what_it_learned_from_how_and_with_which_code(here: Path, small: TrainReport) -> None:
    artifact = read_artifact(small.model)
    assert artifact.sha256 == small.sha256
    assert artifact.issued
    assert artifact.passport.seal
    step = artifact.passport.steps[0]
    assert step.options["recipe"]["model"] == "networks_that_learn:dicing"
    assert step.options["metrics"]["accuracy"] == small.metrics["accuracy"]
    assert step.options["baseline"] == dict(small.baseline)
    assert {"throughline", "python", "numpy", "torch"} <= set(step.options["code"])
    assert artifact.passport.evidence[0].passed


def test_the_recipe_that_was_saved_makes_the_same_bytes_again(here: Path, small: TrainReport) -> None:
    again = throughline.train(small.folder / "recipe.yaml", name="again", device="cpu", log="jsonl")
    assert again.sha256 == small.sha256
    assert again.metrics == small.metrics


def test_a_run_that_is_there_is_not_written_over_and_a_finished_one_says_so(
    here: Path, small: TrainReport, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(InputError, match="there is a run in it already"):
        throughline.train(Path("small.yaml"))
    assert main(["train", "small.yaml", "--resume"]) == 0
    said = capsys.readouterr()
    assert "this run is finished; there is nothing to go on with" in said.err
    assert str(small.model) in said.out
    assert main(["train", "--resume", "--name", "small", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["sha256"] == small.sha256


def test_what_would_not_be_the_same_run_does_not_go_on(here: Path, small: TrainReport) -> None:
    with pytest.raises(InputError, match=r"not be the same run: epochs was 3 and is 4; lr was 0\.02 and is 0\.5"):
        throughline.train(Path("small.yaml"), resume=True, epochs=4, lr=0.5)
    with pytest.raises(InputError, match="there is no run to go on with"):
        throughline.train(Path("small.yaml"), resume=True, name="never-begun")
    with pytest.raises(InputError, match="nothing says which run"):
        throughline.train(resume=True)


def test_a_signal_ends_it_cleanly_and_it_goes_on_to_the_same_bytes(here: Path, small: TrainReport) -> None:
    program = (
        "import os, signal, sys\nfrom throughline.cli import main\nfrom throughline.training.loop.loop import Loop\n"
        "step, made = Loop._step, [0]\n"
        "def counted(self, group):\n"
        "    made[0] += 1\n"
        "    if made[0] == 12: os.kill(os.getpid(), signal.SIGINT)\n"
        "    step(self, group)\n"
        "Loop._step = counted\n"
        "sys.exit(main(['train', 'small.yaml', '--name', 'stopped', '--device', 'cpu', '--log', 'jsonl']))\n"
    )
    said = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert said.returncode == 130, said.stderr
    assert "go on: throughline train runs/train-stopped/recipe.yaml --resume" in said.stderr
    assert "Traceback" not in said.stderr
    state = json.loads(Path("runs/train-stopped/run.json").read_text())
    assert state["state"] == "killed"
    assert len(steps_of(Path("runs/train-stopped"))) == 1  # of 8 steps an epoch, 12 were made
    held = dict(np.load("rows.npz"))
    np.savez("rows.npz", **{**held, "x": held["x"] + 1})
    with pytest.raises(InputError, match="its data are others than those it was begun with"):
        throughline.train(Path("runs/train-stopped/recipe.yaml"), resume=True, device="cpu")
    np.savez("rows.npz", **held)
    gone_on = throughline.train(Path("runs/train-stopped/recipe.yaml"), resume=True, device="cpu")
    assert gone_on.sha256 == small.sha256
    assert [row["step"] for row in steps_of(gone_on.folder)] == [1, 2, 3]
    assert steps_of(gone_on.folder) == steps_of(small.folder)


def test_the_command_says_what_is_wrong_before_it_begins(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for arguments, says in (
        (["small.yaml", "--set", "lrr=3"], "no option 'lrr'"),
        (["small.yaml", "--set", "lr"], "--set 'lr' sets nothing"),
        (["small.yaml", "--set", "lr=1", "--set", "lr=2"], "given twice"),
        (["small.yaml", "--device", "tpu"], "device is 'tpu'"),
        (["--trainer", "torch_loop"], "it has no data"),
        (["none.yaml"], "there is no such recipe"),
        (["small.yaml", "--name", "x", "--data", "none.npz"], "none.npz does not exist"),
        (["small.yaml", "--name", "y", "--set", "model=networks_that_learn:frozen"], "has nothing that learns"),
    ):
        assert main(["train", *arguments]) == 2
        assert says in capsys.readouterr().err
    assert not (here / "runs" / "train-x" / "model.onnx").exists()


def test_a_loss_that_is_no_number_ends_the_run(here: Path) -> None:
    before = signal.getsignal(signal.SIGINT)
    held = dict(np.load("rows.npz"))
    held["x"][3, 2] = np.nan
    np.savez("broken.npz", **held)
    with pytest.raises(InputError, match="the loss is nan in epoch"):
        throughline.train(Path("small.yaml"), data="broken.npz", name="broken", device="cpu", log="jsonl")
    assert json.loads(Path("runs/train-broken/run.json").read_text())["state"] == "failed"
    assert signal.getsignal(signal.SIGINT) is before


def test_data_that_are_not_as_they_were_locked_are_not_learned_from(here: Path) -> None:
    data = write_yolo(World(31, 160, 96), here / "street", 3, 2)
    lock_data(data)
    (here / "street" / "labels" / "train" / "000001.txt").write_text("")
    with pytest.raises(InputError, match="not as it was locked") as caught:
        throughline.train(trainer="torch_loop", data=str(data), name="locked")
    assert "--lock" in caught.value.fix
    assert not (here / "runs" / "train-locked").exists()
