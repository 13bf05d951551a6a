"""A clear loop for any PyTorch network, and for the bundled detector: nothing in it is hidden, and it can be killed.

Everything random follows from the seed, the epoch and the place of a sample; everything that moves (weights,
optimiser, schedule, scaler, average, random states, place in the data) is in the checkpoint. So a run that was killed
anywhere and goes on ends with the weights, byte for byte, that it would have had.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

from throughline.plugins import Plugin
from throughline.settings import setting
from throughline.training.recipe import Recipe
from throughline.training.run import Run, Trained
from throughline.training.trainers._loop_settings import loop_setting

BUNDLED = "bundled"


@final
@dataclass(frozen=True, slots=True)
class Options:
    """What ``torch_loop`` can be told."""

    model: str = setting(
        BUNDLED, "the network", "bundled, or what builds it: package.module:factory", pattern=r"bundled|[\w.]+:[\w.]+"
    )
    width: float = setting(1.0, "how wide the bundled network is made, as a share of its own", "0.25 to 4", 0.25, 4)
    weights: str = setting("", "what it begins with", "bundled, a .safetensors file, or nothing for random numbers")
    teacher: str = setting("", "who says what is on the pictures", "a model that runs here, or nothing for the labels")
    task: str = setting("auto", "what it learns", "", choices=("auto", "detect", "classify", "regress"))
    epochs: int = loop_setting("epochs")
    batch: int = loop_setting("batch")
    accumulate: int = loop_setting("accumulate")
    lr: float = loop_setting("lr", 2e-3)
    final_lr: float = loop_setting("final_lr")
    warmup: float = loop_setting("warmup")
    weight_decay: float = loop_setting("weight_decay")
    clip: float = loop_setting("clip")
    ema: float = loop_setting("ema", 0.998)
    precision: str = loop_setting("precision")
    compile: bool = loop_setting("compile")
    patience: int = loop_setting("patience")
    validate_every: int = loop_setting("validate_every")
    holdout: float = loop_setting("holdout")
    imgsz: str = loop_setting("imgsz")
    flip: float = loop_setting("flip")
    scale: float = loop_setting("scale")
    colour: float = loop_setting("colour")
    workers: int = loop_setting("workers")


def train(recipe: Recipe, run: Run) -> Trained:
    """Carry out a recipe."""
    from throughline.training.loop.beginning import begin
    from throughline.training.loop.surroundings import seeded, torch_device
    from throughline.training.trainers._looped import carried_through

    device = torch_device(run.device)
    with seeded(recipe.seed, device):
        return carried_through(begin(recipe, run), recipe, run, device)[0]


PLUGIN = Plugin(
    make=train,
    summary="any PyTorch network (module:factory), or the bundled detector",
    needs=("torch", "safetensors", "onnx", "onnxscript"),
    extra="train",
    facts={"options": Options},
)
