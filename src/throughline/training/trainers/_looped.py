"""The loop, from its beginning or from where it was killed, to the file that ships."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from typing import TYPE_CHECKING

from throughline.contracts.artifacts import Step
from throughline.terminal import only_warnings
from throughline.training.loop.beginning import Begun
from throughline.training.loop.loop import Loop
from throughline.training.recipe import Recipe
from throughline.training.run import Run, Trained
from throughline.training.trainers._program import write_onnx

if TYPE_CHECKING:
    import torch

    Counting = Callable[[torch.nn.Module], float]


def _usual(_: torch.nn.Module) -> float:
    return 0.25


def carried_through(
    begun: Begun, recipe: Recipe, run: Run, device: torch.device, counting: Counting = _usual
) -> tuple[Trained, torch.nn.Module]:
    """What came of a run of the loop, and the network with its best weights, on the CPU.

    Args:
        begun: the network and what it learns.
        recipe: whose options are, or hold, those of ``torch_loop`` that the loop asks for.
        run: the run.
        device: where to learn.
        counting: from which confidence on an object counts in the proof of the file, given the network that learned.
    """
    import torch

    path = run.folder / "model.onnx"
    loop = Loop(begun.network, begun.lesson, recipe.options, run, recipe.seed, device)
    if run.resume:
        for draft in run.folder.glob(f".{path.stem}-*"):
            shutil.rmtree(draft)  # what a kill left of a file that was being made
        loop.go_on()
    ended = loop.carry_out()
    run.say(f"{ended.why}; the best weights are those of epoch {ended.epoch}")
    lesson, network = begun.lesson, loop.answering.cpu().to(memory_format=torch.contiguous_format)
    taken = lesson.interface().named_for(network)
    about = dict(taken.about) | ({"licence": begun.licence} if begun.licence else {})
    with only_warnings():
        verified = write_onnx(
            network,
            path,
            taken.inputs,
            taken.example,
            about,
            data=taken.pictures,
            arrays=taken.arrays,
            conf=counting(network),
        )
    trained = Trained(
        path, ended.metrics, lesson.metric, lesson.higher_is_better, lesson.sha256, about,
        baseline=lesson.baseline(), parent=begun.parent, steps=(Step("data", lesson.used),),
        evidence=(verified.verdict,),
    )  # fmt: skip
    return trained, network
