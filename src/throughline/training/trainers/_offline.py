"""Transformers as it is used here: it asks no network, keeps its advice to itself, and leaves the process as it was."""

from __future__ import annotations

import json
import os
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from throughline.contracts.errors import InputError, first_line

_CLOSED: Final = {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1", "HF_HUB_DISABLE_TELEMETRY": "1"}


@contextmanager
def offline(seed: int) -> Iterator[Any]:
    """The library ``transformers``, with everything random begun from a seed and put back afterwards."""
    import random

    import numpy as np
    import torch

    before = {name: os.environ.get(name) for name in _CLOSED}
    plain, array = random.getstate(), np.random.get_state()
    os.environ.update(_CLOSED)
    try:
        with warnings.catch_warnings(), torch.random.fork_rng():
            warnings.simplefilter("ignore")
            import transformers

            bar = transformers.utils.logging.is_progress_bar_enabled()
            loud = transformers.utils.logging.get_verbosity()
            transformers.utils.logging.disable_progress_bar()
            transformers.utils.logging.set_verbosity_error()
            try:
                transformers.set_seed(seed)
                yield transformers
            finally:
                transformers.utils.logging.set_verbosity(loud)
                if bar:
                    transformers.utils.logging.enable_progress_bar()
    finally:
        random.setstate(plain)
        np.random.set_state(array)
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def local_model(weights: str) -> tuple[Path, dict[str, Any]]:
    """The folder of a model on this disk, and what its config.json says; never the name of one elsewhere."""
    folder = Path(weights)
    config, numbers = folder / "config.json", folder / "model.safetensors"
    if not folder.is_dir():
        raise InputError(
            f"weights: there is no folder {weights}; nothing is fetched from anywhere",
            "download the model yourself, and name the folder that holds config.json and model.safetensors",
        )
    for file in (config, numbers):
        if not file.is_file():
            held = ", ".join(sorted(one.name for one in folder.iterdir())[:6]) or "nothing"
            raise InputError(
                f"weights: {folder} has no {file.name}; it holds {held}",
                "give a folder as Transformers' save_pretrained writes it; pickles (.bin) are not read",
            )
    try:
        said = json.loads(config.read_text("utf-8"))
        if not isinstance(said, dict):
            raise ValueError("it is no object")
    except (OSError, ValueError) as error:
        raise InputError(f"{config} cannot be read: {error}", "save the model again") from None
    if "auto_map" in said:
        raise InputError(
            f"{config} asks for code of its own ({', '.join(map(str, said['auto_map']))}), which is not run",
            "give a model whose architecture Transformers itself has",
        )
    return folder, said


def opened(auto: Any, folder: Path, what: str, **how: Any) -> Any:
    """What one of Transformers' own classes opens in a folder; code that lies in it is neither run nor asked about.

    Args:
        auto: the class, such as ``AutoTokenizer``.
        folder: where.
        what: what it is to be, for who is told that it is not.
        how: more for ``from_pretrained``.
    """
    try:
        return auto.from_pretrained(folder, local_files_only=True, trust_remote_code=False, **how)
    except Exception as error:  # whatever a library stumbles over in a file that it did not write
        raise InputError(
            f"weights: {folder} is no {what}: {first_line(error)[:200]}", "give another folder, or save it again"
        ) from None


def numbered(labels: Sequence[str]) -> dict[str, Any]:
    """Classes as a configuration of Transformers names them."""
    return {
        "num_labels": len(labels),
        "id2label": dict(enumerate(labels)),
        "label2id": {label: number for number, label in enumerate(labels)},
    }


def parent_of(weights: str) -> str:
    """The hash of the numbers that a run begins with."""
    from throughline.models.passport import digest

    return digest(local_model(weights)[0] / "model.safetensors")
