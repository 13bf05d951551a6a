"""The pieces of a run: what moves, what is written line by line, which code it was, and that all is put back."""

from __future__ import annotations

import math
import random
import subprocess
import sys
from copy import deepcopy
from pathlib import Path

import numpy as np
import pytest

from throughline.contracts.errors import InputError
from throughline.training.folder import METRICS, run_folder, steps_of
from throughline.training.loop import checkpoint
from throughline.training.loop.moving import Average, learning_rate
from throughline.training.loop.showing import Showing
from throughline.training.loop.surroundings import precision_on, seeded
from throughline.training.origin import code_version
from throughline.training.recipe import Recipe, read_recipe

torch = pytest.importorskip("torch")
CPU = torch.device("cpu")


def test_the_learning_rate_climbs_in_a_line_and_falls_along_half_a_cosine() -> None:
    rates = [learning_rate(step, 100, 0.1, 0.01, 0.1) for step in range(100)]
    flat = [learning_rate(step, 100, 0.1, 0.01, 0.0) for step in range(100)]
    assert rates[:10] == pytest.approx([(step + 1) / 10 * flat[step] for step in range(10)])
    assert rates[10:] == flat[10:]
    assert flat[0] == 0.1
    assert flat[50] == pytest.approx(0.1 * (0.01 + 0.99 / 2))
    assert flat == sorted(flat, reverse=True)
    assert flat[99] == pytest.approx(0.1 * (0.01 + 0.99 * (1 + math.cos(math.pi * 0.99)) / 2))


def test_the_average_is_the_average_of_all_that_the_state_holds() -> None:
    network = torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.BatchNorm1d(3))
    average, expected = Average(network, 0.9), deepcopy(network.state_dict())
    for step in range(40):
        with torch.no_grad():
            for one in network.parameters():
                one.add_(1)
        network(torch.rand(4, 2))
        keep = min(0.9, (1 + step) / (10 + step))
        for name, new in network.state_dict().items():
            expected[name] = expected[name] * keep + new * (1 - keep) if new.is_floating_point() else new
        average.take(step)
    for name, value in average.network.state_dict().items():
        assert torch.allclose(value.double(), expected[name].double(), rtol=1e-5), name
    assert not any(one.requires_grad for one in average.network.parameters())
    assert not average.network.training


def test_a_checkpoint_holds_tensors_and_plain_values_and_nothing_else_opens_as_one(tmp_path: Path) -> None:
    tied = torch.ones(2)
    tensors = {"a": torch.arange(3), "tied": tied, "tied too": tied[:]}
    checkpoint.write(tmp_path / "one.safetensors", tensors, {"epoch": 3, "best": None})
    read, state = checkpoint.read(tmp_path / "one.safetensors")
    assert state == {"epoch": 3, "best": None}
    assert all(torch.equal(read[name], tensors[name]) for name in tensors)
    whole = (tmp_path / "one.safetensors").read_bytes()
    for broken in (b"", whole[:20], whole[:-1], b"\x80\x04N."):
        (tmp_path / "one.safetensors").write_bytes(broken)
        with pytest.raises(InputError, match="is no checkpoint"):
            checkpoint.read(tmp_path / "one.safetensors")


def test_random_numbers_follow_from_the_seed_and_are_put_back() -> None:
    def thrown() -> tuple[float, float, float]:
        return random.random(), float(np.random.random()), float(torch.rand(1))

    before, settings = checkpoint.of_dice(CPU), torch.are_deterministic_algorithms_enabled()
    next_ones = thrown()
    checkpoint.into_dice(*before, CPU)
    inside = []
    for seed in (1, 1, 2):
        with seeded(seed, CPU):
            assert torch.are_deterministic_algorithms_enabled()
            inside.append(thrown())
    assert inside[0] == inside[1] != inside[2]
    assert thrown() == next_ones
    assert torch.are_deterministic_algorithms_enabled() == settings


def test_the_first_signal_is_heard_and_the_second_ends_it() -> None:
    program = (
        "import os, signal\n"
        "from throughline.training.loop.surroundings import stop_asked\n"
        "before = signal.getsignal(signal.SIGTERM)\n"
        "with stop_asked() as stop:\n"
        "    assert not stop()\n"
        "    os.kill(os.getpid(), signal.SIGTERM)\n"
        "    assert stop()\n"
        "    try:\n"
        "        os.kill(os.getpid(), signal.SIGINT)\n"
        "        assert False, 'it went on'\n"
        "    except KeyboardInterrupt:\n"
        "        pass\n"
        "assert signal.getsignal(signal.SIGTERM) == before\n"
    )
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr


def test_a_processor_learns_in_full_precision_unless_it_is_told_otherwise() -> None:
    assert precision_on(CPU, "auto") == "float32"
    assert precision_on(CPU, "bfloat16") == "bfloat16"


def test_an_epoch_is_told_with_its_measures_and_the_last_always_is() -> None:
    said: list[str] = []
    showing = Showing(3, 30, 0, said.append)
    for number in (1, 2, 3):
        showing.step(10 * number, lambda: 1.0)
        showing.epoch(number, 10 * number, {"train/loss": 1 / number})
    showing.clear()
    assert said[0].startswith("epoch 1 of 3: train/loss 1, ")
    assert said[-1] == "epoch 3 of 3: train/loss 0.3333"
    assert len(said) == 2


def small() -> Recipe:
    return read_recipe(None, {"trainer": "torch_loop", "data": "x", "name": "small"})


def test_lines_that_a_kill_tore_are_dropped_and_those_that_come_again_take_their_place(tmp_path: Path) -> None:
    with run_folder(tmp_path / "run", small(), resume=False) as folder:
        for step in (1, 2, 3):
            folder.metrics({"loss": 1 / step}, step)
    with (tmp_path / "run" / METRICS).open("a") as lines:
        lines.write('{"step": 4, "lo')
    assert [row["step"] for row in steps_of(tmp_path / "run")] == [1, 2, 3]
    with run_folder(tmp_path / "run", small(), resume=True) as folder:
        assert not folder.finished
        folder.metrics({"loss": 5}, 2)
        folder.metrics({"loss": 6}, 3)
    assert [(row["step"], row["loss"]) for row in steps_of(tmp_path / "run")] == [(1, 1.0), (2, 5.0), (3, 6.0)]


def test_only_one_process_works_on_a_run(tmp_path: Path) -> None:
    with (
        run_folder(tmp_path / "run", small(), resume=False),
        pytest.raises(InputError, match="another process is working on this run"),
        run_folder(tmp_path / "run", small(), resume=True),
    ):
        raise AssertionError("two held it")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "letter.txt").write_text("mine")
    with (
        pytest.raises(InputError, match="something else is there already"),
        run_folder(tmp_path / "other", small(), resume=False),
    ):
        raise AssertionError("it was written over")


def test_the_code_is_named_by_its_commit_and_by_what_differs_from_it(tmp_path: Path) -> None:
    assert "commit" not in code_version(folder=Path("/"))
    said = code_version(["torch", "no_such_package"], Path("/"))
    assert said["torch"] == torch.__version__.partition("+")[0] or said["torch"] == torch.__version__
    assert "no_such_package" not in said
    git = ["git", "-C", str(tmp_path), "-c", "user.name=a", "-c", "user.email=a@b"]
    (tmp_path / "code.py").write_text("a = 1\n")
    for words in (["init", "-q"], ["add", "."], ["commit", "-qm", "one"]):
        subprocess.run([*git, *words], check=True)
    clean = code_version(folder=tmp_path)
    assert len(clean["commit"]) == 40
    assert "changed" not in clean
    (tmp_path / "code.py").write_text("a = 2\n")
    edited = code_version(folder=tmp_path)
    assert edited["commit"] == clean["commit"]
    assert edited["changed"]
    assert edited == code_version(folder=tmp_path)
