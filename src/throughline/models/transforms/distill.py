"""A smaller network that learns to answer as a larger one does, from pictures that need no labels.

The teacher is any model that can be opened here: it is asked once for every feed, and never changes. Each output, and
each row of numbers in it (the sides of boxes, the scores of a class), is weighed by how much the teacher's varies, so
that boxes in pixels do not drown scores between 0 and 1.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, final

from throughline.contracts.artifacts import Array, Artifact, Step, TensorSpec
from throughline.contracts.errors import InputError, first_line, nearest
from throughline.models.backends.torch import named
from throughline.models.transforms import Feeds, Made
from throughline.models.transforms._graph import USUAL_STRIDE, facts_of, tool
from throughline.models.transforms._network import Network, export, takes, tensors, unadvised
from throughline.models.transforms._running import each
from throughline.models.transforms.pt2 import interface_of, save_program
from throughline.plugins import Plugin

if TYPE_CHECKING:
    import torch

LOSSES: Final = ("mse", "kl")
_TEACHERS: Final = ("onnx", "openvino", "safetensors", "checkpoint", "pt2", "torchscript", "tensorrt")


def distill(
    source: Artifact,
    target: Path,
    *,
    student: str,
    feeds: Feeds,
    loss: str = "mse",
    temperature: float = 2.0,
    epochs: int = 20,
    learning_rate: float = 2e-3,
    seed: int = 0,
    class_: str | None = None,
    trust: bool = False,
) -> Made:
    """Train a student on a teacher's answers.

    Args:
        source: the teacher: any model that can be opened here.
        target: what to write: a .pt2, or a .safetensors that the student's factory fills.
        student: what builds the student: package.module:factory. It takes and returns what the teacher does.
        feeds: real inputs of the teacher, a batch each; they are all kept in memory.
        loss: "mse": the outputs are to be alike; "kl": they are scores of classes before a softmax.
        temperature: how much "kl" softens the scores: higher hears more of the unlikely classes.
        epochs: how often it sees every feed.
        learning_rate: how far a step goes at first; it falls along a cosine to nothing.
        seed: of the student's first weights and of the order of the feeds.
        class_: what builds the teacher's network, where the teacher is a state dict.
        trust: open a teacher that is a program and that no passport of this machine vouches for.
    """
    takes(source, "distill", _TEACHERS)
    if loss not in LOSSES:
        raise InputError(f"loss='{loss}': there is no such loss", nearest(loss, LOSSES))
    for name, value in (("epochs", epochs), ("learning_rate", learning_rate), ("temperature", temperature)):
        if not value > 0:
            raise InputError(f"{name}={value}: it has to be more than 0", "give more, or leave it away")
    import torch

    lessons, inputs, outputs = _lessons(source, feeds, class_, trust)
    with unadvised(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        module = _student(student)
        learner = _Learner(module, outputs, lessons, loss, temperature)
        before = learner.distance()
        learner.learn(epochs, learning_rate, seed)
        after = learner.distance()
    notes = [
        f"how far the student is from its teacher, as a share of how much the teacher varies: {before:.4f} untaught, "
        f"{after:.4f} taught, on the feeds that it was taught with",
        f"the student has {sum(parameter.numel() for parameter in module.parameters()):,} parameters",
    ]
    changes: dict[str, Any] = {}
    if target.suffix == ".safetensors":
        _save_weights(module, {**facts_of(source), "class": student}, target)
        changes = {"inputs": inputs, "outputs": outputs}
    else:
        found = export(_network(module, inputs, lessons, source), outputs)
        save_program(source, found, target)
        changes, notes = interface_of(found), [*notes, *found.notes]
    options = {
        "student": student,
        "loss": loss,
        "epochs": epochs,
        "learning_rate": learning_rate,
        "seed": seed,
        "feeds": len(lessons),
        "distance": [round(before, 6), round(after, 6)],
        **({"temperature": temperature} if loss == "kl" else {}),
    }
    return Made(Step("distill", options, tool("torch")), changes=changes, notes=tuple(notes))


Lesson = tuple[tuple["torch.Tensor", ...], dict[str, "torch.Tensor"]]


def _lessons(
    source: Artifact, feeds: Feeds, class_: str | None, trust: bool
) -> tuple[list[Lesson], tuple[TensorSpec, ...], tuple[TensorSpec, ...]]:
    """Every feed with the teacher's answers to it; what the teacher takes, and what it returns."""
    import torch

    from throughline.models.session import open_model

    lessons: list[Lesson] = []
    with open_model(source.path, device="cpu", class_=class_, trust=trust) as teacher:
        for feed in each(feeds):
            answers: Mapping[str, Array] = teacher.predict(feed)
            said = {name: torch.from_numpy(array) for name, array in answers.items() if array.dtype.kind == "f"}
            lessons.append((tensors(feed, teacher.inputs), said))
        inputs = source.inputs or tuple(_seen(spec.name, lessons, at) for at, spec in enumerate(teacher.inputs))
    if not lessons[0][1]:
        raise InputError(f"{source.path} returns no float numbers to learn", "give a teacher with scores or boxes")
    outputs = source.outputs or tuple(
        TensorSpec(name, str(tensor.dtype).removeprefix("torch."), ("batch", *map(int, tensor.shape[1:])))
        for name, tensor in lessons[0][1].items()
    )
    return lessons, inputs, outputs


def _seen(name: str, lessons: Sequence[Lesson], at: int) -> TensorSpec:
    """What an input looks like, of which nobody has said more than the name."""
    tensor = lessons[0][0][at]
    sides = ("height", "width") if tensor.ndim == 4 else tuple(map(int, tensor.shape[2:]))
    return TensorSpec(name, str(tensor.dtype).removeprefix("torch."), ("batch", *map(int, tensor.shape[1:2]), *sides))


def _student(factory: str) -> torch.nn.Module:
    from throughline.models.loading import architecture

    return architecture(factory).requires_grad_(True)


@final
class _Learner:
    """A student and its lessons."""

    def __init__(
        self,
        module: torch.nn.Module,
        outputs: Sequence[TensorSpec],
        lessons: Sequence[Lesson],
        loss: str,
        temperature: float,
    ) -> None:
        self._module, self._lessons, self._outputs = module, lessons, outputs
        self._kl, self._temperature = loss == "kl", temperature
        self._spread = {name: self._varies(name) for name in lessons[0][1]}

    def distance(self) -> float:
        """How far the student's answers are from the teacher's, in use."""
        import torch

        self._module.eval()
        with torch.no_grad():
            apart = [self._apart(given, said, self._squared) for given, said in self._lessons]
        return math.sqrt(float(torch.stack(apart).mean()))

    def learn(self, epochs: int, learning_rate: float, seed: int) -> None:
        """Go through the lessons, in another order each time."""
        import torch
        from torch import nn

        for layer in self._module.modules():  # the rest stays in use: some networks answer otherwise while they train
            if isinstance(layer, nn.modules.batchnorm._BatchNorm):
                layer.train()
        steps = epochs * len(self._lessons)
        optimiser = torch.optim.AdamW(self._module.parameters(), lr=learning_rate)
        pace = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
        dice = torch.Generator().manual_seed(seed)
        for _ in range(epochs):
            for place in torch.randperm(len(self._lessons), generator=dice).tolist():
                optimiser.zero_grad()
                given, said = self._lessons[place]
                self._apart(given, said, self._divergence if self._kl else self._squared).backward()
                nn.utils.clip_grad_norm_(self._module.parameters(), 10.0)
                optimiser.step()
                pace.step()
        self._module.eval().requires_grad_(False)

    def _apart(self, given: Any, said: Mapping[str, torch.Tensor], measure: Any) -> Any:
        try:
            answered = named(self._module(*given), self._outputs)
        except (RuntimeError, TypeError) as error:
            raise InputError(
                f"the student does not run on what its teacher takes: {first_line(error)[:200]}",
                "let it take what its teacher does",
            ) from None
        for name, expected in said.items():
            found = answered.get(name)
            if found is None or found.shape != expected.shape:
                shape = "nothing" if found is None else list(found.shape)
                raise InputError(
                    f"the teacher's output '{name}' is {list(expected.shape)}, and the student gives {shape}",
                    f"let the student return what its teacher does: {', '.join(said)}",
                )
        return sum(measure(name, answered[name], said[name]) for name in said) / len(said)

    def _squared(self, name: str, found: torch.Tensor, expected: torch.Tensor) -> torch.Tensor:
        return ((found - expected) / self._spread[name]).square().mean()

    def _divergence(self, name: str, found: torch.Tensor, expected: torch.Tensor) -> torch.Tensor:
        from torch.nn import functional

        soft = self._temperature
        return soft**2 * functional.kl_div(
            functional.log_softmax(found / soft, 1),
            functional.log_softmax(expected / soft, 1),
            reduction="batchmean",
            log_target=True,
        )

    def _varies(self, name: str) -> torch.Tensor:
        """The spread of each row of the teacher's output, over all lessons."""
        import torch

        heard = [said[name] for _, said in self._lessons]
        rows = [tensor.movedim(1, 0).flatten(1) if tensor.ndim > 1 else tensor[None] for tensor in heard]
        spread = torch.cat(rows, 1).std(1, unbiased=False).clamp(min=1e-4)
        shape = [1] * self._lessons[0][1][name].ndim
        if len(shape) > 1:
            shape[1] = -1
        return spread.reshape(shape)


def _save_weights(module: torch.nn.Module, facts: Mapping[str, str], target: Path) -> None:
    """Weights as safetensors; what is said beside them is put in order, which the library leaves to chance."""
    import json

    from safetensors.torch import save

    content = save({name: tensor.contiguous() for name, tensor in module.state_dict().items()})
    length = int.from_bytes(content[:8], "little")
    header = {"__metadata__": dict(sorted(facts.items())), **json.loads(content[8 : 8 + length])}
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    target.write_bytes(len(text).to_bytes(8, "little") + text + content[8 + length :])


def _network(
    module: torch.nn.Module, inputs: tuple[TensorSpec, ...], lessons: Sequence[Lesson], source: Artifact
) -> Network:
    """The student as something to export: at the sizes of its lessons, open where the teacher is open."""
    import torch

    example = tuple(torch.zeros((2, *tensor.shape[1:]), dtype=tensor.dtype) for tensor in lessons[0][0])
    sides = [side for tensor in example if tensor.ndim == 4 for side in tensor.shape[2:]]
    return Network(module, inputs, example, source.passport.stride or math.gcd(USUAL_STRIDE, *sides))


PLUGIN = Plugin(
    make=distill,
    summary="a smaller network that learns to answer as a larger one does",
    needs=("torch", "safetensors"),
    extra="torch",
    facts={"takes": _TEACHERS, "gives": "pt2"},
)
