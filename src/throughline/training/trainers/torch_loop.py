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

BUNDLED = "bundled"
_SHARE, _SIZE = "0 to 1", r"\d{2,5}(x\d{2,5})?"


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
    epochs: int = setting(10, "how often it sees everything", "1 to 100000", 1, 100_000)
    batch: int = setting(8, "samples in one step", "1 to 65536", 1, 65_536)
    accumulate: int = setting(1, "batches whose gradients make one step", "1 to 1024", 1, 1024)
    lr: float = setting(2e-3, "the highest learning rate", "0 to 10", 0, 10)
    final_lr: float = setting(0.01, "the last learning rate, as a share of the highest", _SHARE, 0, 1)
    warmup: float = setting(0.06, "the share of all steps in which the learning rate climbs", _SHARE, 0, 1)
    weight_decay: float = setting(0.03, "AdamW's weight decay, on what has more than one axis", "0 to 1", 0, 1)
    clip: float = setting(10.0, "the largest norm of the gradients; 0 is any", "0 or more")
    ema: float = setting(0.998, "what the average of the weights keeps at a step; 0 is no average", "0 to 1", 0, 1)
    precision: str = setting(
        "auto", "what the network computes in while it learns", "", choices=("auto", "float32", "bfloat16", "float16")
    )
    compile: bool = setting(False, "let torch.compile make it faster", "true or false")
    patience: int = setting(0, "end after so many validations that were no better; 0 is never", "0 to 10000", 0, 10_000)
    validate_every: int = setting(1, "epochs from one validation to the next", "1 to 10000", 1, 10_000)
    holdout: float = setting(0.2, "the share to validate on, where data have no val split", "0.01 to 0.9", 0.01, 0.9)
    imgsz: str = setting(
        "640", "the size of pictures", "640, or 384x640 (height x width)", pattern=r"\d{2,5}(x\d{2,5})?"
    )
    flip: float = setting(0.5, "how often a picture is mirrored", _SHARE, 0, 1)
    scale: float = setting(0.3, "how much a picture is enlarged or reduced, at most", _SHARE, 0, 0.9)
    colour: float = setting(0.2, "how much its light and colours vary, at most", _SHARE, 0, 1)
    workers: int = setting(0, "threads that prepare pictures beside the loop", "0 to 64", 0, 64)


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
