"""Short messages with their classes, from a seed: what a classifier of texts is tried on where nothing is fetched.

Every message is grown from a grammar. What it means hangs on the order of its words ("not late", "late and not
broken"; what comes after "but" decides), so that counting words is not enough.
"""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Final

import numpy as np

from throughline.files import whole_file

MESSAGE_LABELS: Final = ("complaint", "praise", "question")
_THINGS: Final = (
    "the parcel", "my order", "the delivery", "the driver", "the box", "the lamp", "your shop", "the invoice",
    "the new chair", "the refund", "the courier", "the packing", "this kettle", "the website",
)  # fmt: skip
_GOOD: Final = ("on time", "lovely", "well made", "friendly", "quick", "spotless", "as promised", "a joy")
_BAD: Final = ("late", "broken", "rude", "damaged", "wrong", "far too slow", "dirty", "a disappointment")
_ASKED: Final = (
    "when will {} arrive", "can i return {}", "who do i ask about {}", "is {} in stock", "how much is {}",
    "could you tell me where {} is",
)  # fmt: skip
_OPENINGS: Final = ("", "hello, ", "hi there, ", "good morning, ", "so, ", "well, ")
_ENDINGS: Final = ("", ".", " again.", " this week.", ", thank you.", " as far as i can see.")


def messages(count: int, seed: int = 0) -> list[tuple[str, str]]:
    """So many messages, each with its class."""
    dice = np.random.default_rng(seed)
    return [_message(MESSAGE_LABELS[int(dice.integers(len(MESSAGE_LABELS)))], dice) for _ in range(count)]


def write_messages(path: str | Path, count: int, seed: int = 0) -> Path:
    """Write them as CSV, with the columns ``text`` and ``label``."""
    target = Path(path)
    with whole_file(target) as draft, draft.open("w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(("text", "label"))
        rows.writerows(messages(count, seed))
    return target


def _message(label: str, dice: np.random.Generator) -> tuple[str, str]:
    opening, thing, ending = (_one(words, dice) for words in (_OPENINGS, _THINGS, _ENDINGS))
    if label == "question":
        asked = _one(_ASKED, dice).format(thing)
        said = _opinion(bool(dice.random() < 0.5), dice)
        return f"{opening}{_one(_THINGS, dice)} was {said}, {asked}?", label
    happy = label == "praise"
    other = _opinion(not happy, dice)
    if dice.random() < 0.35:
        return f"{opening}{thing} was {other} but {_one(_THINGS, dice)} was {_opinion(happy, dice)}{ending}", label
    return f"{opening}{thing} was {_opinion(happy, dice)}{ending}", label


def _opinion(happy: bool, dice: np.random.Generator) -> str:
    denied = bool(dice.random() < 0.15)
    return ("not " if denied else "") + _one(_GOOD if happy != denied else _BAD, dice)


def _one(words: tuple[str, ...], dice: np.random.Generator) -> str:
    return words[int(dice.integers(len(words)))]
