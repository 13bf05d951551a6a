"""From a recipe to what a loop begins with: the data, the network that suits them, and the weights in it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, final

from throughline.bundled import WEIGHTS
from throughline.contracts.errors import InputError
from throughline.models import passport as passports
from throughline.training.loop.arrays import ArrayLesson
from throughline.training.loop.lessons import Lesson
from throughline.training.loop.pictures import PictureLesson, train_and_val
from throughline.training.loop.teaching import Teacher
from throughline.training.recipe import Recipe
from throughline.training.run import Run

if TYPE_CHECKING:
    import torch

BUNDLED: Final = "bundled"


@final
@dataclass(frozen=True, slots=True, eq=False)
class Begun:
    """What a loop begins with.

    Attributes:
        network: with the weights it begins with.
        lesson: what it learns.
        parent: the hash of the file that its weights came from; None where they are random numbers.
        licence: of those weights, where they say it.
    """

    network: torch.nn.Module
    lesson: Lesson
    parent: str | None
    licence: str | None = None


def begin(recipe: Recipe, run: Run) -> Begun:
    """Open the data and build the network; random numbers come from PyTorch, which was seeded before."""
    options, path = recipe.options, Path(recipe.data)
    weights = _weights(options.weights)
    if options.width != 1 and options.model != BUNDLED:
        raise InputError(f"width: {options.width:g}: {options.model} is as wide as it is", "leave width away")
    network: torch.nn.Module
    lesson: Lesson
    if path.suffix in (".npz", ".npy"):
        if options.model == BUNDLED:
            raise InputError(
                f"{path}: holds rows, and the bundled detector sees pictures", "model: package.module:factory"
            )
        if options.teacher:
            raise InputError(
                f"teacher: {options.teacher}: {path} holds rows, and a teacher sees pictures", "leave it away"
            )
        lesson = ArrayLesson(path, options.task, options.holdout, recipe.seed)
        network = _built(options.model)
    else:
        teacher = Teacher(options.teacher, run.say, trust=run.trust) if options.teacher else None
        data = train_and_val(recipe.data, options.holdout, recipe.seed, teacher)
        network = _network_for(options.model, data[0].labels, options.width)
        usual = "classify" if data[0].task == "classify" else "yolo"
        decoder, stride = str(getattr(network, "decoder", usual)), int(getattr(network, "stride", 32))
        lesson = PictureLesson(data, options, recipe.seed, decoder, stride)
        if teacher is not None:
            lesson.used = {**lesson.used, "teacher": teacher.named()}
        if options.task not in ("auto", lesson.task):
            raise InputError(f"task: {options.task}: {recipe.data} is for the task '{lesson.task}'", "task: auto")
        if lesson.task == "classify" and options.model == BUNDLED:
            raise InputError(f"{recipe.data}: holds class folders, and the bundled network finds boxes", "give a model")
        if lesson.task == "detect" and not callable(getattr(network, "loss", None)):
            raise InputError(
                f"{options.model}: nothing says what its mistakes cost",
                "give the module a method loss(answer, boxes, classes), as the bundled detector has",
            )
    if weights is None:
        return Begun(network, lesson, None)
    _fill(network, weights, run.say)
    about = passports.read(weights)
    return Begun(network, lesson, passports.digest(weights), None if about is None else about.licence)


def _weights(asked: str) -> Path | None:
    if not asked:
        return None
    path = WEIGHTS if asked == BUNDLED else Path(asked)
    if not path.exists():
        raise InputError(f"weights: {path} does not exist", "give a .safetensors file, bundled, or nothing")
    return path


def _network_for(model: str, labels: tuple[str, ...], width: float) -> torch.nn.Module:
    if model != BUNDLED:
        return _built(model)
    from throughline.training.detector.network import build

    return build(len(labels), width)


def _built(model: str) -> torch.nn.Module:
    from throughline.models.loading import architecture

    return architecture(model)


def _fill(network: torch.nn.Module, path: Path, say: Callable[[str], None]) -> None:
    """Take over every weight that fits; what was made for other classes stays random, and that is said."""
    from throughline.models.loading import load_state_dict

    tensors: Mapping[str, Any] = load_state_dict(path).tensors
    own = network.state_dict()
    fitting = {name: one for name, one in tensors.items() if name in own and own[name].shape == one.shape}
    if not fitting:
        raise InputError(
            f"weights: nothing in {path} fits {type(network).__name__}", "give the weights of this network"
        )
    left = [name for name in own if name not in fitting]
    network.load_state_dict(dict(fitting), strict=False)
    if left:
        say(
            f"begins with {len(fitting)} of {len(own)} tensors of {path.name}; random: {', '.join(left[:4])}"
            + (f" and {len(left) - 4} more" if len(left) > 4 else "")
        )
