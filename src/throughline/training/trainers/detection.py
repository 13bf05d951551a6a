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

if TYPE_CHECKING:
    import torch

WEIGHTS: Final = "weights"
_STRIDE: Final = 32
_SHARE: Final = "0 to 1"
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
    imgsz: str = setting(
        "640", "the size of pictures", "640, or 384x640 (height x width)", pattern=r"\d{2,5}(x\d{2,5})?"
    )
    epochs: int = setting(50, "how often it sees everything", "1 to 100000", 1, 100_000)
    batch: int = setting(8, "pictures in one step", "1 to 65536", 1, 65_536)
    accumulate: int = setting(1, "batches whose gradients make one step", "1 to 1024", 1, 1024)
    lr: float = setting(4e-4, "the highest learning rate", "0 to 10", 0, 10)
    final_lr: float = setting(0.05, "the last learning rate, as a share of the highest", _SHARE, 0, 1)
    warmup: float = setting(0.06, "the share of all steps in which the learning rate climbs", _SHARE, 0, 1)
    weight_decay: float = setting(1e-4, "AdamW's weight decay, on what has more than one axis", _SHARE, 0, 1)
    clip: float = setting(0.1, "the largest norm of the gradients; 0 is any", "0 or more")
    ema: float = setting(0.99, "what the average of the weights keeps at a step; 0 is no average", _SHARE, 0, 1)
    precision: str = setting(
        "auto", "what the network computes in while it learns", "", choices=("auto", "float32", "bfloat16", "float16")
    )
    compile: bool = setting(False, "let torch.compile make it faster", "true or false")
    patience: int = setting(0, "end after so many validations that were no better; 0 is never", "0 to 10000", 0, 10_000)
    validate_every: int = setting(1, "epochs from one validation to the next", "1 to 10000", 1, 10_000)
    holdout: float = setting(0.2, "the share to validate on, where data have no val split", "0.01 to 0.9", 0.01, 0.9)
    flip: float = setting(0.5, "how often a picture is mirrored", _SHARE, 0, 1)
    scale: float = setting(0.3, "how much a picture is enlarged or reduced, at most", _SHARE, 0, 0.9)
    colour: float = setting(0.2, "how much its light and colours vary, at most", _SHARE, 0, 1)
    workers: int = setting(0, "threads that prepare pictures beside the loop", "0 to 64", 0, 64)


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
