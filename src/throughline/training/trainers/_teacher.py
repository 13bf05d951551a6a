"""Transformers' Trainer as it is used here: one epoch after the other, measured our way, and able to be killed.

The Trainer keeps weights, optimiser, schedule and random states of every epoch; a run that goes on takes the last
epoch that was written whole, where its data are still those it was begun with.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Protocol

from throughline.contracts.errors import InputError, Unavailable
from throughline.files import whole_file
from throughline.training.loop.surroundings import precision_on, torch_device
from throughline.training.run import Run

CHECKPOINTS: Final = "checkpoints"
WEIGHTS: Final = "weights"
_METRICS, _DATA = "metrics.json", "data.json"


class Pace(Protocol):
    """What a trainer's options say of how it learns."""

    @property
    def epochs(self) -> int: ...
    @property
    def batch(self) -> int: ...
    @property
    def accumulate(self) -> int: ...
    @property
    def warmup(self) -> float: ...
    @property
    def weight_decay(self) -> float: ...
    @property
    def clip(self) -> float: ...
    @property
    def precision(self) -> str: ...
    @property
    def patience(self) -> int: ...


def learned_before(run: Run) -> dict[str, float] | None:
    """The metrics of a run that had learned all it was to learn when it was killed; its weights lie in ``WEIGHTS``."""
    done = run.folder / WEIGHTS / _METRICS
    if not run.resume or not done.exists():
        return None
    found: dict[str, float] = json.loads(done.read_text("utf-8"))
    return found


def keep_learned(run: Run, metrics: Mapping[str, float], *parts: Any) -> None:
    """Write what was learned as Transformers reads it, its metrics last: where these are, all of it is."""
    folder = run.folder / WEIGHTS
    for part in parts:
        part.save_pretrained(folder)
    with whole_file(folder / _METRICS) as draft:
        draft.write_text(json.dumps(dict(metrics), indent=2) + "\n", "utf-8")


def hold_to_data(run: Run, used: Mapping[str, Any]) -> None:
    """Write down what a run learns from; one that goes on must go on with the same."""
    path = run.folder / _DATA
    if run.resume and path.exists():
        before = json.loads(path.read_text("utf-8"))
        if before != used:
            was, become = (str(one.get("sha256"))[:12] for one in (before, used))
            raise InputError(
                f"{run.folder}: this run cannot go on: its data are others than those it was begun with "
                f"(sha256 {was}, and now {become})",
                "put the data back, or begin another run under another --name",
            )
        return
    with whole_file(path) as draft:
        draft.write_text(json.dumps(dict(used)) + "\n", "utf-8")


def teach(
    module: Any,
    lessons: Any,
    collate: Callable[[list[Any]], Mapping[str, Any]],
    measure: Callable[[Any], Mapping[str, float]],
    pace: Pace,
    lr: float,
    decides: str,
    seed: int,
    run: Run,
    transformers: Any,
) -> dict[str, float]:
    """Let a network learn, and leave the weights of its best epoch in it; the metrics of these.

    Args:
        module: the network, which gives its own loss for what ``collate`` gives.
        lessons: a sequence of what is learned from.
        collate: several of them as one batch.
        measure: the network's metrics on what it does not learn from.
        pace: how it learns.
        lr: the highest learning rate.
        decides: the metric that says which epoch was best; more is better.
        seed: from which everything random follows.
        run: told of every epoch.
        transformers: the library.
    """

    class Teacher(transformers.Trainer):  # type: ignore[misc]
        control: Any

        def evaluate(self, *_: Any, **__: Any) -> dict[str, float]:
            self.model.eval()
            told = measure(self.model)
            ordered = sorted(told, key=lambda name: name != decides)  # whoever watches goes by the first
            found = {f"eval_{name}": float(told[name]) for name in ordered}
            self.log(found)
            self.control = self.callback_handler.on_evaluate(self.args, self.state, self.control, found)
            return found

    folder = run.folder / CHECKPOINTS
    arguments = _arguments(pace, lr, decides, seed, folder, run.device, transformers)
    teacher = Teacher(module, arguments, data_collator=collate, train_dataset=lessons, eval_dataset=lessons)
    teacher.remove_callback(transformers.PrinterCallback)
    teacher.add_callback(_telling(run, pace.epochs, transformers))
    if pace.patience:
        teacher.add_callback(transformers.EarlyStoppingCallback(pace.patience))
    teacher.train(resume_from_checkpoint=_last_whole(folder) if run.resume else None)
    module.eval()
    return {name: float(value) for name, value in measure(module).items()}


def _arguments(pace: Pace, lr: float, decides: str, seed: int, folder: Path, device: str, transformers: Any) -> Any:
    import torch

    place = torch_device(device)
    on_gpu, precision = place.type == "cuda", precision_on(place, pace.precision)
    if on_gpu:
        torch.cuda.set_device(place)
    if precision == "float16" and not on_gpu:
        raise Unavailable("precision float16: gradients of halves need a GPU", "bfloat16 or float32 on the CPU")
    arguments = transformers.TrainingArguments(
        output_dir=str(folder),
        num_train_epochs=pace.epochs,
        per_device_train_batch_size=pace.batch,
        per_device_eval_batch_size=pace.batch,
        gradient_accumulation_steps=pace.accumulate,
        learning_rate=lr,
        lr_scheduler_type="cosine",
        warmup_steps=pace.warmup,
        weight_decay=pace.weight_decay,
        max_grad_norm=pace.clip,
        bf16=precision == "bfloat16",
        fp16=precision == "float16",
        use_cpu=not on_gpu,
        seed=seed,
        eval_strategy="epoch",
        save_strategy="epoch",
        logging_strategy="epoch",
        save_total_limit=2,
        load_best_model_at_end=True,
        metric_for_best_model=decides,
        greater_is_better=True,
        restore_callback_states_from_checkpoint=True,
        remove_unused_columns=False,
        dataloader_pin_memory=on_gpu,
        report_to=[],
        disable_tqdm=True,
    )
    arguments._n_gpu = int(on_gpu)  # else the Trainer takes every GPU that there is
    return arguments


def _telling(run: Run, epochs: int, transformers: Any) -> Any:
    """What hands each epoch's metrics on; whoever watches may end the run there."""

    class Telling(transformers.TrainerCallback):  # type: ignore[misc]
        def __init__(self) -> None:
            self.learned: dict[str, float] = {}

        def on_log(self, arguments: Any, state: Any, control: Any, logs: dict[str, float], **_: Any) -> None:
            if "loss" in logs:
                self.learned = {"train/loss": float(logs["loss"]), "lr": float(logs["learning_rate"])}

        def on_evaluate(self, arguments: Any, state: Any, control: Any, metrics: dict[str, float], **_: Any) -> None:
            told = {f"val/{name[5:]}": float(metrics[name]) for name in metrics if name.startswith("eval_")}
            epoch = round(state.epoch)
            said = ", ".join(f"{name} {value:.4g}" for name, value in (self.learned | told).items())
            run.say(f"epoch {epoch} of {epochs}: {said}")
            run.log(self.learned | told, epoch)

    return Telling()


def _last_whole(folder: Path) -> str | None:
    """The last checkpoint that was written whole: its state is written last."""
    found: Sequence[Path] = [one for one in folder.glob("checkpoint-*") if one.name.rpartition("-")[2].isdecimal()]
    for path in sorted(found, key=lambda one: int(one.name.rpartition("-")[2]), reverse=True):
        try:
            json.loads((path / "trainer_state.json").read_text("utf-8"))
        except (OSError, ValueError):
            continue
        return str(path)
    return None
