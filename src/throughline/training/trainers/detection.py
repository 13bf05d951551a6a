"""Objects on pictures: RT-DETR v2 or D-FINE through Transformers, fine-tuned from a folder or grown small, by our loop.

Both are permissively licensed, find a fixed number of objects and need no suppression of doubles afterwards. The loop
is that of ``torch_loop``, so a run that was killed goes on to the same bytes.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, final

from throughline.contracts.errors import InputError
from throughline.plugins import Plugin
from throughline.settings import setting
from throughline.training.recipe import Recipe
from throughline.training.run import Run, Trained
from throughline.training.trainers._loop_settings import loop_setting

if TYPE_CHECKING:
    import torch

WEIGHTS: Final = "weights"
_STRIDE: Final = 32
_COUNTED: Final = 8


@final
@dataclass(frozen=True, slots=True)
class Options:
    """What ``detection`` can be told."""

    model: str = setting("rt_detr_v2", "the family of a new network", "", choices=("rt_detr_v2", "d_fine"))
    width: float = setting(0.5, "how wide a new network is, as a share of its family's", "0.1 to 4", 0.1, 4)
    queries: int = setting(100, "how many objects a new network can find on a picture", "10 to 1000", 10, 1000)
    layers: int = setting(3, "how often a new network refines what it found", "2 to 12", 2, 12)
    weights: str = setting("", "what it begins with", "the folder of a Transformers model, or nothing for a new one")
    imgsz: str = loop_setting("imgsz")
    epochs: int = loop_setting("epochs", 50)
    batch: int = loop_setting("batch")
    accumulate: int = loop_setting("accumulate")
    lr: float = loop_setting("lr", 4e-4)
    final_lr: float = loop_setting("final_lr", 0.05)
    warmup: float = loop_setting("warmup")
    weight_decay: float = loop_setting("weight_decay", 1e-4)
    clip: float = loop_setting("clip", 0.1)
    ema: float = loop_setting("ema")
    precision: str = loop_setting("precision")
    compile: bool = loop_setting("compile")
    patience: int = loop_setting("patience")
    validate_every: int = loop_setting("validate_every")
    holdout: float = loop_setting("holdout")
    flip: float = loop_setting("flip")
    scale: float = loop_setting("scale")
    colour: float = loop_setting("colour")
    workers: int = loop_setting("workers")


def train(recipe: Recipe, run: Run) -> Trained:
    """Teach a network to find the objects of a YOLO or COCO data set."""
    import numpy as np
    import torch

    from throughline.training.loop.beginning import Begun
    from throughline.training.loop.pictures import PictureLesson, train_and_val
    from throughline.training.loop.surroundings import seeded, torch_device
    from throughline.training.trainers._detr_networks import network_from, new_network, save_network
    from throughline.training.trainers._looped import carried_through
    from throughline.training.trainers._offline import offline, parent_of

    options: Options = recipe.options
    device = torch_device(run.device)
    parent = parent_of(options.weights) if options.weights else None
    data = train_and_val(recipe.data, options.holdout, recipe.seed)
    if data[0].task == "classify":
        raise InputError(f"{recipe.data}: holds class folders, and no boxes", "trainer: image_classification")
    labels = data[0].labels
    with seeded(recipe.seed, device):
        lesson = PictureLesson(data, options, recipe.seed, "detr", _STRIDE)
        with offline(recipe.seed) as transformers:
            if options.weights:
                network = network_from(options.weights, lesson.canvas, labels, transformers)
            else:
                network = new_network(options, lesson.canvas, labels, transformers)

        def surest(learned: torch.nn.Module) -> float:
            """The score of so many objects a picture; below it a young network's queries are as good as each other."""
            found = lesson.answers(learned, torch.device("cpu"))
            scores = np.sort(np.concatenate([one.confidence for one in found]))
            return float(scores[-min(len(scores), _COUNTED * len(found))]) if len(scores) else 1.0

        trained, learned = carried_through(Begun(network, lesson, parent), recipe, run, device, surest)
        with offline(recipe.seed):
            shutil.rmtree(run.folder / WEIGHTS, ignore_errors=True)
            save_network(learned, run.folder / WEIGHTS)
    return trained


PLUGIN = Plugin(
    make=train,
    summary="objects on pictures: RT-DETR v2 or D-FINE, fine-tuned or grown small",
    needs=("transformers", "torch", "safetensors", "onnx", "onnxscript", "scipy"),
    extra="train",
    facts={"options": Options},
)
