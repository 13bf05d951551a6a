"""From a model to another form of it: the family of transforms, one file each.

A transform reads one artifact, writes one file, and says what it did. It does not judge
what it made, does not name it finally, and writes no passport: the verb that asked for it
reloads the file, proves it against its parent, and only then gives it its name.

A member's ``make(source, target, **options)`` returns ``Made``. Its ``facts`` are ``takes`` (the
formats that it reads) and ``gives`` (the format that it writes; None where that is what it read).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias, final

from throughline.contracts.artifacts import Array, Step
from throughline.plugins import Family

TRANSFORMS = Family("transform", "throughline.models.transforms")

Feeds: TypeAlias = Callable[[], Iterator[Mapping[str, Array]]]
"""Real inputs of the model, made ready for it; asked for as often as they are needed, and the same each time."""


@final
@dataclass(frozen=True, slots=True)
class Made:
    """What a transform did.

    Attributes:
        step: its name, the options that decided the result, and the tool with its version: a line of the passport.
        companions: the names of files beside the target that belong to it.
        changes: what the passport has to say otherwise than the parent's: "imgsz", "decoder", "labels" and so on.
        notes: what the user should know, a line each.
    """

    step: Step
    companions: tuple[str, ...] = ()
    changes: Mapping[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
