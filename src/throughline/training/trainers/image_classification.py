"""Classes of pictures: a Transformers network, fine-tuned from a folder or grown small, through our own loop.

The loop is that of ``torch_loop``, so a run that was killed goes on to the same bytes. What is its own are the network
and what is measured: F1, which counts every class alike, and whether "90 % sure" means it.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, final

from throughline.contracts.errors import InputError
from throughline.plugins import Plugin
from throughline.settings import setting
from throughline.training.recipe import Recipe
from throughline.training.run import Run, Trained
from throughline.training.trainers._loop_settings import loop_setting

if TYPE_CHECKING:
    import torch

    from throughline.training.loop.lessons import Interface
    from throughline.training.loop.pictures import PictureLesson

WEIGHTS: Final = "weights"
_STRIDE: Final = 32


@final
@dataclass(frozen=True, slots=True)
class Options:
    """What ``image_classification`` can be told."""

    model: str = setting("resnet", "the family of a new network", "", choices=("resnet", "mobilenet_v2", "convnextv2"))
    width: float = setting(0.5, "how wide a new network is, as a share of its family's", "0.1 to 4", 0.1, 4)
    weights: str = setting("", "what it begins with", "the folder of a Transformers model, or nothing for a new one")
    imgsz: str = loop_setting("imgsz", "224")
    epochs: int = loop_setting("epochs", 20)
    batch: int = loop_setting("batch", 16)
    accumulate: int = loop_setting("accumulate")
    lr: float = loop_setting("lr")
    final_lr: float = loop_setting("final_lr")
    warmup: float = loop_setting("warmup")
    weight_decay: float = loop_setting("weight_decay")
    clip: float = loop_setting("clip")
    ema: float = loop_setting("ema")
    precision: str = loop_setting("precision")
    compile: bool = loop_setting("compile")
    patience: int = loop_setting("patience")
    validate_every: int = loop_setting("validate_every")
    holdout: float = loop_setting("holdout")
    decides: str = setting("accuracy", "which metric says what is better", "", choices=("accuracy", "f1"))
    flip: float = loop_setting("flip")
    scale: float = loop_setting("scale", 0.2)
    colour: float = loop_setting("colour")
    workers: int = loop_setting("workers")


def train(recipe: Recipe, run: Run) -> Trained:
    """Teach a network to tell the pictures of class folders apart."""
    from throughline.training.loop.beginning import Begun
    from throughline.training.loop.pictures import PictureLesson, train_and_val
    from throughline.training.loop.surroundings import seeded, torch_device
    from throughline.training.trainers._image_networks import held_to_size, network_from, new_network, save_network
    from throughline.training.trainers._looped import carried_through
    from throughline.training.trainers._offline import offline, parent_of

    options: Options = recipe.options
    device = torch_device(run.device)
    parent = parent_of(options.weights) if options.weights else None
    data = train_and_val(recipe.data, options.holdout, recipe.seed)
    if data[0].task != "classify":
        raise InputError(
            f"{recipe.data}: its truth is for '{data[0].task}'", "give class folders: one folder of pictures a class"
        )
    labels = data[0].labels
    if len(labels) < 2:
        raise InputError(f"{recipe.data}: all of it is of the class {labels[0]!r}", "give two classes or more")
    with seeded(recipe.seed, device):
        lesson = ClassLesson(PictureLesson(data, options, recipe.seed, "classify", _STRIDE), options.decides)
        with offline(recipe.seed) as transformers:
            if options.weights:
                network = network_from(options.weights, labels, transformers)
            else:
                network = new_network(options.model, options.width, labels, transformers)
        held_to_size(network, lesson.pictures.canvas, labels)
        trained, learned = carried_through(Begun(network, lesson, parent), recipe, run, device)
        with offline(recipe.seed):
            shutil.rmtree(run.folder / WEIGHTS, ignore_errors=True)
            save_network(learned, run.folder / WEIGHTS)
    return trained


@final
class ClassLesson:
    """Pictures with one class each, judged by more than how many are right."""

    def __init__(self, pictures: PictureLesson, decides: str) -> None:
        """``decides`` is the metric by which the best weights are known."""
        self.pictures, self.metric, self.higher_is_better = pictures, decides, True
        self.task, self.size, self.sha256, self.used = pictures.task, pictures.size, pictures.sha256, pictures.used

    def batch(self, rows: Sequence[int], epoch: int) -> tuple[torch.Tensor, ...]:
        """These pictures, varied, and their classes."""
        return self.pictures.batch(rows, epoch)

    def loss(self, network: torch.nn.Module, answer: Any, truth: Sequence[torch.Tensor]) -> torch.Tensor:
        """Cross entropy."""
        return self.pictures.loss(network, answer, truth)

    def measure(self, network: torch.nn.Module, device: torch.device) -> dict[str, float]:
        """Accuracy, F1 with every class counting alike, and how far sureness is from being right."""
        from throughline.evaluation.classes import Choices

        figures = _figures(Choices.of(self.pictures.answers(network, device), self.pictures.truth))
        return {self.metric: figures[self.metric]} | figures  # whoever watches goes by the first

    def baseline(self) -> dict[str, float]:
        """The same of always naming the commonest class; of its sureness there is nothing to say."""
        import numpy as np

        from throughline.evaluation.classes import Choices

        true = np.array([int(one.class_id[0]) for one in self.pictures.truth], np.int64)
        said = np.full_like(true, self.pictures.commonest())
        names = {number: self.pictures.labels[number] for number in sorted({*true.tolist(), *said.tolist()})}
        figures = _figures(Choices(true, said, np.ones(len(true)), names))
        return {name: figures[name] for name in ("accuracy", "f1")}

    def interface(self) -> Interface:
        """Pictures of one size."""
        return self.pictures.interface()


def _figures(choices: Any) -> dict[str, float]:
    from throughline.evaluation.classes import class_scores

    scores = class_scores(choices)
    return {"accuracy": scores.accuracy, "f1": scores.macro_f1, "calibration_error": scores.calibration_error}


PLUGIN = Plugin(
    make=train,
    summary="classes of pictures: a Transformers network, fine-tuned or grown small",
    needs=("transformers", "torch", "safetensors", "onnx", "onnxscript"),
    extra="train",
    facts={"options": Options},
)
