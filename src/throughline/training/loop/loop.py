"""The loop: batches in an order that follows from the seed, steps, validation, checkpoints; nothing in it is hidden.

What a step needs is either worked out anew from the seed, the epoch and the place in it, or is in the checkpoint.
So a run that was killed anywhere ends, on a CPU, with the bytes that it would have ended with.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, final

import numpy as np

from throughline.contracts.errors import InputError
from throughline.training.loop import checkpoint
from throughline.training.loop.lessons import Lesson
from throughline.training.loop.moving import Average, learning_rate
from throughline.training.loop.showing import Showing
from throughline.training.loop.surroundings import precision_on, stop_asked
from throughline.training.run import Run

if TYPE_CHECKING:
    import torch

LAST, BEST = "last.safetensors", "best.safetensors"
SECONDS: Final = {"between epochs": 5.0, "within": 60.0}
"""A checkpoint is written at the end of an epoch, or within one, once so much time has passed since the last."""


@final
@dataclass(frozen=True, slots=True)
class Ended:
    """How a loop ended: the measures of its best weights, their epoch, and why it went no further."""

    metrics: Mapping[str, float]
    epoch: int
    why: str


@final
class Loop:
    """A network on its way. ``options`` are those of the trainer ``torch_loop``."""

    def __init__(
        self, network: torch.nn.Module, lesson: Lesson, options: Any, run: Run, seed: int, device: torch.device
    ) -> None:
        """Where it begins; ``go_on`` takes it to where it was."""
        import torch

        self.network = network.to(device, memory_format=torch.channels_last).train()
        self.lesson, self.options, self.run, self.seed, self.device = lesson, options, run, seed, device
        self.average = Average(self.network, options.ema) if options.ema else None
        self.precision = precision_on(device, options.precision)
        self.optimizer = _optimizer(self.network, options, fused=self.precision != "float16")
        self.scaler = torch.amp.GradScaler(device.type, enabled=self.precision == "float16")
        self.stepping = torch.compile(self.network) if options.compile else self.network
        self.shows_truth = bool(getattr(network, "learns_with_truth", False))
        self.epoch = self.place = self.stale = 0
        self.loss, self.counted = 0.0, 0
        self.best: dict[str, float] | None = None
        self.best_epoch = 0
        self._written = time.monotonic()

    @property
    def groups(self) -> int:
        """How many steps an epoch has."""
        return -(-self._batches // int(self.options.accumulate))

    @property
    def steps(self) -> int:
        """How many steps were made."""
        return self.epoch * self.groups + self.place

    def go_on(self) -> None:
        """Take up the checkpoint of this folder."""
        import torch

        path = self.run.folder / LAST
        checkpoint.clear_drafts(path)
        checkpoint.clear_drafts(self.run.folder / BEST)
        if not path.exists():
            self.run.say("there is no checkpoint yet: it begins anew")
            return
        tensors, state = checkpoint.read(path)
        before, now = state["data"], _plain(self.lesson.used)
        if others := [part for part in before | now if before.get(part) != now.get(part)]:
            was, become = (one.get(others[0], {}).get("sha256", "nothing")[:12] for one in (before, now))
            raise InputError(
                f"{self.run.folder}: this run cannot go on: its data are others than those it was begun with "
                f"({others[0]}: sha256 {was}, and now {become})",
                "put the data back, or begin another run under another --name",
            )
        if state["torch"] != torch.__version__:
            self.run.say(f"begun with PyTorch {state['torch']}; with {torch.__version__} the last digits may differ")
        self.network.load_state_dict(_part(tensors, "network"))
        if self.average is not None:
            self.average.network.load_state_dict(_part(tensors, "average"))
        checkpoint.into_optimizer(self.optimizer, _part(tensors, "optimizer"), state["optimizer"])
        self.scaler.load_state_dict(state["scaler"])
        self.epoch, self.place, self.stale = state["epoch"], state["place"], state["stale"]
        self.loss, self.counted = state["loss"], state["counted"]
        self.best, self.best_epoch = state["best"], state["best_epoch"]
        if self.device.type == "cpu":
            torch.set_num_threads(state["threads"])
        checkpoint.into_dice(_part(tensors, "dice"), state["dice"], self.device)
        self.run.say(f"goes on after {self.epoch} epochs and {self.place} of {self.groups} steps")

    def carry_out(self) -> Ended:
        """Every epoch that is left; the network answers with its best weights afterwards."""
        options = self.options
        showing = Showing(options.epochs, options.epochs * self.groups, self.steps, self.run.say)
        with stop_asked() as stop:
            try:
                while self.epoch < options.epochs and not self._had_enough:
                    self._epoch(showing, stop)
            finally:
                showing.clear()
        self._write(LAST)
        assert self.best is not None
        why = f"no better for {self.stale} validations" if self._had_enough else f"{self.epoch} epochs are done"
        self.answering.load_state_dict(checkpoint.read(self.run.folder / BEST)[0])
        return Ended(self.best, self.best_epoch, why)

    @property
    def answering(self) -> torch.nn.Module:
        """The network that is measured and kept: the average where there is one."""
        return self.network if self.average is None else self.average.network

    @property
    def _had_enough(self) -> bool:
        return bool(self.options.patience) and self.stale >= self.options.patience

    @property
    def _batches(self) -> int:
        return (
            self.lesson.size // int(self.options.batch) or 1
        )  # what is left over is seen in another epoch: the order is another

    def _epoch(self, showing: Showing, stop: Callable[[], bool]) -> None:
        options = self.options
        rows = np.random.default_rng((self.seed, self.epoch)).permutation(self.lesson.size)
        batches = [rows[at * options.batch : (at + 1) * options.batch].tolist() for at in range(self._batches)]
        groups = [batches[at : at + options.accumulate] for at in range(0, len(batches), options.accumulate)]
        with contextlib.closing(self._prepared(groups[self.place :])) as prepared:
            for group in prepared:
                self._step(group)
                self.place += 1
                showing.step(self.steps, self._mean_loss)
                if stop():
                    self._write(LAST)
                    raise KeyboardInterrupt
                if time.monotonic() - self._written > SECONDS["within"] and self.place < len(groups):
                    self._write(LAST)
        values = {"train/loss": self._mean_loss(), "lr": self.optimizer.param_groups[0]["lr"]}
        if not np.isfinite(values["train/loss"]):
            raise InputError(
                f"the loss is {values['train/loss']} in epoch {self.epoch + 1}: the network has come apart",
                "give a smaller lr, a longer warmup, a smaller clip, or precision: float32",
            )
        self.epoch, self.place, self.loss, self.counted = self.epoch + 1, 0, 0.0, 0
        if self.epoch % options.validate_every == 0 or self.epoch == options.epochs:
            values |= {f"val/{name}": value for name, value in self._validate().items()}
        showing.epoch(self.epoch, self.steps, values)
        self.run.log(values, self.epoch)
        if time.monotonic() - self._written > SECONDS["between epochs"]:
            self._write(LAST)

    def _prepared(self, groups: Sequence[Sequence[list[int]]]) -> Generator[list[tuple[torch.Tensor, ...]]]:
        """The batches of each step, made by other threads in advance where that was asked for."""
        if not self.options.workers:
            for group in groups:
                yield [self.lesson.batch(rows, self.epoch) for rows in group]
            return
        ahead = 2 * self.options.workers
        with ThreadPoolExecutor(self.options.workers) as pool:
            flat = [rows for group in groups for rows in group]
            coming: list[Future[tuple[torch.Tensor, ...]]] = []
            taken = 0
            try:
                for group in groups:
                    made = []
                    for _ in group:
                        while taken < len(flat) and len(coming) <= ahead:
                            coming.append(pool.submit(self.lesson.batch, flat[taken], self.epoch))
                            taken += 1
                        made.append(coming.pop(0).result())
                    yield made
            finally:
                for one in coming:
                    one.cancel()

    def _step(self, group: Sequence[tuple[torch.Tensor, ...]]) -> None:
        import torch

        options, steps = self.options, self.options.epochs * self.groups
        rate = learning_rate(self.steps, steps, options.lr, options.final_lr, options.warmup)
        for parameters in self.optimizer.param_groups:
            parameters["lr"] = rate
        self.optimizer.zero_grad(set_to_none=True)
        kind = getattr(torch, self.precision)
        total = 0.0
        for shown, *truth in group:
            shown, truth = self._moved(shown), [self._moved(one) for one in truth]
            with torch.autocast(self.device.type, kind, enabled=kind is not torch.float32):
                answer = self.stepping(shown, *truth) if self.shows_truth else self.stepping(shown)
            loss = self.lesson.loss(self.network, answer, truth) / len(group)
            self.scaler.scale(loss).backward()
            total = total + loss.detach().double()
        if options.clip:
            self.scaler.unscale_(self.optimizer)
            torch.nn.utils.clip_grad_norm_(self.network.parameters(), options.clip)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        if self.average is not None:
            self.average.take(self.steps)
        self.loss, self.counted = self.loss + total, self.counted + 1

    def _mean_loss(self) -> float:
        return float(self.loss) / max(1, self.counted)

    def _moved(self, tensor: torch.Tensor) -> torch.Tensor:
        import torch

        layout = torch.channels_last if tensor.ndim == 4 else torch.preserve_format
        return tensor.to(self.device, non_blocking=True, memory_format=layout)

    def _validate(self) -> dict[str, float]:
        import torch

        network = self.answering.eval()
        with torch.no_grad():
            measured = self.lesson.measure(network, self.device)
        self.network.train()
        now = measured[self.lesson.metric]
        best = None if self.best is None else self.best[self.lesson.metric]
        if not np.isfinite(now):
            raise InputError(
                f"{self.lesson.metric} is {now} after epoch {self.epoch}: it cannot decide which weights are best",
                "validate on data that hold what is learned; a smaller lr where the network has come apart",
            )
        if best is None or (now > best if self.lesson.higher_is_better else now < best):
            self.best, self.best_epoch, self.stale = measured, self.epoch, 0
            checkpoint.write(self.run.folder / BEST, network.state_dict(), {"epoch": self.epoch, "metrics": measured})
        else:
            self.stale += 1
        return measured

    def _write(self, name: str) -> None:
        import torch

        optimizer, told = checkpoint.of_optimizer(self.optimizer)
        dice, thrown = checkpoint.of_dice(self.device)
        parts: dict[str, Mapping[str, torch.Tensor]] = {
            "network": self.network.state_dict(), "optimizer": optimizer, "dice": dice,
        }  # fmt: skip
        if self.average is not None:
            parts["average"] = self.average.network.state_dict()
        state = {
            "epoch": self.epoch, "place": self.place, "stale": self.stale, "best": self.best,
            "best_epoch": self.best_epoch, "loss": float(self.loss), "counted": self.counted,
            "optimizer": told, "scaler": self.scaler.state_dict(), "dice": thrown, "seed": self.seed,
            "data": _plain(self.lesson.used), "torch": torch.__version__, "threads": torch.get_num_threads(),
        }  # fmt: skip
        tensors = {f"{part}/{key}": tensor for part, held in parts.items() for key, tensor in held.items()}
        checkpoint.write(self.run.folder / name, tensors, state)
        self._written = time.monotonic()


def _plain(used: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    return {part: dict(told) for part, told in used.items()}


def _part(tensors: Mapping[str, torch.Tensor], name: str) -> dict[str, torch.Tensor]:
    return {key.removeprefix(f"{name}/"): tensor for key, tensor in tensors.items() if key.startswith(f"{name}/")}


def _optimizer(network: torch.nn.Module, options: Any, *, fused: bool) -> torch.optim.Optimizer:
    """AdamW; what has one axis (biases, scales of norms) is not drawn to zero."""
    import torch

    learning = [one for one in network.parameters() if one.requires_grad]
    if not learning:
        raise InputError("the network has nothing that learns", "give one whose parameters require gradients")
    wide = [one for one in learning if one.ndim > 1]
    narrow = [one for one in learning if one.ndim <= 1]
    groups = [{"params": wide, "weight_decay": options.weight_decay}, {"params": narrow, "weight_decay": 0.0}]
    return torch.optim.AdamW([group for group in groups if group["params"]], lr=options.lr, fused=fused)
