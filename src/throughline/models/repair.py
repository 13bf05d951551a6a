"""The fewest layers to keep in higher precision for a model of halves or of eight bits to be the same model again.

Layers are ranked by the damage that they do: how much further off their result is than what went into them. As many
from the top as are needed are kept, found by doubling and halving; then each is given back whose going changes nothing.
Whether a set is enough is not guessed: the model is made with it and proven.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

import numpy as np

from throughline.contracts.artifacts import Array, Artifact
from throughline.contracts.errors import InputError
from throughline.models.chain import Link
from throughline.models.inside import look_inside
from throughline.models.parting import layer_errors, paired
from throughline.models.transforms import Feeds

TRIES: Final = 24
"""So many models are made and proven at most."""
_ENDLESS: Final = 1e30
_PRECISIONS: Final = ("float16", "int8")


def smallest_keep(
    ranked: Sequence[tuple[str, ...]], passes: Callable[[tuple[str, ...]], bool], tries: int = TRIES
) -> tuple[str, ...] | None:
    """A set of layers with which the model passes and without any one of which it does not; None where none does.

    Args:
        ranked: the layers, the most damaging first; those of one entry are kept or given back together.
        passes: makes the model with these layers kept, and proves it.
        tries: how often it may be asked. Where that is not enough, the set found is right and may not be the smallest.
    """
    left = tries

    def holds(chosen: Sequence[tuple[str, ...]]) -> bool:
        nonlocal left
        left -= 1
        return passes(tuple(dict.fromkeys(name for entry in chosen for name in entry)))

    if holds(()):
        return ()
    low, high = 0, 1
    while not holds(ranked[:high]):
        if high >= len(ranked) or not left:
            return None
        low, high = high, min(len(ranked), high * 2)
    while high - low > 1 and left:
        middle = (low + high) // 2
        low, high = (low, middle) if holds(ranked[:middle]) else (middle, high)
    chosen = list(ranked[:high])
    for entry in list(reversed(chosen)):
        if len(chosen) == 1 or not left:
            break
        without = [other for other in chosen if other != entry]
        if holds(without):
            chosen = without
    return tuple(dict.fromkeys(name for entry in chosen for name in entry))


def ranked_by_damage(
    reference: Path, candidate: Path, feeds: Sequence[Mapping[str, Array]]
) -> tuple[tuple[str, ...], ...]:
    """The reference's layers, the most damaging first; with each those that the candidate has merged into it."""
    one = look_inside(reference)
    pairs = paired(one, look_inside(candidate))
    damage: list[tuple[float, tuple[str, ...]]] = []
    for found in layer_errors(reference, candidate, feeds):
        if np.isinf(found.error):  # what takes an infinity in needs room for it as well, and comes after what makes it
            added = _ENDLESS if np.isinf(found.before) else float("inf")
        elif (added := found.error - found.before) <= 0:
            continue
        names = [found.layer]
        ahead = list(one.makers[found.tensor].takes)
        while ahead:
            name = ahead.pop()
            if name in pairs or name not in one.makers or one.makers[name].name in names:
                continue
            names.append(one.makers[name].name)
            ahead += one.makers[name].takes
        damage.append((added, tuple(names)))
    damage.sort(key=lambda item: -item[0])
    return tuple(names for _, names in damage)


def links_for(candidate: Artifact, precision: str, keep: tuple[str, ...], feeds: Feeds | None) -> list[Link]:
    """How a candidate like this is made from its reference, with these layers kept in higher precision.

    Raises:
        InputError: nothing here makes such a candidate.
    """
    if precision not in _PRECISIONS or candidate.format not in ("onnx", "openvino"):
        raise InputError(
            f"--repair keeps layers of ONNX files and OpenVINO IR in higher precision; this one is {candidate.format} "
            f"in {precision}",
            "export it again with other options",
        )
    if precision == "int8" and feeds is None:
        raise InputError("--repair makes an INT8 model anew, which takes pictures to calibrate on", "give --data")
    own = {"keep": keep, "feeds": feeds}
    if precision == "float16":
        first = Link("half", own if feeds is not None else {"keep": keep})
    elif candidate.format == "openvino":
        return [Link("openvino_int8", own)]
    else:
        told: Mapping[str, str] = next((step.options for step in candidate.passport.steps if step.name == "int8"), {})
        method = {"method": told["method"]} if "method" in told else {}
        first = Link("int8", {**own, **method, "for_": told.get("for", "cpu")})
    return [first, Link("openvino")] if candidate.format == "openvino" else [first]
