"""Where a network learns: the device, the precision, the seeds, and signals; all of it put back afterwards."""

from __future__ import annotations

import os
import random
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np

from throughline import hardware
from throughline.contracts.errors import Unavailable

if TYPE_CHECKING:
    import torch


def torch_device(asked: str) -> torch.device:
    """PyTorch's own name for "cpu", "gpu" or "gpu:N"."""
    import torch

    if asked == "cpu":
        return torch.device("cpu")
    number = int(asked.partition(":")[2] or 0)
    if not torch.cuda.is_available() or number >= torch.cuda.device_count():
        count = torch.cuda.device_count() if torch.cuda.is_available() else 0
        raise Unavailable(f"--device {asked}: PyTorch sees {count} GPUs here", "give --device cpu")
    return torch.device("cuda", number)


def precision_on(device: torch.device, asked: str) -> str:
    """What the network computes in while it learns: half as many bits where the device is made for that."""
    import torch

    if asked != "auto":
        return asked
    if device.type != "cuda":
        return "float32"
    return "bfloat16" if torch.cuda.is_bf16_supported(including_emulation=False) else "float16"


@contextmanager
def seeded(seed: int, device: torch.device) -> Iterator[None]:
    """Everything random follows from the seed, and a CPU makes every sum in the same order; afterwards as before."""
    import torch

    from throughline.training.loop import checkpoint

    dice, told = checkpoint.of_dice(device)
    before = torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()
    filling, threads = torch.utils.deterministic.fill_uninitialized_memory, torch.get_num_threads()
    torch.manual_seed(seed)
    np.random.seed(seed)
    random.seed(seed)
    if device.type == "cpu":
        torch.use_deterministic_algorithms(True, warn_only=True)
        torch.utils.deterministic.fill_uninitialized_memory = False  # it would only cost time
        torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS") or hardware.cores()))
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before[0], warn_only=before[1])
        torch.utils.deterministic.fill_uninitialized_memory = filling
        torch.set_num_threads(threads)
        checkpoint.into_dice(dice, told, device)


@contextmanager
def stop_asked() -> Iterator[Callable[[], bool]]:
    """Whether SIGINT or SIGTERM came: the step is finished and written down first; a second one ends it at once."""
    came: list[int] = []

    def asked(number: int, frame: object) -> None:
        if came:
            raise KeyboardInterrupt
        came.append(number)

    if threading.current_thread() is not threading.main_thread():  # only there can signals be heard
        yield lambda: False
        return
    before = {number: signal.signal(number, asked) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield lambda: bool(came)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
