"""Run by test_resume.py: one training run as it is, and others that are killed somewhere and go on.

Each run is a process of its own, forked before PyTorch has begun any thread, and the kill is SIGKILL.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import safetensors.torch  # noqa: F401 - once, for all the processes, as is what an optimiser loads when it is made
import torch
import torch._dynamo

from throughline import files
from throughline.training.loop import checkpoint, loop
from throughline.training.loop.beginning import begin
from throughline.training.loop.loop import BEST, LAST, Loop
from throughline.training.loop.surroundings import seeded
from throughline.training.recipe import Recipe, read_recipe
from throughline.training.run import Run


def carry_out(recipe: Recipe, folder: Path, resume: bool) -> None:
    loop.SECONDS.update({"between epochs": 0.0, "within": 0.0})  # at every step
    with seeded(recipe.seed, torch.device("cpu")):
        begun = begin(recipe, Run(folder, lambda values, step: None, lambda text: None))
        run = Run(folder, lambda values, step: None, lambda text: None, resume=resume)
        one = Loop(begun.network, begun.lesson, recipe.options, run, recipe.seed, torch.device("cpu"))
        if resume:
            one.go_on()
        one.carry_out()


def killed_at_step(number: int) -> Callable[[], None]:
    def arrange() -> None:
        step, made = Loop._step, [0]

        def counted(self: Loop, group: object) -> None:
            made[0] += 1
            if made[0] == number:
                os.kill(os.getpid(), signal.SIGKILL)
            step(self, group)

        Loop._step = counted

    return arrange


def killed_in_write(number: int, *, after: bool) -> Callable[[], None]:
    """Half-way through a checkpoint: its draft is written, and has, or has not, taken its name."""

    def arrange() -> None:
        put, made = files.put_in_place, [0]

        def counted(draft: Path, path: Path) -> None:
            made[0] += 1
            if made[0] == number and not after:
                draft.write_bytes(draft.read_bytes()[:-100])
                os.kill(os.getpid(), signal.SIGKILL)
            put(draft, path)
            if made[0] == number:
                os.kill(os.getpid(), signal.SIGKILL)

        files.put_in_place = counted

    return arrange


def in_a_process(work: Callable[[], None]) -> int:
    """How it ended: below 0, the signal."""
    child = os.fork()
    if child == 0:
        try:
            work()
            os._exit(0)
        except BaseException:
            import traceback

            traceback.print_exc()
            os._exit(1)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def digests(folder: Path) -> dict[str, str]:
    return {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in (LAST, BEST)}


def main(room: Path, told: dict[str, object], kills: list[list[object]]) -> dict[str, object]:
    recipe = read_recipe(None, told)
    whole = room / recipe.name
    whole.mkdir()
    assert in_a_process(lambda: carry_out(recipe, whole, False)) == 0
    found = {"whole": digests(whole)}
    for number, (kind, *at) in enumerate(kills):
        folder = room / f"{recipe.name}-killed-{number}"
        folder.mkdir()
        for nth, place in enumerate(at):
            arrange = killed_at_step(place) if kind == "step" else killed_in_write(place, after=kind == "written")

            def work(arrange: Callable[[], None] = arrange, folder: Path = folder, nth: int = nth) -> None:
                arrange()
                carry_out(recipe, folder, nth > 0)

            assert in_a_process(work) == -signal.SIGKILL, (kind, place)
        assert in_a_process(lambda folder=folder: carry_out(recipe, folder, True)) == 0
        found[f"{kind} {at}"] = digests(folder)
        assert not list(folder.glob(".*")), "a draft was left"
        shutil.rmtree(folder)
    tensors, state = checkpoint.read(whole / LAST)
    return {"found": found, "tensors": sorted(tensors), "state": state}


if __name__ == "__main__":
    print(json.dumps([main(Path(sys.argv[1]), *one) for one in json.loads(sys.argv[2])]))
