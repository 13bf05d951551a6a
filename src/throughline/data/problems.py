"""What is wrong with a data set, each with its file and line, collected so that all of it can be mended at once."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from throughline.contracts.errors import InputError


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong.

    Attributes:
        kind: which sort of thing, in a few words that stay the same ("label out of range").
        file: where it stands.
        line: the line in it, from 1; None where it is about the whole file. Of a JSON file it is the line where the
            entry begins that ``says`` names ("annotations[17]"), unless the file is all one line.
        says: what was found there.
        severe: the data cannot be used as they are: whoever opens them, or trains on them, refuses them.
    """

    kind: str
    file: str
    line: int | None
    says: str
    severe: bool

    def __str__(self) -> str:
        return f"{self.file}{'' if self.line is None else f':{self.line}'}: {self.says}"


@dataclass(slots=True)
class Problems:
    """What was found so far, each once, in the order in which it was found."""

    found: dict[Problem, None] = field(default_factory=dict)

    def add(self, kind: str, file: Path, says: str, *, line: int | None = None, severe: bool = False) -> None:
        """Note one."""
        self.found[Problem(kind, str(file), line, says, severe)] = None

    def refuse(self, spec: object) -> None:
        """Stop here where anything severe was found."""
        severe = [problem for problem in self.found if problem.severe]
        if severe:
            count = "one problem" if len(severe) == 1 else f"{len(severe)} problems"
            raise InputError(
                f"{spec}: {count} that must be mended first; {severe[0]}", f"see them all: throughline inspect {spec}"
            )
