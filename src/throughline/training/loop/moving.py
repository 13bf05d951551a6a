"""What moves while a network learns, beside its weights: the learning rate, and the average of the weights."""

from __future__ import annotations

import math
from copy import deepcopy
from typing import TYPE_CHECKING, Any, final

if TYPE_CHECKING:
    import torch


def learning_rate(step: int, steps: int, highest: float, last: float, warmup: float) -> float:
    """It climbs in a line over the first steps, and falls along half a cosine to its last share.

    Args:
        step: which, from 0.
        steps: how many there are.
        highest: the rate at the top.
        last: the rate at the end, as a share of that.
        warmup: the share of all steps in which it climbs.
    """
    climbing = min(1.0, (step + 1) / max(1.0, warmup * steps))
    return highest * climbing * (last + (1 - last) * (1 + math.cos(math.pi * step / max(1, steps))) / 2)


@final
class Average:
    """A network whose weights are the average of another's along its way: it knows more than any single one of them."""

    def __init__(self, network: torch.nn.Module, keep: float) -> None:
        """It keeps ``keep`` of itself at each step; less at first, when there is little to keep."""
        self.network = deepcopy(network).eval().requires_grad_(False)
        self._keep = keep
        pairs: list[tuple[Any, Any]] = list(
            zip(self.network.state_dict().values(), network.state_dict().values(), strict=True)
        )
        self._moving = [(mean, new) for mean, new in pairs if mean.is_floating_point()]
        self._counts = [(mean, new) for mean, new in pairs if not mean.is_floating_point()]

    def take(self, step: int) -> None:
        """Take in the weights as they are after this many steps."""
        import torch

        keep = min(self._keep, (1 + step) / (10 + step))
        with torch.no_grad():
            if self._moving:
                means, news = zip(*self._moving, strict=True)
                torch._foreach_lerp_(list(means), [new.detach() for new in news], 1 - keep)
            for mean, new in self._counts:
                mean.copy_(new)
